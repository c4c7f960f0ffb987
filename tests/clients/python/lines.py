"""Requests on stdin, answers on stdout, for a client that is a Python library (tests/clients/libraries)."""

import asyncio
import json
import os
import sys
from abc import ABC, abstractmethod
from typing import Any

COMMAND = os.environ["KERNELEXEC_COMMAND"]
ENVIRON = json.loads(os.environ["KERNELEXEC_ENVIRON"])
PERSON = "Ada"  # what the person types into every form

Json = dict[str, Any]


class Client(ABC):
    """The library's client, connected."""

    @abstractmethod
    async def tools(self) -> Json:
        """The schemas by name."""

    @abstractmethod
    async def call(self, tool: str, arguments: Json, progress: Any) -> Json: ...

    @abstractmethod
    async def resources(self) -> list[str]: ...

    @abstractmethod
    async def read(self, uri: str) -> str: ...


def seen(text: str, images: int = 0, is_error: bool = False) -> Json:
    return {"text": text, "images": images, "is_error": is_error}


def content(blocks: Any, is_error: bool) -> Json:
    """A result of an SDK's: its texts and how many pictures it has."""
    texts = [block.text for block in blocks if block.type == "text"]
    return seen("\n".join(texts), sum(block.type == "image" for block in blocks), is_error)


async def serve(client: Client) -> None:
    """Until stdin ends."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    tasks: dict[int, asyncio.Task[None]] = {}
    async for line in reader:
        request = json.loads(line)
        if request["do"] == "cancel":
            tasks[request["call"]].cancel()
            _say(request["id"], seen(""))
        else:
            tasks[request["id"]] = asyncio.create_task(_answer(client, request))


async def _answer(client: Client, request: Json) -> None:
    async def progress(*told: Any) -> None:
        _say(request["id"], {"progress": told[2]})

    try:
        if request["do"] == "tools":
            answer = {"tools": await client.tools()}
        elif request["do"] == "resources":
            answer = {"resources": await client.resources()}
        elif request["do"] == "read":
            answer = seen(await client.read(request["uri"]))
        else:
            answer = await client.call(request["tool"], request["arguments"], progress)
    except asyncio.CancelledError:
        answer = seen("cancelled", is_error=True)
    except Exception as error:
        answer = seen(str(error), is_error=True)
    _say(request["id"], answer)


def _say(request: int, answer: Json) -> None:
    print(json.dumps({"id": request, **answer}), flush=True)
