"""What a kernel remembers of its runs, for a hub that was not there when they happened.

Jupyter sends a run's output to who is connected and its reply to who asked. A hub that ends takes with it what was on
its way, so the kernel keeps the last of both: KEPT_BYTES of iopub and the replies of a few runs. The next hub asks with
a `kernelexec_request` on the control channel, content `{"about": MSG_ID}`, and gets
    {"status": "ok", "running": MSG_ID or null, "begun": bool, "reply": {...} or null, "question": {...} or null,
     "messages": [{"type", "content", "msg_id", "date"}, ...], "complete": bool, "more": bool, "line": str or null,
     "ending": bool, "names": [...], "number": int}
`begun` says whether the run of that request ever began, `complete` whether messages has all that it published, `line`
where the main thread is, and `ending` whether it is making a traceback. Messages come where `"messages": true` asks for
them: those after the serial `after` (the number at the end of a msg_id), `most` bytes of them, and `more` says whether
others follow. The file `begun` beside the connection file
holds the msg_id of the last run that began: it can be read when the kernel is dead.
"""

from __future__ import annotations

import json
import linecache
import mmap
import os
import sys
from collections import OrderedDict, deque
from datetime import datetime, timezone

from bindings import Bindings
from code_files import running_file

KEPT_BYTES = 4_000_000
KEPT_MESSAGES = 4_000
MOST_BYTES_EACH = 160  # for as many bytes a message may be kept, where more are kept
KEPT_REPLIES = 4
KEPT_BEGUN = 1_000
MOST_NAMES = 200
LONGEST_ID = 200  # bytes in the file
DELIMITER = b"<IDS|MSG>"


class Recollection:
    """The last runs of this kernel: what they published, what was replied, which began."""

    def __init__(self, connection_file: str | None) -> None:
        self.published = deque()  # frames, in the order in which they were sent
        self.bytes = 0
        self.most_bytes, self.most_messages = KEPT_BYTES, KEPT_MESSAGES
        self.replies = OrderedDict()
        self.begun = deque(maxlen=KEPT_BEGUN)
        self.question = None
        self.bindings = Bindings()
        self.names = None  # as they were told last: {"names": the first, "number": of all}
        self.file = self.open_file(connection_file)

    def keep_more(self, most_bytes: int) -> None:
        """For a hub that a link may keep away."""
        self.most_bytes, self.most_messages = most_bytes, most_bytes // MOST_BYTES_EACH

    def open_file(self, connection_file):
        """A file in memory: what is written survives the process, at the cost of a copy of 200 bytes."""
        if connection_file is None:
            return None
        try:
            path = os.path.join(os.path.dirname(os.path.abspath(connection_file)), "begun")
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                os.ftruncate(descriptor, LONGEST_ID)
                return mmap.mmap(descriptor, LONGEST_ID)
            finally:
                os.close(descriptor)
        except (OSError, ValueError):
            return None

    def begins(self, msg_id: str) -> None:
        self.begun.append(msg_id)
        if self.file is not None:
            self.file[:] = msg_id.encode()[:LONGEST_ID].ljust(LONGEST_ID, b"\0")

    def replied(self, msg_id: str, content, metadata) -> None:
        date = datetime.now(timezone.utc).isoformat()
        self.replies[msg_id] = {"content": content, "metadata": metadata, "date": date}
        while len(self.replies) > KEPT_REPLIES:
            self.replies.popitem(last=False)

    def keep(self, frames) -> None:
        """Called in the thread of iopub, for each message."""
        size = sum(map(len, frames))
        self.published.append((size, frames))
        self.bytes += size
        while self.bytes > self.most_bytes or len(self.published) > self.most_messages:
            self.bytes -= self.published.popleft()[0]

    def watch(self, thread_class) -> None:
        """Keep what this kernel publishes. Without the method that sends it, nothing is kept."""
        send = getattr(thread_class, "_really_send", None)
        if send is None:
            return
        keep = self.keep

        def keep_and_send(thread, frames, *arguments, **options):
            if isinstance(frames, list):
                keep(frames)
            send(thread, frames, *arguments, **options)

        thread_class._really_send = keep_and_send

    def of_run(self, msg_id, after=-1, most=None):
        """What a run published (None: nobody's), whether that is all of it, and whether there is more."""
        page = {"messages": [], "complete": False, "more": False}
        needle, size_of_page = json.dumps(msg_id).encode(), 0
        for size, frames in list(self.published) if msg_id is not None else ():
            try:
                at = frames.index(DELIMITER) + 2
                if needle not in bytes(frames[at + 1]):
                    continue
                header, _parent, _metadata, content = (json.loads(bytes(f)) for f in frames[at : at + 4])
            except (ValueError, IndexError, TypeError):
                continue
            if header["msg_type"] == "status" and content.get("execution_state") == "busy":
                page["complete"] = True
            if serial_of(header["msg_id"]) <= after:
                continue
            if most is not None and size_of_page and size_of_page + size > most:
                page["more"] = True
                break
            size_of_page += size
            page["messages"].append(
                {
                    "type": header["msg_type"],
                    "content": content,
                    "msg_id": header["msg_id"],
                    "date": header["date"],
                }
            )
        return page

    def new_names(self, namespace, hidden):
        """What is to be told of the user's names, if it is other than when this was last asked; else None."""
        try:
            names = self.bindings.look(namespace, hidden)
        except (RuntimeError, KeyError):  # another thread adds some
            return None
        told = {"names": names[:MOST_NAMES], "number": len(names)}
        if told == self.names:
            return None
        self.names = told
        return told


def serial_of(msg_id) -> int:
    number = msg_id.rpartition("_")[2]
    return int(number) if number.isdigit() else 0


def line_of(thread: int) -> str | None:
    """Where a thread is, in the user's code if it is anywhere in there: 'line 3 of the cell: time.sleep(9)'."""
    frame = sys._current_frames().get(thread)
    innermost = None
    while frame is not None:
        name = frame.f_code.co_filename
        if "ipykernel_" in name or name.startswith("<ipython-input"):
            return describe(frame, "the cell")
        if name == running_file():
            return describe(frame, name)
        if innermost is None and "ipykernel" not in name and "IPython" not in name:
            innermost = frame
        frame = frame.f_back
    return None if innermost is None else describe(innermost, innermost.f_code.co_filename)


def shows_traceback(thread: int) -> bool:
    """Whether IPython is making a traceback in a thread: the first may take long, because its imports come with it."""
    frame = sys._current_frames().get(thread)
    while frame is not None:
        if frame.f_code.co_name == "showtraceback" and "IPython" in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


def describe(frame, where: str) -> str:
    text = linecache.getline(frame.f_code.co_filename, frame.f_lineno, frame.f_globals).strip()
    return "line %d of %s%s" % (frame.f_lineno, where, ": " + text[:200] if text else "")
