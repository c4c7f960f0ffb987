"""The connection to kernelexec's hub: which notebooks are open, and what is to become of them.

The protocol is described in kernelexec/daemon/pages.py.
"""

from __future__ import annotations

import asyncio
import json
import os

from . import holding
from .open_notebook import OpenNotebook

_FORMAT = 1  # of the hello line
_PROTOCOL = 1
_RETRY_SECONDS = 0.5  # until there is a hub: one attempt to connect to a socket
_LONGEST_LINE = 1 << 30  # bytes; a cell's outputs may be as large as pictures are


class Hub:
    """Connected whenever a hub runs; never starts one."""

    def __init__(self, rooms, log) -> None:
        self._rooms = rooms
        self._log = log
        self._open = {}  # by real path
        self._given_up = {}  # shared models by real path: what went wrong once is the file's from then on
        self._writer = None

    async def work(self) -> None:
        await asyncio.gather(self._watch(), self._stay_connected())

    # --- which are open ------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            try:
                self._compare(await self._rooms.open())
            except Exception:  # noqa: BLE001 - the edge: the next look may find what this one could not
                self._log.exception("kernelexec_live: the open notebooks cannot be listed")
            await self._rooms.wait()

    def _compare(self, found: dict) -> None:
        for path, notebook in list(self._open.items()):
            if found.get(path) is not notebook.document:
                self._close(path)
        folder = holding.runtime_dir(os.environ)
        if not holding.is_own(folder):
            return
        for path, document in found.items():
            known = path in self._open or self._given_up.get(path) is document
            lock = None if known else holding.take(path, os.path.join(folder, "live"))
            if lock is not None:
                self._open[path] = OpenNotebook(path, document, lock, self._tell)
                self._tell(self._open[path].describe("open"))

    def _close(self, path: str) -> None:
        notebook = self._open.pop(path)
        notebook.close()
        holding.release(notebook.lock)
        self._tell({"closed": path})

    # --- the hub -------------------------------------------------------------------

    async def _stay_connected(self) -> None:
        while True:
            try:
                await self._serve()
            except (OSError, ValueError, asyncio.IncompleteReadError):
                pass
            except Exception:  # noqa: BLE001 - the edge: a Jupyter server goes on without us
                self._log.exception("kernelexec_live: the connection to kernelexec failed")
            finally:
                self._writer = None
            await asyncio.sleep(_RETRY_SECONDS)

    async def _serve(self) -> None:
        folder = holding.runtime_dir(os.environ)
        if not holding.is_own(folder):
            return
        path = os.path.join(folder, "hub.sock")
        reader, writer = await asyncio.open_unix_connection(path, limit=_LONGEST_LINE)
        try:
            writer.write(json.dumps(_hello()).encode() + b"\n")
            greeting = (await reader.readline()).split()
            if greeting[2:3] != [b"ok"]:
                return
            self._writer = writer
            for notebook in self._open.values():
                self._tell(notebook.describe("open"))
            while line := await reader.readline():
                self._take(json.loads(line))
                await writer.drain()
        finally:
            writer.close()

    def _take(self, message: dict) -> None:
        path = message["notebook"]
        notebook = self._open.get(path)
        if notebook is None:
            self._tell({"closed": path})
            return
        try:
            answer = self._answer(notebook, message)
        except Exception:  # noqa: BLE001 - whatever is wrong with it, the file is written instead
            self._log.exception("kernelexec_live: %s cannot be changed", path)
            self._given_up[path] = notebook.document
            self._close(path)
        else:
            self._tell({"done": message["write"], **answer})

    @staticmethod
    def _answer(notebook: OpenNotebook, message: dict) -> dict:
        if message.get("read"):
            return {"notebook": notebook.read()}
        if "steps" in message:
            return {"made": notebook.carry_out(message["expected"], message["steps"])}
        return {"taken": notebook.make(message)}

    def _tell(self, message: dict) -> None:
        if self._writer is not None:
            self._writer.write(json.dumps(message).encode() + b"\n")


def _hello() -> dict:
    return {
        "kernelexec": _FORMAT,
        "protocol": _PROTOCOL,
        "role": "pages",
        "version": "extension",
        "pid": os.getpid(),
        "cwd": "/",
        "environ": {},
    }
