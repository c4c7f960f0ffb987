"""One notebook that is open in this Jupyter server."""

from __future__ import annotations

import asyncio

from . import shared_model, steps

# Seconds. Gathers what others do to a notebook, before the hub is told what there is.
_SETTLE_SECONDS = 0.2


class OpenNotebook:
    """Its shared model, and what others have taken away from it. `tell` is called with what the hub is to know."""

    def __init__(self, path: str, document, lock: int, tell) -> None:
        self.path = path
        self.document = document
        self.lock = lock
        self._tell = tell
        self._ids, self._revision = self._present()
        self._check = None
        cells, meta = document.ycells, document.ydoc["meta"]
        self._subscriptions = [
            (cells, cells.observe(self._on_change)),
            (meta, meta.observe_deep(self._on_change)),
        ]

    def _present(self):
        ids = {cell_id for cell in self.document.ycells if (cell_id := cell.get("id")) is not None}
        return ids, shared_model.revision_of(self.document)

    def describe(self, event: str) -> dict:
        self._ids, self._revision = self._present()
        return {event: self.path, "ids": sorted(self._ids), "revision": self._revision}

    def make(self, change: dict) -> list[str]:
        taken = shared_model.make(self.document, change)
        self._ids, self._revision = self._present()
        return taken

    def read(self) -> dict:
        return self.document.get()

    def carry_out(self, expected: dict, wanted: list) -> bool:
        done = steps.carry_out(self.document, expected, wanted)
        self._ids, self._revision = self._present()
        return done

    def close(self) -> None:
        if self._check is not None:
            self._check.cancel()
        for shared, subscription in self._subscriptions:
            shared.unobserve(subscription)

    def _on_change(self, *_) -> None:
        if self._check is None:
            self._check = asyncio.get_running_loop().call_later(_SETTLE_SECONDS, self._look)

    def _look(self) -> None:
        """Somebody has changed it, perhaps we: only what has gone is told."""
        self._check = None
        shared_model.remove_doubles(self.document)
        ids, revision = self._present()
        gone = any(cell_id not in ids for cell_id in self._ids if str(cell_id).startswith("kernelexec-"))
        if gone or (revision or 0) < (self._revision or 0):
            self._tell(self.describe("changed"))
