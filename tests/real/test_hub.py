"""One hub for each user: found or started by whoever needs it, replaced when it is gone."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest

from kernelexec import paths
from kernelexec.bridge.rendezvous import PROTOCOL
from kernelexec.recording.pages import lock_name
from tests.real.clients import RawClient
from tests.real.conftest import Connect, ConnectRaw
from tests.real.home import COMMAND, Home, eventually, until


def join(home: Home) -> socket.socket:
    """A connection to the hub's socket, without a word said."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(20)
    connection.connect(str(home.runtime / "hub.sock"))
    return connection


def hello(home: Home, **changes: Any) -> bytes:
    message = {
        "kernelexec": 1,
        "protocol": PROTOCOL,
        "role": "mcp",
        "version": "99.0",
        "pid": os.getpid(),
        "cwd": str(home.path),
        "environ": home.environ,
        **changes,
    }
    return json.dumps(message).encode() + b"\n"


# --- starting --------------------------------------------------------------------------------------


def test_clients_that_race_start_one_hub(home: Home) -> None:
    clients = [RawClient(home) for _ in range(8)]
    try:
        for client in clients:
            answer = client.initialize()
            assert answer["result"]["serverInfo"]["name"] == "kernelexec"
        home.hub()  # exactly one
    finally:
        for client in clients:
            client.close()


def test_the_first_client_is_answered_while_its_hub_and_its_kernel_still_start(home: Home) -> None:
    said = []
    for name in ("first", "second"):  # the second finds the hub ready
        client = RawClient(home, cwd=home.project(name))
        try:
            answer = client.initialize()
            code = client.begin_execute("import os\nos.getpid()")
            wrong = client.begin("tools/call", {"name": "execute_code", "arguments": {"code": 1}})
            tools = client.begin("tools/list", {})
            reply = client.reply(code)
            assert reply.state == "OK"
            told = [answer["result"], reply.text, *(client.answer(each)["result"] for each in (wrong, tools))]
            said.append(_without_place(told).replace(f"{name}@", "project@"))
            assert client.answer(client.begin("ping", {}))["result"] == {}
            assert client.others == []  # the handshake was answered once
        finally:
            client.close()
    assert said[0] == said[1]
    assert [each["generation"] for each in home.status()["sessions"]] == [1, 1]


def _without_place(said: Any) -> str:
    """And without what is another process's and another moment's."""
    return re.sub(r"/projects/\w+|\d+\.\d+ s|\d{3,}", "...", json.dumps(said))


def test_clients_that_race_on_a_new_session_share_one_kernel(home: Home, connect_raw: ConnectRaw) -> None:
    clients = [connect_raw(home) for _ in range(4)]
    asked = [client.begin_execute("import os\nos.getpid()") for client in clients]
    replies = [client.reply(request) for client, request in zip(clients, asked, strict=True)]
    assert sorted(reply.number for reply in replies) == [1, 2, 3, 4]
    assert len({reply.block("result") for reply in replies}) == 1


def test_a_second_hub_ends_at_once(home: Home, connect_raw: ConnectRaw) -> None:
    connect_raw(home)
    program = "import sys; from kernelexec.daemon.process import main; sys.exit(main())"
    for _ in range(2):
        second = subprocess.run(
            [sys.executable, "-c", program], env=home.environ, timeout=30, capture_output=True, check=False
        )
        assert second.returncode == 0, second.stderr
    home.hub()


def test_two_hubs_started_in_the_same_moment_leave_one(home: Home, connect_raw: ConnectRaw) -> None:
    program = "import sys; from kernelexec.daemon.process import main; sys.exit(main())"
    home.registry.mkdir(parents=True)  # the log's folder, which a bridge makes
    hubs = [
        subprocess.Popen([sys.executable, "-c", program], env=home.environ, start_new_session=True)
        for _ in range(2)
    ]
    eventually(lambda: [hub for hub in hubs if hub.poll() is not None])
    assert connect_raw(home).execute("1 + 1").block("result") == "2"
    (running,) = [hub for hub in hubs if hub.poll() is None]
    assert home.hub() == running.pid
    running.terminate()
    assert running.wait(20) == 0


