"""The relay between a frontend and a live kernel: a real kernel, jupyter_client as the frontend, no hub."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from jupyter_client import BlockingKernelClient

from kernelexec.kernels.process import boot_id, identity
from kernelexec.kernels.registry import KernelEntry, Registry
from tests.real.test_launcher import TIMEOUT, Launched, text_of, wait_until

SESSION = "sales@analysis"


class Live:
    """A kernel of a session as a hub leaves it running, with an entry in a registry, and its frontends."""

    def __init__(self, place: Path) -> None:
        self.storage = place / "storage"
        (self.storage / ".kernelexec").mkdir(parents=True)
        self.state_home = place / "state"
        self.registry = Registry(self.state_home / "kernelexec" / "kernels")
        self.kernel = Launched()
        keeper, kernel = self.kernel.pids["keeper"], self.kernel.pids["kernel"]
        self.entry = KernelEntry(
            kernel_id="k1",
            place={
                "directory": str(self.kernel.directory),
                "boot": boot_id(),
                "keeper_pid": keeper,
                "keeper_identity": identity(keeper) or "",
                "kernel_pid": kernel,
                "kernel_identity": identity(kernel),
            },
            started="2026-11-25T00:00:00+00:00",
            generation=1,
            session_name="sales",
            storage_dir=str(self.storage),
            kernel_dir=str(self.storage),
            project=None,
            environment={"label": "analysis", "prefix": sys.prefix},
        )
        self.registry.write(self.entry)

    def frontend(self, notebook: str = f"{SESSION}-1.ipynb", **options) -> Launched:
        """What a Jupyter server starts for a notebook in the storage directory."""
        environment = {
            "JPY_SESSION_NAME": str(self.storage / notebook),
            "XDG_STATE_HOME": str(self.state_home),
            **options.pop("environment", {}),
        }
        return Launched(environment=environment, files=False, cwd=self.storage, **options)

    def close(self) -> None:
        self.kernel.__exit__()


@pytest.fixture
def new_live(tmp_path: Path) -> Iterator[Live]:
    live = Live(tmp_path)
    yield live
    live.close()


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """For the tests that leave the kernel alive."""
    live = Live(tmp_path_factory.mktemp("live"))
    yield live
    live.close()


def is_relayed(frontend: Launched, live: Live) -> bool:
    return frontend.value("os.getpid()") == live.kernel.pids["kernel"]


def shut_down(frontend: Launched, *, restart: bool = False) -> dict:
    """As jupyter_client's manager does: an interrupt first, then the request."""
    os.killpg(frontend.popen.pid, signal.SIGINT)
    return frontend.control("shutdown_request", {"restart": restart})


# What passes through


def test_a_notebook_of_the_session_gets_the_assistants_variables(live: Live) -> None:
    live.kernel.run("x = 41")
    with live.frontend() as frontend:
        reply, text = frontend.run("x += 1\nprint(x)")
        assert (reply["status"], text) == ("ok", "42\n")
    assert live.kernel.value("x") == 42


def test_a_notebook_of_an_earlier_generation_or_renamed_one_gets_the_sessions_kernel(live: Live) -> None:
    renamed = {"metadata": {"kernelexec": {"session": SESSION}}, "cells": [], "nbformat": 4}
    (live.storage / "renamed.ipynb").write_text(json.dumps(renamed))
    for notebook in (f"{SESSION}-17.ipynb", "renamed.ipynb", f"RTC:{SESSION}-1.ipynb"):
        with live.frontend(notebook) as frontend:
            assert is_relayed(frontend, live), notebook


def test_a_path_relative_to_the_servers_root_is_found_beside_the_kernels_directory(live: Live) -> None:
    with live.frontend(environment={"JPY_SESSION_NAME": f"deep/below/{SESSION}-1.ipynb"}) as frontend:
        assert is_relayed(frontend, live)


def test_any_other_notebook_gets_a_kernel_of_its_own(live: Live) -> None:
    with live.frontend("other@analysis-1.ipynb") as frontend:
        assert not is_relayed(frontend, live)


def test_questions_completion_inspection_history_and_debugging_pass(live: Live) -> None:
    with live.frontend() as frontend:
        msg_id = frontend.client.execute("name = input('Who? ')\nprint('Hello', name)")
        assert frontend.client.get_stdin_msg(timeout=TIMEOUT)["content"]["prompt"] == "Who? "
        frontend.client.input("Ada")
        assert frontend.reply(msg_id)["status"] == "ok"
        assert text_of(frontend.outputs(msg_id)) == "Hello Ada\n"
        assert "name" in frontend.reply(frontend.client.complete("nam"))["matches"]
        assert frontend.reply(frontend.client.inspect("name"))["found"]
        assert frontend.reply(frontend.client.history(hist_access_type="tail", n=1))["status"] == "ok"
        info = frontend.control("debug_request", {"type": "request", "command": "debugInfo", "seq": 1})
        assert info["success"]


