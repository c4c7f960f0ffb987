"""Finding the hub: real sockets and locks in a runtime directory of the test's own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kernelexec import __version__, paths
from kernelexec.bridge import rendezvous
from kernelexec.bridge.rendezvous import answer, hello, join_hub, read_line, socket_path, take_lock
from kernelexec.errors import HubUnavailable


@pytest.fixture
def environ() -> Iterator[dict[str, str]]:
    # Not tmp_path: a socket's path must be short.
    with tempfile.TemporaryDirectory(prefix="kx") as folder:
        yield {"KERNELEXEC_RUNTIME_DIR": folder, "HOME": folder, "A": "ä\n\"'", "PATH": "/bin"}


@contextmanager
def hub(environ: dict[str, str], *answers: bytes) -> Iterator[list[bytes]]:
    """Answers one connection after the other, as often as there are answers; the hellos it got."""
    hellos: list[bytes] = []
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(socket_path(environ))
    listener.listen()

    def serve() -> None:
        for said in answers:
            try:
                connection, _ = listener.accept()
            except OSError:  # the test is over
                return
            with connection, connection.makefile("rb") as lines:
                hellos.append(lines.readline())
                connection.sendall(said)
                if said.startswith(b"kernelexec 1 ok"):
                    lines.read()  # until the client has gone

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield hellos
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)
        assert not thread.is_alive()


def joined(environ: dict[str, str]) -> bytes:
    """What comes after hello and answer on a connection to the hub."""
    connection = join_hub("mcp", environ, start=False)
    rest = connection.recv(100)
    connection.close()
    return rest


def test_a_hello_says_who_asks_from_where_and_with_which_variables() -> None:
    variables = {"A": "ä\n\"'\\", "NOT_UTF8": "\udcff", "": "empty"}
    line = hello("mcp", variables)
    assert line.count(b"\n") == 1
    said = json.loads(line)
    assert re.fullmatch("[0-9a-f]{16}", said.pop("caller"))
    assert json.loads(hello("mcp", {}))["caller"] == json.loads(line)["caller"], "it stays the same caller"
    assert said == {
        "kernelexec": rendezvous.FORMAT,
        "protocol": rendezvous.PROTOCOL,
        "role": "mcp",
        "version": __version__,
        "pid": os.getpid(),
        "begun": [],
        "near": None,
        "cwd": os.getcwd(),
        "root": str(paths.import_root()),
        "environ": variables,
    }


def test_a_client_whose_directory_was_deleted_says_where_it_was(tmp_path: Path) -> None:
    program = (
        "import os, sys; os.rmdir(os.getcwd()); from kernelexec.bridge.rendezvous import hello; "
        "sys.stdout.buffer.write(hello('mcp', {'PWD': '/was/here'}))"
    )
    (tmp_path / "gone").mkdir()
    root = paths.import_root()
    line = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path / "gone",
        env={"PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    assert json.loads(line)["cwd"] == "/was/here"


def test_an_answer_is_one_line_of_four_words() -> None:
    assert answer("ok", "0.1.0") == b"kernelexec 1 ok 0.1.0\n"
    assert answer("error", "no\nhello  line") == b"kernelexec 1 error no hello line\n"


def test_a_client_joins_and_what_follows_the_answer_is_left_to_it(environ: dict[str, str]) -> None:
    with hub(environ, answer("ok", "0.1.0") + b"what follows") as hellos:
        assert joined(environ) == b"what follows"
    assert json.loads(hellos[0])["environ"] == environ


def test_without_a_hub_a_client_that_may_not_start_one_is_told(environ: dict[str, str]) -> None:
    with pytest.raises(HubUnavailable, match="No hub is running"):
        join_hub("admin", environ, start=False)


def test_the_socket_of_a_hub_that_is_gone_is_no_hub(environ: dict[str, str]) -> None:
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(socket_path(environ))
    stale.close()
    with pytest.raises(HubUnavailable, match="No hub is running"):
        join_hub("admin", environ, start=False)


def test_a_hub_that_refuses_is_told_with_its_reason(environ: dict[str, str]) -> None:
    with (
        hub(environ, answer("error", "no hello line")),
        pytest.raises(HubUnavailable, match="no hello line"),
    ):
        join_hub("mcp", environ, start=False)


@pytest.mark.parametrize(
    "said", [answer("retire", "0.0.1"), b"", b"kernelexec", b"kernelexec 1", b"kernelexec 1 o"]
)
def test_a_hub_that_is_ending_is_not_joined_and_the_next_one_is(environ: dict[str, str], said: bytes) -> None:
    lock = take_lock(environ)  # so that no hub is started meanwhile
    assert lock is not None
    with hub(environ, said, answer("ok", "0.1.0")) as hellos:
        join_hub("mcp", environ).close()
    os.close(lock)
    assert len(hellos) == 2


def test_a_hub_that_never_answers_is_not_waited_for_for_ever(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For example one that was stopped with SIGSTOP."""
    monkeypatch.setattr(rendezvous, "START_SECONDS", 0.1)
    lock = take_lock(environ)
    assert lock is not None
    outcome: list[str] = []

    def join() -> None:
        try:
            join_hub("mcp", environ).close()
        except HubUnavailable as error:
            outcome.append(str(error))

    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(socket_path(environ))
        silent.listen()
        thread = threading.Thread(target=join, daemon=True)
        thread.start()
        thread.join(0.6)
    os.close(lock)
    thread.join(2)
    assert outcome
    assert "did not answer" in outcome[0]


def test_of_many_only_one_gets_the_lock_until_it_is_let_go(environ: dict[str, str]) -> None:
    locks = [take_lock(environ) for _ in range(5)]
    assert [lock is not None for lock in locks] == [True, False, False, False, False]
    assert locks[0] is not None
    assert not os.get_inheritable(locks[0])
    os.close(locks[0])
    again = take_lock(environ)
    assert again is not None
    os.close(again)