def _socket_of_a_dead_hub(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def _regular_file(path: Path) -> None:
    path.write_text("in the way")


@pytest.mark.parametrize("leave", [_socket_of_a_dead_hub, _regular_file])
def test_what_lies_where_the_socket_belongs_is_replaced(
    home: Home, connect_raw: ConnectRaw, leave: Any
) -> None:
    leave(home.runtime / "hub.sock")
    assert connect_raw(home).execute("1 + 1").block("result") == "2"


def test_the_hub_starts_without_the_clients_environment_and_directory(
    home: Home, connect_raw: ConnectRaw
) -> None:
    connect_raw(home, home.project("w"), PYTHONPATH="/nonexistent", A_SECRET="x")
    hub = Path(f"/proc/{home.hub()}")
    environ = (hub / "environ").read_bytes()
    assert b"A_SECRET" not in environ
    assert b"PYTHONPATH" not in environ
    assert b"VENV_PATH" not in environ
    assert os.readlink(hub / "cwd") == "/"
    for descriptor in (0, 1, 2):
        assert not os.readlink(hub / "fd" / str(descriptor)).startswith("pipe:")


def test_modules_in_the_clients_directory_are_not_imported(home: Home, connect_raw: ConnectRaw) -> None:
    project = home.project("shadows")
    for name in ("json", "socket", "mcp", "kernelexec", "ipykernel", "zmq", "asyncio"):
        (project / f"{name}.py").write_text("raise SystemExit('shadowed')")
    assert connect_raw(home, project).execute("1 + 1").block("result") == "2"


def test_modules_in_the_kernels_directory_do_not_keep_it_from_starting(
    home: Home, connect_raw: ConnectRaw
) -> None:
    for name in ("json", "random", "ipykernel", "zmq", "nbformat", "ipykernel_launcher"):
        (home.path / f"{name}.py").write_text("raise SystemExit('shadowed')")
    client = connect_raw(home, KERNELEXEC_CWD=str(home.path))
    assert client.execute("1 + 1").block("result") == "2"


def test_a_runtime_directory_with_a_path_too_long_is_refused_in_the_first_answer(home: Home) -> None:
    long = str(home.path / ("x" * 120))
    with RawClient(home, KERNELEXEC_RUNTIME_DIR=long) as client:
        answer = client.request("initialize", {})
        assert "KERNELEXEC_RUNTIME_DIR" in answer["error"]["message"]


# --- modes -----------------------------------------------------------------------------------------


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_private_is_the_users_alone(home: Home, connect_raw: ConnectRaw) -> None:
    os.chmod(home.runtime, 0o755)  # as an older version or a person may have left it
    os.umask(before := os.umask(0o022))
    assert before == 0o022
    connect_raw(home).execute("1")
    assert mode(home.runtime) == 0o700
    assert mode(home.runtime / "hub.sock") == 0o600
    (kernel,) = home.runtime.glob("k/*")
    assert mode(kernel) == 0o700
    assert mode(kernel / "connection.json") == 0o600
    assert json.loads((kernel / "connection.json").read_text())["transport"] == "ipc"
    assert mode(home.storage / ".kernelexec") == 0o700
    assert mode(home.storage / ".kernelexec" / "main@plain.jsonl") == 0o600
    (entry,) = home.registry.glob("*.json")
    assert mode(entry) == 0o600
    assert mode(home.path / ".local" / "state" / "kernelexec" / "hub.log") & 0o077 == 0
    assert {mode(path) & 0o077 for path in kernel.iterdir() if not path.is_socket()} <= {0, 0o044}


def test_a_runtime_directory_that_is_a_link_is_refused(home: Home) -> None:
    link = home.path / "link"
    link.symlink_to(home.runtime)
    with RawClient(home, KERNELEXEC_RUNTIME_DIR=str(link)) as client:
        assert "not a directory" in client.request("initialize", {})["error"]["message"]


# --- a bridge's end --------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["end of input", "SIGTERM"])
def test_a_bridge_ends_within_a_second_and_ends_nothing_else(
    home: Home, connect_raw: ConnectRaw, how: str
) -> None:
    client, other = connect_raw(home), connect_raw(home)
    gate = home.path / "gate"
    client.execute("import os, time")
    running = other.begin_execute(f"while not os.path.exists({str(gate)!r}): time.sleep(.01)\n'undisturbed'")
    client.begin_execute("'queued'")
    began = time.monotonic()
    if how == "SIGTERM":
        client.process.send_signal(signal.SIGTERM)
        client.process.wait(10)
    else:
        client.close()
    assert time.monotonic() - began < 1
    assert home.hub()
    gate.touch()
    assert other.reply(running).block("result") == "'undisturbed'"


def test_what_was_asked_before_the_end_of_input_is_answered(home: Home, connect_raw: ConnectRaw) -> None:
    connect_raw(home).execute("from_before = 1")  # so that the kernel is there
    for _ in range(5):  # the end may overtake the request at several places
        client = connect_raw(home)
        asked = client.begin_execute("from_before + 1")
        assert client.process.stdin is not None
        client.process.stdin.close()
        answer = client.answer(asked)
        assert "result" in answer, answer
        assert "[result]\n2" in answer["result"]["content"][0]["text"]


# --- the hub's end ---------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_next_hub_adopts_what_an_idle_hub_left(
    home: Home, connect_raw: ConnectRaw, connect: Connect, number: signal.Signals
) -> None:
    first = connect_raw(home)
    last = first.execute("kept = 'still here'\nprint('before')")
    assert last.number == 1
    home.end_hub(number)
    first.close()

    client = connect(home)
    reply = client.execute("kept")
    assert reply.state == "OK", reply.text
    assert reply.number == 2
    assert reply.block("result") == "'still here'"
    assert "generation 1 of main@plain" in reply.text
    assert "still there" in reply.text
    assert client.wait_for("main@plain/1").block("stdout") == "before"

    notebook = home.storage / "main@plain-1.ipynb"
    eventually(lambda: notebook.exists() and len(nbformat.read(notebook, 4).cells) == 2)
    sources = [cell.source for cell in nbformat.read(notebook, 4).cells]
    assert sources == ["kept = 'still here'\nprint('before')", "kept"]
    journal = home.storage / ".kernelexec" / "main@plain.jsonl"
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [event["n"] for event in events if event["event"] == "finished"] == [1, 2]
    home.hub()


