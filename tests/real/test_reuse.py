"""A kernel outlives its clients, is shared by those of one directory, and its end is always told."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from tests.real.clients import Client
from tests.real.conftest import Connect, ConnectRaw
from tests.real.home import Home, eventually


def kernel_pid(client: Client) -> int:
    return int(client.execute("import os\nos.getpid()").block("result"))


def kill_kernel(home: Home, client: Client) -> None:
    """Kill the kernel of the client's session, and wait until the hub knows."""
    reply = client.execute("import os\nos.getpid()")
    os.kill(int(reply.block("result")), signal.SIGKILL)
    eventually(lambda: state(home, reply.session) == "no kernel")


def state(home: Home, session: str) -> str:
    return next(str(s["state"]) for s in home.status()["sessions"] if s["session"] == session)


def test_variables_survive_the_client(connect_raw: ConnectRaw, connect: Connect, shared_home: Home) -> None:
    project = shared_home.project("survive")
    first = connect_raw(shared_home, project)
    begun = first.execute("kept = [1, 2]")
    assert "Kernel: new, generation 1 of survive@plain" in begun.text
    first.close()
    reply = connect(shared_home, project).execute("kept")
    assert reply.block("result") == "[1, 2]"
    assert "generation 1 of survive@plain" in reply.text
    assert "running since" in reply.text
    assert "still there" in reply.text


def test_the_kernel_is_introduced_once_to_each_client(own_client: Client) -> None:
    assert "Kernel:" in own_client.execute("1").text
    assert "Kernel:" not in own_client.execute("1").text


def test_a_run_goes_on_when_its_client_is_killed_and_the_next_client_gets_its_end(
    connect_raw: ConnectRaw, connect: Connect, shared_home: Home
) -> None:
    project = shared_home.project("killed")
    begun, gate = project / "begun", project / "gate"
    first = connect_raw(shared_home, project)
    first.execute("import os, pathlib, time")
    first.begin_execute(
        f"print('said before')\npathlib.Path({str(begun)!r}).touch()\n"
        f"while not os.path.exists({str(gate)!r}): time.sleep(.01)\n'the end'"
    )
    eventually(begun.exists)
    first.kill()
    second = connect(shared_home, project)
    reply = second.wait_for("killed@plain/2", wait_seconds=0)
    assert reply.state == "RUNNING"
    gate.touch()
    reply = second.wait_for("killed@plain/2", offset=0)  # all of it, whatever the reply before had
    assert reply.state == "OK", reply.text
    assert reply.block("stdout") == "said before"
    assert reply.block("result") == "'the end'"


def test_a_run_goes_on_when_its_client_closes_its_input(
    connect_raw: ConnectRaw, connect: Connect, shared_home: Home
) -> None:
    project = shared_home.project("closed")
    begun, gate = project / "begun", project / "gate"
    first = connect_raw(shared_home, project)
    first.execute("import os, pathlib, time")
    first.begin_execute(
        f"pathlib.Path({str(begun)!r}).touch()\n"
        f"while not os.path.exists({str(gate)!r}): time.sleep(.01)\nwhole = True"
    )
    eventually(begun.exists)
    first.close()
    gate.touch()
    second = connect(shared_home, project)
    assert second.wait_for("closed@plain/2").state == "OK"
    assert second.execute("whole").block("result") == "True"


def test_what_was_queued_by_a_client_that_is_gone_is_still_run(
    connect_raw: ConnectRaw, connect: Connect, shared_home: Home
) -> None:
    project = shared_home.project("queued")
    gate = project / "gate"
    first = connect_raw(shared_home, project)
    first.execute("import os, time")
    first.begin_execute(f"while not os.path.exists({str(gate)!r}): time.sleep(.01)")
    first.begin_execute("after = 'run'")
    eventually(lambda: list(shared_home.storage.glob("queued@plain-1/0003*.py")))
    first.kill()
    gate.touch()
    assert connect(shared_home, project).execute("after").block("result") == "'run'"


def test_two_clients_of_one_directory_share_their_variables(connect: Connect, shared_home: Home) -> None:
    project = shared_home.project("shared")
    one, other = connect(shared_home, project), connect(shared_home, project)
    one.execute("from_one = 1")
    reply = other.execute("from_one + 1")
    assert reply.block("result") == "2"
    assert reply.number == 2


def test_a_directory_is_the_same_by_each_of_its_names(connect: Connect, shared_home: Home) -> None:
    project = shared_home.project("real")
    link = shared_home.path / "link"
    link.symlink_to(project)
    connect(shared_home, project).execute("by_real_name = 1")
    assert connect(shared_home, link).execute("by_real_name").block("result") == "1"


