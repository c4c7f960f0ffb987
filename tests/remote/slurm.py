"""A real Slurm of one node, in a network of its own, because its daemons listen on all addresses."""

from __future__ import annotations

import os
import pwd
import secrets
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psutil
import pytest

from tests.real.home import eventually

_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "srun", "unshare", "nsenter", "ip")
_COMMANDS = ("sbatch", "srun", "salloc", "scancel", "squeue", "sinfo", "scontrol")
_ADDRESS = "192.0.2.1"  # of those that nobody has (RFC 5737)
_KEY_BYTES = 1024  # the length that munged wants
_CONFIG = """ClusterName=kx
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/cgroup
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MpiDefault=none
KillWait=5
InactiveLimit=0
SlurmctldParameters=enable_configless
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=2000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES DefaultTime=60 MaxTime=INFINITE State=UP OverSubscribe=NO
"""


@dataclass(frozen=True)
class Slurm:
    """A cluster that runs. Jobs see this machine's files, as on a cluster with a shared file system."""

    folder: Path
    """Its folder `bin` has sbatch, srun, scancel, squeue and others, which work from outside, too."""
    namespace: int
    """The process whose network the cluster's is."""
    daemons: dict[str, subprocess.Popen[bytes]]

    @property
    def path(self) -> str:
        """A PATH on which Slurm's commands are, as on a cluster's login node."""
        return f"{self.folder / 'bin'}:/usr/local/bin:/usr/bin:/bin"

    @property
    def login(self) -> str:
        """A command that leads to a shell on the login node: `{login} sh`, or with another program."""
        return shlex.join([*_entering(self.namespace), "env", f"PATH={self.path}", *self._environ()])

    def call(self, *command: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """One of Slurm's commands, e.g. `call("squeue", "-h")`."""
        program = self.folder / "bin" / command[0]
        return subprocess.run(
            [program, *command[1:]], capture_output=True, text=True, timeout=seconds, check=False
        )

    def submit(self, script: str, *options: str) -> str:
        """The number of a job with that script's text."""
        file = self.folder / f"{secrets.token_hex(4)}.sh"
        file.write_text(script)
        done = self.call("sbatch", "--parsable", "-o", f"{file}.out", *options, str(file))
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def job(self, number: str) -> dict[str, str]:
        """What `scontrol show job` says: JobState, Reason, ExitCode, NodeList and more."""
        words = self.call("scontrol", "show", "job", number).stdout.split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def state(self, number: str) -> str:
        """PENDING, RUNNING, COMPLETED, CANCELLED, TIMEOUT, FAILED, NODE_FAIL ..."""
        return self.job(number).get("JobState", "")

    def reach_time_limit(self, number: str) -> None:
        """Have a running job's time be over now. Slurm looks for such jobs twice a minute."""
        now = datetime.now().strftime("%Y-%m-%dT%H:%M:%S")
        done = self.call("scontrol", "update", f"JobId={number}", f"EndTime={now}")
        assert done.returncode == 0, done.stderr

    def fail_node(self) -> None:
        """As if the node had lost its power: its jobs are NODE_FAIL, or, without `--no-requeue`, PENDING."""
        done = self.call("scontrol", "update", "NodeName=node1", "State=DOWN", "Reason=test")
        assert done.returncode == 0, done.stderr

    def mend_node(self) -> None:
        """A node that answers is taken back; one that did not, when it is told to be."""
        self.call("scontrol", "update", "NodeName=node1", "State=RESUME")
        eventually(self.is_idle, 60)

    def is_idle(self) -> bool:
        """Whether its node waits for work."""
        return self.call("sinfo", "-h", "-o", "%T").stdout.strip() == "idle"

    def end_jobs(self) -> None:
        """Cancel all jobs, and wait for their end."""
        self.call("scancel", "--user", pwd.getpwuid(os.geteuid()).pw_name)
        eventually(lambda: not self.call("squeue", "-h").stdout.strip(), 60)

    def log(self) -> str:
        """What its daemons said last."""
        return "".join(
            f"== {log.name}\n{log.read_text(errors='replace')[-3000:]}" for log in self.folder.glob("*.log")
        )

    def _environ(self) -> list[str]:
        return [f"SLURM_CONF={self.folder}/slurm.conf"]


@contextmanager
def slurm() -> Iterator[Slurm]:
    """A cluster; skipped where none can be."""
    missing = [name for name in _PROGRAMS if shutil.which(name, path=_PATH) is None]
    if missing:
        pytest.skip(f"no {missing[0]}: apt-get install slurmctld slurmd slurm-client munge iproute2")
    if os.geteuid() != 0:
        pytest.skip("Slurm's daemons and their network need root")
    folder = Path(tempfile.mkdtemp(prefix="kxslurm-", dir="/tmp"))  # short: it holds sockets
    folder.chmod(0o755)
    network = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
    cluster = Slurm(folder, network.pid, {})
    try:
        _prepare(cluster)
        _start(cluster)
        yield cluster
        cluster.end_jobs()
    finally:
        print(cluster.log())  # for who looks at a failure
        _end(cluster)
        network.kill()
        network.wait()
        shutil.rmtree(folder)


def _prepare(cluster: Slurm) -> None:
    folder = cluster.folder
    outside = os.readlink("/proc/self/ns/net")
    # Until it is there, a program that enters it would enter ours, and Slurm listen on all addresses of that.
    eventually(lambda: os.readlink(f"/proc/{cluster.namespace}/ns/net") != outside)
    # The second because getaddrinfo() takes a machine that has only 127.0.0.1 for one without addresses.
    for line in ("link set lo up", f"address add {_ADDRESS}/32 dev lo"):
        subprocess.run(
            [*_entering(cluster.namespace), "ip", *line.split()],
            check=True,
            env=_environ(),
            capture_output=True,
        )
    (folder / "slurm.conf").write_text(_CONFIG.format(host=os.uname().nodename, folder=folder))
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\nCgroupMountpoint=/sys/fs/cgroup\n")
    for name in ("state", "spool", "bin", "munge"):
        (folder / name).mkdir()
    key = folder / "munge" / "key"
    key.write_bytes(secrets.token_bytes(_KEY_BYTES))
    key.chmod(0o600)
    subprocess.run(["chown", "-R", "munge:", folder / "munge"], check=True)
    (folder / "munge").chmod(0o711)  # its key is shut, its socket for all
    for name in _COMMANDS:
        command = folder / "bin" / name
        entering = shlex.join([*_entering(cluster.namespace), "env", f"SLURM_CONF={folder}/slurm.conf"])
        command.write_text(f'#!/bin/sh\nexec {entering} {shutil.which(name, path=_PATH)} "$@"\n')
        command.chmod(0o755)


def _start(cluster: Slurm) -> None:
    """Its three daemons, as children of ours."""
    munge = cluster.folder / "munge"
    as_munge = ("setpriv", "--reuid=munge", "--regid=munge", "--clear-groups")
    files = [
        f"--{what}={munge / what.split('-')[0]}" for what in ("key-file", "pid-file", "seed-file", "log-file")
    ]
    _daemon(
        cluster, "munged", *as_munge, "munged", "--foreground", "--force", f"--socket={munge}/socket", *files
    )
    eventually((munge / "socket").exists)
    _daemon(cluster, "slurmctld", "slurmctld", "-D", "-i")
    _daemon(cluster, "slurmd", "slurmd", "-D", "-N", "node1")
    eventually(cluster.is_idle, 60)


def _daemon(cluster: Slurm, name: str, *command: str) -> None:
    with (cluster.folder / f"{name}.log").open("wb") as log:
        cluster.daemons[name] = subprocess.Popen(
            [*_entering(cluster.namespace), *command],
            env={**_environ(), "SLURM_CONF": f"{cluster.folder}/slurm.conf"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _end(cluster: Slurm) -> None:
    """The daemons, and what jobs have left."""
    for daemon in reversed(cluster.daemons.values()):
        daemon.terminate()
        with suppress(subprocess.TimeoutExpired):
            daemon.wait(20)
        daemon.kill()
        daemon.wait()
    network = _network_of(cluster.namespace)
    for process in psutil.process_iter():
        if process.pid != cluster.namespace and _network_of(process.pid) == network:
            with suppress(psutil.Error):
                process.send_signal(signal.SIGKILL)


def _network_of(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return f"none of {pid}"


def _entering(namespace: int) -> tuple[str, ...]:
    return ("nsenter", f"--net=/proc/{namespace}/ns/net")


def _environ() -> dict[str, str]:
    return {"PATH": _PATH, "LANG": "C.UTF-8"}