def test_a_hub_ends_and_the_next_begins_while_a_suspended_jupyterlab_holds_a_notebook(
    home: Home, connect: Connect
) -> None:
    client = connect(home)
    client.execute("kept = 1")
    notebook = home.storage / "main@plain-1.ipynb"
    eventually(notebook.exists)
    locks = home.runtime / "live"
    locks.mkdir(exist_ok=True)
    with open(locks / lock_name(os.path.realpath(notebook)), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as the server extension does, which is in no state to let go
        client.execute("kept + 1")
        began = time.monotonic()
        home.end_hub(signal.SIGTERM)
        assert time.monotonic() - began < 30, "and not as long as that JupyterLab is suspended"
        assert client.execute("kept + 2").block("result") == "3"
    eventually(
        lambda: [cell.source for cell in nbformat.read(notebook, 4).cells][1:] == ["kept + 1", "kept + 2"]
    )


def test_ps_finds_the_kernels_that_a_dead_hub_left(home: Home, connect_raw: ConnectRaw) -> None:
    connect_raw(home).execute("1")
    home.end_hub(signal.SIGKILL)
    (session,) = home.status()["sessions"]
    assert session["session"] == "main@plain"
    assert session["state"] == "idle"


def test_a_hub_imports_the_package_that_its_bridge_came_from(home: Home, connect_raw: ConnectRaw) -> None:
    connect_raw(home)
    assert f"sys.path[0] = {paths.import_root()!r}" in home.processes()[home.hub()]


def test_a_kernel_that_ended_while_there_was_no_hub_is_told(
    home: Home, connect_raw: ConnectRaw, connect: Connect
) -> None:
    pid = int(connect_raw(home).execute("import os\nos.getpid()").block("result"))
    home.end_hub(signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    eventually(
        lambda: not home.processes() or set(home.processes().values()) == {""} or pid not in home.processes()
    )
    client = connect(home)
    reply = client.execute("1")
    assert reply.state == "OK", "a client that knew no kernel has lost nothing"
    assert "The one before ended: " in reply.text, reply.text
    assert "SIGKILL" in reply.text or "nobody saw" in reply.text
    assert "generation 2" in reply.text


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_is_neither_interrupted_nor_repeated_when_its_hub_ends(
    home: Home, connect_raw: ConnectRaw, connect: Connect, number: signal.Signals
) -> None:
    begun, gate, done = home.path / "begun", home.path / "gate", home.path / "done"
    first = connect_raw(home)
    first.execute("import os, time")
    first.begin_execute(
        f"with open({str(begun)!r}, 'a') as f: f.write('x')\n"
        f"while not os.path.exists({str(gate)!r}): time.sleep(.01)\n"
        f"open({str(done)!r}, 'w').close()"
    )
    eventually(begun.exists)
    home.end_hub(number)
    client = connect(home)
    # QUEUED until the new hub has asked the kernel.
    eventually(lambda: client.wait_for("main@plain/2", wait_seconds=0).state == "RUNNING")
    gate.touch()
    reply = client.execute("'after'")
    assert reply.state == "OK"
    assert done.exists(), "the run was interrupted"
    assert begun.read_text() == "x"


def test_the_time_that_a_run_may_take_and_what_a_replay_has_done_survive_the_hub(
    home: Home, connect_raw: ConnectRaw, connect: Connect
) -> None:
    begun, gate = home.path / "begun", home.path / "gate"
    gate.touch()
    first = connect_raw(home)
    first.execute("x = 1")
    first.execute(until(gate, begun))
    gate.unlink()
    begun.unlink()
    first.begin("tools/call", {"name": "restart_kernel", "arguments": {"replay": True}})
    eventually(begun.exists)
    home.end_hub(signal.SIGKILL)
    client = connect(home)
    replay = client.wait_for("main@plain/3")
    assert replay.verdict.startswith("INTERRUPTED: main@plain/3 was stopped"), replay.text
    assert "1 of 2 submissions ran again and succeeded. main@plain/5, which is 2 again, was" in replay.text
    gate.touch()
    assert client.wait_for("main@plain/5").state == "OK"
    begun.unlink()
    connect_raw(home).begin_execute(
        f"open({str(begun)!r}, 'w').close()\nimport time; time.sleep(60)", max_seconds=3
    )
    eventually(begun.exists)
    home.end_hub(signal.SIGKILL)
    late = connect(home).wait_for("main@plain/6")
    assert late.state == "INTERRUPTED"
    assert "Interrupted after max_seconds=3." in late.text


def test_a_hub_that_ends_logs_no_traceback(home: Home, connect_raw: ConnectRaw) -> None:
    connect_raw(home).execute("1")
    home.command("stop", "--all")
    eventually(lambda: not home.hubs())
    assert "Traceback" not in home.log(), home.log()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("era", ["2025-06-18", "2026-07-28"])
def test_a_client_keeps_its_tools_when_the_hub_ends(home: Home, number: signal.Signals, era: str) -> None:
    """What was open is answered, what is asked meanwhile waits, and nothing is run a second time."""
    with RawClient(home) as client:
        client.initialize(era)
        client.execute("runs = 0\nimport os, time")
        begun, gate = home.path / "begun", home.path / "gate"
        run = client.begin_execute(f"runs += 1\n{until(gate, begun)}\nprint('the end')\nruns")
        queued = client.begin_execute("runs + 1")
        waits = client.begin(
            "tools/call", {"name": "wait_for_execution", "arguments": {"execution_id": "main@plain/2"}}
        )
        eventually(begun.exists)
        home.end_hub(number)
        listed = client.call("list_executions")
        assert "main@plain/2" in listed.text
        gate.touch()
        reply = client.reply(run)
        assert (reply.verdict.split()[:2], reply.block("stdout"), reply.block("result")) == (
            ["OK:", "main@plain/2"],
            "the end",
            "1",
        )
        assert client.reply(queued).block("result") == "2", "it had not begun, and its client still waits"
        assert client.reply(waits).block("result") == "1"
        home.end_hub(number)
        later = client.execute("runs")
        assert (later.number, later.block("result")) == (5, "1")
        assert "Kernel:" not in later.text, "its client knows this kernel"


def test_what_a_hub_may_have_done_is_not_done_again_by_the_next(home: Home, connect_raw: ConnectRaw) -> None:
    client = connect_raw(home)
    client.execute("import signal, os")
    os.kill(home.hub(), signal.SIGSTOP)  # it accepts nothing, as one that is about to be killed
    restart = client.begin("tools/call", {"name": "restart_kernel", "arguments": {}})
    run = client.begin_execute("'once'")
    home.end_hub(signal.SIGKILL)
    reply = client.reply(restart)
    assert reply.is_error
    assert reply.verdict.startswith("UNKNOWN: whether restart_kernel was carried out."), reply.text
    assert client.reply(run).block("result") == "'once'"
    assert client.call("list_executions").text.count("'once'") == 1


def test_a_bridge_without_a_next_hub_says_so_and_goes_on_once_there_is_one(
    home: Home, connect_raw: ConnectRaw
) -> None:
    client = connect_raw(home)
    client.execute("kept = 1")
    home.end_hub(signal.SIGKILL)
    log = home.path / ".local/state/kernelexec/hub.log"
    log.rename(log.with_name("old.log"))
    log.mkdir()  # so that no hub can start
    answer = client.answer(client.begin_execute("kept"))
    assert "cannot be written" in answer["error"]["message"], answer
    log.rmdir()
    assert client.execute("kept").block("result") == "1"


def test_an_idle_hub_without_client_and_kernel_ends(home: Home, connect_raw: ConnectRaw) -> None:
    home.environ["KERNELEXEC_HUB_IDLE_SECONDS"] = "0.3"
    client = connect_raw(home)
    done = home.path / "done"
    client.execute("1")
    client.begin_execute(f"import time\ntime.sleep(1.5)\nopen({str(done)!r}, 'w').close()", wait_seconds=0)
    hub = home.hub()
    client.close()
    eventually(done.exists)  # five times as long as an idle hub stays
    assert home.hub() == hub
    assert home.command("stop", "main@plain").returncode == 0
    eventually(lambda: not home.hubs(), 10)
    assert not (home.runtime / "hub.sock").exists()


def test_another_hub_does_not_take_a_session_that_is_in_use(
    home: Home, connect_raw: ConnectRaw, new_home: Any
) -> None:
    connect_raw(home).execute("mine = 1")
    stranger = new_home(CODE_STORAGE_DIR=str(home.storage))
    reply = connect_raw(stranger, home.path).execute("mine", session="main")
    assert reply.is_error
    assert str(home.hub()) in reply.text
    assert not reply.state


# --- identity --------------------------------------------------------------------------------------


@pytest.fixture
def left_entry(home: Home, connect_raw: ConnectRaw) -> dict[str, Any]:
    """The registry entry of a kernel that has been stopped, put back with its directory."""
    client = connect_raw(home)
    client.execute("1")
    (path,) = home.registry.glob("*.json")
    entry: dict[str, Any] = json.loads(path.read_text())
    connection = Path(entry["directory"], "connection.json").read_text()
    home.command("stop", "--all")
    client.close()
    eventually(lambda: not home.processes())
    Path(entry["directory"]).mkdir(parents=True)
    Path(entry["directory"], "connection.json").write_text(connection)
    return entry


@pytest.mark.parametrize(
    "changes",
    [{}, {"boot": "an earlier one"}, {"keeper_identity": "1", "kernel_identity": "1"}],
    ids=["same boot", "another boot", "another start time"],
)
def test_a_process_that_has_a_dead_kernels_pid_is_neither_signalled_nor_adopted(
    home: Home, connect: Connect, left_entry: dict[str, Any], changes: dict[str, Any]
) -> None:
    stranger = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        left_entry |= {"keeper_pid": stranger.pid, "kernel_pid": stranger.pid, **changes}
        (home.registry / f"{left_entry['kernel_id']}.json").write_text(json.dumps(left_entry))
        client = connect(home)
        reply = client.execute("1 + 1")
        if reply.state == "NOT RUN":
            reply = client.execute("1 + 1")
        assert reply.block("result") == "2"
        assert "generation 2" in reply.text
        assert [path.stem for path in home.registry.glob("*.json")] != [left_entry["kernel_id"]]
        assert home.command("stop", "--all").returncode == 0
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"format": 1}', '{"format": 99, "kernel_id": "x"}', "\0\xff"]
)
def test_a_registry_entry_that_cannot_be_read_keeps_nobody_from_working(
    home: Home, connect_raw: ConnectRaw, content: str
) -> None:
    home.registry.mkdir(parents=True)
    entry = home.registry / "broken.json"
    entry.write_text(content)
    assert connect_raw(home).execute("1 + 1").block("result") == "2"
    entry.unlink()


