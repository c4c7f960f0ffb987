"""Messages between the sockets of a kernel on this machine and the hub, which is at the other end of stdin and stdout.

A frame is 4 bytes with the length of what follows, 1 byte that says what it is, and that. Of one of the first four kinds, which are
channels: 2 bytes with the number of the message's parts, 4 for each with its length, the parts. Others:

- BEAT, from the hub: a sign of life is wanted; the answer is BEAT with JSON about the kernel's process
- KEPT, from the hub: the kernel is to outlive this program; until then it ends with it
- KILL, from the hub: the kernel is to end at once
- GONE, to the hub: it has ended; JSON of the files that say how. The hub answers GONE: it has that, the files can go
- NOTHING, from the hub: what was sent has come; only what some links need to send on at once

Nothing is dropped: a hub that does not read makes the kernel's own queue grow, and this program holds a few messages only. One of them
is joined to a kernel at a time: the next ends the one before, whose link may be gone without a word.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import shutil
import signal
import struct
import time

import far_kernel
import zmq

SHELL, IOPUB, STDIN, CONTROL = range(4)
CHANNELS = (("shell", zmq.DEALER), ("iopub", zmq.SUB), ("stdin", zmq.DEALER), ("control", zmq.DEALER))
IN_TURN = (SHELL, CONTROL, STDIN, IOPUB)
BEAT, KEPT, KILL, GONE, NOTHING = range(250, 255)
KINDS = (SHELL, IOPUB, STDIN, CONTROL, BEAT, KEPT, KILL, GONE, NOTHING)
HELD_BYTES = 4_000_000  # that stdout has not taken
AT_ONCE = 200  # messages of a channel
SILENT_SECONDS = 60.0  # without a word from the hub, which says something every 5 seconds
LOOK_MS = 1000
CONNECT_MS = 5000
SUBSCRIBED_SECONDS = 0.02  # for a subscription to cross a socket of this machine
LAST_WORDS_MS = 30  # without a message, after which a kernel that has ended has said all
KEEPER_SECONDS = 2.0  # to write how the kernel ended, and to end what that left behind
STDERR_TAIL = 12_000
IDENTITY = b"kernelexec-far"  # of every relay, so that a reply meant for one before it reaches this one
TOUCH_SECONDS = 3600.0  # so that what clears up /tmp knows the kernel's files as used


class Relay:
    def __init__(self, talk, folder: str, keeper) -> None:
        self.talk = talk
        self.folder = folder
        self.keeper = keeper  # Popen, where this program has started it
        self.is_kept = keeper is None
        self.came, self.out = bytearray(talk.held), bytearray()
        self.heard_at = self.touched_at = time.monotonic()
        self.watched, self.looked_at, self.ended_at = None, 0.0, None
        self.is_told = False  # the hub: that the kernel has ended
        self.is_answered = False

    def run(self) -> int:
        lock = self.take_over()
        try:
            self.join()
            self.pass_on()
        except OSError:
            pass  # the link is gone
        if self.is_answered:
            shutil.rmtree(self.folder, ignore_errors=True)
        elif not self.is_kept:
            self.give_up()
        os.close(lock)
        return 0

    def take_over(self) -> int:
        """Be the only one that is joined to this kernel."""
        lock = os.open(os.path.join(self.folder, "relay.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        number = signal.SIGTERM
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                said = os.pread(lock, 20, 0)
                if said.isdigit():
                    far_kernel.send_signal(int(said), number)
                number = signal.SIGKILL
                time.sleep(0.1)
        os.ftruncate(lock, 0)
        os.pwrite(lock, b"%d" % os.getpid(), 0)
        return lock

    def join(self) -> None:
        with open(os.path.join(self.folder, far_kernel.CONNECTION_FILE)) as file:
            connection = json.load(file)
        context = zmq.Context()
        self.sockets = []
        for _, kind in CHANNELS:
            one = context.socket(kind)
            one.linger = 0
            one.setsockopt(zmq.RECONNECT_IVL, 5)
            if kind == zmq.SUB:
                one.setsockopt(zmq.RCVHWM, 50)  # the kernel queues the rest, without a limit
                one.setsockopt(zmq.SUBSCRIBE, b"")
            else:
                one.setsockopt(zmq.IDENTITY, IDENTITY)
            self.sockets.append(one)
        monitor = self.sockets[IOPUB].get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        for (name, _), one in zip(CHANNELS, self.sockets):  # noqa: B905 - strict needs Python 3.10
            one.connect("ipc://%s-%d" % (connection["ip"], connection[name + "_port"]))
        self.link = self.talk.out
        if self.is_kept:
            self.be_heard(monitor)
        os.set_blocking(0, False)
        os.set_blocking(self.link, False)

    def be_heard(self, monitor) -> None:
        """What a kernel that runs publishes from now on is to come here: wait until it is connected, which it
        need not do anything for."""
        monitor.poll(CONNECT_MS)
        time.sleep(SUBSCRIBED_SECONDS)

    # --- the loop --------------------------------------------------------------------------------

    def pass_on(self) -> None:
        """Until the hub is gone, or the kernel, and the hub has been told."""
        poller = zmq.Poller()
        poller.register(0, zmq.POLLIN)
        while not self.is_answered and time.monotonic() - self.heard_at < SILENT_SECONDS:
            is_full = len(self.out) >= HELD_BYTES
            for one in self.sockets:
                poller.register(one, 0 if is_full or self.is_told else zmq.POLLIN)
            if self.watched is not None:
                poller.register(self.watched, 0 if self.ended_at else zmq.POLLIN)
            poller.register(self.link, zmq.POLLOUT if self.out else 0)
            events = dict(poller.poll(LAST_WORDS_MS if self.ended_at else LOOK_MS))
            if events.get(0) and not self.hear():
                return
            taken = [each for each in IN_TURN if events.get(self.sockets[each]) and self.take(each)]
            if self.out:
                self.write()
            self.look(bool(events.get(self.watched)), is_silent=not taken and not is_full)

    def look(self, has_ended: bool, *, is_silent: bool) -> None:
        """Whether the kernel lives; once it does not, and has said all, that is told."""
        now = time.monotonic()
        if self.ended_at is not None:
            if is_silent and not self.is_told and self.is_cleared_up(now - self.ended_at):
                self.tell_end()
        elif has_ended or now - self.looked_at > LOOK_MS / 1000:
            self.looked_at = now
            self.ended_at = now if self.has_ended() else None
            if self.watched is None:
                self.watch()
            self.touch(now)

    def watch(self) -> None:
        """Have the kernel's end seen at once, where the system has descriptors of processes."""
        _, kernel = far_kernel.processes(self.folder)
        if kernel is not None and hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):
                self.watched = os.pidfd_open(kernel)

    def has_ended(self) -> bool:
        """The kernel, or its keeper before there was one."""
        self.reap()
        keeper, kernel = far_kernel.processes(self.folder)
        return kernel is None and (keeper is None or self.has_had_one())

    def has_had_one(self) -> bool:
        return os.path.exists(self.path(far_kernel.PROCESS_FILE))

    def is_cleared_up(self, seconds: float) -> bool:
        """Whether its keeper has written how it ended, and ended what it left behind."""
        self.reap()
        return far_kernel.processes(self.folder)[0] is None or seconds > KEEPER_SECONDS

    def reap(self) -> None:
        if self.keeper is not None:
            self.keeper.poll()

    def tell_end(self) -> None:
        self.is_told = True
        said = {
            "exit": self.read(far_kernel.EXIT_FILE),
            "stderr": self.read(far_kernel.STDERR_FILE, STDERR_TAIL),
            "begun": self.read("begun"),
            "printed": self.read("printed"),
        }
        self.send(GONE, json.dumps(said).encode())

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def read(self, name: str, tail: int = 0):
        try:
            with open(self.path(name), "rb") as file:
                if tail:
                    file.seek(max(0, os.fstat(file.fileno()).st_size - tail))
                data = file.read()
        except OSError:
            return None
        return base64.b64encode(data).decode()

    def give_up(self) -> None:
        """Its hub went before the kernel was ready, and nobody else knows of it."""
        _, kernel = far_kernel.processes(self.folder)
        if self.keeper is not None:
            far_kernel.send_signal(kernel or self.keeper.pid, signal.SIGKILL)
            self.keeper.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def touch(self, now: float) -> None:
        if now - self.touched_at > TOUCH_SECONDS:
            self.touched_at = now
            for name in ("", *os.listdir(self.folder)):
                with contextlib.suppress(OSError):
                    os.utime(self.path(name))

    # --- frames ----------------------------------------------------------------------------------

    def take(self, channel: int) -> bool:
        """Pass on what a socket has; whether it had something."""
        taken = False
        for _ in range(AT_ONCE):
            if len(self.out) >= HELD_BYTES:
                self.write()
                if len(self.out) >= HELD_BYTES:
                    break
            try:
                parts = self.sockets[channel].recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            taken = True
            head = struct.pack("!H%dI" % len(parts), len(parts), *map(len, parts))
            self.send(channel, head, *parts)
        return taken

    def send(self, kind: int, *data: bytes) -> None:
        self.out += struct.pack("!IB", 1 + sum(map(len, data)), kind)
        for part in data:
            self.out += part

    def write(self) -> None:
        """As much as the link takes now. OSError: it is gone."""
        with memoryview(self.out) as view:
            done = 0
            try:
                while done < len(view):
                    done += os.write(self.link, view[done : done + (1 << 18)])
            except BlockingIOError:
                pass
        del self.out[:done]

    def hear(self) -> bool:
        """Take what the hub says; False: it is gone."""
        try:
            got = os.read(0, 1 << 20)
        except BlockingIOError:
            return True
        if not got:
            return False
        self.heard_at = time.monotonic()
        self.came += got
        at = 0
        while len(self.came) - at >= 5:
            size, kind = struct.unpack_from("!IB", self.came, at)
            if kind not in KINDS:
                return False  # bytes are missing: of what follows nothing can be made
            if len(self.came) - at < 4 + size:
                break
            self.obey(kind, bytes(self.came[at + 5 : at + 4 + size]))
            at += 4 + size
        del self.came[:at]
        return True

    def obey(self, kind: int, data: bytes) -> None:
        if kind < len(CHANNELS):
            (number,) = struct.unpack_from("!H", data)
            sizes = struct.unpack_from("!%dI" % number, data, 2)
            at, parts = 2 + 4 * number, []
            for size in sizes:
                parts.append(data[at : at + size])
                at += size
            self.sockets[kind].send_multipart(parts)
        elif kind == BEAT:
            self.send(BEAT, json.dumps(self.about_kernel()).encode())
        elif kind == KEPT:
            self.is_kept = True
            far_kernel.write(self.path(far_kernel.KEPT_FILE), {})
        elif kind == KILL:
            keeper, kernel = far_kernel.processes(self.folder)
            if kernel or keeper:
                far_kernel.send_signal(kernel or keeper, signal.SIGKILL)
        elif kind == GONE:
            self.is_answered = True

    def about_kernel(self) -> dict:
        """What the system tells of its process; empty where it tells nothing."""
        _, pid = far_kernel.processes(self.folder)
        try:
            with open("/proc/%d/stat" % pid, errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except (OSError, TypeError):
            return {}
        return {
            "stopped": fields[0] in "Tt",
            "cpu": (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
            "memory": int(fields[21]) * os.sysconf("SC_PAGE_SIZE"),
            "pid": pid,
        }
