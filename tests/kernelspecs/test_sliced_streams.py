"""What is printed leaves a kernel in slices and in order: ipykernel's streams and thread, by themselves."""

from __future__ import annotations

import asyncio
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from ipykernel import iostream
from jupyter_client.session import Session

from tests.kernelspecs.test_live_kernel import load

TIMEOUT_MS = 20_000


class Kernel:
    """A stdout and the thread that publishes it, as our kernel has them, and who reads what they send."""

    def __init__(self, longest: int, folder: Path) -> None:
        sliced = load("kernel", "sliced_streams")
        sliced.LONGEST = longest
        # Classes of our own: the test's process has ipykernel's, too.
        module = types.SimpleNamespace(
            OutStream=type("OutStream", (iostream.OutStream,), {}),
            IOPubThread=type("IOPubThread", (iostream.IOPubThread,), {}),
        )
        sliced.slice_streams(module)
        self.context = zmq.Context()
        publisher = self.context.socket(zmq.PUB)
        publisher.sndhwm = 0
        publisher.bind(f"ipc://{folder / 's'}")
        self.reader = self.context.socket(zmq.SUB)
        self.reader.setsockopt(zmq.SUBSCRIBE, b"")
        self.reader.setsockopt(zmq.RCVTIMEO, TIMEOUT_MS)
        self.reader.rcvhwm = 0
        self.reader.connect(f"ipc://{folder / 's'}")
        self.session = Session(key=b"1f")
        self.thread = module.IOPubThread(publisher)
        self.thread.start()
        self.stdout = module.OutStream(self.session, self.thread, "stdout", watchfd=False)
        while not self.reader.poll(20):  # until the subscription is in place
            self.publish("hello")
        self.publish("ready")
        while self.heard() != "ready":
            pass

    def publish(self, state: str) -> None:
        """What the main thread says beside the streams."""
        self.session.send(self.thread, "status", {"execution_state": state})

    def heard(self) -> str:
        """The next text of a stream, or state."""
        content: Any = self.session.deserialize(
            self.session.feed_identities(self.reader.recv_multipart())[1]
        )["content"]
        return str(content.get("text", content.get("execution_state")))

    def until(self, state: str) -> list[str]:
        return list(iter(self.heard, state))

    def close(self) -> None:
        ended = threading.Event()

        async def end() -> None:  # stop() leaves it pending
            self.thread._event_pipe_gc_task.cancel()
            await asyncio.wait({self.thread._event_pipe_gc_task})
            ended.set()

        self.thread.io_loop.add_callback(end)
        ended.wait(TIMEOUT_MS / 1000)
        self.thread.stop()
        self.thread.close()
        self.reader.close()
        self.context.term()


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    made = Kernel(10, tmp_path)
    yield made
    made.close()


def test_text_comes_in_slices_and_whole(kernel: Kernel) -> None:
    kernel.stdout.write("0123456789abcdefghij!")
    kernel.stdout.flush()
    kernel.publish("idle")
    assert kernel.until("idle") == ["0123456789", "abcdefghij", "!"]


def test_more_slices_than_the_threads_own_queue_has_room_for(kernel: Kernel) -> None:
    kernel.stdout.write("x" * 50_000)
    flushed = threading.Thread(target=kernel.stdout.flush, daemon=True)
    flushed.start()
    flushed.join(TIMEOUT_MS / 1000)
    assert not flushed.is_alive()
    kernel.publish("idle")
    assert kernel.until("idle") == ["x" * 10] * 5_000


def test_the_end_of_a_run_does_not_overtake_output_that_takes_long(kernel: Kernel) -> None:
    kernel.stdout.flush_timeout = 0.01
    go = threading.Event()
    kernel.thread.schedule(go.wait)
    kernel.stdout.write("x" * 100)
    kernel.stdout.flush()
    kernel.publish("idle")
    kernel.publish("after it")
    go.set()
    assert kernel.until("idle") == ["x" * 10] * 10
    assert kernel.until("after it") == []


def test_what_was_said_before_a_text_is_sent_before_it_also_by_a_timer(kernel: Kernel) -> None:
    def timer() -> None:
        kernel.thread._events.append(lambda: kernel.publish("before"))
        kernel.stdout.write("text")
        kernel.stdout._flush()

    kernel.thread.io_loop.add_callback(timer)
    assert kernel.until("text") == ["before"]


def test_a_hook_gets_the_whole_text(kernel: Kernel) -> None:
    def hooked() -> None:
        kernel.stdout.register_hook(lambda message: texts.append(message["content"]["text"]))
        kernel.stdout.write("0123456789abcdefghij!")
        kernel.stdout._flush()
        done.set()

    texts: list[str] = []
    done = threading.Event()
    kernel.thread.schedule(hooked)
    assert done.wait(5)
    assert texts == ["0123456789abcdefghij!"]


def test_an_ipykernel_without_these_methods_is_left_as_it_is() -> None:
    other = types.SimpleNamespace(OutStream=type("OutStream", (), {}), IOPubThread=type("T", (), {}))
    load("kernel", "sliced_streams").slice_streams(other)
    load("kernel", "sliced_streams").slice_streams(types.SimpleNamespace())
    assert not hasattr(other.OutStream, "flush_timeout")