# --- who knocks at the socket ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"garbage\n",
        b"\xff\xfe\n",
        b"null\n",
        b"[1]\n",
        b"{}\n",
        b'{"kernelexec": 2}\n',
        b'{"kernelexec": 1, "protocol": "1"}\n',
        b"[" * 100_000 + b"\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=lambda line: repr(line[:20]),
)
def test_who_does_not_say_hello_is_refused_and_nobody_else_disturbed(shared_home: Home, line: bytes) -> None:
    with RawClient(shared_home) as client:
        client.initialize()
        with join(shared_home) as stranger:
            stranger.sendall(line)
            with stranger.makefile("rb") as answers:
                answer = answers.readline()
                assert b"error" in answer, answer
                assert answers.readline() == b""
        assert client.request("ping", {})["result"] == {}


def test_who_asks_and_does_not_wait_for_the_answer_is_no_failure_of_the_hub(shared_home: Home) -> None:
    """Its log must have no traceback of that, which is looked at when the home is closed."""
    with RawClient(shared_home) as client:
        client.initialize()
        for _ in range(20):
            with join(shared_home) as stranger:
                stranger.sendall(hello(shared_home, role="admin") + b'{"command": "ps"}\n' * 50)
        assert client.request("ping", {})["result"] == {}
        assert "a connection failed" not in shared_home.log()