def client_without_stdin(frontend: Launched) -> BlockingKernelClient:
    client = BlockingKernelClient(connection_file=str(frontend.directory / "connection.json"))
    client.load_connection_file()
    client.start_channels(stdin=False, hb=False)
    client.kernel_info(reply=True, timeout=TIMEOUT)
    return client


def ask(client: BlockingKernelClient) -> str:
    """Run a cell that asks a question, and return when the question has been on its way for long.

    After a cell that fails, a kernel aborts what comes at once, unless that cell asked it not to.
    """
    said = "threading.Timer(0.3, print, ['asked'], {'flush': True}).start()"
    code = f"import threading\n{said}\nname = input('Who? ')"
    msg_id = client.execute(code, allow_stdin=True, stop_on_error=False)
    while True:
        message = client.get_iopub_msg(timeout=TIMEOUT)
        if message["msg_type"] == "stream":
            return msg_id


def test_a_question_waits_for_a_frontend_whose_stdin_socket_connects_late(live: Live) -> None:
    with live.frontend() as frontend:
        client = client_without_stdin(frontend)
        msg_id = ask(client)
        client.stdin_channel.start()
        assert client.get_stdin_msg(timeout=TIMEOUT)["content"]["prompt"] == "Who? "
        client.input("Ada")
        assert client.get_shell_msg(timeout=TIMEOUT)["parent_header"]["msg_id"] == msg_id
        client.stop_channels()
        assert frontend.value("name") == "Ada"


def test_a_question_that_nobody_takes_holds_up_nothing_else(live: Live) -> None:
    with live.frontend() as frontend:
        client = client_without_stdin(frontend)
        msg_id = ask(client)
        assert frontend.control("kernel_info_request", {})["status"] == "ok"
        assert frontend.control("interrupt_request", {})["status"] == "ok"
        reply = client.get_shell_msg(timeout=TIMEOUT)
        assert (reply["parent_header"]["msg_id"], reply["content"]["ename"]) == (msg_id, "KeyboardInterrupt")
        client.stop_channels()
        assert is_relayed(frontend, live)


def test_messages_with_buffers_pass_to_a_comm_and_back(live: Live) -> None:
    live.kernel.run(
        "def opened(comm, message):\n"
        "    def on_msg(message):\n"
        "        data = bytes(message['buffers'][0])\n"
        "        comm.send({'n': len(data)}, buffers=[data[::-1]])\n"
        "    comm.on_msg(on_msg)\n"
        "get_ipython().kernel.comm_manager.register_target('echo', opened)"
    )
    with live.frontend() as frontend:
        session = frontend.client.session
        channel = frontend.client.shell_channel
        channel.send(session.msg("comm_open", {"comm_id": "c1", "target_name": "echo", "data": {}}))
        session.send(
            channel.socket, "comm_msg", {"comm_id": "c1", "data": {}}, buffers=[b"\x00\x01\xff" * 1000]
        )
        while True:
            message = frontend.client.get_iopub_msg(timeout=TIMEOUT)
            if message["msg_type"] == "comm_msg":
                break
        assert message["content"]["data"] == {"n": 3000}
        assert bytes(message["buffers"][0]) == b"\xff\x01\x00" * 1000


def test_two_frontends_each_get_their_own_replies_and_see_all_output(live: Live) -> None:
    with live.frontend() as one, live.frontend() as two:
        mine, yours = one.send("print('one')"), two.send("print('two')")
        assert one.reply(mine)["status"] == two.reply(yours)["status"] == "ok"
        assert text_of(one.outputs(yours)) == "two\n"
        assert text_of(two.outputs(mine)) == "one\n"


def test_output_is_complete_also_for_a_frontend_that_reads_slowly(live: Live) -> None:
    lines = 5_000
    with live.frontend() as frontend:
        msg_id = frontend.send(f"import sys\nfor n in range({lines}): print(n); sys.stdout.flush()")
        time.sleep(0.5)  # nothing is read meanwhile; all queues between fill up
        text = text_of(frontend.outputs(msg_id))
    assert text == "".join(f"{n}\n" for n in range(lines))


