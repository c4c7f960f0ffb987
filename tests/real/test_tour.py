"""`kernelexec try` in an environment that has nothing."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.real.home import COMMAND, Home, eventually


def tour(home: Home, *arguments: str) -> str:
    done = subprocess.run(
        [COMMAND, "try", *arguments],
        env=home.environ,
        cwd=home.path,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_tour_needs_no_package_and_leaves_nothing_running(home: Home) -> None:
    text = tour(home)
    assert "('Gentoo', '6300')" in text
    assert "image/png" in text  # its chart
    assert Path(re.search(r"notebook  (.*)", text)[1]).is_file()  # type: ignore[index]
    eventually(lambda: home.processes() == {})


def test_the_tour_leaves_alone_what_the_person_has_running(home: Home) -> None:
    assert home.command("exec", "-s", "mine", "kept = 1").returncode == 0
    tour(home)
    states = {each["session"]: each["state"] for each in home.status()["sessions"]}
    assert states["mine@plain"] == "idle"
    assert states["tour@plain"] == "no kernel"


def test_the_tour_ends_with_commands_that_work_as_they_are_printed(home: Home) -> None:
    text = tour(home, "--keep").partition("What you can do next:")[2]
    commands = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    assert len(commands) == 6
    for printed in commands:
        command = f"{printed} claude-code --yes --no-check" if " setup" in printed else printed
        if " lab " in command:
            continue  # tests/real/test_lab.py has that, with a browser
        done = subprocess.run(
            ["bash", "-c", command],
            env=home.environ,
            cwd=home.path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, command + done.stdout + done.stderr
        if " exec " in command:
            assert "342" in done.stdout
    assert home.status()["sessions"][0]["state"] == "no kernel"
