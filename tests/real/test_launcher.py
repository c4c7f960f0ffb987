"""The launcher with a real ipykernel, driven by jupyter_client as any Jupyter front end would."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import queue
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

import pytest
from jupyter_client import BlockingKernelClient
from jupyter_client.connect import write_connection_file

LAUNCHER = Path(__file__).parents[2] / "kernelspecs" / "launcher" / "launcher.py"
LINUX = sys.platform.startswith("linux")
TIMEOUT = 60.0  # seconds; nothing here takes long unless it is broken


def short_directory() -> tempfile.TemporaryDirectory[str]:
    """For sockets, whose paths have at most 107 bytes."""
    return tempfile.TemporaryDirectory(dir="/tmp", prefix="kl")


class Launched:
    """A launcher, its two processes, and one client of its kernel."""

    def __init__(self, arguments=(), options=(), environment=None, files=True, connect=True, **popen) -> None:
        self.temporary = short_directory()
        self.directory = Path(self.temporary.name)
        self.process_file = self.directory / "process.json"
        self.exit_file = self.directory / "exit.json"
        connection_file = str(self.directory / "connection.json")
        write_connection_file(connection_file, transport="ipc", ip=str(self.directory / "ipc"))
        own = ["--process-file", str(self.process_file), "--exit-file", str(self.exit_file)] if files else []
        environ = {name: value for name, value in os.environ.items() if name != "JPY_PARENT_PID"}
        self.popen = subprocess.Popen(
            [sys.executable, str(LAUNCHER), *options, *own, "-f", connection_file, *arguments],
            **{
                "env": {**environ, **(environment or {})},
                "start_new_session": True,
                "stdin": subprocess.DEVNULL,
                "stdout": subprocess.DEVNULL,
                **popen,
            },
        )
        self.client = BlockingKernelClient(connection_file=connection_file)
        self.client.load_connection_file()
        self.client.start_channels(hb=False)
        if connect:
            self.connect()

    def __enter__(self) -> Launched:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.stop_channels()
        pids = [self.popen.pid]
        if self.process_file.exists():
            pids.append(self.pids["kernel"])
        for pid in pids:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.popen.pid, signal.SIGKILL)  # a kernel without a process file, whose keeper is gone
        self.popen.wait(TIMEOUT)
        self.temporary.cleanup()

    @property
    def pids(self) -> dict[str, int]:
        wait_until(self.process_file.exists)
        return json.loads(self.process_file.read_text())

    @property
    def exit(self) -> dict[str, object]:
        return json.loads(self.exit_file.read_text())

    def connect(self) -> None:
        """Wait until the kernel replies and its iopub has taken note of us."""
        deadline = time.monotonic() + TIMEOUT
        self.client.kernel_info(reply=True, timeout=TIMEOUT)
        while time.monotonic() < deadline:
            msg_id = self.client.kernel_info()
            self.reply(msg_id)
            try:
                self.outputs(msg_id, timeout=0.5)
                return
            except queue.Empty:
                pass
        raise TimeoutError("no status on iopub")

    def send(self, code: str) -> str:
        return self.client.execute(code, allow_stdin=False, stop_on_error=False)

    def reply(self, msg_id: str) -> dict:
        while True:
            message = self.client.get_shell_msg(timeout=TIMEOUT)
            if message["parent_header"].get("msg_id") == msg_id:
                return message["content"]

    def outputs(self, msg_id: str, timeout: float = TIMEOUT) -> list[dict]:
        """All that iopub says about a request, up to idle."""
        messages = []
        while True:
            message = self.client.get_iopub_msg(timeout=timeout)
            if message["parent_header"].get("msg_id") == msg_id:
                messages.append(message)
                if message["content"].get("execution_state") == "idle":
                    return messages

    def run(self, code: str) -> tuple[dict, str]:
        """Run a cell; return the reply and what it printed."""
        msg_id = self.send(code)
        reply = self.reply(msg_id)
        return reply, text_of(self.outputs(msg_id))

    def value(self, expression: str) -> object:
        reply, text = self.run(f"import json, os, sys\nprint(json.dumps({expression}))")
        assert reply["status"] == "ok", reply
        return json.loads(text)

    def start_run(self, code: str) -> str:
        """Send a cell and return when its code runs.

        What is printed without a flush is sent 0.2 s later by another thread, deep in the cell's code.
        """
        msg_id = self.send(f"print('running')\n{code}")
        self.wait_for("stream", msg_id)
        return msg_id

    def wait_for(self, msg_type: str, msg_id: str) -> dict:
        while True:
            message = self.client.get_iopub_msg(timeout=TIMEOUT)
            if message["msg_type"] == msg_type and message["parent_header"].get("msg_id") == msg_id:
                return message["content"]

    def control(self, msg_type: str, content: dict) -> dict:
        message = self.client.session.msg(msg_type, content)
        self.client.control_channel.send(message)
        while True:
            reply = self.client.get_control_msg(timeout=TIMEOUT)
            if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                return reply["content"]

    def interrupt(self, msg_id: str) -> bool:
        reply = self.control("interrupt_request", {"kernelexec": {"msg_id": msg_id}})
        assert reply["status"] == "ok"
        return reply["kernelexec"]["interrupted"]


def text_of(messages: list[dict]) -> str:
    return "".join(message["content"]["text"] for message in messages if message["msg_type"] == "stream")


def is_alive(pid: int) -> bool:
    """Whether the process exists and is no zombie (of whoever adopted it)."""
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], stdout=subprocess.PIPE, check=False
    ).stdout.strip()
    return bool(state) and not state.startswith(b"Z")


def wait_until(condition, timeout: float = TIMEOUT) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"{condition} stayed false"
        time.sleep(0.01)


def load_launcher():
    spec = importlib.util.spec_from_file_location("launcher", LAUNCHER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def kernel():
    """One kernel for the tests which leave it as it was."""
    with Launched() as launched:
        yield launched


# How it starts


def test_the_process_file_names_the_keeper_and_the_kernel(kernel):
    assert kernel.pids == {
        "format": 1,
        "keeper": kernel.popen.pid,
        "kernel": kernel.value("os.getpid()"),
    }
    assert kernel.value("os.getppid()") == kernel.popen.pid
    assert kernel.process_file.stat().st_mode & 0o777 == 0o600
    assert list(kernel.directory.glob("*.tmp")) == []


def test_both_processes_stay_in_the_starters_group(kernel):
    assert kernel.value("[os.getpgrp(), os.getsid(0)]") == [kernel.popen.pid] * 2


def test_user_code_sees_an_ordinary_ipykernel(kernel):
    assert kernel.value("[__name__, sys.argv[:2], os.path.dirname(sys.argv[2])]") == [
        "__main__",
        ["ipykernel_launcher", "-f"],
        str(kernel.directory),
    ]
    assert kernel.value("'IPKernelApp' in get_ipython().config") is True
    assert kernel.value("type(get_ipython()).__name__") == "ZMQInteractiveShell"
    assert kernel.value("[n for n in ('Keeper', 'main', 'LAUNCHER', 'Interrupts') if n in globals()]") == []
    assert kernel.value("hasattr(sys.modules['__main__'], 'Keeper')") is False


GARBAGE = "(lambda gc: [gc.isenabled(), gc.get_freeze_count(), gc.get_count()[0] < 10_000])(__import__('gc'))"


def test_garbage_is_collected_as_ever_from_the_users_first_line_on(tmp_path):
    first = tmp_path / "profile_default" / "startup" / "first.py"
    first.parent.mkdir(parents=True)
    first.write_text(f"at_first = {GARBAGE}\n")
    with Launched(environment={"IPYTHONDIR": str(tmp_path)}) as kernel:
        assert kernel.value("at_first") == [True, 0, True]
        assert kernel.value(GARBAGE) == [True, 0, True]


def test_garbage_is_not_collected_where_the_person_has_it_so(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import gc; gc.disable()\n")
    with Launched(environment={"PYTHONPATH": str(tmp_path)}) as kernel:
        assert kernel.value("__import__('gc').isenabled()") is False


def test_programs_which_would_wait_for_a_person_do_not(kernel):
    assert kernel.value("[os.environ[n] for n in ('GIT_EDITOR', 'GIT_TERMINAL_PROMPT', 'PAGER')]") == [
        "true",
        "0",
        "cat",
    ]


def test_the_persons_own_setting_of_such_a_program_stays():
    with Launched(environment={"GIT_EDITOR": "vi"}) as kernel:
        assert kernel.value("os.environ['GIT_EDITOR']") == "vi"


@pytest.mark.skipif(not LINUX, reason="macOS bounds no process's memory")
def test_a_kernel_whose_memory_is_limited_gets_an_error_and_goes_on():
    with Launched(environment={"KERNELEXEC_MEMORY_MB": "600"}) as limited:
        reply, _ = limited.run("kept = 1; large = bytearray(700_000_000)")
        assert reply["ename"] == "MemoryError"
        assert limited.value("kept") == 1
        reply, _ = limited.run("pieces = []\nwhile True: pieces.append(bytearray(1_000_000))")
        assert reply["ename"] == "MemoryError"
        assert limited.value("300 < len(pieces) < 600") is True


@pytest.mark.skipif(not LINUX, reason="macOS has no OOM killer that can be told")
def test_the_kernel_is_the_first_choice_when_memory_ends_and_its_keeper_is_not(kernel):
    own = int(Path("/proc/self/oom_score_adj").read_text())
    scores = {
        who: int(Path(f"/proc/{pid}/oom_score_adj").read_text())
        for who, pid in kernel.pids.items()
        if who in ("kernel", "keeper")
    }
    assert scores == {"kernel": max(own, 300), "keeper": own}


def test_a_broken_ipykernel_ends_the_launcher_with_its_traceback(tmp_path):
    (tmp_path / "ipykernel.py").write_text("raise ImportError('broken on purpose')")
    environment = {"PYTHONPATH": str(tmp_path)}
    with Launched(environment=environment, connect=False, stderr=subprocess.PIPE) as launched:
        _, stderr = launched.popen.communicate(timeout=TIMEOUT)
        assert b"broken on purpose" in stderr
        assert launched.popen.returncode == 1
        assert launched.exit["exit_code"] == 1


def test_files_in_the_working_directory_shadow_nothing_at_the_start(tmp_path):
    shadows = (
        "ipykernel",
        "IPython",
        "nbformat",
        "random",
        "tornado",
        "zmq",
        "stack_data",
        "executing",
        "pexpect",
    )
    for name in shadows:
        (tmp_path / f"{name}.py").write_text(
            f"open({str(tmp_path / 'imported')!r}, 'a').write('{name} ')\n1/0"
        )
    (tmp_path / "mine.py").write_text("answer = 42")
    (tmp_path / "bindings.py").write_text("answer = 43")  # as a module of the kernel's is called
    with Launched(cwd=tmp_path) as kernel:
        assert kernel.value("__import__('mine').answer") == 42
        assert kernel.value("__import__('bindings').answer") == 43
        msg_id = kernel.send("1/0")
        assert kernel.reply(msg_id)["ename"] == "ZeroDivisionError"
        assert "error" in [message["msg_type"] for message in kernel.outputs(msg_id)]
        kernel.run("!true")
        assert not (tmp_path / "imported").exists()


def test_the_working_directory_stays_off_the_path_when_the_user_wants_a_safe_path(tmp_path):
    with Launched(cwd=tmp_path, environment={"PYTHONSAFEPATH": "1"}) as kernel:
        path = kernel.value("sys.path")
    assert "" not in path
    assert str(tmp_path) not in path


def test_the_launchers_directory_is_not_on_the_path(kernel):
    assert str(LAUNCHER.parent) not in kernel.value("sys.path")


def test_the_side_directory_comes_first_for_ipykernel_and_last_for_the_user(tmp_path):
    side = tmp_path / "side"
    side.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        (side / entry.name).symlink_to(entry)
    environment = tmp_path / "environment"
    environment.mkdir()
    for name in ("ipykernel", "traitlets", "tornado", "jedi"):
        (environment / f"{name}.py").write_text("raise ImportError('too old')")
    (environment / "nbformat.py").write_text("version_info = 'of the environment'")
    with Launched(options=["--ipykernel", str(side)], environment={"PYTHONPATH": str(environment)}) as kernel:
        assert kernel.value("[__import__(n).__file__ for n in ('ipykernel', 'traitlets', 'jedi')]") == [
            str(side / name / "__init__.py") for name in ("ipykernel", "traitlets", "jedi")
        ]
        assert kernel.value(f"[p for p in sys.path if p.startswith({str(side)!r})]") == [str(side)]
        assert kernel.value("sys.path[-1]") == str(side)
        assert kernel.value("__import__('nbformat').version_info") == "of the environment"


def test_the_users_command_line_wins_over_the_launchers_defaults():
    with Launched(["--IPythonKernel._execute_sleep=0.002", "--HistoryManager.enabled=True"]) as kernel:
        assert kernel.value("get_ipython().kernel._execute_sleep") == 0.002
        assert kernel.value("get_ipython().history_manager.enabled") is True


def test_the_history_database_is_off_for_the_hub_and_in_and_out_work(kernel):
    assert kernel.value("get_ipython().history_manager.enabled") is False
    assert kernel.value("get_ipython().kernel._execute_sleep") == 0
    kernel.run("1234 + 1")
    assert kernel.value("[_, In[-2]]") == [1235, "1234 + 1"]


def test_a_kernel_started_by_jupyter_keeps_its_history(tmp_path):
    with Launched(files=False, environment={"IPYTHONDIR": str(tmp_path)}) as kernel:
        assert kernel.value("get_ipython().history_manager.enabled") is True
        assert kernel.value("get_ipython().kernel._execute_sleep") == 0


def test_a_kernel_without_a_keeper_is_a_kernel():
    """The way it starts on macOS, in a process which execs after the fork."""
    with Launched(options=["--no-keeper"]) as kernel:
        assert kernel.value("os.getpid()") == kernel.popen.pid
        msg_id = kernel.start_run("import subprocess; subprocess.run(['sleep', '60'])")
        assert kernel.interrupt(msg_id)
        assert kernel.reply(msg_id)["ename"] == "KeyboardInterrupt"


# How it ends


def test_an_exit_code_reaches_the_exit_file_and_the_starter():
    with Launched() as kernel:
        before = time.time()
        kernel.send("import os; os._exit(3)")
        assert kernel.popen.wait(TIMEOUT) == 3
        report = kernel.exit
        assert before <= report.pop("time") <= time.time()
        assert report.pop("oom_kills") in ((0,) if LINUX else (None,))
        assert report == {"format": 1, "kernel": kernel.pids["kernel"], "exit_code": 3, "signal": None}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_signal_reaches_the_exit_file_and_the_starter(number):
    with Launched() as kernel:
        os.kill(kernel.pids["kernel"], number)
        assert kernel.popen.wait(TIMEOUT) == -number
        assert (kernel.exit["exit_code"], kernel.exit["signal"]) == (None, number)


def test_a_shutdown_request_ends_both_with_status_zero():
    with Launched() as kernel:
        kernel.control("shutdown_request", {"restart": False})
        assert kernel.popen.wait(TIMEOUT) == 0
        assert kernel.exit["exit_code"] == 0


@pytest.mark.skipif(not LINUX, reason="no subreaper")
def test_what_the_kernel_left_behind_ends_with_it():
    with Launched() as kernel:
        kernel.run("""if True:
            import os, subprocess
            own_session = subprocess.Popen(["sleep", "600"], start_new_session=True).pid
            shell = "setsid sh -c 'setsid sleep 600 & echo $!; wait' & sleep 0"
            child = subprocess.Popen(["sh", "-c", shell], stdout=subprocess.PIPE)
            twice_removed = int(child.stdout.readline())
        """)
        pids = kernel.value("[own_session, twice_removed]")
        assert all(is_alive(pid) for pid in pids)
        os.kill(kernel.pids["kernel"], signal.SIGKILL)
        kernel.popen.wait(TIMEOUT)
        assert not any(is_alive(pid) for pid in pids)


@pytest.mark.skipif(not LINUX, reason="no subreaper")
def test_orphans_which_end_are_reaped_while_the_kernel_lives():
    with Launched() as kernel:
        shell = "setsid sleep 0.1 & echo $!"
        orphan = kernel.value(f"int(__import__('subprocess').check_output(['sh', '-c', {shell!r}]))")
        wait_until(lambda: not Path(f"/proc/{orphan}").exists())
        assert kernel.run("1")[0]["status"] == "ok"


def test_a_zombie_child_delays_nothing():
    with Launched() as kernel:
        kernel.run("import os\npid = os.fork()\nif pid == 0: os._exit(0)")
        kernel.popen.terminate()
        assert kernel.popen.wait(2) == -signal.SIGTERM


def test_sigterm_becomes_sigkill_for_a_kernel_which_ignores_it():
    with Launched() as kernel:
        kernel.run("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)")
        kernel.popen.terminate()
        assert kernel.popen.wait(10) == -signal.SIGKILL


def test_a_kernel_outlives_its_keeper():
    with Launched() as kernel:
        kernel.run("x = 41")
        kernel.popen.kill()
        kernel.popen.wait(TIMEOUT)
        assert kernel.value("x + 1") == 42


def start_through_a_starter(directory: Path, tied: bool) -> tuple[subprocess.Popen, dict[str, int]]:
    connection_file = str(directory / "connection.json")
    write_connection_file(connection_file, transport="ipc", ip=str(directory / "ipc"))
    script = f"""if True:
        import os, subprocess, sys
        if {tied}: os.environ["JPY_PARENT_PID"] = str(os.getpid())
        command = [sys.executable, {str(LAUNCHER)!r}, "--process-file", {str(directory / "process.json")!r},
                   "-f", {connection_file!r}]
        subprocess.Popen(command, start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        sys.stdin.read()
    """
    environ = {name: value for name, value in os.environ.items() if name != "JPY_PARENT_PID"}
    starter = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, env=environ)
    wait_until((directory / "process.json").exists)
    return starter, json.loads((directory / "process.json").read_text())


def connected_client(directory: Path) -> BlockingKernelClient:
    client = BlockingKernelClient(connection_file=str(directory / "connection.json"))
    client.load_connection_file()
    client.start_channels(hb=False)
    client.kernel_info(reply=True, timeout=TIMEOUT)
    return client


@pytest.fixture
def directory():
    with short_directory() as path:
        yield Path(path)


def test_a_kernel_tied_to_its_starter_ends_with_it(directory):
    starter, pids = start_through_a_starter(directory, tied=True)
    client = connected_client(directory)
    starter.kill()
    starter.communicate()
    wait_until(lambda: not is_alive(pids["kernel"]) and not is_alive(pids["keeper"]))
    client.stop_channels()


def test_a_kernel_not_tied_outlives_its_starter(directory):
    starter, pids = start_through_a_starter(directory, tied=False)
    try:
        client = connected_client(directory)
        starter.kill()
        starter.communicate()
        client.kernel_info(reply=True, timeout=TIMEOUT)
        assert is_alive(pids["keeper"])
        client.stop_channels()
    finally:
        os.kill(pids["keeper"], signal.SIGTERM)
        wait_until(lambda: not is_alive(pids["kernel"]) and not is_alive(pids["keeper"]))


def test_ipykernels_own_parent_poller_is_told_of_the_keeper():
    with Launched(environment={"JPY_PARENT_PID": str(os.getpid())}) as kernel:
        assert kernel.value("int(os.environ['JPY_PARENT_PID']) == os.getppid()") is True


def test_children_are_found_without_the_children_file_too(monkeypatch):
    launcher = load_launcher()
    child = subprocess.Popen(["sleep", "600"])
    try:
        assert child.pid in launcher.scan_for_children() or not LINUX
        assert sorted(launcher.children()) == sorted(launcher.scan_for_children())
    finally:
        child.kill()
        child.wait()


# What it sends


def test_no_flushed_line_is_lost_on_a_reader_who_starts_when_all_is_over():
    lines = 20_000  # against a high-water mark of 1,000 on each side
    with Launched() as kernel:
        msg_id = kernel.send(f"for i in range({lines}): print(i, flush=True)")
        assert kernel.reply(msg_id)["status"] == "ok"
        text = text_of(kernel.outputs(msg_id))
        assert text.split() == [str(i) for i in range(lines)]


def test_a_high_water_mark_is_lifted_from_iopub_only():
    with Launched() as kernel:
        assert (
            kernel.value("__import__('zmq').SNDHWM in get_ipython().kernel.parent.context.sockopts") is False
        )


# How it is interrupted


@pytest.mark.parametrize(
    "code",
    [
        "import time; time.sleep(60)",
        "while True: pass",
        "import asyncio; await asyncio.sleep(60)",
        "import asyncio; await asyncio.gather(asyncio.sleep(60), asyncio.sleep(60))",
        "import asyncio, time; await asyncio.sleep(0); time.sleep(60)",
        "import asyncio; await asyncio.sleep(0)\nwhile True: pass",
    ],
)
def test_a_named_interrupt_stops_its_run(kernel, code):
    msg_id = kernel.start_run(code)
    assert kernel.interrupt(msg_id) is True
    reply = kernel.reply(msg_id)
    assert (reply["status"], reply["ename"]) == ("error", "KeyboardInterrupt")
    assert "launcher.py" not in "".join(reply["traceback"])
    errors = [message["content"] for message in kernel.outputs(msg_id) if message["msg_type"] == "error"]
    assert [error["ename"] for error in errors] == ["KeyboardInterrupt"]
    assert kernel.value("1") == 1


def test_an_awaiting_cell_may_decline_to_be_interrupted(kernel):
    msg_id = kernel.start_run("""if True:
        import asyncio
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            print("tidied up")
    """)
    assert kernel.interrupt(msg_id) is True
    assert kernel.reply(msg_id)["status"] == "ok"
    assert "tidied up" in text_of(kernel.outputs(msg_id))


def test_a_named_interrupt_does_not_touch_another_run(kernel):
    finished = kernel.send("1")
    kernel.reply(finished)
    assert kernel.interrupt(finished) is False
    running = kernel.start_run("import time; time.sleep(0.5)")
    assert kernel.interrupt(finished) is False
    assert kernel.interrupt("no such request") is False
    assert kernel.reply(running)["status"] == "ok"


def test_a_named_interrupt_does_not_touch_its_run_while_that_waits_in_the_queue(kernel):
    running = kernel.start_run("import time; time.sleep(0.5)")
    waiting = kernel.send("1")
    assert kernel.interrupt(waiting) is False
    assert kernel.reply(running)["status"] == "ok"
    assert kernel.reply(waiting)["status"] == "ok"


@pytest.mark.parametrize(
    "code", ["import time; time.sleep(0.008)", "import asyncio; await asyncio.sleep(0.008)"]
)
def test_an_interrupt_around_the_end_of_its_run_never_reaches_the_next(kernel, code):
    verdicts = set()
    for step in range(60):
        first = kernel.send(code)
        kernel.wait_for("execute_input", first)
        second = kernel.send("sum(range(30_000))")
        aim = time.perf_counter() + step * 0.0003  # from well before the end to well after
        while time.perf_counter() < aim:
            pass
        interrupted = kernel.interrupt(first)
        replies = [kernel.reply(first), kernel.reply(second)]
        assert replies[1]["status"] == "ok", (step, replies)
        assert interrupted or replies[0]["status"] == "ok"
        assert replies[0]["status"] == "ok" or replies[0]["ename"] == "KeyboardInterrupt"
        verdicts.add(replies[0]["status"])
    assert verdicts == {"ok", "error"}  # else the aim was bad


def test_a_storm_of_interrupts_neither_ends_the_kernel_nor_leaves_a_run_without_reply(kernel):
    for _ in range(40):
        run = kernel.send("sum(range(100_000))")
        for _ in range(5):
            os.kill(kernel.pids["kernel"], signal.SIGINT)
        assert kernel.reply(run)["status"] in ("ok", "error")
    assert kernel.value("1") == 1


def test_a_stock_interrupt_works_as_ever(kernel):
    msg_id = kernel.start_run("import time; time.sleep(60)")
    assert kernel.control("interrupt_request", {}) == {"status": "ok"}
    assert kernel.reply(msg_id)["ename"] == "KeyboardInterrupt"


def test_jupyters_signal_to_the_group_interrupts_the_kernel_and_spares_the_keeper(kernel):
    msg_id = kernel.start_run("import time; time.sleep(60)")
    os.killpg(kernel.popen.pid, signal.SIGINT)
    assert kernel.reply(msg_id)["ename"] == "KeyboardInterrupt"
    assert kernel.popen.poll() is None


def test_an_interrupt_reaches_subprocesses(kernel):
    msg_id = kernel.start_run(
        "import subprocess; process = subprocess.Popen(['sleep', '60']); process.wait()"
    )
    assert kernel.interrupt(msg_id) is True
    assert kernel.reply(msg_id)["ename"] == "KeyboardInterrupt"
    assert kernel.value("process.wait(10)") is not None


def test_an_interrupt_spares_the_group_when_that_is_the_starters():
    with Launched(start_new_session=False) as kernel:
        assert kernel.value("os.getpgrp()") == os.getpgrp()
        msg_id = kernel.start_run("import time; time.sleep(60)")
        assert kernel.interrupt(msg_id) is True  # and pytest goes on
        assert kernel.reply(msg_id)["ename"] == "KeyboardInterrupt"


def test_code_that_cannot_even_be_compiled_gets_its_reply(kernel):
    reply, _ = kernel.run("x = " + "+".join(["1"] * 100_000))
    assert (reply["status"], reply["ename"]) == ("error", "RecursionError")
    assert kernel.value("1") == 1


def test_input_can_be_interrupted(kernel):
    msg_id = kernel.client.execute("input('? ')", allow_stdin=True)
    kernel.client.get_stdin_msg(timeout=TIMEOUT)
    assert kernel.interrupt(msg_id) is True
    assert kernel.reply(msg_id)["ename"] == "KeyboardInterrupt"


# Forks and the debugger


def test_a_child_which_comes_back_from_the_cell_that_forked_it_ends_there():
    with Launched() as kernel:
        msg_id = kernel.send(
            "import os\nprint('before', flush=True)\npid = os.fork()\nprint('after', flush=True)"
        )
        assert kernel.reply(msg_id)["status"] == "ok"
        assert text_of(kernel.outputs(msg_id)).count("before") == 1
        assert kernel.value("os.waitpid(pid, 0)[1]") == 0
        assert kernel.value("os.getpid()") == kernel.pids["kernel"]
        with pytest.raises(queue.Empty):
            kernel.client.get_shell_msg(timeout=0.2)


def test_multiprocessing_forks_as_ever():
    with Launched() as kernel:
        pool = "__import__('multiprocessing').get_context('fork').Pool(2)"
        assert kernel.value(f"{pool}.map(abs, [-1, -2])") == [1, 2]
        assert kernel.run("1")[0]["status"] == "ok"


def debug(kernel: Launched, command: str, **arguments: object) -> dict:
    debug.count = getattr(debug, "count", 0) + 1
    request = {"type": "request", "seq": debug.count, "command": command, "arguments": arguments}
    reply = kernel.control("debug_request", request)
    assert reply["success"], reply
    return reply.get("body", {})


def test_debugpy_comes_with_the_first_debug_request_and_stops_at_a_breakpoint(tmp_path):
    pytest.importorskip("debugpy")
    code = "a = 1\nb = a + 1\nc = b + 1"
    with Launched(environment={"TMPDIR": str(tmp_path)}) as kernel:  # for the cell's file
        assert kernel.value("[n for n in ('debugpy', 'pydevd') if n in sys.modules]") == []
        assert debug(kernel, "debugInfo")["isStarted"] is False
        debug(kernel, "initialize", clientID="test", adapterID="", pathFormat="path", linesStartAt1=True)
        debug(kernel, "attach")
        source = debug(kernel, "dumpCell", code=code)["sourcePath"]
        debug(
            kernel, "setBreakpoints", source={"path": source}, breakpoints=[{"line": 2}], sourceModified=False
        )
        debug(kernel, "configurationDone")
        msg_id = kernel.send(code)
        message = {"content": {}}
        while message["content"].get("event") != "stopped":
            message = kernel.client.get_iopub_msg(timeout=TIMEOUT)
        thread = message["content"]["body"]["threadId"]
        assert debug(kernel, "stackTrace", threadId=thread)["stackFrames"][0]["line"] == 2
        debug(kernel, "continue", threadId=thread)
        assert kernel.reply(msg_id)["status"] == "ok"
        debug(kernel, "disconnect", restart=False, terminateDebuggee=False)
        assert kernel.value("c") == 3
