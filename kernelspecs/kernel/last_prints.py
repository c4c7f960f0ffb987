"""What a run has printed last, in a file in memory, which outlives a kernel that ends in the midst of it.

A print waits up to 0.2 s before it is sent, and then in a queue: os._exit(), a crash in native code or a SIGKILL takes it
along. To send each print at once would cost 0.1 ms; a copy costs less than a microsecond. After a death the hub takes from
the file `printed`, beside the connection file, what it has not received (kernelexec/kernels/printed.py): for stdout and
then stderr the number of bytes that the run of the file `begun` has printed, and the last of them, in a ring.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading

PLACES = {"stdout": 0, "stderr": 1}
KEPT = 65_536  # bytes of each, a power of two
HEAD = struct.Struct("<Q")
AREA = HEAD.size + KEPT


class LastPrints:
    """Keeps them while code runs. Where the file cannot be made, nothing is kept."""

    def __init__(self, connection_file) -> None:
        self.run = None  # its msg_id
        self.totals = [0, 0]
        self.lock = threading.RLock()  # a signal's handler may print while the main thread does
        self.file = self.open_file(connection_file)
        # A child's prints come through its parent, or are lost with it.
        os.register_at_fork(after_in_child=self.forget)

    def open_file(self, connection_file):
        try:
            path = os.path.join(os.path.dirname(os.path.abspath(connection_file)), "printed")
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                os.ftruncate(descriptor, AREA * len(PLACES))
                return mmap.mmap(descriptor, AREA * len(PLACES))
            finally:
                os.close(descriptor)
        except (OSError, ValueError):
            return None

    def begins(self, msg_id) -> None:
        """Before it is known as the run that has begun."""
        if self.file is None:
            return
        with self.lock:
            self.run, self.totals = msg_id, [0, 0]
            for place in range(len(PLACES)):
                HEAD.pack_into(self.file, place * AREA, 0)

    def forget(self) -> None:
        self.run = None

    def watch(self, stream_class) -> None:
        """Keep what these streams are given, if they are as ipykernel has them."""
        write = getattr(stream_class, "write", None)
        if self.file is None or write is None or not hasattr(stream_class, "parent_header"):
            return
        keep = self.keep

        def write_and_keep(stream, text):
            length = write(stream, text)  # which says what is wrong with it
            keep(stream, text)
            return length

        stream_class.write = write_and_keep

    def keep(self, stream, text) -> None:
        place = PLACES.get(stream.name)
        if place is None or stream.parent_header.get("msg_id") != self.run:
            return
        data = text.encode("utf-8", "backslashreplace")
        with self.lock:
            before = self.totals[place]
            total = self.totals[place] = before + len(data)
            at = before % KEPT
            if at + len(data) <= KEPT:
                begin = place * AREA + HEAD.size + at
                self.file[begin : begin + len(data)] = data
            else:
                self.wrap(place * AREA + HEAD.size, total, data[-KEPT:])
            HEAD.pack_into(self.file, place * AREA, total)

    def wrap(self, begin, total, data) -> None:
        """Write over the ring's end."""
        at = (total - len(data)) % KEPT
        first = KEPT - at
        self.file[begin + at : begin + at + len(data[:first])] = data[:first]
        self.file[begin : begin + len(data[first:])] = data[first:]
