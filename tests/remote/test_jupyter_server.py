"""Kernels of a real jupyter_server, used by real clients."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.real.clients import Client
from tests.real.home import Home, eventually, until
from tests.remote.nginx import own_certificate
from tests.remote.servers import TOKEN, KernelServer
from tests.remote.wire_cutter import WireCutter

Use = Callable[..., Client]
Start = Callable[..., KernelServer]


@pytest.fixture
def client(use: Use, shared_home: Home, shared_server: KernelServer) -> Client:
    return use(shared_home, shared_server)


def test_code_runs_where_the_server_is_and_is_recorded_here(
    client: Client, shared_home: Home, shared_server: KernelServer
) -> None:
    first = client.execute("x = 6 * 7\nprint('hello')\nx")
    assert first.state == "OK", first.text
    assert (first.block("stdout"), first.block("result")) == ("hello", "42")
    assert f"Code reads and writes in {shared_server.work} on {os.uname().nodename}" in first.text
    second = client.execute("import os; print(os.getcwd(), x)")
    assert second.block("stdout") == f"{shared_server.work} 42"
    assert f"in {shared_server.work} on {os.uname().nodename}; scripts and notebook are here" in second.text
    assert first.script.read_text() == "x = 6 * 7\nprint('hello')\nx"
    notebook = json.loads(eventually(lambda: _notebook_with(shared_home, "os.getcwd()")))
    assert [cell["cell_type"] for cell in notebook["cells"]].count("code") >= 2
    facts = client.config()
    assert facts["interrupts"] == "reach only the run they are meant for"
    assert facts["runs"].startswith("Python 3.")
    assert "x     int" in client.call("list_variables", {}).text


def _notebook_with(home: Home, text: str) -> str:
    found = [path.read_text() for path in home.storage.glob("*.ipynb")]
    return next((each for each in found if text in each), "")


def test_both_of_a_server_s_protocols_carry_a_run_with_its_output_input_and_error(
    use: Use, home: Home, start_server: Start
) -> None:
    """The second is what servers without the first speak: this one is told to."""
    old = start_server("--ZMQChannelsWebsocketConnection.kernel_ws_protocol=")
    client = use(home, old)
    assert client.execute("print('a' * 3); 1 + 1").block("result") == "2"
    asked = client.execute("print(input('Name? ').upper())", wait_seconds=20)
    assert asked.state == "WAITING FOR INPUT", asked.text
    told = client.call("send_input", {"execution_id": asked.id, "text": "ann"})
    assert told.block("stdout") == "Name? ann\nANN", told.text
    failed = client.execute("1 / 0")
    assert failed.state == "ERROR"
    assert "ZeroDivisionError" in failed.verdict


def test_memory_and_processor_are_told_by_the_kernel_itself(client: Client, tmp_path: Path) -> None:
    client.execute("1")
    before = used_by(client)
    client.execute("kept = bytearray(300_000_000); kept[::1000] = bytes(300_000)")
    assert used_by(client)[0] > before[0] + 200
    begun = tmp_path / "begun"
    busy = client.execute(f"open({str(begun)!r}, 'w').close()\nwhile True: pass", wait_seconds=0)
    eventually(begun.exists)
    assert eventually(lambda: used_by(client)[1] > 10)
    client.call("interrupt_kernel", {"session": busy.session})
    client.execute("del kept")


def used_by(client: Client) -> tuple[float, int]:
    """Megabytes, and per cent of a processor, as list_kernels has them."""
    text = client.call("list_kernels", {}).text
    found = re.search(r"memory ([\d.,]+) (MB|GB), processor (\d+)%", text)
    assert found, text
    return float(found[1].replace(",", "")) * (1000 if found[2] == "GB" else 1), int(found[3])


def test_a_question_is_asked_and_answered(client: Client) -> None:
    asked = client.execute("print(input('Name? ').upper())", wait_seconds=20)
    assert asked.state == "WAITING FOR INPUT", asked.text
    told = client.call("send_input", {"execution_id": asked.id, "text": "ann"})
    assert told.block("stdout") == "Name? ann\nANN", told.text


def test_an_interrupt_reaches_the_run_that_it_names_and_variables_stay(
    client: Client, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    running = client.execute("kept = 1\n" + until(tmp_path / "never", begun), wait_seconds=0)
    eventually(begun.exists)
    reply = client.call("interrupt_kernel", {"session": running.session})
    assert reply.state == "INTERRUPTED", reply.text
    assert client.execute("kept").block("result") == "1"


def test_fifty_megabytes_come_whole_and_in_order_though_the_server_drops_most(client: Client) -> None:
    lines = 500_000
    code = f"for n in range({lines}): print(f'{{n:099d}}')"
    reply = client.execute(code, wait_seconds=50)
    if reply.state == "RUNNING":
        reply = client.wait_for(reply.id, wait_seconds=50)
    assert reply.state == "OK", reply.text[:3000]
    assert "rate exceeded" not in reply.text
    file = Path(next(word for word in reply.text.split() if "/outputs/" in word).strip(".,;:()"))
    assert file.read_text().splitlines() == [f"{n:099d}" for n in range(lines)]


def test_what_is_displayed_faster_than_the_server_passes_on_comes_whole_and_in_order(
    client: Client, shared_home: Home
) -> None:
    code = (
        "from IPython.display import display\n"
        "for n in range(3000): display({'text/plain': f'number {n}'}, raw=True)"
    )
    reply = client.execute(code, wait_seconds=50)
    assert reply.state == "OK", reply.text[:3000]
    notebook = json.loads(eventually(lambda: _notebook_with(shared_home, "number 2999")))
    shown = [
        output["data"]["text/plain"]
        for cell in notebook["cells"]
        for output in cell.get("outputs", ())
        if "number" in str(output.get("data"))
    ]
    assert ["".join(text) for text in shown] == [f"number {n}" for n in range(3000)]


def test_code_that_the_server_would_not_take_is_refused_before_it_is_sent(client: Client) -> None:
    client.execute("kept = 1")
    reply = client.execute(f"'{'é' * 2_000_000}'")  # six characters each in JSON
    assert reply.state == "NOT RUN", reply.text[:1000]
    assert "10 MiB" in reply.text
    assert client.execute("kept").block("result") == "1"


def test_the_server_s_kernelspecs_are_listed_and_can_be_chosen_and_no_other_server_s(
    client: Client, shared_server: KernelServer
) -> None:
    client.execute("1")
    listed = client.call("list_environments", {}).text
    assert f"* {shared_server.url}#python3: python" in listed
    name = f"{shared_server.url}#python3"
    chosen = client.call("configure_environment", {"type": "kernelspec", "kernel_name": name})
    assert not chosen.is_error, chosen.text
    other = client.call(
        "configure_environment", {"type": "kernelspec", "kernel_name": "http://127.0.0.1:1#python3"}
    )
    assert "another server than GATEWAY_URL" in other.text


def test_what_only_works_at_home_is_refused_with_what_to_do(client: Client) -> None:
    refused = client.call("install_dependencies", {"packages": ["six"]})
    assert "%pip install" in refused.text


def test_lab_opens_no_notebook_of_a_kernel_that_it_cannot_join(
    use: Use, home: Home, start_server: Start
) -> None:
    server = start_server()
    ran = use(home, server).execute("x = 1", wait_seconds=50)
    for stopped in (False, True):
        if stopped:
            home.command("stop", ran.session)
            home.end_hub(signal.SIGTERM)
        refused = home.command("lab", "--no-browser", ran.session)
        assert refused.returncode != 0
        assert f"is one of {server.url}, which a JupyterLab here cannot join" in refused.stderr
        assert "among its running kernels" in refused.stderr


def test_packages_are_installed_by_code(client: Client) -> None:
    """What is there already is found without a network."""
    reply = client.execute("%pip install --no-index psutil", wait_seconds=50)
    assert "Requirement already satisfied: psutil" in reply.text


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl on this machine")
def test_a_certificate_of_an_own_authority_is_told_and_trusted_once_it_is_named(
    use: Use, home: Home, tmp_path: Path
) -> None:
    certificate = own_certificate(tmp_path)
    server = KernelServer(tmp_path / "tls", certificate=certificate)
    try:
        told = use(home, server).execute("1")
        assert "is not trusted" in told.text, told.text
        assert "GATEWAY_CA_FILE" in told.text
        trusting = use(home, server, GATEWAY_CA_FILE=str(certificate))
        assert trusting.execute("6 * 7", wait_seconds=50).block("result") == "42"
        plain = use(home, server, GATEWAY_URL=server.url.replace("https", "http"))
        assert "could not be reached" in plain.execute("1").text
    finally:
        server.close()


def test_the_doctor_tries_the_server_s_kernel(use: Use, home: Home, shared_server: KernelServer) -> None:
    well = use(home, shared_server).call("diagnose_setup", {})
    assert "its kernel answers by websocket" in well.text
    assert "passes on 1.0 MB of output a second; what is more is had from the kernel's memory" in well.text
    assert "idle" not in well.text
    refused = use(home, shared_server, JUPYTER_TOKEN="wrong").call("diagnose_setup", {})
    assert "does not accept the token" in refused.text


def test_restart_and_stop_end_the_kernel_on_its_server(use: Use, home: Home, start_server: Start) -> None:
    server = start_server()
    client = use(home, server)
    first = client.execute("x = 1")
    (before,) = server.kernels()
    restarted = client.call("restart_kernel", {"session": first.session})
    assert not restarted.is_error, restarted.text
    (after,) = server.kernels()
    assert after != before
    assert "NameError" in client.execute("x").verdict
    client.call("stop_kernel", {"session": first.session})
    assert server.kernels() == []


@pytest.mark.parametrize(
    ("end", "cause"),
    [
        ("import os; os._exit(3)", "its process ended, and has started another in its place"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "and has started another"),
    ],
)
def test_a_death_is_told_and_what_the_server_put_in_its_place_is_not_taken_for_it(
    use: Use, home: Home, start_server: Start, end: str, cause: str
) -> None:
    server = start_server()
    client = use(home, server)
    client.execute("kept = 1")
    died = client.execute(end, wait_seconds=40)
    assert died.state == "DIED", died.text
    assert cause in died.text
    again = client.execute("'kept' in dir()")
    assert again.block("result") == "False"
    assert "generation 2" in again.text
    eventually(lambda: len(server.kernels()) == 1)


def test_who_ends_or_restarts_the_kernel_on_its_server_is_told_of(
    use: Use, home: Home, start_server: Start, tmp_path: Path
) -> None:
    server = start_server()
    client = use(home, server)
    begun = tmp_path / "begun"
    running = client.execute(until(tmp_path / "never", begun), wait_seconds=0)
    eventually(begun.exists)
    (kernel,) = server.kernels()
    server.api(f"kernels/{kernel}", "DELETE")
    ended = client.wait_for(running.id, wait_seconds=30)
    assert ended.state == "DIED", ended.text
    assert "it was ended on its server" in ended.text
    client.execute("x = 1")
    (kernel,) = server.kernels()
    server.api(f"kernels/{kernel}/restart", "POST", {})
    told = client.execute("x")
    assert told.state == "NOT RUN", told.text
    assert "restarted it on its server" in told.text


def test_a_kernel_that_its_server_culled_is_told_as_that(use: Use, home: Home, start_server: Start) -> None:
    server = start_server(
        "--MappingKernelManager.cull_idle_timeout=2",
        "--MappingKernelManager.cull_interval=1",
        "--MappingKernelManager.cull_connected=True",
    )
    client = use(home, server)
    found = client.call("diagnose_setup", {}).text
    assert "its server ends a kernel that was idle for 2 s: variables are lost then" in found, found
    assert "have its cull_idle_timeout raised" in found
    client.execute("x = 1")
    busy = client.execute("import time; time.sleep(6); 'not culled'", wait_seconds=30)
    assert busy.block("result") == "'not culled'", busy.text
    eventually(lambda: server.kernels() == [])
    told = client.execute("x")
    assert told.state == "NOT RUN", told.text
    assert "idle for too long" in told.text


_COUNTING = """import os, time
n = 0
open({begun!r}, "w").close()
while not os.path.exists({gate!r}):
    print(n); n += 1; time.sleep(0.01)
