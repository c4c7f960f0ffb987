"""What a person looks at while something goes on, or does not: `logs`, its trace, `ps --watch`."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.real.conftest import Connect, ConnectRaw
from tests.real.home import COMMAND, Home
from tests.real.terminal import Terminal

STEPS = [
    "came",
    "accepted",
    "kernel ready",
    "sent",
    "began",
    "first output",
    "replied",
    "idle",
    "finished",
    "told",
]


@pytest.fixture
def terminals(home: Home) -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()


def test_the_steps_of_a_submission_are_in_the_log_where_that_is_wanted(
    home: Home, connect_raw: ConnectRaw, terminals: list[Terminal]
) -> None:
    plain = connect_raw(home)
    plain.execute("1")
    terminal = Terminal(home, COMMAND, "logs", "--follow", "--lines", "1")
    terminals.append(terminal)
    terminal.wait_for("kernel .* is ready")
    traced = connect_raw(home, KERNELEXEC_TRACE="1")
    traced.execute("print(1)")
    line = terminal.wait_for(r"kernelexec\.trace: main@plain/2, ok: (.*) ms")[1]
    told = [re.sub(r" [\d.]+ \(\+[\d.]+\)", "", step) for step in line.split(", ")]
    assert sorted(told) == sorted(STEPS)
    assert [step for step in told if step not in ("first output", "replied", "idle")] == [
        step for step in STEPS if step not in ("first output", "replied", "idle")
    ]
    traced.call("list_variables")
    terminal.wait_for(r"kernelexec\.trace: list_variables, ok: came 0\.0, replied [\d.]+, told [\d.]+ ms")
    traced.call("wait_for_execution", execution_id="main@plain/99")
    terminal.wait_for(r"kernelexec\.trace: wait_for_execution, error: came")
    assert "main@plain/1," not in home.command("logs").stdout
    assert home.command("logs", "-n", "1").stdout.count("\n") == 1
    terminal.press_control_c()
    assert terminal.process.wait(30) == 130


def test_what_a_kernel_wrote_to_its_own_stderr_is_shown(home: Home, connect: Connect) -> None:
    nothing = home.command("logs")
    assert nothing.returncode == 1
    assert "Nothing was logged yet" in nothing.stderr
    connect(home).execute("1")
    (written,) = home.runtime.glob("k/*/stderr.log")
    written.write_text("of the process itself\n")
    assert home.command("logs", "main@plain").stdout == "of the process itself\n"
    assert home.command("logs", "main").stdout == "of the process itself\n"
    unknown = home.command("logs", "other")
    assert unknown.returncode == 1
    assert "other has no running kernel" in unknown.stderr
    assert "main@plain" in unknown.stderr


def test_ps_goes_on_looking_and_starts_no_hub(
    home: Home, connect: Connect, terminals: list[Terminal]
) -> None:
    terminal = Terminal(home, COMMAND, "ps", "--watch", "0.2")
    terminals.append(terminal)
    terminal.wait_for("No hub is running")
    assert home.hubs() == []
    connect(home).execute("1")
    terminal.wait_for("main@plain +idle")
    terminal.press_control_c()
    assert terminal.process.wait(30) == 130
    refused = home.command("ps", "--watch", "0")
    assert refused.returncode == 2
    assert "no number of seconds" in refused.stderr
