"""What the server extension in a JupyterLab says of notebooks that are open there, and is told to change.

One JSON line each. It says `{"open": path, "ids": [...], "revision": n}` of a notebook that is open and whose
lock it holds, `{"changed": ...}` with the same when somebody else has taken away cells of ours, and
`{"closed": path}`. It is told `{"write": serial, "notebook": path, "cells": [...], "changes": {...},
"metadata": {...}, "withdrawn": {...}}`, which are to be made at once, and answers `{"done": serial, "taken":
[ids]}`; what it cannot write, it closes. Of a notebook of the person's own it is asked `"read": true`, and
answers with the `notebook`, or told `"steps": [...]` with what is `"expected"`, and answers whether all were
`made`.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

from kernelexec.model.outputs import JSON
from kernelexec.recording.notebook_format import UNTOUCHED, Found, to_json
from kernelexec.recording.pages import PageGone, Pages

_log = logging.getLogger(__name__)

# Seconds. A server that takes longer for a change that takes milliseconds is stopped or has lost its way; its
# lock on the notebook still holds.
_ANSWER_SECONDS = 30.0


async def serve_pages(pages: Pages, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Listen to one JupyterLab until its connection closes."""
    server = _Server(pages, writer)
    try:
        while line := await reader.readline():
            said = json.loads(line)
            if not isinstance(said, dict):
                raise ValueError("a page's message is no object")
            server.take(said)
    finally:
        server.close()


class _Server:
    """One JupyterLab with the notebooks that are open in it."""

    def __init__(self, pages: Pages, writer: asyncio.StreamWriter) -> None:
        self._pages = pages
        self._writer = writer
        self._open: dict[str, _Page] = {}
        self._serials = count(1)
        self._asked: dict[int, tuple[str, asyncio.Future[Mapping[str, Any]]]] = {}

    def take(self, said: Mapping[str, Any]) -> None:
        match said:
            case {"open": str(path)}:
                self._close(path)
                page = self._open[path] = _Page(self, path, _found(said))
                _log.info("%s is open in a page", path)
                self._pages.opened(path, page)
            case {"changed": str(path)} if path in self._open:
                self._open[path].found = _found(said)
            case {"closed": str(path)}:
                self._close(path)
            case {"done": int(serial)} if serial in self._asked:
                _, answer = self._asked.pop(serial)
                if not answer.done():
                    answer.set_result(said)

    async def ask(self, path: str, what: Mapping[str, JSON]) -> Mapping[str, Any]:
        """The answer, when it is done.

        Raises:
            PageGone: it may or may not be done.
        """
        serial = next(self._serials)
        answer: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        self._asked[serial] = path, answer
        try:
            message: dict[str, JSON] = {"write": serial, "notebook": path, **what}
            self._writer.write(to_json(message, indent=None) + b"\n")
            await self._writer.drain()
            return await asyncio.wait_for(answer, _ANSWER_SECONDS)
        except (ConnectionError, asyncio.TimeoutError, TimeoutError) as error:
            self._writer.transport.abort()  # if it is alive, it comes back and says what is open
            self._close(path)
            raise PageGone(path) from error
        finally:
            self._asked.pop(serial, None)

    def _close(self, path: str) -> None:
        page = self._open.pop(path, None)
        if page is None:
            return
        _log.info("%s is no longer open in a page", path)
        for asked, answer in self._asked.values():
            if asked == path and not answer.done():
                answer.set_exception(PageGone(path))
        self._pages.closed(path, page)

    def close(self) -> None:
        for path in list(self._open):
            self._close(path)


class _Page:
    """One notebook that is open."""

    def __init__(self, server: _Server, path: str, found: Found) -> None:
        self._server = server
        self._path = path
        self.found = found

    @property
    def is_as_left(self) -> bool:
        return self.found == UNTOUCHED

    def take_found(self) -> Found:
        found, self.found = self.found, UNTOUCHED
        return found

    async def write(self, what: Mapping[str, JSON]) -> frozenset[str]:
        said = await self._server.ask(self._path, what)
        return frozenset(map(str, said.get("taken", ())))

    async def read(self) -> Mapping[str, JSON]:
        notebook: Mapping[str, JSON] = (await self._server.ask(self._path, {"read": True}))["notebook"]
        return notebook

    async def carry_out(self, expected: Mapping[str, JSON], steps: Sequence[Mapping[str, JSON]]) -> bool:
        said = await self._server.ask(self._path, {"expected": dict(expected), "steps": list(steps)})
        return bool(said["made"])


def _found(said: Mapping[str, Any]) -> Found:
    ids, revision = said.get("ids"), said.get("revision")
    known = frozenset(map(str, ids)) if isinstance(ids, list) else frozenset()
    return Found(known, revision if isinstance(revision, int) else None)
