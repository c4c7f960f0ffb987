"""Interrupts at the instants at which Python, asyncio or IPython would swallow them."""

from __future__ import annotations

import json
import time

import pytest

from tests.real.test_launcher import Launched, text_of

HOOK = """
import time
def slow(*_):
    print('in the hook', flush=True); time.sleep(1)
get_ipython().events.register('pre_run_cell', slow)
"""
UNHOOK = "get_ipython().events.unregister('pre_run_cell', slow)"
# Not in the user's namespace: this stands for IPython's own code.
BETWEEN = """
exec('''
import time
def slow(flags):
    if "slowly" in shell.user_ns:
        print("between", flush=True); time.sleep(1)
    return compiler_flags(flags)
shell.compile.extra_flags = slow
''', {"shell": get_ipython(), "compiler_flags": get_ipython().compile.extra_flags})
"""
SLOW_END = """
import time
class Slow:
    def __del__(self):
        print('in __del__', flush=True); time.sleep(1)
Slow()
while True: pass
"""


@pytest.fixture(scope="module")
def kernel():
    with Launched() as launched:
        yield launched


def is_interrupted(kernel, msg_id) -> bool:
    assert kernel.interrupt(msg_id) is True
    reply = kernel.reply(msg_id)
    return (reply["status"], reply.get("ename")) == ("error", "KeyboardInterrupt")


@pytest.mark.parametrize("code", ["time.sleep(60)", "import asyncio; await asyncio.sleep(60)"])
def test_in_a_hook_before_the_cell_whose_errors_ipython_only_prints(kernel, code):
    kernel.run(HOOK)
    try:
        run = kernel.send(code)
        kernel.wait_for("stream", run)
        assert is_interrupted(kernel, run)
    finally:
        kernel.interrupt(kernel.send(UNHOOK))  # the hook is slow, once more
        kernel.run(UNHOOK)


def test_in_code_whose_exceptions_python_ignores(kernel):
    run = kernel.send(SLOW_END)
    kernel.wait_for("stream", run)
    assert is_interrupted(kernel, run)


@pytest.mark.parametrize("code", ["time.sleep(60)", "import asyncio; await asyncio.sleep(60)"])
def test_while_the_main_thread_waits_for_the_system_and_another_gets_the_signal(kernel, code):
    block = "import signal, time; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])"
    run = kernel.start_run(f"{block}\n{code}")
    try:
        assert is_interrupted(kernel, run)
    finally:
        kernel.run("signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])")


def test_in_a_task_that_does_not_come_back_to_the_event_loop(kernel):
    run = kernel.start_run(
        "import asyncio\nasync def spin():\n    while True: pass\n"
        "await asyncio.gather(spin(), asyncio.sleep(1))"
    )
    assert is_interrupted(kernel, run)


def test_between_the_statements_of_a_cell_with_a_top_level_await(kernel):
    kernel.run(BETWEEN)
    try:
        run = kernel.send("import asyncio; await asyncio.sleep(0)\nslowly = True\nwhile True: pass")
        kernel.wait_for("stream", run)
        assert is_interrupted(kernel, run)
    finally:
        kernel.run("del get_ipython().compile.extra_flags")


@pytest.mark.parametrize("code", ["!sleep 60\nprint('went on')", "x = !sleep 60\nprint('went on')"])
def test_a_shell_command_takes_the_cell_with_it(kernel, code):
    run = kernel.start_run(code)
    assert is_interrupted(kernel, run)
    assert "went on" not in text_of(kernel.outputs(run))


def test_a_script_magic_is_interrupted_and_has_not_failed(kernel):
    run = kernel.send("%%bash\necho running; sleep 60")
    kernel.wait_for("stream", run)
    assert is_interrupted(kernel, run)


def test_code_that_catches_an_interrupt_gets_each_only_once(kernel):
    run = kernel.start_run(
        "import time\ncaught = 0\nend = time.monotonic() + 1.5\nwhile time.monotonic() < end:\n"
        "    try: time.sleep(0.05)\n    except KeyboardInterrupt: caught += 1"
    )
    for _ in range(3):
        assert kernel.interrupt(run) is True
        time.sleep(0.3)  # time in which a wrong second one would come
    assert kernel.reply(run)["status"] == "ok"
    assert kernel.value("caught") == 3


def test_the_hub_learns_that_a_traceback_is_being_made(kernel):
    """A kernel's first takes long on a busy machine; here the exception itself makes it take long."""
    run = kernel.send(
        "import time\nclass Slow(Exception):\n    def __str__(self):\n"
        "        print('in __str__', flush=True); time.sleep(0.2); return ''\nraise Slow"
    )
    kernel.wait_for("stream", run)
    said = kernel.control("kernelexec_request", {"about": run})
    assert said["ending"], json.dumps(said)
    assert kernel.reply(run)["ename"] == "Slow"
    assert not kernel.control("kernelexec_request", {"about": run})["ending"]
