"""What our kernel does with less work than ipykernel: the same comes of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from ipykernel import iostream, kernelbase
from jupyter_client import BlockingKernelClient
from jupyter_client.session import Session, json_packer

from tests.kernelspecs.test_live_kernel import load
from tests.real.test_launcher import Launched

TIMEOUT = 30  # seconds

light = load("kernel", "light_messages")


@pytest.fixture
def iopub() -> Iterator[Any]:
    kind = type("IOPubThread", (iostream.IOPubThread,), {})  # the test's process has ipykernel's, too
    light.wake_directly(kind)
    context = zmq.Context()
    thread = kind(context.socket(zmq.PUB))
    thread.start()
    yield thread
    if thread.thread.is_alive():
        end(thread)
    thread.close()
    context.term()


def end(thread: Any) -> None:
    """Its stop() leaves a task pending."""
    ended = threading.Event()

    async def cancel() -> None:
        thread._event_pipe_gc_task.cancel()
        await asyncio.wait({thread._event_pipe_gc_task})
        ended.set()

    thread.io_loop.add_callback(cancel)
    assert ended.wait(TIMEOUT)
    thread.stop()


def test_what_is_to_be_done_in_the_iopub_thread_is_done_there_in_order(iopub: Any) -> None:
    done: list[tuple[int, threading.Thread]] = []
    ended = threading.Event()
    for number in range(5_000):
        iopub.schedule(lambda number=number: done.append((number, threading.current_thread())))
    iopub.schedule(ended.set)
    assert ended.wait(TIMEOUT)
    assert done == [(number, iopub.thread) for number in range(5_000)]


def test_what_fails_in_the_iopub_thread_keeps_nothing_else_from_being_done(iopub: Any) -> None:
    go, ended = threading.Event(), threading.Event()
    iopub.schedule(go.wait)  # so that the next two are due at once
    iopub.schedule(lambda: {}["missing"])
    with light.more_follows(iopub):
        iopub.schedule(ended.set)
    go.set()
    assert ended.wait(TIMEOUT)


def test_what_more_follows_leaves_with_that_and_other_threads_do_not_wait(iopub: Any) -> None:
    first, others, second = threading.Event(), threading.Event(), threading.Event()
    with light.more_follows(iopub):
        iopub.schedule(first.set)
        assert not first.is_set()
        other = threading.Thread(target=iopub.schedule, args=(others.set,))
        other.start()
        other.join()
        assert others.wait(TIMEOUT)
    iopub.schedule(second.set)
    assert second.wait(TIMEOUT)
    assert first.is_set()


def test_a_thread_that_has_ended_does_at_once_what_is_asked_of_it(iopub: Any) -> None:
    end(iopub)
    done = []
    iopub.schedule(lambda: done.append(threading.current_thread()))
    assert done == [threading.current_thread()]


def frames_of(kind: str, **header: str) -> list[zmq.Frame]:
    session = Session(key=b"1f")
    message = session.msg(kind, {"code": "1"})
    message["header"].update(header)
    return [zmq.Frame(part) for part in [b"identity", *session.serialize(message)]]


def test_only_what_is_certainly_for_the_main_shell_is_passed_on_unread() -> None:
    assert light.is_for_main_shell(frames_of("execute_request"))
    assert light.is_for_main_shell(frames_of("kernel_info_request"))
    assert not light.is_for_main_shell(frames_of("execute_request", subshell_id="1"))
    assert not light.is_for_main_shell(frames_of("comm_msg"))
    assert not light.is_for_main_shell(frames_of("comm_open"))
    disguised = frames_of("execute_request")
    disguised[3] = zmq.Frame(disguised[3].bytes.replace(b"execute_request", b"com\\u006d_msg"))
    assert not light.is_for_main_shell(disguised)
    assert not light.is_for_main_shell([zmq.Frame(b"no message")])
    assert not light.is_for_main_shell([zmq.Frame(b"<IDS|MSG>"), zmq.Frame(b"signature")])


class Odd:
    def __repr__(self) -> str:
        return "odd"


PARTS: list[Callable[[], Any]] = [
    dict,
    lambda: {"execution_state": "busy"},
    lambda: {"code": "ä\U0001f600 \u2028 \x00 \"'", "n": [1, 2.5, None, True, {"a": ()}]},
    lambda: {"not": float("nan")},
    lambda: {"odd": Odd()},
    lambda: {1: "a number", None: "none"},
    lambda: {"lone": "\udc80"},
    lambda: (
        Session(key=b"1f", session="s", username="u").msg_header("status")
        | {"date": Session(key=b"").msg_header("x")["date"].replace(year=2020, microsecond=7)}
    ),
    list,
    lambda: "text",
]


@pytest.mark.parametrize("make", PARTS)
def test_a_part_is_packed_as_jupyter_client_packs_it(make: Callable[[], Any]) -> None:
    session = Session(key=b"1f", packer="json")
    assert light.pack_once(session) is not None
    part = make()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        stock = outcome(json_packer, part)
        number = len(warned)
        assert outcome(session.pack, part) == stock
        assert len(warned) == 2 * number


def outcome(pack: Callable[[Any], bytes], part: Any) -> bytes | str:
    try:
        return pack(part)
    except Exception as error:  # noqa: BLE001 - the same one is looked for
        return type(error).__name__


def test_a_header_that_was_remembered_is_packed_anew_once_it_has_changed() -> None:
    session = Session(key=b"1f", packer="json")
    remember = light.pack_once(session)
    header = session.msg_header("execute_request")
    remember(header)
    assert session.pack(header) == json_packer(header)
    header["msg_id"] = "another"
    assert session.pack(header) == json_packer(header)
    twin = dict(header, msg_type="status")
    assert session.pack(twin) == json_packer(twin)


def test_a_packer_that_was_chosen_stays() -> None:
    session = Session(key=b"1f", packer="pickle")
    chosen = session.pack
    assert light.pack_once(session) is None
    assert session.pack is chosen


def test_records_are_made_where_somebody_reads_them() -> None:
    log = logging.Logger("a kernel's", logging.DEBUG)
    log.propagate = False
    made: list[logging.LogRecord] = []
    log.makeRecord = lambda *a, **o: made.append(logging.Logger.makeRecord(log, *a, **o)) or made[-1]  # type: ignore[method-assign, func-returns-value]
    log.addHandler(logging.NullHandler(logging.WARNING))
    light.make_no_unread_records(log)
    log.debug("nobody reads %s", 1)
    assert made == []
    log.warning("read")
    log.addHandler(logging.NullHandler(logging.DEBUG))
    log.debug("now %s", 2)
    assert [(record.getMessage(), record.filename) for record in made] == [
        ("read", Path(__file__).name),
        ("now 2", Path(__file__).name),
    ]


def test_what_a_function_takes_is_asked_once_and_of_another_function_again() -> None:
    asked = []

    def ask(function: Callable[..., Any], names: list[str]) -> dict[str, bool]:
        asked.append(function)
        return dict(kernelbase._accepts_parameters(function, names))

    module = types.SimpleNamespace(_accepts_parameters=ask)
    light.ask_once(module)

    class Shell:
        def run(self, code: str, *, cell_id: str | None = None) -> None: ...

    shell = Shell()
    for _ in range(3):
        assert module._accepts_parameters(shell.run, ["cell_id", "x"]) == {"cell_id": True, "x": False}
    assert len(asked) == 1
    shell.run = lambda **_: None  # type: ignore[method-assign]
    assert module._accepts_parameters(shell.run, ["cell_id", "x"]) == {"cell_id": True, "x": True}
    for number in range(50):
        exec(f"def each{number}(a): ...", names := {})
        assert module._accepts_parameters(names[f"each{number}"], ["a"]) == {"a": True}


def test_a_cell_is_made_python_of_once_for_both_who_ask_and_anew_in_the_next_run() -> None:
    asked = []

    class Shell:
        def transform_cell(self, raw: str) -> str:
            asked.append(raw)
            if raw == "broken":
                raise SyntaxError(raw)
            return f"{raw} {len(asked)}"

    shell = Shell()
    transformation = light.Transformation(shell)
    assert [shell.transform_cell("ls"), shell.transform_cell("ls")] == ["ls 1", "ls 1"]
    assert shell.transform_cell("ls") == "ls 2"  # who asks a third time
    transformation.forget()
    assert shell.transform_cell("ls") == "ls 3"
    assert shell.transform_cell("pwd") == "pwd 4"
    for _ in range(2):
        with pytest.raises(SyntaxError):
            shell.transform_cell("broken")
    assert asked == ["ls", "ls", "ls", "pwd", "broken", "broken"]


def test_a_name_that_was_a_magic_is_none_once_it_is_a_variable() -> None:
    with Launched() as launched:
        for code in ("pwd", "pwd = 'mine'", "pwd"):
            launched.run(code)
        reply, _ = launched.run("assert _ == 'mine', _")
        assert reply["status"] == "ok", reply


def test_no_lines_are_gathered_for_a_history_that_is_not_written() -> None:
    history = types.SimpleNamespace(enabled=False, db_input_cache=[])
    light.keep_no_unwritten_lines(history)
    history.db_input_cache.append((1, "x", "x"))
    assert history.db_input_cache == []
    written = types.SimpleNamespace(enabled=True, db_input_cache=[])
    light.keep_no_unwritten_lines(written)
    written.db_input_cache.append((1, "x", "x"))
    assert written.db_input_cache == [(1, "x", "x")]


def test_our_kernel_remembers_its_inputs_and_keeps_none_for_a_database() -> None:
    with Launched() as launched:
        launched.run("a = 1")
        reply, _ = launched.run(
            "h = get_ipython().history_manager; assert In[1:] == ['a = 1', h.input_hist_raw[2]]; "
            "assert not h.enabled and h.db_input_cache == []"
        )
        assert reply["status"] == "ok", reply


REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("execute_request", {"code": "x = 1\nprint('ä')\nx", "silent": False, "store_history": True}),
    ("execute_request", {"code": "import sys; print('e', file=sys.stderr); {'a': [x]}", "silent": False}),
    ("execute_request", {"code": "print('quiet'); 3", "silent": True}),
    ("execute_request", {"code": "1 / 0", "silent": False, "stop_on_error": False}),
    ("execute_request", {"code": "broken(", "silent": False, "stop_on_error": False}),
    ("execute_request", {"code": "", "silent": False}),
    (
        "execute_request",
        {
            "code": "from IPython.display import display, HTML\nfor n in range(3): display(HTML(str(n)))",
            "silent": False,
        },
    ),
    ("execute_request", {"code": "x", "silent": False, "user_expressions": {"y": "x + 1", "z": "nothing"}}),
    ("comm_info_request", {}),
    ("comm_open", {"comm_id": "1", "target_name": "nobody's", "data": {}}),
    ("complete_request", {"code": "sys.stdo", "cursor_pos": 8}),
    ("inspect_request", {"code": "x", "cursor_pos": 1, "detail_level": 0}),
    ("is_complete_request", {"code": "for"}),
    ("unheard_of_request", {}),
    (
        "execute_request",
        {
            "code": "import threading\nt = threading.Thread(target=lambda: print('of a thread'))\n"
            "t.start(); t.join()",
            "silent": False,
        },
    ),
    ("execute_request", {"code": "get_ipython().kernel.get_parent()['header']['msg_type']", "silent": False}),
]


def conversation(client: BlockingKernelClient) -> Iterator[list[Any]]:
    """What is published and replied for each request, but for what is another each time."""
    for kind, content in REQUESTS:
        message = client.session.msg(kind, content)
        client.shell_channel.send(message)
        said: list[Any] = []
        while not said or said[-1] != ("status", {"execution_state": "idle"}):
            published = client.get_iopub_msg(timeout=TIMEOUT)
            if published["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                assert published["parent_header"] == {
                    **message["header"],
                    "date": published["parent_header"]["date"],
                }
                said.append((published["msg_type"], without_names(published["content"])))
        if kind not in ("comm_open", "unheard_of_request"):
            reply = reply_to(client, message)
            said.append((reply["msg_type"], without_names(reply["content"])))
        yield said


def reply_to(client: BlockingKernelClient, message: dict[str, Any]) -> dict[str, Any]:
    while True:
        reply = client.get_shell_msg(timeout=TIMEOUT)
        if reply["parent_header"]["msg_id"] == message["header"]["msg_id"]:
            return dict(reply)


def without_names(content: dict[str, Any]) -> Any:
    """Tracebacks name the process's folder of cells, and the engine its id."""
    left = {name: value for name, value in content.items() if name not in ("traceback", "engine_info")}
    return json.loads(json.dumps(left, default=str))