def test_clients_of_different_directories_do_not_share_variables(connect: Connect, shared_home: Home) -> None:
    one = connect(shared_home, shared_home.project("apart-1"))
    other = connect(shared_home, shared_home.project("apart-2"))
    one.execute("mine = 1")
    assert "NameError" in other.execute("mine").verdict


@pytest.mark.parametrize("name", ["twin", "main"])
def test_directories_of_the_same_name_do_not_share_variables(
    connect: Connect, shared_home: Home, name: str
) -> None:
    one = connect(shared_home, shared_home.project(f"a/{name}"))
    other = connect(shared_home, shared_home.project(f"b/{name}"))
    mine = one.execute("mine = 1")
    reply = other.execute("mine")
    assert "NameError" in reply.verdict
    assert reply.session != mine.session
    again = connect(shared_home, shared_home.project(f"b/{name}")).execute("1")
    assert again.session == reply.session


def test_a_project_called_main_does_not_share_the_home_directorys_variables(
    connect: Connect, shared_home: Home
) -> None:
    connect(shared_home).execute("from_home = 1")
    reply = connect(shared_home, shared_home.project("main")).execute("from_home")
    assert "NameError" in reply.verdict


def test_different_storage_directories_do_not_share_variables(connect: Connect, shared_home: Home) -> None:
    project = shared_home.project("stored")
    connect(shared_home, project).execute("mine = 1")
    elsewhere = connect(shared_home, project, CODE_STORAGE_DIR=str(shared_home.path / "other-storage"))
    reply = elsewhere.execute("mine")
    assert "NameError" in reply.verdict
    assert reply.script.is_relative_to(shared_home.path / "other-storage")


def test_kernelexec_session_names_the_session(connect: Connect, shared_home: Home) -> None:
    client = connect(shared_home, KERNELEXEC_SESSION="chosen")
    assert client.execute("1").session == "chosen@plain"


def test_the_first_client_gives_the_kernel_its_environment_variables(
    connect: Connect, shared_home: Home
) -> None:
    project = shared_home.project("environ")
    first = connect(
        shared_home, project, WHOSE="the first's", KERNELEXEC_WAIT_SECONDS="30", JPY_PARENT_PID="1"
    )
    assert first.execute("import os\nos.environ['WHOSE']").block("result") == '"the first\'s"'
    assert first.execute("[n for n in os.environ if n.startswith('KERNELEXEC_')]").block("result") == "[]"
    assert "JPY_PARENT_PID" not in first.execute("list(os.environ)").text
    second = connect(shared_home, project, WHOSE="the second's")
    assert second.execute("os.environ['WHOSE']").block("result") == '"the first\'s"'


# --- a kernel's end --------------------------------------------------------------------------------


def test_after_a_kernel_was_killed_while_idle_the_next_submission_is_not_run(
    own_client: Client, shared_home: Home
) -> None:
    own_client.execute("lost = 1")
    kill_kernel(shared_home, own_client)
    reply = own_client.execute("ran_in_a_fresh_kernel = 1")
    assert reply.state == "NOT RUN", reply.text
    assert reply.is_error
    assert "SIGKILL" in reply.text
    assert "generation 1" in reply.text
    assert "variables" in reply.text
    assert reply.script.exists()

    reply = own_client.execute("'ran_in_a_fresh_kernel' in globals() or 'lost' in globals()")
    assert reply.state == "OK"
    assert reply.block("result") == "False"
    assert "Kernel: new, generation 2" in reply.text
    assert "News" not in reply.text


def test_a_submission_just_after_the_kernels_death_never_runs_in_another(own_client: Client) -> None:
    """Whether the hub knows already or not."""
    os.kill(kernel_pid(own_client), signal.SIGKILL)
    reply = own_client.execute("1 + 1")
    assert reply.state in ("NOT RUN", "DIED"), reply.text
    assert "SIGKILL" in reply.text


def test_a_kernel_killed_while_it_runs_is_told_within_a_second(own_client: Client, shared_home: Home) -> None:
    begun = shared_home.path / "doomed"
    pid = kernel_pid(own_client)
    call = own_client.start(
        f"print('last words', flush=True)\nopen({str(begun)!r}, 'w').close()\nimport time\ntime.sleep(60)"
    )
    eventually(begun.exists)
    killed = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    reply = call.result(30)
    assert time.monotonic() - killed < 1
    assert reply.state == "DIED", reply.text
    assert reply.is_error
    assert "SIGKILL" in reply.text
    assert reply.block("stdout") == "last words"
    after = own_client.execute("1 + 1")
    assert after.state == "OK"
    assert "generation 2" in after.text
    assert after.number == reply.number + 1