@pytest.mark.parametrize(
    "changes",
    [
        {"environ": {"HOME": 5}},
        {"environ": {"ENV_TYPE": ["venv"]}},
        {"cwd": "/nonexistent"},
        {"cwd": ""},
        {"role": "nobody"},
        {"pid": -1},
        {"protocol": 0},
        {"protocol": True},
    ],
    ids=str,
)
def test_an_odd_hello_does_not_disturb_the_hub(shared_home: Home, changes: dict[str, Any]) -> None:
    with RawClient(shared_home) as client:
        client.initialize()
        hub = shared_home.hub()
        with join(shared_home) as stranger:
            stranger.sendall(hello(shared_home, **changes))
            with stranger.makefile("rb") as answers:
                assert answers.readline()
                call = {"name": "get_environment_config", "arguments": {}}
                initialize = {
                    "protocolVersion": "2025-06-18",
                    "capabilities": {},
                    "clientInfo": {"name": "x", "version": "1"},
                }
                for number, (method, params) in enumerate((("initialize", initialize), ("tools/call", call))):
                    request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
                    try:
                        stranger.sendall(json.dumps(request).encode() + b"\n")
                        assert answers.readline() or True
                    except (BrokenPipeError, ConnectionResetError):
                        break
        assert client.request("ping", {})["result"] == {}
        assert shared_home.hub() == hub


