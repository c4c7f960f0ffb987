"""Prompts on stdin, ends of turns on stdout, for a client that is a library for agents (see ..agents)."""

import asyncio
import json
import os
import sys

from lines import COMMAND, ENVIRON

URL = os.environ["OPENAI_BASE_URL"]
MODEL = "a-model"
SECONDS = float(os.environ.get("CLIENT_SECONDS", "60"))  # how long the library waits for a call
SERVER = {"command": COMMAND, "args": [], "env": ENVIRON, "cwd": os.getcwd()}


def tell(**what):
    print(json.dumps(what), flush=True)


async def serve(turn):
    """Until stdin ends; `turn(prompt)` runs the agent once. A turn that is interrupted is cancelled."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    tell(ready=True)
    task = None
    async for line in reader:
        asked = json.loads(line)
        if "prompt" in asked:
            task = asyncio.create_task(_take(turn, asked["prompt"]))
        else:
            task.cancel()


async def _take(turn, prompt):
    error = ""
    try:
        await turn(prompt)
    except asyncio.CancelledError:
        error = "cancelled"
    except Exception as failure:
        error = repr(failure)
    tell(done=True, error=error)
