"""What goes wrong on the way to a kernel there, each provoked: it is said, and the documents have it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kernelexec.bridge.far_link import FarHost as Named
from kernelexec.errors import HubUnavailable
from kernelexec.kernels.far_command import FarCommand, FarPython, FarTrouble
from tests.fakes import run
from tests.remote.sshd import FarHost

pytestmark = pytest.mark.timeout(100)
_DOCUMENT = Path(__file__).parents[2] / "docs" / "remote.md"
_DEFAULT = FarPython("default")
_START = {
    "want": "start",
    "id": "0badc0de",
    "connection": {"key": "key", "signature_scheme": "hmac-sha256"},
    "kept_bytes": 1000,
}


def trouble(
    command: str, python: FarPython = _DEFAULT, wanted: Mapping[str, Any] | None = None
) -> FarTrouble:
    with pytest.raises(FarTrouble) as raised:
        run(FarCommand(command).ask(python, wanted or {"want": "end", "id": "none"}, os.environ))
    return raised.value


def refused(command: str) -> HubUnavailable:
    """What a bridge is told that goes there."""
    with pytest.raises(HubUnavailable) as raised:
        Named(command).version(os.environ)
    return raised.value


def is_documented(*words: str) -> None:
    """Each is in the first column of a table."""
    cells = [line.split("|")[1] for line in _DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    for each in words:
        assert any(each in cell for cell in cells), each


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("ssh -T nowhere.invalid", "Could not resolve hostname"),
        ("{} -p 1", "Connection refused"),
        ("/nowhere/ssh gpu", "cannot be started: No such file or directory"),
    ],
)
def test_a_way_that_leads_nowhere_is_told_in_its_own_words(
    bare_host: FarHost, command: str, words: str
) -> None:
    command = command.format(bare_host.command)
    is_documented(words)
    assert words in trouble(command).what
    assert words in refused(command).what


def test_a_host_key_that_has_changed_is_told_with_what_to_do(bare_host: FarHost) -> None:
    known = bare_host.ssh / "known"
    before = known.read_text()
    known.write_text(f"[127.0.0.1]:{bare_host.port} {(bare_host.ssh / 'id.pub').read_text()}")
    try:
        for said in (trouble(bare_host.command), refused(bare_host.command)):
            assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in said.what
            assert "@@@" not in said.what
            assert said.next_step.startswith("If that machine was set up anew, remove its old key")
    finally:
        known.write_text(before)
    is_documented("REMOTE HOST IDENTIFICATION HAS CHANGED")


@pytest.mark.parametrize(
    ("option", "words", "todo"),
    [
        ("-o StrictHostKeyChecking=accept-new -i /nowhere", "Permission denied", "It has to let you in"),
        ("-o StrictHostKeyChecking=yes", "Host key verification failed", "Accept its key once."),
    ],
)
def test_what_ssh_would_ask_is_told_with_what_to_do(
    bare_host: FarHost, option: str, words: str, todo: str
) -> None:
    to = f"-p {bare_host.port} {bare_host.name}@127.0.0.1"
    command = f"ssh -T -F none -o UserKnownHostsFile=/dev/null -o IdentityAgent=none {option} {to}"
    for said in (trouble(command), refused(command)):
        assert words in said.what
        assert said.next_step.startswith(todo)
    is_documented(words)


def test_an_account_without_a_shell_is_told_in_its_words(bare_host: FarHost) -> None:
    subprocess.run(["usermod", "-s", "/usr/sbin/nologin", bare_host.name], check=True)
    try:
        assert "This account is currently not available" in trouble(bare_host.command).what
        assert "This account is currently not available" in refused(bare_host.command).what
    finally:
        subprocess.run(["usermod", "-s", "/bin/bash", bare_host.name], check=True)


def test_a_terminal_in_the_way_is_told(bare_host: FarHost) -> None:
    said = trouble(bare_host.command.replace("-T", "-tt"))
    assert "has a terminal there, which changes what is said" in said.what


def test_an_interpreter_that_is_not_there_is_told(bare_host: FarHost) -> None:
    is_documented("There is no interpreter", "which is no folder on")
    assert (
        "There is no interpreter ~/none/bin/python"
        in trouble(bare_host.command, FarPython("venv", "~/none")).what
    )
    said = trouble(bare_host.command, wanted={**_START, "directory": "~/nowhere"})
    assert "nowhere, which is no folder on" in said.what
    assert "correct KERNELEXEC_CWD" in said.next_step


def test_an_environment_to_which_no_ipykernel_can_be_lent_is_told_with_the_command(
    bare_host: FarHost,
) -> None:
    done = bare_host.run(". ./.profile; .local/bin/uv venv -q bare")
    assert done.returncode == 0, done.stderr
    profile = bare_host.home / ".profile"
    before = profile.read_text()
    bare_host.write(".profile", "export UV_OFFLINE=1 UV_NO_CACHE=1\n")
    try:
        said = trouble(bare_host.command, FarPython("venv", "bare"), {"want": "look"})
    finally:
        bare_host.write(".profile", before)
    assert "bare/bin/python there has no ipykernel, and none could be lent to it" in said.what
    assert "bare/bin/python -m pip install 'ipykernel>=6.29'" in said.next_step


@contextmanager
def data_folder(far: FarHost) -> Iterator[Path]:
    folder = far.home / ".local" / "share" / "kernelexec"
    kept = folder.with_name("kept")
    folder.parent.mkdir(parents=True, exist_ok=True)
    far.own(far.home / ".local")
    if folder.exists():
        folder.rename(kept)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
        if kept.exists():
            kept.rename(folder)


def test_a_home_that_takes_no_more_is_told(bare_host: FarHost) -> None:
    is_documented("cannot be written to")
    with data_folder(bare_host):  # root's
        said = trouble(bare_host.command)
        assert "Programs of kernelexec cannot be written to" in said.what
        assert "Permission denied" in said.what
    with data_folder(bare_host) as folder:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=16k,mode=777", "none", folder],
            capture_output=True,
            check=False,
        )
        if mounted.returncode != 0:
            pytest.skip("nothing can be mounted here")
        try:
            assert "No space left on device" in trouble(bare_host.command).what
        finally:
            subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("shell", ["/bin/csh", "/bin/tcsh", "/usr/bin/fish", "/usr/bin/zsh", "/bin/dash"])
def test_whichever_its_users_shell_is_it_is_reached(bare_host: FarHost, shell: str) -> None:
    if not os.path.exists(shell):
        pytest.skip(f"apt-get install {Path(shell).name}")
    greeting = [
        bare_host.write(name, 'echo "Welcome"\n')
        for name in (".cshrc", ".zshenv", ".config/fish/config.fish")
    ]
    subprocess.run(["usermod", "-s", shell, bare_host.name], check=True)
    try:
        said = run(FarCommand(bare_host.command).ask(_DEFAULT, {"want": "end", "id": "none"}, os.environ))
        assert said["ended"]
    finally:
        subprocess.run(["usermod", "-s", "/bin/bash", bare_host.name], check=True)
        for path in greeting:
            path.unlink()


def test_no_table_says_what_nobody_has_provoked() -> None:
    """Those of the second table; the words of others are other tests'."""
    section = _DOCUMENT.read_text().partition("### If the kernel there is not reached")[2].partition("\n#")[0]
    said = re.findall(r"^\| `([^`]+)`", section, re.MULTILINE)
    sources = "".join(path.read_text() for path in Path(__file__).parents[1].rglob("test_*.py"))
    assert len(said) > 10
    for words in said:
        parts = [part.strip(" .,") for part in words.split("...")]
        assert max(parts, key=len) in sources, words