def test_a_message_with_a_wrong_signature_is_not_passed_on(live: Live) -> None:
    with live.frontend(stderr=subprocess.PIPE) as frontend:
        stranger = BlockingKernelClient(connection_file=str(frontend.directory / "connection.json"))
        stranger.load_connection_file()
        stranger.session.key = b"guessed"
        stranger.start_channels(hb=False)
        stranger.execute("stranger = True")
        with pytest.raises(queue.Empty):
            stranger.get_shell_msg(timeout=0.5)
        stranger.stop_channels()
        assert frontend.value("'stranger' in globals()") is False
        shut_down(frontend)
        assert b"wrong signature" in frontend.popen.communicate(timeout=TIMEOUT)[1]


def test_what_is_no_message_is_dropped_and_said_and_the_rest_passes(live: Live) -> None:
    """Signed by the right key, so from the frontend itself or an extension of it."""
    with live.frontend(stderr=subprocess.PIPE) as frontend:
        sign = frontend.client.session.sign
        deep = b"[" * 100_000
        bodies = [
            [b'["shutdown_request"]', b"{}", b"{}", b"{}"],
            [b'"shutdown_request"', b"{}", b"{}", b"{}"],
            [b'{"msg_type": "shutdown_request"}', b"{}", b"{}", b"[]"],
            [b'{"msg_type": "shutdown_request"}', b"{}", b"{}", b"\xff\x00"],
            [b'"interrupt_request"' + deep, b"{}", b"{}", b"{}"],
            [deep + b'"interrupt_request"', b"{}", b"{}", b"{}"],
            [b'{"msg_type": "shutdown_request"}'],
            [],
        ]
        for channel in (frontend.client.shell_channel, frontend.client.control_channel):
            for body in bodies:
                channel.socket.send_multipart([b"<IDS|MSG>", sign(body), *body])
            for frames in ([b""], [b"<IDS|MSG>"], [b"no delimiter"] * 5):
                channel.socket.send_multipart(frames)
        assert is_relayed(frontend, live)
        shut_down(frontend)
        said = frontend.popen.communicate(timeout=TIMEOUT)[1].decode()
        assert said.count("was dropped") == len(said.splitlines()) == 2 * (len(bodies) + 3)


def test_the_relay_lives_when_code_in_the_kernel_publishes_nonsense(live: Live) -> None:
    with live.frontend() as frontend:
        frontend.run(
            "kernel = get_ipython().kernel\n"
            "kernel.session.send(kernel.iopub_socket, 'status', content=[], ident=b'x')\n"
            "kernel.iopub_socket.send_multipart([b'no message'])"
        )
        assert is_relayed(frontend, live)


def test_the_heartbeat_is_the_kernels(live: Live) -> None:
    with live.frontend() as frontend, zmq.Context() as context:
        heart = context.socket(zmq.REQ)
        heart.linger = 0
        frontend.client.load_connection_file()
        heart.connect(f"ipc://{frontend.client.ip}-{frontend.client.hb_port}")
        heart.send(b"ping")
        assert heart.poll(TIMEOUT * 1000)
        assert heart.recv() == b"ping"
        os.kill(live.kernel.pids["kernel"], signal.SIGSTOP)
        try:
            heart.send(b"ping")
            assert not heart.poll(300)
        finally:
            os.kill(live.kernel.pids["kernel"], signal.SIGCONT)
        assert heart.poll(TIMEOUT * 1000)
        heart.close()


# The indicator


def states(frontend: Launched, until: str) -> list[str]:
    """The execution states that a frontend hears, up to one."""
    heard: list[str] = []
    while until not in heard:
        message = frontend.client.get_iopub_msg(timeout=TIMEOUT)
        if message["msg_type"] == "status":
            heard.append(message["content"]["execution_state"])
    return heard


def test_a_frontend_that_comes_during_a_run_connects_and_shows_busy_until_its_end(live: Live) -> None:
    msg_id = live.kernel.start_run("import time\ntime.sleep(60)")
    with live.frontend(connect=False) as frontend:
        assert frontend.client.kernel_info(reply=True, timeout=TIMEOUT)["content"]["status"] == "ok"
        states(frontend, "busy")
        frontend.client.kernel_info(reply=True, timeout=TIMEOUT)
        states(frontend, "idle")
        assert states(frontend, "busy") == ["busy"]  # again, at once
        assert live.kernel.interrupt(msg_id), "it waited for the run's end"
        assert live.kernel.reply(msg_id)["ename"] == "KeyboardInterrupt"
        assert states(frontend, "idle")[-1] == "idle"