def test_what_was_queued_behind_a_run_whose_kernel_died_is_not_run(
    own_client: Client, shared_home: Home
) -> None:
    begun, ran = shared_home.path / "doomed-queue", shared_home.path / "ran-anyway"
    pid = kernel_pid(own_client)
    running = own_client.start(f"open({str(begun)!r}, 'w').close()\nimport time\ntime.sleep(60)")
    eventually(begun.exists)
    queued = [own_client.start(f"open({str(ran)!r}, 'w').close()") for _ in range(2)]
    eventually(
        lambda: len([p for p in shared_home.storage.rglob("*.py") if "ran-anyway" in p.read_text()]) == 2
    )
    os.kill(pid, signal.SIGKILL)
    assert running.result(30).state == "DIED"
    for call in queued:
        reply = call.result(30)
        assert reply.state == "NOT RUN"
        assert reply.is_error
        assert "SIGKILL" in reply.text
    assert own_client.execute("1").state == "OK"
    assert not ran.exists()


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("import os\nos._exit(3)", "exited with code 3"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)", "SIGTERM"),
    ],
)
def test_a_kernel_that_ends_itself_is_told_with_how(own_client: Client, code: str, cause: str) -> None:
    reply = own_client.execute(code)
    assert reply.state == "DIED", reply.text
    assert reply.is_error
    assert cause in reply.text


def test_exit_is_a_run_that_succeeds_and_the_end_is_told_before_anything_runs_in_a_new_kernel(
    own_client: Client,
) -> None:
    own_client.execute("lost = 1")
    reply = own_client.execute("exit()")
    assert reply.state in ("OK", "DIED")
    if "exited with code 0" not in reply.text:  # the kernel was still about to end
        reply = own_client.execute("'not run'")
        assert reply.state in ("NOT RUN", "DIED")
    assert "exited with code 0" in reply.text
    assert "All its variables are lost (lost)" in reply.text
    reply = own_client.execute("'lost' in globals()")
    assert reply.block("result") == "False"
    assert "generation 2" in reply.text


def test_a_death_that_nobody_was_told_of_is_told_to_the_next_caller(
    connect_raw: ConnectRaw, connect: Connect, shared_home: Home
) -> None:
    """Its client was gone before the kernel was: whoever comes next relies on variables that are lost."""
    project = shared_home.project("unheard")
    begun = project / "begun"
    first = connect_raw(shared_home, project)
    pid = int(first.execute("import os\nrelied_on = 1\nos.getpid()").block("result"))
    first.begin_execute(f"open({str(begun)!r}, 'w').close()\nimport time\ntime.sleep(60)")
    eventually(begun.exists)
    first.kill()
    second = connect(shared_home, project)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: state(shared_home, "unheard@plain") == "no kernel")
    reply = second.execute("relied_on = globals().get('relied_on', 0) + 1")
    assert "SIGKILL" in reply.text, reply.text


def test_a_stopped_kernel_is_told_and_not_called_a_crash(connect: Connect, shared_home: Home) -> None:
    client = connect(shared_home, shared_home.project("stopped"))
    client.execute("lost = 1")
    assert shared_home.command("stop", "stopped@plain").returncode == 0
    reply = client.execute("lost")
    assert reply.state == "NOT RUN"
    assert "it was stopped" in reply.text
    assert "generation 2" in client.execute("1").text


def test_a_death_is_told_to_each_client_that_knew_the_kernel(connect: Connect, shared_home: Home) -> None:
    project = shared_home.project("news")
    one, other, new = (connect(shared_home, project) for _ in range(3))
    other.execute("relied_on = 1")
    kill_kernel(shared_home, one)
    first = other.execute("1")
    assert first.state == "NOT RUN"
    assert other.execute("1").state == "OK"
    second = one.execute("relied_on")
    assert second.state == "NOT RUN", "whoever was told before"
    assert "SIGKILL" in second.text
    assert one.execute("1").state == "OK"
    third = new.execute("1")
    assert third.state == "OK", "who knew no kernel has lost nothing"
    assert "generation 2" in third.text


def test_children_of_a_kernel_end_with_it(connect: Connect, home: Home) -> None:
    """Also those in a session of their own; what is left behind fails at the end of the test."""
    client = connect(home)
    client.execute(
        "import subprocess\n"
        "a = subprocess.Popen(['sleep', '600'])\n"
        "b = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
    )
    assert home.command("stop", "main@plain").returncode == 0
    eventually(lambda: not [line for line in home.processes().values() if line.startswith("sleep")], 10)


def test_clients_with_different_environments_have_different_kernels(
    connect: Connect, new_home: Callable[..., Home], shared_home: Home
) -> None:
    project = shared_home.project("two-environments")
    plain = connect(shared_home, project)
    plain.execute("mine = 1")
    link = shared_home.path / "linked"
    link.symlink_to(shared_home.environ["VENV_PATH"])
    same = connect(shared_home, project, VENV_PATH=str(link))
    assert same.execute("mine", session=plain.execute("1").session).block("result") == "1"
