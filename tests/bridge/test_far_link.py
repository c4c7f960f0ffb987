"""A link's near end, with commands of this machine in the other host's place."""

from __future__ import annotations

import json
import os
import pwd
import shlex
import sys
from pathlib import Path

import pytest

from kernelexec.bridge import far_link
from kernelexec.bridge.far_link import FarHost, about_here
from kernelexec.errors import HubUnavailable

ENVIRON = {"HOME": "/nowhere"}


def host_with(folder: Path, program: str, profile: str = "") -> FarHost:
    """This machine, with `program` as the kernelexec of a home of its own."""
    command = folder / ".local" / "bin" / "kernelexec"
    command.parent.mkdir(parents=True)
    command.write_text(f"#!/bin/sh\n{program}\n")
    command.chmod(0o755)
    (folder / ".profile").write_text(profile)
    return FarHost(f"env -i HOME={shlex.quote(str(folder))} SHELL=/bin/sh PATH=/usr/bin:/bin")


def test_what_is_wanted_is_a_line_that_no_shell_reads(tmp_path: Path) -> None:
    host = host_with(tmp_path, 'read -r line; echo "$1"; printf "%s\\n" "$line"')
    link = host.ask({"want": "$(id) 'quoted' `x`"}, ENVIRON)
    try:
        assert link.receive_line() == b"__far\n"
        said = json.loads(link.receive_line())
    finally:
        link.end()
    assert said["want"] == "$(id) 'quoted' `x`"
    assert said["kernelexec-far"] == far_link.FORMAT


def test_greetings_are_no_part_of_it_also_within_a_line(tmp_path: Path) -> None:
    host = host_with(tmp_path, "read -r line; echo here", 'echo "Welcome"\nprintf "quota: "\n')
    link = host.ask({"want": "hub"}, ENVIRON)
    try:
        assert link.receive_line() == b"here\n"
    finally:
        link.end()


@pytest.mark.parametrize(
    "script",
    [
        "seq 1 1400000",
        "head -c 10000000 /dev/zero",
        "cat >/dev/null",
        "read -r line",
        "umask 077; set -eu",
        "(sleep 9 >/dev/null 2>&1 &)",
    ],
)
def test_whatever_its_login_script_does_it_is_reached(script: str, tmp_path: Path) -> None:
    host = host_with(tmp_path, "read -r line; echo here", f"{script}\n")
    link = host.ask({"want": "hub"}, ENVIRON)
    try:
        assert link.receive_line() == b"here\n"
    finally:
        link.end()


def test_a_home_that_is_not_named_is_that_of_its_user(tmp_path: Path) -> None:
    host = FarHost("env -i SHELL=/bin/sh PATH=/usr/bin:/bin")
    link = host.start("echo $HOME; exit")
    try:
        assert link.receive_line().decode().strip() == pwd.getpwuid(os.getuid()).pw_dir
    finally:
        link.end()


def test_a_host_without_kernelexec_is_told_from_one_that_is_not_reached(tmp_path: Path) -> None:
    empty = FarHost(f"env -i HOME={tmp_path} SHELL=/bin/sh PATH=/usr/bin:/bin")
    with pytest.raises(HubUnavailable, match="not installed") as error:
        empty.ask({}, ENVIRON)
    assert error.value.next_step == f"Put it there: kernelexec host install {shlex.quote(empty.said)}"
    with pytest.raises(HubUnavailable, match="did not reach a shell: no route to gpu"):
        FarHost("sh -c 'echo no route to gpu >&2; exit 255'").ask({}, ENVIRON)


def test_an_older_version_there_is_told_with_what_mends_it(tmp_path: Path) -> None:
    host = host_with(tmp_path, "echo 'no such command' >&2; exit 2")
    with pytest.raises(HubUnavailable, match="did not answer: no such command") as error:
        host.version(ENVIRON)
    assert error.value.next_step.endswith(f"kernelexec host install {shlex.quote(host.said)}")


def test_what_was_on_the_path_stays_on_it(tmp_path: Path) -> None:
    host = host_with(tmp_path, 'read -r line; echo "$PATH"', "PATH=/of/the/profile:/bin")
    link = host.ask({"want": "hub"}, ENVIRON)
    try:
        assert link.receive_line() == b"/of/the/profile:/bin:/usr/bin:/bin\n"
    finally:
        link.end()


def test_a_command_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(far_link, "CONNECT_SECONDS", 0.1)
    monkeypatch.setattr(far_link, "_END_SECONDS", 0.1)
    with pytest.raises(HubUnavailable, match="did not reach a shell within"):
        FarHost("sh -c 'exec sleep 60'").ask({}, ENVIRON)


@pytest.mark.parametrize("said", ["-oProxyCommand=x", "", "'", "a\0b"])
def test_what_is_no_command_is_refused(said: str) -> None:
    with pytest.raises(HubUnavailable, match="is no command"):
        FarHost(said)


def test_one_word_is_a_host_of_sshs() -> None:
    assert FarHost("gpu").command == ["ssh", "-T", "gpu"]
    assert FarHost("podman exec -i box").command == ["podman", "exec", "-i", "box"]


def test_settings_go_along_and_nothing_else() -> None:
    environ = {
        "HOME": "/home/me",
        "OPENAI_API_KEY": "secret",
        "VIRTUAL_ENV": "/here",
        "VENV_PATH": "/there",
        "KERNELEXEC_SESSION": "s",
        "KERNELEXEC_HOST": "gpu",
        "KERNELEXEC_RUNTIME_DIR": "/here",
        "KERNELEXEC_HUB_IDLE_SECONDS": "1",
    }
    assert about_here(environ)["settings"] == {"VENV_PATH": "/there", "KERNELEXEC_SESSION": "s"}
    assert about_here(environ)["directory"] == os.path.realpath(Path.cwd())


def test_a_bridge_that_is_on_this_machine_does_without_what_links_need() -> None:
    program = "import sys\nfrom kernelexec.bridge import stdio\nprint('subprocess' in sys.modules)"
    import subprocess

    said = subprocess.run(
        [sys.executable, "-S", "-c", program],
        env={"PYTHONPATH": str(Path(far_link.__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "False\n"
