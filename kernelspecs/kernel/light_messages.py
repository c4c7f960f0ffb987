"""What ipykernel does around each run, at less cost, and nothing of it is seen from outside: a run of a line took it half of
its time.

- what one thread gives to another goes through the other's event loop. ipykernel 7 has pairs of sockets for that, whose
  reader asks three times what there is to read
- a request for the main shell is passed on to it unread: it is read, and its signature checked, there
- "busy" leaves with the echo of the code that comes after it, where there is one
- records for a log that nobody reads are not made
- what is the same in each message of a run is packed once
- IPython's run_cell is asked once which arguments it takes
- ipykernel has a cell made Python of to see whether it awaits anything, and IPython to run it: it is done once
- lines for a history database that is not written are not kept

Each change looks for what it changes, and without it leaves ipykernel as it is (made for 6.29 to 7.x, Python 3.8 on).
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import threading

DELIMITER = b"<IDS|MSG>"
MOST_ASKED = 8


def wake_directly(thread_class) -> None:
    """What is to be done in the iopub thread wakes its event loop itself."""
    schedule, handle = getattr(thread_class, "schedule", None), getattr(thread_class, "_handle_event", None)
    if schedule is None or handle is None:
        return

    def schedule_directly(self, function):
        loop = getattr(getattr(self, "io_loop", None), "asyncio_loop", None)
        if loop is None or not hasattr(self, "_events") or not self.thread.is_alive():
            schedule(self, function)  # in a forked child, too: there it is done at once
            return
        self._events.append(function)
        if self.waits_for is not threading.current_thread():
            # Each does: an interrupt may come before one that others would count on.
            loop.call_soon_threadsafe(handle_all, self)

    thread_class.schedule = schedule_directly
    thread_class.waits_for = None  # the thread that does more in a moment, and wakes it then


def handle_all(thread) -> None:
    """In the iopub thread: do what is to be done; what fails keeps nothing from being done that comes after it."""
    try:
        thread._handle_event(None)
    finally:
        if thread._events:
            thread.io_loop.asyncio_loop.call_soon(handle_all, thread)


@contextlib.contextmanager
def more_follows(thread):
    """What this thread publishes meanwhile leaves with what it publishes next, which comes at once."""
    if not hasattr(thread, "waits_for"):
        yield
        return
    thread.waits_for = threading.current_thread()
    try:
        yield
    finally:
        thread.waits_for = None


class Replies:
    """In place of the socket by which the main shell's replies go to the thread that sends them."""

    def __init__(self, manager, loop, socket) -> None:
        self.manager = manager
        self.loop = loop
        self.socket = socket

    def send_multipart(self, frames, *arguments, **options):
        if all(type(frame) is bytes for frame in frames):
            self.loop.call_soon_threadsafe(self.manager._send_on_shell_channel, frames)
            return None
        # A buffer may change as soon as this returns.
        return self.socket.send_multipart(frames, *arguments, **options)

    def __getattr__(self, name):
        return getattr(self.socket, name)


def reply_directly(kernel) -> None:
    """Once the kernel has its threads."""
    thread = getattr(kernel, "shell_channel_thread", None)
    manager, loop = (
        getattr(thread, "manager", None),
        getattr(getattr(thread, "io_loop", None), "asyncio_loop", None),
    )
    socket_of = getattr(manager, "get_subshell_to_shell_channel_socket", None)
    if socket_of is None or loop is None or not hasattr(manager, "_send_on_shell_channel"):
        return
    replies = Replies(manager, loop, socket_of(None))
    manager.get_subshell_to_shell_channel_socket = lambda identity: (
        replies if identity is None else socket_of(identity)
    )


class Passage:
    """The shell channel's thread of ipykernel 7, which tells the main shell's requests from those of others."""

    def __init__(self, kernel) -> None:
        self.kernel = kernel
        self.waiting = 0  # requests that are looked at closely

    def take(self, message, look_closely):
        """Pass a request on; an awaitable where it has to be looked at, or comes after one that is."""
        kernel = self.kernel
        if self.waiting or kernel.session is None or not is_for_main_shell(message):
            self.waiting += 1
            return self.look(message, look_closely)
        try:
            socket = kernel.shell_channel_thread.manager.get_shell_channel_to_subshell_socket(None)
            socket.send_multipart(message, copy=False)
        except Exception:
            kernel.log.exception("Invalid message")
        return None

    async def look(self, message, look_closely):
        try:
            await look_closely(message)
        finally:
            self.waiting -= 1


