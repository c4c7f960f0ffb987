"""A host to reach by ssh: a real sshd on loopback, and a user of this machine's with a home of its own."""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.real.home import COMMAND, eventually
from tests.remote.machines import Machine

_SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
# What an installer there has to know; it is in the profile, where a company's is.
_OF_INSTALLERS = ("PIP_", "UV_", "SSL_CERT_", "REQUESTS_CA_", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy")

_LOCKED, _NO_SUCH_USER = 1, 6  # of useradd(8) and userdel(8)


class FarHost:
    """How tests reach it, and what they look at there."""

    def __init__(self, name: str, home: Path, ssh: Path, machine: Machine | None) -> None:
        self.name = name
        self.home = home
        self.ssh = ssh
        self.address = "127.0.0.1" if machine is None else machine.address
        self.port = _free_port() if machine is None else 22
        self.uid = pwd.getpwnam(name).pw_uid
        self.entering = () if machine is None else machine.entering
        self.command = shlex.join([*self.entering, *f"ssh -T -F {ssh / 'config'} far".split()])

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        """A line for the user's shell there."""
        return subprocess.run(
            [*shlex.split(self.command), line], capture_output=True, text=True, timeout=300, check=False
        )

    def write(self, name: str, text: str) -> Path:
        """A file in its home."""
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self.own(path)
        return path

    def own(self, path: Path) -> None:
        subprocess.run(["chown", "-R", f"{self.name}:", path], check=True)

    def admit(self, home: Path) -> None:
        """Whoever has this home gets in by the address alone, as the user of this host."""
        folder = home / ".ssh"
        folder.mkdir(mode=0o700)
        shutil.copy(self.ssh / "id", folder / "id_ed25519")
        (folder / "known_hosts").write_text(f"{self.address} {(self.ssh / 'hostkey.pub').read_text()}")

    def processes(self) -> list[psutil.Process]:
        """All of the user's."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.uids().real == self.uid:
                    found.append(process)
        return found

    def hub(self) -> psutil.Process:
        (hub,) = [each for each in self.processes() if "kernelexec.daemon.process" in line_of(each)]
        return hub

    def sessions_of_sshd(self) -> list[psutil.Process]:
        """Those of its processes that serve a connection as this user."""
        return [each for each in self.processes() if each.name() == "sshd"]

    def install(self, *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMMAND, "host", "install", *options, self.command],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def end_all(self) -> None:
        """End what its user has running."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in self.processes():
                with suppress(psutil.Error):
                    process.send_signal(number)
            with suppress(AssertionError):
                eventually(lambda: not self.processes(), 5.0)


def line_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@contextmanager
def far_host(machine: Machine | None = None) -> Iterator[FarHost]:
    """One with a user who has an empty home; skipped where none can be made.

    `machine`: another one than this.
    """
    if _SSHD is None or shutil.which("ssh") is None:
        pytest.skip("no sshd: apt-get install openssh-server openssh-client")
    if os.geteuid() != 0:
        pytest.skip("a second user and an sshd for it need root")
    folder = Path(tempfile.mkdtemp(prefix="kxssh-"))
    folder.chmod(0o755)
    name = f"kx{os.getpid()}{'' if machine is None else 'n'}"
    home = folder / "home"
    eventually(lambda: _is_added(name, home))
    try:
        far = FarHost(name, home, folder, machine)
        _write_keys(far)
        _write_profile(far)
        with _sshd(far):
            yield far
            far.end_all()
    finally:
        uid = pwd.getpwnam(name).pw_uid
        eventually(lambda: _is_deleted(name))
        shutil.rmtree(folder)
        for left in (f"/tmp/kernelexec-{uid}", f"/tmp/kernelexec-far-{uid}"):
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _sshd(far: FarHost) -> Iterator[None]:
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it goes without privileges
    assert _SSHD is not None
    with (far.ssh / "log").open("wb") as log:
        command = [*far.entering, _SSHD, "-D", "-e", "-f", far.ssh / "sshd_config"]
        server = subprocess.Popen(command, stderr=log)
    try:
        eventually(lambda: far.run("true").returncode == 0)
        yield
    finally:
        server.terminate()
        server.wait()


def _write_keys(far: FarHost) -> None:
    folder = far.ssh
    for key in ("hostkey", "id"):
        _call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key)
    far.write(".ssh/authorized_keys", (folder / "id.pub").read_text())
    (far.home / ".ssh").chmod(0o700)
    far.own(far.home)
    (folder / "sshd_config").write_text(
        f"Port {far.port}\nListenAddress {far.address}\nHostKey {folder}/hostkey\nPidFile none\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nDisableForwarding yes\nMaxStartups 100\n"
    )
    (folder / "config").write_text(
        f"Host far\n  HostName {far.address}\n  Port {far.port}\n  User {far.name}\n  IdentitiesOnly yes\n"
        f"  IdentityFile {folder}/id\n  UserKnownHostsFile {folder}/known\n"
        "  StrictHostKeyChecking accept-new\n  LogLevel ERROR\n"
    )


def _write_profile(far: FarHost) -> None:
    """As clusters have them: it greets, also without the end of a line, and says where packages come from."""
    known = [
        f"export {name}={shlex.quote(value)}\n"
        for name, value in os.environ.items()
        if name.startswith(_OF_INSTALLERS)
    ]
    far.write(".profile", "".join(known) + 'echo "Welcome to the cluster"\nprintf "quota: 3 MB, "\n')
    uv = Path(sys.executable).with_name("uv")
    bin_dir = far.home / ".local" / "bin"
    bin_dir.mkdir(parents=True)
    shutil.copy(uv, bin_dir)
    far.own(far.home / ".local")


def _is_added(name: str, home: Path) -> bool:
    """Not while another program changes the list of users."""
    command = ["useradd", "-m", "-k", "/dev/null", "-d", home, "-s", "/bin/bash", "-p", "*", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, _LOCKED), done.stderr
    return done.returncode == 0


def _is_deleted(name: str) -> bool:
    """Not while another program changes the list of users."""
    command = ["userdel", "-r", "-f", name]
    return subprocess.run(command, capture_output=True, check=False).returncode in (0, _NO_SUCH_USER)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _call(*command: object) -> None:
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