@contextlib.contextmanager
def stock_kernel() -> Iterator[BlockingKernelClient]:
    from jupyter_client.manager import KernelManager

    manager = KernelManager()
    manager.kernel_cmd = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]  # type: ignore[attr-defined]
    manager.start_kernel()
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=TIMEOUT)
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_our_kernel_says_what_a_stock_kernel_says_and_in_its_order() -> None:
    with Launched() as launched, stock_kernel() as stock:
        for (kind, content), ours, theirs in zip(
            REQUESTS, conversation(launched.client), conversation(stock), strict=True
        ):
            assert ours == theirs, (kind, content)


def test_a_subshell_answers_while_the_main_shell_is_busy_and_what_waits_keeps_its_order() -> None:
    with Launched() as launched:
        client = launched.client
        client.control_channel.send(client.session.msg("create_subshell_request", {}))
        subshell = client.get_control_msg(timeout=TIMEOUT)["content"]["subshell_id"]
        launched.run("import threading; go = threading.Event()")
        first = launched.send("go.wait(30)")
        second = launched.send("n = 1")
        client.shell_channel.send(client.session.msg("comm_msg", {"comm_id": "nobody's", "data": {}}))
        third = launched.send("n += 1; print(n)")
        message = client.session.msg("execute_request", {"code": "go.set()", "silent": False})
        message["header"]["subshell_id"] = subshell
        client.shell_channel.send(message)
        replies = [client.get_shell_msg(timeout=TIMEOUT)["parent_header"]["msg_id"] for _ in range(4)]
        assert message["header"]["msg_id"] in replies
        assert [each for each in replies if each != message["header"]["msg_id"]] == [first, second, third]