def test_silent_connections_disturb_nobody(shared_home: Home, connect_raw: ConnectRaw) -> None:
    connect_raw(shared_home)
    silent = [join(shared_home) for _ in range(50)]
    assert connect_raw(shared_home).execute("1 + 1").block("result") == "2"
    for connection in silent:
        connection.close()
    assert connect_raw(shared_home).execute("1 + 1").block("result") == "2"


def test_many_connections_come_and_go(shared_home: Home, connect_raw: ConnectRaw) -> None:
    connect_raw(shared_home).execute("1")
    descriptors = Path(f"/proc/{shared_home.hub()}/fd")

    def count() -> int:
        return len(list(descriptors.iterdir()))

    before = count()
    for _ in range(100):
        with join(shared_home) as connection:
            connection.sendall(hello(shared_home))
            assert connection.recv(1)
    eventually(lambda: count() <= before + 1)


def test_a_newer_client_makes_the_hub_retire_and_the_kernels_stay(
    home: Home, connect_raw: ConnectRaw, connect: Connect
) -> None:
    first = connect_raw(home)
    first.execute("kept = 1\nimport os, time")
    begun, gate, done = home.path / "begun", home.path / "gate", home.path / "done"
    first.begin_execute(
        f"open({str(begun)!r}, 'w').close()\n"
        f"while not os.path.exists({str(gate)!r}): time.sleep(.01)\n"
        f"open({str(done)!r}, 'w').close()"
    )
    eventually(begun.exists)
    old = home.hub()
    with join(home) as newer:
        newer.sendall(hello(home, protocol=PROTOCOL + 1))
        with newer.makefile("rb") as answers:
            assert answers.readline().split()[:3] == [b"kernelexec", b"1", b"retire"]
    eventually(lambda: old not in home.processes())
    gate.touch()
    client = connect(home)
    assert client.execute("kept").block("result") == "1"
    assert done.exists(), "the running cell was interrupted"