n"""


@pytest.fixture
def cutter(shared_server: KernelServer) -> Iterator[WireCutter]:
    cutter = WireCutter(shared_server.port)
    yield cutter
    cutter.close()


def test_output_that_a_cut_link_has_lost_is_had_again(
    use: Use, home: Home, shared_server: KernelServer, cutter: WireCutter, tmp_path: Path
) -> None:
    client = use(home, shared_server, GATEWAY_URL=f"http://127.0.0.1:{cutter.port}")
    gate, begun = tmp_path / "gate", tmp_path / "begun"
    running = client.execute(_COUNTING.format(gate=str(gate), begun=str(begun)), wait_seconds=0)
    eventually(begun.exists)
    for times in (1, 2, 3):
        assert cutter.cut()
        eventually(lambda times=times: home.log().count("is up again") == times)
    gate.write_text("")
    ended = client.wait_for(running.id, wait_seconds=40)
    assert ended.state == "OK", ended.text
    count = int(ended.block("result"))
    notebook = json.loads(eventually(lambda: _notebook_with(home, "execute_result")))
    (cell,) = [each for each in notebook["cells"] if each["cell_type"] == "code"]
    printed = "".join("".join(each.get("text", "")) for each in cell["outputs"])
    assert printed.split() == [str(n) for n in range(count)]


def test_while_a_link_is_down_that_is_told_and_a_run_that_ended_meanwhile_is_told_after_it(
    use: Use, home: Home, shared_server: KernelServer, cutter: WireCutter, tmp_path: Path
) -> None:
    client = use(home, shared_server, GATEWAY_URL=f"http://127.0.0.1:{cutter.port}")
    gate, begun, ended = tmp_path / "gate", tmp_path / "begun", tmp_path / "ended"
    code = f"{until(gate, begun)}print('after')\nopen({str(ended)!r}, 'w').close()\n6 * 7"
    running = client.execute(code, wait_seconds=0)
    eventually(begun.exists)
    eventually(lambda: client.wait_for(running.id, wait_seconds=0).state == "RUNNING")  # that has come here
    cutter.part()
    eventually(lambda: "is down: " in home.log())
    told = client.wait_for(running.id, wait_seconds=0)
    assert told.state == "RUNNING", told.text
    assert "The link to its kernel has been down since" in told.text
    assert "not known whether the run goes on" in told.text
    assert "the link to it has been down" in client.call("list_kernels", {}).text
    gate.write_text("")
    eventually(ended.exists)
    cutter.mend()
    whole = client.wait_for(running.id, wait_seconds=40)
    assert (whole.state, whole.block("stdout"), whole.block("result")) == ("OK", "after", "42"), whole.text


def test_what_is_submitted_while_the_link_is_down_runs_once_it_is_up_and_runs_once(
    use: Use, home: Home, shared_server: KernelServer, cutter: WireCutter
) -> None:
    client = use(home, shared_server, GATEWAY_URL=f"http://127.0.0.1:{cutter.port}")
    client.execute("runs = 0")
    cutter.part()
    eventually(lambda: "is down: " in home.log())
    waiting = client.execute("runs += 1; runs", wait_seconds=1)
    assert waiting.state == "QUEUED", waiting.text
    assert "The link to its kernel has been down since" in waiting.text
    cutter.mend()
    assert client.wait_for(waiting.id, wait_seconds=40).block("result") == "1"
    assert client.execute("runs").block("result") == "1"


def test_a_kernel_whose_server_is_not_reached_is_not_said_to_be_stopped(
    use: Use, home: Home, shared_server: KernelServer, cutter: WireCutter
) -> None:
    client = use(home, shared_server, GATEWAY_URL=f"http://127.0.0.1:{cutter.port}")
    first = client.execute("1")
    cutter.part()
    eventually(lambda: "the link to it has been down" in client.call("list_kernels", {}).text)
    said = "let go of, but their server was not reached, so they may run on there"
    assert home.command("stop", first.session).stdout == f"{said}: {first.session}\n"


def test_a_server_that_hangs_is_told_and_its_run_goes_on_once_it_does(
    use: Use, home: Home, start_server: Start
) -> None:
    server = start_server()
    client = use(home, server)
    client.execute("runs = 0")
    server.freeze()
    sent = client.execute("runs += 1; runs", wait_seconds=0)
    assert sent.state in ("RUNNING", "QUEUED"), sent.text
    told = eventually(lambda: _lost(client, sent.id), seconds=90)
    assert "has been down since" in told
    assert "keepalive" not in told  # a word of the library's
    server.thaw()
    assert client.wait_for(sent.id, wait_seconds=40).block("result") == "1"
    assert client.execute("runs").block("result") == "1"


def _lost(client: Client, execution: str) -> str:
    text = client.wait_for(execution, wait_seconds=0).text
    return text if "link" in text else ""


def test_a_call_is_not_put_off_by_delayed_acknowledgements(client: Client) -> None:
    """Which take 40 ms each."""
    client.execute("x = 0")

    def seconds() -> float:
        began = time.monotonic()
        client.execute("x += 1; x")
        return time.monotonic() - began

    assert min(seconds() for _ in range(50)) < 0.035


def test_a_server_that_is_started_anew_has_lost_the_kernel_and_that_is_told(
    use: Use, home: Home, start_server: Start
) -> None:
    server = start_server()
    client = use(home, server)
    client.execute("x = 1")
    server.kill()
    server.start_again()
    told = client.execute("x", wait_seconds=40)
    assert told.state in ("NOT RUN", "DIED"), told.text
    assert "its server does not know it any more" in told.text
    assert client.execute("'x' in dir()").block("result") == "False"


def test_a_hub_that_is_killed_leaves_the_run_and_the_next_has_it_all(
    use: Use, home: Home, start_server: Start, tmp_path: Path
) -> None:
    server = start_server()
    client = use(home, server)
    gate, begun = tmp_path / "gate", tmp_path / "begun"
    code = f"print('before')\n{until(gate, begun)}print('after')\n6 * 7"
    running = client.execute(code, wait_seconds=0)
    eventually(begun.exists)
    home.end_hub(signal.SIGKILL)
    gate.write_text("")
    ended = client.wait_for(running.id, wait_seconds=40)
    assert ended.state == "OK", ended.text
    assert ended.block("stdout") == "before\nafter"
    assert ended.block("result") == "42"


def test_no_token_is_anywhere_but_where_the_person_put_it(use: Use, home: Home, start_server: Start) -> None:
    server = start_server()
    client = use(home, server, KERNELEXEC_TRACE="1")
    replies = [
        client.execute("import os; print(sorted(os.environ.values())); 1 / 0"),
        client.call("get_environment_config", {}),
        client.call("list_environments", {}),
        client.call("list_kernels", {}),
        client.call("diagnose_setup", {}),
    ]
    server.kill()
    replies.append(client.execute("1", wait_seconds=2))
    wrong = use(home, server, GATEWAY_URL=f"{server.url}/?token={TOKEN}")
    replies.append(wrong.execute("1"))
    assert "GATEWAY_URL holds a secret" in replies[-1].text
    for reply in replies:
        assert TOKEN not in reply.text
    for path in [*home.path.rglob("*"), *home.runtime.rglob("*")]:
        if path.is_file():
            assert TOKEN.encode() not in path.read_bytes(), path


@pytest.mark.skipif(not Path("/usr/share/jupyter/kernels/ir").exists(), reason="no R on this machine")
def test_another_language_is_recorded_and_interrupted_and_what_is_weaker_is_said(
    use: Use, home: Home, start_server: Start, tmp_path: Path
) -> None:
    client = use(home, start_server(), GATEWAY_KERNEL="ir")
    first = client.execute("x <- 6 * 7\nx", wait_seconds=50)
    assert first.state == "OK", first.text
    assert "42" in first.text
    assert "its kernel does not tell in which directory" in first.text
    assert first.script.suffix == ".r"
    assert "best effort" in client.config()["interrupts"]
    begun = tmp_path / "begun"
    running = client.execute(f"file.create('{begun}'); Sys.sleep(600)", wait_seconds=0)
    eventually(begun.exists)
    stopped = client.call("interrupt_kernel", {"session": running.session})
    assert stopped.state in ("INTERRUPTED", "ERROR"), stopped.text
    assert "42" in client.execute("x", wait_seconds=50).text
