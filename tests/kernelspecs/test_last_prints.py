"""What a run has printed last, as the kernel keeps it and the hub reads it. Without a kernel."""

from __future__ import annotations

import os
import random
from pathlib import Path
from types import SimpleNamespace

import pytest

from kernelexec.kernels.printed import Printed, read_printed
from tests.kernelspecs.test_live_kernel import load

last_prints = load("kernel", "last_prints")


def stream(name: str = "stdout", run: str = "a") -> SimpleNamespace:
    return SimpleNamespace(name=name, parent_header={"msg_id": run})


@pytest.mark.parametrize("seed", range(10))
def test_the_end_of_all_that_was_printed_is_read_as_it_was_written(tmp_path: Path, seed: int) -> None:
    chance, kept = random.Random(seed), last_prints.LastPrints(str(tmp_path / "connection.json"))
    kept.begins("an earlier run")
    kept.keep(stream(run="an earlier run"), "of that")
    kept.begins("a")
    written = {"stdout": "", "stderr": ""}
    for _ in range(chance.randint(1, 60)):
        name = chance.choice(list(written))
        text = chance.choice(["x", "né\n", "0123456789" * chance.choice([1, 700, 6_553, 20_000])])
        kept.keep(stream(name), text)
        written[name] += text
    kept.keep(stream(run="of a thread of another run"), "no")
    kept.keep(stream("another stream"), "no")
    found = read_printed((tmp_path / "printed").read_bytes())
    for name, text in written.items():
        data = text.encode()
        assert found[name] == Printed(len(data), data[-last_prints.KEPT :])


def test_what_was_received_is_not_told_again_and_what_is_gone_is_counted() -> None:
    printed = Printed(10, b"6789\n")
    assert (printed.after(10), printed.after(8), printed.after(12)) == ("", "9\n", "")
    assert printed.after(3) == "\n[2 bytes that were printed here went with the kernel]\n6789\n"
    assert Printed(4, "né\n".encode()).after(2) == "\n"  # half a character was received


@pytest.mark.parametrize("data", [b"", b"x" * 10])
def test_a_file_that_is_none_tells_nothing(data: bytes) -> None:
    assert read_printed(data) == {}


def test_a_forked_child_leaves_it_alone(tmp_path: Path) -> None:
    kept = last_prints.LastPrints(str(tmp_path / "connection.json"))
    kept.begins("a")
    pid = os.fork()
    if not pid:
        kept.keep(stream(), "of the child")
        os._exit(0)
    os.waitpid(pid, 0)
    assert read_printed((tmp_path / "printed").read_bytes())["stdout"].total == 0


def test_where_no_file_can_be_made_nothing_is_kept(tmp_path: Path) -> None:
    kept = last_prints.LastPrints(str(tmp_path / "nowhere" / "connection.json"))
    kept.begins("a")
    kept.watch(SimpleNamespace())