def test_a_hub_whose_installation_was_removed_leaves_to_one_that_has_its_files(
    home: Home, tmp_path: Path
) -> None:
    removed, other = (copied_installation(tmp_path / name) for name in ("removed", "other"))
    with RawClient(home, command=bridge_of(removed)) as first:
        first.initialize()
        first.execute("kept = 1")
        old = home.hub()
        assert f"sys.path[0] = {str(removed)!r}" in home.processes()[old]
        with RawClient(home, command=bridge_of(other)) as second:
            second.initialize()
            assert home.hub() == old, "its files are there: nobody's installation is better than another's"
        shutil.rmtree(removed)
        with join(home) as bridge:
            bridge.sendall(hello(home, root=str(tmp_path / "nowhere")))
            assert b" ok " in bridge.recv(100), "who has no installation either can start no other hub"
        with RawClient(home, command=bridge_of(other)) as second:
            second.initialize()
            assert second.execute("kept").block("result") == "1"
            assert first.execute("kept + 1").block("result") == "2", "whose bridge joined the other hub"
        eventually(lambda: old not in home.processes())
        assert f"sys.path[0] = {str(other)!r}" in home.processes()[home.hub()]


def copied_installation(root: Path) -> Path:
    for package in ("kernelexec", "kernelspecs"):
        shutil.copytree(Path(paths.import_root(), package), root / package, dirs_exist_ok=True)
    return root


def bridge_of(installation: Path) -> list[str]:
    there = f"import sys; sys.path[0] = {str(installation)!r}; "
    program = f"{there}from kernelexec.bridge import stdio; sys.exit(stdio.main())"
    return [sys.executable, "-c", program]


