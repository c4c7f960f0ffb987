"""Two machines with a cable between them, for what listens on all addresses: each is a network of its own.

Files, users and processes are this machine's, so a test looks at both as at itself.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil
import pytest

from tests.real.home import eventually

_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_PROGRAMS = ("unshare", "nsenter", "ip", "hostname")
_OTHER_NETWORK = 0x40000000  # CLONE_NEWNET of setns(2)


@dataclass(frozen=True)
class Machine:
    """A name and a network: those of a process."""

    name: str
    address: str
    pid: int

    @property
    def entering(self) -> tuple[str, ...]:
        """What stands before a command that is to run there."""
        return ("nsenter", f"--net=/proc/{self.pid}/ns/net", f"--uts=/proc/{self.pid}/ns/uts")

    def run(self, *command: str) -> str:
        done = subprocess.run(
            [*self.entering, *command],
            env={"PATH": _PATH},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def connection(self, port: int) -> socket.socket:
        """One to its loopback, from here.

        A thread may change networks, and a socket stays in the one in which it was made.
        """
        with open("/proc/thread-self/ns/net") as ours, open(f"/proc/{self.pid}/ns/net") as its:
            _enter(its.fileno())
            try:
                return socket.create_connection(("127.0.0.1", port), 10)
            finally:
                _enter(ours.fileno())


@dataclass(frozen=True)
class Machines:
    gateway: Machine
    node: Machine

    @contextmanager
    def parted(self) -> Iterator[None]:
        """The cable is out meanwhile."""
        self.gateway.run("ip", "link", "set", "cable", "down")
        try:
            yield
        finally:
            self.gateway.run("ip", "link", "set", "cable", "up")


@contextmanager
def two_machines() -> Iterator[Machines]:
    """Skipped where none can be made."""
    missing = [name for name in _PROGRAMS if shutil.which(name, path=_PATH) is None]
    if missing:
        pytest.skip(f"no {missing[0]}: apt-get install iproute2 util-linux hostname")
    if os.geteuid() != 0:
        pytest.skip("networks of their own need root")
    # Addresses that nobody has (RFC 5737).
    with _machine("localhost", "192.0.2.1") as gateway, _machine("kxnode", "192.0.2.2") as node:
        end = ("name", "cable")
        gateway.run("ip", "link", "add", *end, "type", "veth", "peer", *end, "netns", str(node.pid))
        for each in (gateway, node):
            each.run("ip", "address", "add", f"{each.address}/24", "dev", "cable")
            for device in ("lo", "cable"):
                each.run("ip", "link", "set", device, "up")
        yield Machines(gateway, node)


@contextmanager
def _machine(name: str, address: str) -> Iterator[Machine]:
    holder = subprocess.Popen(["unshare", "--net", "--uts", "sleep", "infinity"])
    try:
        machine = Machine(name, address, holder.pid)
        # Until it is there, a program that enters it would enter ours, and listen on all addresses of that.
        eventually(lambda: _network_of(holder.pid) != _network_of(os.getpid()) and _is_asleep(holder.pid))
        machine.run("hostname", name)
        yield machine
    finally:
        network = _network_of(holder.pid)
        for process in psutil.process_iter():
            if network and process.pid != holder.pid and _network_of(process.pid) == network:
                with suppress(psutil.Error):
                    process.send_signal(signal.SIGKILL)
        holder.kill()
        holder.wait()


def _is_asleep(pid: int) -> bool:
    return psutil.Process(pid).name() == "sleep"


def _network_of(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return ""


def _enter(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _OTHER_NETWORK):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