def test_a_socket_path_that_is_too_long_is_refused_with_what_to_do() -> None:
    with pytest.raises(HubUnavailable, match="longer than 103 bytes") as refused:
        socket_path({"KERNELEXEC_RUNTIME_DIR": "/" + "x" * 100})
    assert "shorter" in refused.value.next_step
    assert len(socket_path({"KERNELEXEC_RUNTIME_DIR": "/" + "x" * 93})) == 103


def test_a_socket_that_cannot_be_reached_is_told(environ: dict[str, str]) -> None:
    file = Path(environ["KERNELEXEC_RUNTIME_DIR"], "file")
    file.touch()
    with pytest.raises(HubUnavailable, match=r"file is not a directory"):
        join_hub("mcp", {"KERNELEXEC_RUNTIME_DIR": str(file)}, start=False)
    Path(socket_path(environ)).symlink_to("hub.sock")
    with pytest.raises(HubUnavailable, match=r"hub\.sock cannot be used"):
        join_hub("mcp", environ, start=False)


@pytest.mark.parametrize("start", [True, False])
def test_a_hub_in_a_directory_of_another_user_is_told_nothing(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, start: bool
) -> None:
    with hub(environ, answer("ok", "1")) as hellos:
        owner = os.stat(environ["KERNELEXEC_RUNTIME_DIR"]).st_uid
        monkeypatch.setattr(os, "getuid", lambda: owner + 1)
        with pytest.raises(HubUnavailable, match="another user"):
            join_hub("admin", environ, start=start)
    assert not hellos


def test_a_runtime_directory_that_is_deleted_while_a_hub_starts_is_made_again(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(environ["KERNELEXEC_RUNTIME_DIR"])
    starts: list[int] = []

    def spawn(environ: dict[str, str], lock: int) -> int:
        if not starts:
            Path(rendezvous.lock_path(environ)).unlink()
            folder.rmdir()
        starts.append(lock)
        return os.posix_spawn("/bin/true", ["true"], {})

    monkeypatch.setattr(rendezvous, "_spawn_hub", spawn)
    with pytest.raises(HubUnavailable, match="ended while it was starting"):
        join_hub("mcp", environ)
    assert len(starts) == 3
    assert folder.is_dir()


@pytest.mark.parametrize(
    ("sent", "line"), [(b"one\ntwo\n", b"one\n"), (b"half", b"half"), (b"", b""), (b"\n\n", b"\n")]
)
def test_a_line_is_read_up_to_its_end_and_not_beyond(sent: bytes, line: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(sent)
        theirs.shutdown(socket.SHUT_WR)
        assert read_line(ours) == line
        assert ours.recv(100) == sent[len(line) :]


def without_python(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]) -> str:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    return "cannot be started"


def ending_at_once(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]) -> str:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    return "ended while it was starting"


def without_a_place_for_its_log(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]) -> str:
    environ["XDG_STATE_HOME"] = "/dev/null"
    return "/dev/null"


@pytest.mark.parametrize("broken", [without_python, ending_at_once, without_a_place_for_its_log])
def test_a_hub_that_cannot_start_is_told(
    monkeypatch: pytest.MonkeyPatch,
    environ: dict[str, str],
    broken: Callable[[pytest.MonkeyPatch, dict[str, str]], str],
) -> None:
    told = broken(monkeypatch, environ)
    with pytest.raises(HubUnavailable, match=told):
        join_hub("mcp", environ)


def test_a_hub_that_does_not_listen_in_time_is_told_with_its_log(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], tmp_path: Path
) -> None:
    slow = tmp_path / "python"
    slow.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 10\n")
    slow.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(slow))
    monkeypatch.setattr(rendezvous, "START_SECONDS", 0.1)
    with pytest.raises(HubUnavailable, match=r"did not answer within .*\n.*hub\.log"):
        join_hub("mcp", environ)
    pid = int((tmp_path / "pid").read_text())
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_a_started_hub_gets_the_lock_and_none_of_its_clients_secrets(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], tmp_path: Path
) -> None:
    fake = tmp_path / "python"
    fake.write_text(
        f"#!/bin/sh\nenv > {tmp_path}/env\npwd > {tmp_path}/pwd\nls -l /proc/$$/fd > {tmp_path}/fds\n"
    )
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    secrets = {"API_TOKEN": "x", "VIRTUAL_ENV": "/v", "PYTHONPATH": "/p", "KERNELEXEC_SESSION": "s"}
    with pytest.raises(HubUnavailable, match="ended while it was starting"):
        join_hub("mcp", {**environ, **secrets, "LC_ALL": "C"})
    given = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines() if "=" in line)
    assert not given.keys() & secrets.keys()
    assert given["LC_ALL"] == "C"
    assert given["KERNELEXEC_RUNTIME_DIR"] == environ["KERNELEXEC_RUNTIME_DIR"]
    if sys.platform == "linux":
        descriptors = (tmp_path / "fds").read_text()
        assert "hub.lock" in descriptors
        assert "-> /dev/null" in descriptors
        assert descriptors.count("hub.log") >= 1


def test_a_bridge_imports_nothing_that_takes_long_before_its_client_has_an_answer() -> None:
    program = f"import sys; sys.path[:0] = {sys.path!r}\nfrom kernelexec.bridge import stdio\n"
    command = [sys.executable, "-I", "-S", "-c", f"{program}print(*sys.modules)"]
    imported = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert "kernelexec.bridge.open_requests" in imported
    slow = {"typing", "re", "enum", "collections", "contextlib", "functools", "json", "socket", "threading"}
    assert slow & set(imported) == set()