# --- files that vanish -----------------------------------------------------------------------------


def test_a_runtime_directory_that_was_deleted_is_made_anew_for_the_next_client(
    home: Home, connect_raw: ConnectRaw
) -> None:
    first = connect_raw(home)
    first.request("ping", {})
    first.close()
    home.command("stop", "--all")
    eventually(lambda: not home.hubs())
    shutil.rmtree(home.runtime)
    assert connect_raw(home).execute("1 + 1").block("result") == "2"


def test_a_journal_that_a_later_version_has_written_to_is_told_and_left_as_it_is(
    home: Home, connect: Connect
) -> None:
    home.breaks_journals = True
    session = connect(home).execute("1").session
    home.end_hub(signal.SIGTERM)
    journal = home.storage / ".kernelexec" / f"{session}.jsonl"
    with journal.open("a") as file:
        file.write('{"v":2,"event":"submitted","n":8,"code":{"parts":["x"]}}\n{"v":2,"n":8}\n')
    before = journal.read_bytes()
    client = connect(home)
    reply = client.execute("2")
    assert (reply.state, reply.number) == ("OK", 9), reply.text
    assert "2 lines of this session's journal were written by a later version" in reply.text
    assert "later version" not in client.execute("3").text
    home.end_hub(signal.SIGTERM)
    assert journal.read_bytes().startswith(before)


@pytest.mark.parametrize("what", ["all", "lock", "socket"])
def test_a_runtime_directory_that_is_deleted_under_a_hub_is_made_anew_by_it(
    home: Home, connect: Connect, connect_raw: ConnectRaw, what: str
) -> None:
    client, gate, done = connect(home), home.path / "gate", home.path / "done"
    client.execute("1")
    running = client.execute(f"kept = 1\n{until(gate)}open({str(done)!r}, 'w').close()", wait_seconds=0)
    hub = home.hub()
    if what == "all":
        shutil.rmtree(home.runtime)
    else:
        (home.runtime / f"hub.{what[:4]}").unlink()
    clients = [RawClient(home) for _ in range(3)]
    try:
        for each in clients:
            each.initialize()
        assert clients[0].execute("1 + 1", session="other").block("result") == "2"
        # What the clients may have started meanwhile gives way.
        assert eventually(lambda: home.hubs() == [hub]), "never two hubs with sessions"
    finally:
        for each in clients:
            each.close()
    gate.touch()
    assert client.wait_for(running.id).state == "OK"
    assert done.exists()
    assert client.execute("kept").block("result") == "1"
    died = client.execute("import os; os.kill(os.getpid(), 9)")
    assert "SIGKILL" in died.text, "how a kernel ended is told as ever"


@pytest.mark.parametrize(("what", "seconds"), [(".", 0.0), (".", 0.1), ("k", 0.1)])
def test_a_kernel_whose_directory_is_deleted_while_it_starts_is_told_and_ended(
    home: Home, connect: Connect, what: str, seconds: float
) -> None:
    client = connect(home)
    client.execute("kept = 1")
    before = set(home.commands(r".*launcher\.py"))
    starting = client.start("1", session="other", wait_seconds=40)
    kernels = home.runtime / "k"
    eventually(lambda: len(list(kernels.glob("*"))) == 2)
    time.sleep(seconds)  # no matter how far it is
    shutil.rmtree(home.runtime / what)
    reply = starting.result()
    if reply.state != "OK":  # had its sockets been there already, all was well
        assert reply.state == "NOT RUN", reply.text
        assert "was deleted" in reply.text or "No such file" in reply.text
        assert eventually(lambda: set(home.commands(r".*launcher\.py")) == before), "it is not left behind"
    assert client.execute("2", session="other").state == "OK"
    assert client.execute("kept").block("result") == "1"


def test_the_server_can_be_run_as_a_module(home: Home) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "kernelexec", "--version"],
        env=home.environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert process.stdout.startswith("kernelexec ")
    assert Path(COMMAND).exists()
