"""Input that no well-behaved client sends: answered, never run altered, and nothing gets out."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.real.clients import Client, RawClient
from tests.real.conftest import Connect, ConnectRaw
from tests.real.home import Home, eventually

CALL = '{"jsonrpc": "2.0", "id": 99, "method": "tools/call", "params": %s}'
EXECUTE = CALL % '{"name": "execute_code", "arguments": {"code": "%s"}}'


@pytest.fixture
def raw(connect_raw: ConnectRaw, shared_home: Home) -> RawClient:
    client = connect_raw(shared_home)
    client.execute("ran = []")
    return client


@pytest.fixture
def nothing_outside(shared_home: Home) -> Iterator[None]:
    """Fails if a test changes anything in the home but the storage directory and our own state."""

    def seen() -> dict[str, bytes]:
        outside = shared_home.path / "outside"
        return {str(p): p.read_bytes() if p.is_file() else b"" for p in outside.rglob("*")}

    outside = shared_home.path / "outside"
    outside.mkdir(exist_ok=True)
    (outside / "victim.txt").write_text("precious")
    before, beside = seen(), set(shared_home.path.iterdir())
    yield
    assert seen() == before
    assert set(shared_home.path.iterdir()) - beside <= {shared_home.storage, shared_home.path / ".ipython"}


# --- lines that are no requests --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "answered"),
    [
        (b"not json", None),
        (b'{"jsonrpc": "2.0", "id": 99, "method": "tools/call", "params": ', 99),
        (b"[]", None),
        (b"null", None),
        (b"7", None),
        (b'"text"', None),
        (b"\xff\xfe\x00", None),
        (b"{}", None),
        (b'{"jsonrpc": "1.0", "id": 99, "method": "ping"}', 99),
        (b'{"id": 99, "method": "ping"}', 99),
        (b'{"jsonrpc": "2.0", "id": 99, "method": 5}', 99),
        (b'{"jsonrpc": "2.0", "id": [99], "method": "ping"}', None),
        (b'{"jsonrpc": "2.0", "id": 1.5, "method": "ping"}', None),
        (b'{"jsonrpc": "2.0", "id": null, "method": "ping"}', None),
        (b'{"jsonrpc": "2.0", "id": true, "method": "ping"}', None),
        (EXECUTE.encode() % b"ran.append('\xff')", 99),
        (EXECUTE.encode() % b"ran.append('\xc3')", 99),
        (EXECUTE.encode() % b"ran.append('\xed\xa0\x80')", 99),
        (EXECUTE.encode() % rb"ran.append('\ud800')", 99),
        (EXECUTE.encode() % rb"ran.append('\udc00\ud800')", 99),
        (EXECUTE.encode() % b"ran.append('\x00')", 99),
        (EXECUTE.encode() % rb"ran.append('\x')", 99),
        ((CALL % ("[" * 100_000 + "]" * 100_000)).encode(), 99),
        ((CALL % ("[" * 100_000)).encode(), 99),
        ((CALL % ('{"a":' * 100_000 + "1" + "}" * 100_000)).encode(), 99),
        ((CALL % ("9" * 5000)).encode(), 99),
        (b'{"jsonrpc": "2.0", "id": ' + b"9" * 5000 + b', "method": "ping"}', None),
    ],
    ids=lambda value: repr(value)[:60] if isinstance(value, bytes) else "",
)
def test_a_line_that_is_no_request_is_answered_with_an_error_and_the_connection_goes_on(
    raw: RawClient, line: bytes, answered: int | None
) -> None:
    raw.send_line(line)
    answer = raw.answer(answered, 5)
    assert answer["error"]["code"] in (-32700, -32600, -32602), answer
    assert answer["error"]["message"]
    assert raw.execute("ran").block("result") == "[]"


def test_a_call_whose_id_is_null_is_answered_and_not_run(raw: RawClient) -> None:
    raw.send_line(EXECUTE.replace('"id": 99', '"id": null').encode() % b"ran.append('null id')")
    assert raw.answer(None, 5)["error"]["code"] == -32600
    assert raw.execute("ran").block("result") == "[]"


def test_a_call_without_an_id_is_not_run(raw: RawClient) -> None:
    raw.send_line(EXECUTE.replace('"id": 99, ', "").encode() % b"ran.append('no id')")
    assert raw.execute("ran").block("result") == "[]"


@pytest.mark.parametrize(
    "params",
    [
        "null",
        "{}",
        "[]",
        '{"name": 5}',
        '{"name": "execute_code"}',
        '{"name": "execute_code", "arguments": null}',
        '{"name": "execute_code", "arguments": []}',
        '{"name": "execute_code", "arguments": {"code": {"a": 1}}}',
        '{"name": "execute_code", "arguments": {"code": "ran.append(1)", "session": %s}}' % ("9" * 5000),
        '{"name": "nosuchtool", "arguments": {}}',
        '{"name": "", "arguments": {}}',
    ],
    ids=lambda value: value[:60],
)
def test_wrong_parameters_are_answered_and_nothing_is_run(raw: RawClient, params: str) -> None:
    raw.send_line((CALL % params).encode())
    answer = raw.answer(99, 20)
    assert "error" in answer or answer["result"]["isError"]
    assert raw.execute("ran").block("result") == "[]"


def test_an_unknown_method_is_answered(raw: RawClient) -> None:
    assert raw.request("no/such/method", {})["error"]["code"] == -32601


def test_empty_lines_are_passed_over(raw: RawClient) -> None:
    raw.send_line(b"\n  \n\r")
    assert raw.execute("1 + 1").block("result") == "2"


def test_lines_that_end_as_on_windows_are_read(raw: RawClient) -> None:
    raw.send_line(EXECUTE.encode() % b"1 + 1" + b"\r")
    assert "OK" in raw.reply(99).verdict


def test_a_request_in_many_small_pieces_is_read(raw: RawClient) -> None:
    assert raw.process.stdin is not None
    for byte in EXECUTE.encode() % b"'pieces'":
        raw.process.stdin.write(bytes([byte]))
        raw.process.stdin.flush()
    raw.send_line(b"")
    assert raw.reply(99).block("result") == "'pieces'"


def test_a_call_before_initialize_is_answered(shared_home: Home) -> None:
    with RawClient(shared_home) as client:
        client.send_line(EXECUTE.encode() % b"ran.append('too early')")
        answer = client.answer(99, 20)
        assert "error" in answer or "result" in answer


def test_code_is_run_exactly_as_it_was_sent(raw: RawClient) -> None:
    for text in (
        "\x7f\x80\x85\xa0",
        "\u2028\u2029\ufeff",
        "\U0001f600e\u0301",
        "\\ud800",
        '"id": 5, \\"id\\": 6',
    ):
        reply = raw.execute(f"ascii({text!r})")
        assert reply.block("result") == repr(ascii(text))
        assert reply.script.read_bytes() == f"ascii({text!r})".encode()


@pytest.mark.parametrize("unit", ["x\n", "#", "é"])
def test_fifty_megabytes_of_code_are_refused_with_the_limit(raw: RawClient, unit: str) -> None:
    """As bytes of the request it may be twice as much: a line end is escaped."""
    asked = raw.begin_execute(unit * (50_000_000 // len(unit.encode())))
    answer = raw.answer(asked, 20)
    text = answer["error"]["message"] if "error" in answer else answer["result"]["content"][0]["text"]
    assert "limit" in text
    assert "5,000,000" in text or "33,554,432" in text
    assert raw.execute("ran").block("result") == "[]"


# --- names -----------------------------------------------------------------------------------------

_NAMES = [
    "../x",
    "../../../../../../tmp/kxtest-escaped",
    "/tmp/kxtest-escaped",
    "a/../../x",
    "nul\0byte",
    "$(id)",
    "`id`",
    "; rm -rf ~",
    "a\nb",
    "..",
    ".",
    "-rf",
    "~/x",
    "C:\\x",
    "con",
    "\u202egnp.py",
    "a" * 900,
    "ü" * 900,
    ".py",
    "../main@plain-1-sibling/x",
]


@pytest.mark.parametrize("name", _NAMES, ids=lambda name: repr(name)[:30])
@pytest.mark.usefixtures("nothing_outside")
def test_a_filename_stays_a_label_inside_the_storage_directory(
    client: Client, shared_home: Home, name: str
) -> None:
    reply = client.execute("'named'", filename=name)
    assert reply.state == "OK", reply.text
    assert reply.script.parent == shared_home.storage / "main@plain-1"
    assert reply.script.read_text() == "'named'"
    assert not os.path.lexists("/tmp/kxtest-escaped")
    assert not os.path.lexists("/tmp/kxtest-escaped.py")


@pytest.mark.parametrize(
    "name", ["../x", "/x", "a/b", "nul\0", "$(id)", "..", "x" * 300, "a b", "-x", "a\nb"]
)
@pytest.mark.usefixtures("nothing_outside")
def test_a_session_that_is_no_plain_name_is_refused(client: Client, name: str) -> None:
    reply = client.execute("1", session=name)
    assert reply.is_error
    assert not reply.state


def _script_folder(home: Home, outside: Path) -> None:
    (home.storage / "linked@plain-1").symlink_to(outside)


def _outputs_folder(home: Home, outside: Path) -> None:
    (home.storage / "linked@plain-1").mkdir()
    (home.storage / "linked@plain-1" / "outputs").symlink_to(outside)


def _output_file(home: Home, outside: Path) -> None:
    (home.storage / "linked@plain-1" / "outputs").mkdir(parents=True)
    (home.storage / "linked@plain-1" / "outputs" / "0001.txt").symlink_to(outside / "victim.txt")


def _script_file(home: Home, outside: Path) -> None:
    (home.storage / "linked@plain-1").mkdir()
    (home.storage / "linked@plain-1" / "0001.py").symlink_to(outside / "victim.txt")


def _notebook(home: Home, outside: Path) -> None:
    (home.storage / "linked@plain-1.ipynb").symlink_to(outside / "victim.txt")


def _new_notebook(home: Home, outside: Path) -> None:
    (home.storage / "linked@plain-1.ipynb").symlink_to(outside / "new.ipynb")


def _journal(home: Home, outside: Path) -> None:
    (home.storage / ".kernelexec").mkdir()
    (home.storage / ".kernelexec" / "linked@plain.jsonl").symlink_to(outside / "victim.txt")


def _journal_folder(home: Home, outside: Path) -> None:
    (home.storage / ".kernelexec").symlink_to(outside)


@pytest.mark.parametrize(
    "leave",
    [
        _script_folder,
        _script_file,
        _outputs_folder,
        _output_file,
        _notebook,
        _new_notebook,
        _journal,
        _journal_folder,
    ],
)
def test_a_link_in_the_storage_directory_does_not_lead_out(
    connect: Connect, home: Home, leave: Callable[[Home, Path], None]
) -> None:
    outside = home.path / "outside"
    outside.mkdir()
    (outside / "victim.txt").write_text("precious")
    home.storage.mkdir()
    home.breaks_journals = True  # one of them is no journal, but a link
    leave(home, outside)
    client = connect(home, KERNELEXEC_SESSION="linked", KERNELEXEC_CWD=str(home.path))
    client.execute("print('x' * 6_000_000)")
    client.execute("print('y' * 6_000_000)")
    home.command("stop", "--all")  # everything that is kept is on disk then
    eventually(lambda: not home.hubs())
    assert [path.name for path in outside.iterdir()] == ["victim.txt"]
    assert (outside / "victim.txt").read_text() == "precious"


# --- what runs in the kernel ------------------------------------------------------------------------


def test_a_child_of_the_kernel_does_not_reach_the_clients_stream(raw: RawClient, shared_home: Home) -> None:
    """The crude client fails on every line that is not JSON-RPC."""
    done = shared_home.path / "children-done"
    code = (
        "import os, subprocess, sys\n"
        "subprocess.Popen(['sh', '-c', 'echo junk; echo junk >&2; sleep .3; echo junk; echo junk >&2; '\n"
        f"                  'touch {done}'])\n"
        "for fd in (0, 1, 2):\n"
        "    try: os.write(fd, b'junk\\n')\n"
        "    except OSError: pass\n"
        "if os.fork() == 0:\n"
        "    os.write(1, b'junk from a fork\\n')\n"
        "    os._exit(0)\n"
        "os.system('echo junk')\n"
        "print('done')"
    )
    reply = raw.execute(code)
    assert reply.state == "OK", reply.text
    assert "done" in reply.text
    eventually(done.exists)
    assert raw.request("ping", {})["result"] == {}


def test_a_fork_that_returns_into_the_cell_answers_nothing_twice(raw: RawClient) -> None:
    code = "import os\npid = os.fork()\nif pid == 0:\n    os._exit(0)\nos.waitpid(pid, 0)\n'parent'"
    assert raw.execute(code).block("result") == "'parent'"
    assert raw.execute("'next'").block("result") == "'next'"


def test_a_kernel_does_not_know_the_way_to_the_hub(raw: RawClient) -> None:
    reply = raw.execute("import os\n[n for n in os.environ if 'KERNELEXEC' in n]")
    assert "KERNELEXEC" not in reply.block("result")


def test_output_that_looks_like_json_rpc_stays_output(raw: RawClient) -> None:
    line = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {}})
    reply = raw.execute(f"print({line!r})\nprint('[result]')")
    assert line in reply.block("stdout")