def test_what_is_served_beside_a_run_does_not_make_the_kernel_look_idle(live: Live) -> None:
    with live.frontend() as frontend:
        msg_id = live.kernel.start_run("import time\ntime.sleep(1)")
        states(frontend, "busy")
        live.kernel.control("kernel_info_request", {})
        states(frontend, "idle")
        assert states(frontend, "busy") == ["busy"]  # again, at once
        assert live.kernel.reply(msg_id)["status"] == "ok"
        states(frontend, "idle")


# The buttons


def test_to_shut_down_is_to_let_go_and_interrupts_nothing(live: Live) -> None:
    with live.frontend() as frontend:
        msg_id = live.kernel.start_run("import time\ntime.sleep(0.5)")
        assert shut_down(frontend) == {"status": "ok", "restart": False}
        assert frontend.popen.wait(TIMEOUT) == 0
        assert live.kernel.reply(msg_id)["status"] == "ok"
    assert live.kernel.value("1 + 1") == 2


@pytest.mark.parametrize("by", ["signal", "message"])
def test_an_interrupt_ends_the_run_that_is_seen_and_the_relay_lives(live: Live, by: str) -> None:
    with live.frontend() as frontend:
        msg_id = live.kernel.start_run("import time\ntime.sleep(30)")
        frontend.wait_for("stream", msg_id)
        if by == "signal":
            os.killpg(frontend.popen.pid, signal.SIGINT)
        else:
            assert frontend.control("interrupt_request", {})["status"] == "ok"
        assert live.kernel.reply(msg_id)["ename"] == "KeyboardInterrupt"
        assert is_relayed(frontend, live)


def test_an_interrupt_does_not_reach_a_run_that_began_after_it(live: Live) -> None:
    with live.frontend() as frontend:
        first = live.kernel.start_run("import time\ntime.sleep(0.05)")
        frontend.wait_for("stream", first)
        os.killpg(frontend.popen.pid, signal.SIGINT)
        assert live.kernel.reply(first)["status"] == "ok"
        reply, _ = live.kernel.run("time.sleep(0.3)")
        assert reply["status"] == "ok"


def test_an_interrupt_reaches_a_run_that_began_before_the_frontend_came(live: Live) -> None:
    msg_id = live.kernel.start_run("import time\ntime.sleep(30)")
    with live.frontend(connect=False) as frontend:
        frontend.client.kernel_info(reply=True, timeout=TIMEOUT)
        os.killpg(frontend.popen.pid, signal.SIGINT)
        assert live.kernel.reply(msg_id)["ename"] == "KeyboardInterrupt"


def test_the_end_of_the_server_ends_the_relay_only(live: Live) -> None:
    starter = (
        "import os, subprocess, sys, time\n"
        "os.environ['JPY_PARENT_PID'] = str(os.getpid())\n"
        "print(subprocess.Popen(sys.argv[1:]).pid, flush=True)\n"
        "time.sleep(60)"
    )
    with live.frontend(connect=False) as frontend:  # for its connection file; the second relay takes it over
        frontend.connect()
        shut_down(frontend)
        frontend.popen.wait(TIMEOUT)
        environ = {
            **os.environ,
            "JPY_SESSION_NAME": str(live.storage / f"{SESSION}-1.ipynb"),
            "XDG_STATE_HOME": str(live.state_home),
        }
        server = subprocess.Popen(
            [sys.executable, "-c", starter, *frontend.popen.args], env=environ, stdout=subprocess.PIPE
        )
        assert server.stdout is not None
        relay = int(server.stdout.readline())
        frontend.connect()
        server.kill()
        server.wait()
        server.stdout.close()
        wait_until(lambda: identity(relay) is None)
    assert live.kernel.value("1 + 1") == 2


# The ends of the kernel


def test_a_restart_without_a_hub_ends_the_kernel_and_the_next_start_is_an_ordinary_kernel(
    new_live: Live,
) -> None:
    new_live.kernel.run("x = 1")
    with new_live.frontend() as frontend:
        assert shut_down(frontend, restart=True) == {"status": "ok", "restart": True}
        assert frontend.popen.wait(TIMEOUT) == 0
    new_live.kernel.popen.wait(TIMEOUT)
    with new_live.frontend() as frontend:
        assert frontend.value("'x' in globals()") is False


def test_the_death_of_the_kernel_ends_the_relay_after_its_last_output(new_live: Live) -> None:
    with new_live.frontend() as frontend:
        # The wait is for zmq's own thread in the kernel, which writes what was flushed.
        say = "print('last words', flush=True)\ntime.sleep(0.2)"
        msg_id = frontend.send(f"import os, time\n{say}\nos.kill(os.getpid(), 9)")
        assert frontend.wait_for("stream", msg_id)["text"] == "last words\n"
        assert frontend.popen.wait(TIMEOUT) == 0
