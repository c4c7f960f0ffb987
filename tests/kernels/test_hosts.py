"""Several hosts as one: each kernel is its own host's, by the kind that its place names."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from kernelexec.kernels import hosts
from kernelexec.kernels.here import Machine
from kernelexec.kernels.host import KernelGone
from kernelexec.model.environment import Environment, RunningKernel
from tests.fakes import environment


def test_a_place_of_a_later_version_s_kind_is_refused_and_its_kernel_not_taken_for_gone(
    tmp_path: Path,
) -> None:
    with pytest.raises(ValueError, match="'satellite'"):
        hosts.here(tmp_path, tmp_path).adopt({"kind": "satellite", "orbit": 4}, lambda message: None, "named")


def test_what_a_later_version_has_added_to_a_place_is_passed_over(tmp_path: Path) -> None:
    """The rest is what a hub of this version needs to know that the kernel has ended."""
    here = Machine.this()
    ended = subprocess.Popen(["true"])
    ended.wait()
    joined = {
        "id": "00c0ffee",
        "kind": "joined",
        "connection": {},
        "connection_file": "/run/kernel-1.json",
        "pid": ended.pid,
        "identity": "another's",
        "boot": here.boot,
        "host": here.host,
        "pid_namespace": here.pid_namespace,
        "later": "what a later version has added",
    }
    with pytest.raises(KernelGone):
        hosts.here(tmp_path, tmp_path).adopt(joined, lambda message: None, "signal")
    server = {"kind": "server", "url": "http://127.0.0.1:9", "kernel": "1", "session": "2", "later": {}}
    assert hosts.here(tmp_path, tmp_path).elsewhere(server) is None
    running = {"joins": "a.ipynb", "connection_file": "c.json", "pid": 7, "directory": "/work"}
    described = {**environment().to_json(), "running": {**running, "later": 1}, "later": 2}
    assert Environment.from_json(described).running == RunningKernel(**running)  # type: ignore[arg-type]