def is_for_main_shell(message) -> bool:
    """Whether that is certain at a glance: no subshell's, nothing for a widget, which may have one, and nothing disguised."""
    for place, frame in enumerate(message):
        if frame.bytes == DELIMITER:
            header = message[place + 2].bytes if len(message) > place + 2 else b"\\"
            return not (b"subshell_id" in header or b"comm_" in header or b"\\" in header)
    return False


def make_no_unread_records(log) -> None:
    """Traitlets lets each record be made, and its handlers throw it away: ipykernel has five for each run."""
    debug = getattr(log, "debug", None)
    if debug is None or not isinstance(log, logging.Logger):
        return

    def debug_if_read(message, *arguments, **options):
        if log.propagate or any(handler.level <= logging.DEBUG for handler in log.handlers):
            debug(message, *arguments, **{**options, "stacklevel": options.get("stacklevel", 1) + 1})

    log.debug = debug_if_read


def pack_once(session):
    """Pack a message's parts with an encoder that is made once, and the header of a request once for all that is published of
    its run. What is returned is to be told of that header; it is None where nothing was changed."""
    stock, module = getattr(session, "pack", None), sys.modules.get(type(session).__module__)
    default = getattr(module, "json_default", None)
    if stock is None or default is None or stock is not getattr(module, "json_packer", None):
        return None  # orjson, which is as quick, or another that was chosen
    encode = json.JSONEncoder(default=default, ensure_ascii=False, allow_nan=False).encode
    last = (
        None,
        None,
        b"",
    )  # a request's header, the same as it was then, and packed; one value, for there are threads

    def pack(part):
        if not part and type(part) is dict:
            return b"{}"
        header, before, packed = last
        if part is header and part == before:
            return packed
        try:
            return encode(part).encode("utf8", errors="surrogateescape")
        except (TypeError, ValueError):
            return stock(part)  # which cleans it, and says so

    def remember(header) -> None:
        nonlocal last
        last = header, dict(header), pack(header)

    session.pack = pack
    return remember


class Transformation:
    """What IPython makes of a cell (magics, !commands), for both who ask: ipykernel, and then IPython itself."""

    def __init__(self, shell) -> None:
        self.made = None  # of which code, and what; until it was asked for again
        self.stock = getattr(shell, "transform_cell", None)
        if self.stock is not None:
            shell.transform_cell = self.transform_cell

    def transform_cell(self, raw_cell):
        made, self.made = self.made, None
        if made is not None and made[0] == raw_cell:
            return made[1]
        transformed = self.stock(raw_cell)
        self.made = raw_cell, transformed
        return transformed

    def forget(self) -> None:
        """A run begins: what a name means may have changed."""
        self.made = None


class Unkept(list):
    """A list of nothing."""

    def append(self, item) -> None:
        pass


def keep_no_unwritten_lines(history) -> None:
    """IPython gathers inputs for its database, 0.1 kB each, and forgets them once they are written: without one, never."""
    if getattr(history, "enabled", True) is False and getattr(history, "db_input_cache", None) == []:
        history.db_input_cache = Unkept()


def ask_once(module) -> None:
    """Of the functions that ipykernel asks which arguments they take, remember what the last few answered."""
    ask = getattr(module, "_accepts_parameters", None)
    if ask is None or hasattr(ask, "remembers"):
        return
    remembered = {}

    def asked_once(function, names):
        place = getattr(function, "__func__", function), tuple(names)
        try:
            if place not in remembered:
                while len(remembered) >= MOST_ASKED:
                    remembered.pop(next(iter(remembered)))
                remembered[place] = ask(function, names)
            return remembered[place]
        except (TypeError, KeyError, RuntimeError):  # not hashable; or another thread forgot it
            return ask(function, names)

    asked_once.remembers = True
    module._accepts_parameters = asked_once
