"""Which notebooks are open: the document rooms of jupyter-collaboration."""

from __future__ import annotations

import asyncio
import contextlib
import os

_EVENTS = "https://schema.jupyter.org/jupyter_collaboration/session/v1"
# Seconds. Its events tell when a room is there; this is for what they do not tell, such as a new name.
_LOOK_SECONDS = 2.0


class Rooms:
    """The rooms of one Jupyter server."""

    def __init__(self, app, collaboration) -> None:
        self._root = app.contents_manager.root_dir
        self._collaboration = collaboration
        self._changed = asyncio.Event()
        app.event_logger.add_listener(schema_id=_EVENTS, listener=self._on_event)

    @classmethod
    def of(cls, app) -> Rooms | None:
        """None where there is no collaboration, or where notebooks are not files."""
        found = next(iter(app.extension_manager.extension_apps.get("jupyter_server_ydoc", ())), None)
        if found is None or found.disable_rtc or not getattr(app.contents_manager, "root_dir", None):
            return None
        return cls(app, found)

    async def _on_event(self, logger, schema_id, data) -> None:
        self._changed.set()

    async def wait(self) -> None:
        """Until there may be others than before."""
        with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
            await asyncio.wait_for(self._changed.wait(), _LOOK_SECONDS)
        self._changed.clear()

    async def open(self) -> dict:
        """The shared models of the notebooks that are open, by real path."""
        found = {}
        for name, room in list(self._collaboration.ywebsocket_server.rooms.items()):
            if getattr(room, "file_type", None) != "notebook" or not room.ready:
                continue
            document = await self._collaboration.get_document(room_id=name, copy=False)
            if document is not None and document.path:
                found[os.path.realpath(os.path.join(self._root, document.path))] = document
        return found
