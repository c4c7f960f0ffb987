"""Where a person's notebook is read and changed: in the page that has it open, else in its file."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from kernelexec.errors import BadRequest
from kernelexec.recording.notebook_text import NotebookText
from kernelexec.recording.opened_notebook import OpenedNotebook, Update
from kernelexec.recording.opened_page import NO_MARKS, Marks, change_page, read_page
from kernelexec.recording.pages import Page, PageGone, Pages

# Seconds. A page that holds the notebook and is not connected comes back within one, or is gone.
_HELD_AT_MOST = 10.0
_LOOK_SECONDS = 0.1
# Seconds in which a page tells what is in the notebook, which takes milliseconds; one that has not is asked
# again, and need not be waited for as long. It may be suspended, and stay so for hours.
_ANSWER_SECONDS = 5.0
_AGAIN_SECONDS = 0.5


class NoAnswer(BadRequest):
    """The notebook is open in a JupyterLab that does not answer."""


class OpenedPlace:
    """One notebook. For the event loop."""

    def __init__(self, path: Path, pages: Pages | None) -> None:
        self.path = path
        self.last: NotebookText | None = None  # as it was last read or written
        self._file = OpenedNotebook(path)
        self._pages = pages or Pages()
        self._turn = asyncio.Lock()
        self._silent: Page | None = None  # the one that has not answered last

    @property
    def may_have_changed(self) -> bool:
        """Whether it may be otherwise than it was last read or written."""
        return self._pages.of(self.path) is not None or self._file.has_changed

    @property
    def page(self) -> Page | None:
        """The one that shows it and that we can write to."""
        return self._pages.of(self.path)

    @property
    def is_in_page(self) -> bool:
        """Whether there is one."""
        return self.page is not None

    async def read(self) -> NotebookText:
        """As it is now.

        Raises:
            BadRequest: it is gone, or no notebook, and why.
            NoAnswer
        """
        try:
            return await asyncio.wait_for(self._read(), self._patience)
        except (asyncio.TimeoutError, TimeoutError):
            self._silent = self._pages.of(self.path)
            raise NoAnswer(
                f"{self.path} is open in a JupyterLab that does not answer.",
                "Call again; if that does not help, ask the user to look at that JupyterLab.",
            ) from None

    @property
    def _patience(self) -> float | None:
        page = self._pages.of(self.path)
        if page is None:
            return None
        return _AGAIN_SECONDS if page is self._silent else _ANSWER_SECONDS

    async def _read(self) -> NotebookText:
        async with self._turn:
            page = self._pages.of(self.path)
            if page is not None:
                try:
                    self.last, self._silent = await read_page(page), None
                    return self.last
                except PageGone:
                    pass
            self.last = await asyncio.to_thread(self._file.read)
            return self.last

    @property
    def trouble(self) -> str | None:
        """What keeps a page that has it open from saving it."""
        if self.page is None or self.path.exists():
            return None
        return f"{self.path} was moved or deleted, and the JupyterLab that has it open does not save it"

    def was_saved_after(self, moment: float) -> bool:
        """Whether its file was written after this time, in the seconds of time.time()."""
        try:
            return os.stat(self.path).st_mtime > moment
        except OSError:
            return False

    async def change(self, update: Update, marks: Marks = NO_MARKS) -> NotebookText:
        """As OpenedNotebook.change. `marks`: where a page shows it.

        Raises:
            BadRequest: it cannot be read or written, and why; nothing was changed.
        """
        async with self._turn:
            deadline = time.monotonic() + _HELD_AT_MOST
            while True:
                page = await self._page(deadline)
                try:
                    if page is None:
                        self.last = await asyncio.to_thread(self._file.change, update)
                    else:
                        self.last = await change_page(page, update, marks)
                    return self.last
                except PageGone:
                    await asyncio.sleep(_LOOK_SECONDS)

    async def _page(self, deadline: float) -> Page | None:
        """The page that has it open; None: nobody writes its file but us.

        Raises:
            BadRequest: whoever holds it does not answer.
        """
        while True:
            page = self._pages.of(self.path)
            if page is not None or not self._pages.is_held(self.path):
                return page
            if time.monotonic() > deadline:
                raise BadRequest(
                    f"{self.path} is open in a JupyterLab that does not answer; nothing was changed.",
                    "Ask the user to close it there, or call again.",
                )
            await asyncio.sleep(_LOOK_SECONDS)
