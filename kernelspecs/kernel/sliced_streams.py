"""What is printed leaves the kernel in messages of a bounded size, and before what comes after it.

A stock kernel sends what a stream has gathered since its last flush as one message: a loop that prints makes some of 200 MB,
which whoever reads them has to hold several times over. And the thread that makes the message only queues it, behind what
the main thread has queued meanwhile: after ten seconds flush() gives up waiting, and the run's end overtakes its output. That
queue's wake-ups are a socket with room for 2,000 of them, so the thread must not queue many itself: nobody else reads them.
So it sends at once here, after what was queued before. For Python 3.8 and newer.
"""

from __future__ import annotations

import threading

PATIENCE_SECONDS = (
    600  # with a flush: sending never waits for a reader, but a gigabyte on a busy machine takes its time
)
LONGEST = 250_000  # characters of a stream in one message: 1 MB at most


def slice_streams(iostream) -> None:
    """Have ipykernel's module send streams in slices, in order. Without the methods it changes, it stays as it is."""
    stream, thread = getattr(iostream, "OutStream", None), getattr(iostream, "IOPubThread", None)
    changed = (
        (stream, "_flush"),
        (stream, "_flush_buffers"),
        (thread, "_handle_event"),
        (thread, "_really_send"),
    )
    if all(callable(getattr(owner, name, None)) for owner, name in changed):
        send_at_once(thread)
        flush_in_turn(stream)
        flush_in_slices(stream)


def send_at_once(thread_class) -> None:
    """What the iopub thread itself sends is sent, not queued for it."""
    send, handle = thread_class.send_multipart, thread_class._handle_event

    def send_multipart(self, *arguments, **options):
        if self.thread is threading.current_thread():
            self._really_send(*arguments, **options)
        else:
            send(self, *arguments, **options)

    def handle_event(self, message):
        self.is_in_turn = True
        try:
            handle(self, message)
        finally:
            self.is_in_turn = False

    thread_class.is_in_turn = False  # whether it does what was queued, in order
    thread_class.send_multipart = send_multipart
    thread_class._handle_event = handle_event


def flush_in_turn(stream_class) -> None:
    """A flush that a timer asked for comes after what was queued before."""
    flush = stream_class._flush
    stream_class.flush_timeout = PATIENCE_SECONDS

    def flush_after_others(self):
        thread = self.pub_thread
        if thread is not None and thread.thread is threading.current_thread() and not thread.is_in_turn:
            thread._handle_event(None)
        flush(self)

    stream_class._flush = flush_after_others


def flush_in_slices(stream_class) -> None:
    flush_buffers = stream_class._flush_buffers

    def flush_sliced(self):
        for parent, text in flush_buffers(self):
            if len(text) <= LONGEST or getattr(self, "_hooks", None):  # a hook may want the whole
                yield parent, text
                continue
            for start in range(0, len(text), LONGEST):
                yield parent, text[start : start + LONGEST]

    stream_class._flush_buffers = flush_sliced
