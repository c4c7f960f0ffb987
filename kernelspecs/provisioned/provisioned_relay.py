"""Have a provisioner start a kernel, or find it again, and pass messages on between it and a connection file.

Started by provisioned.py, which says why, with the arguments KERNELSPEC_FOLDER CONNECTION_FILE. Identities are kept, as in relay.py: between the frames which name a client's
socket and the delimiter nothing is touched, so replies and questions find their way back. What is signed with one key is
checked and signed with the other.

- an interrupt_request is the provisioner's to carry out (a signal, or a request of the kernel's own), and answered here, but
  for one that names a run
- a shutdown_request has the provisioner end the kernel; SIGTERM means the same
- where the provisioner sees that the kernel has ended, this process ends with its exit code; unless the kernel shows that it
  lives: many provisioners take for an end that they could not ask (gateway_provisioners, after 10 ms)
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time

import zmq
import zmq.asyncio
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import KernelProvisionerFactory
from provisioned import INFO
from relay_wire import DELIMITER, Signer, address, is_type, signature_at

LOOK_SECONDS = 0.5  # between two looks at whether the kernel lives
HEARING_SECONDS = 10.0  # until the kernel's output comes; it may need as long to begin
ASK_SECONDS = 0.25  # before it is asked again
SHUTDOWN_SECONDS = 8.0  # for the provisioner to end it, before it is to kill it
CLEANUP_SECONDS = 10.0
UNKNOWN_LOOKS = 20  # in a row that failed, before that is told
BEAT_SECONDS = 2.0  # for a kernel to show that it lives
OUT_OF_REACH = "kernelexec_out_of_reach"  # on iopub: whether the kernel's machine is, and since when
UNREACHABLE_SECONDS = 120.0  # of a kernel's machine, after which its provisioner is believed
TWO_WAY = ("shell", "control", "stdin")


class Manager(AsyncKernelManager):
    """Its own end does not touch a kernel that lives."""

    def cleanup_connection_file(self) -> None:
        pass


class Provisioned:
    """One kernel and its provisioner."""

    def __init__(self, folder: str, connection_file: str) -> None:
        self.directory = os.path.dirname(connection_file)
        with open(connection_file) as file:
            self.front_connection = json.load(file)
        self.info_file = os.path.join(self.directory, INFO)
        self.is_second = os.path.exists(self.info_file)
        # By its folder, whatever other kernelspecs have its name.
        self.manager = Manager(
            connection_file=os.path.join(self.directory, "provisioned.json"),
            kernel_name=os.path.basename(folder),
            kernel_spec_manager=KernelSpecManager(
                kernel_dirs=[os.path.dirname(folder)], ensure_native_kernel=False
            ),
        )
        self.session = f"provisioner-{os.path.basename(self.directory)}"
        self.front = Signer(self.front_connection, self.session)
        self.back = self.front
        self.connection: dict = {}  # the kernel's
        self.context = zmq.asyncio.Context()
        self.fronts: dict = {}
        self.backs: dict = {}
        self.ending = asyncio.Event()  # somebody wants it ended
        self.interrupting: set = set()  # tasks
        # The frames of a shutdown_request that is to be replied to, and where in them it begins.
        self.reply: tuple[list[bytes], int] | None = None

    @property
    def provisioner(self):
        return self.manager.provisioner

    async def start(self) -> None:
        """Start the kernel; or find the one that was started before, where this process is its second."""
        if self.is_second:
            await self.find()
            return
        environ = {name: value for name, value in os.environ.items() if name != "JPY_PARENT_PID"}
        await self.manager.start_kernel(cwd=os.getcwd(), env=environ)
        keep(self.info_file, await self.provisioner.get_provisioner_info())

    async def find(self) -> None:
        info = kept(self.info_file)
        factory = KernelProvisionerFactory.instance(parent=self.manager.parent)
        self.manager.kernel_id = info["kernel_id"]
        self.manager.provisioner = factory.create_provisioner_instance(
            info["kernel_id"], self.manager.kernel_spec, parent=self.manager
        )
        await self.provisioner.load_provisioner_info(info)
        self.manager.load_connection_info(info["connection_info"])

    def join(self) -> None:
        """Connect to the kernel, then listen."""
        said = self.provisioner.connection_info
        connection = {
            name: value.decode() if isinstance(value, bytes) else value for name, value in said.items()
        }
        self.connection = connection
        self.back = Signer(connection, self.session)
        for channel in TWO_WAY:
            back = self.socket(zmq.DEALER)
            # Its questions on stdin go to the name under which the request came.
            back.setsockopt(zmq.IDENTITY, self.session.encode())
            back.connect(address(connection, channel))
            self.backs[channel] = back
            front = self.socket(zmq.ROUTER)
            front.setsockopt(zmq.ROUTER_HANDOVER, 1)
            front.bind(address(self.front_connection, channel))
            self.fronts[channel] = front
        self.backs["iopub"] = self.socket(zmq.SUB)
        self.backs["iopub"].setsockopt(zmq.SUBSCRIBE, b"")
        self.backs["iopub"].connect(address(connection, "iopub"))
        self.fronts["iopub"] = self.socket(zmq.XPUB)
        self.fronts["iopub"].bind(address(self.front_connection, "iopub"))
        self.fronts["hb"] = self.socket(zmq.REP)
        self.fronts["hb"].bind(address(self.front_connection, "hb"))

    def socket(self, kind: int):
        socket = self.context.socket(kind)
        socket.linger = 1000
        socket.setsockopt(zmq.SNDHWM, 0)  # a slow reader costs memory instead of output
        socket.setsockopt(zmq.RCVHWM, 0)
        return socket

    async def hear(self) -> None:
        """Wait until the kernel's output comes, and somebody listens to it: who spoke to the first of these processes sends on
        as soon as its sockets are there again, and what the kernel says to that must not be lost."""
        until = time.monotonic() + HEARING_SECONDS
        hears = False
        while not hears and time.monotonic() < until:
            await self.backs["control"].send_multipart(self.back.pack("kernel_info_request", {}))
            while not hears and await self.backs["iopub"].poll(ASK_SECONDS * 1000):
                hears = self.is_answer(await self.backs["iopub"].recv_multipart())
        if self.is_second:
            await self.fronts["iopub"].poll(max(0, until - time.monotonic()) * 1000)

    def is_answer(self, frames: list[bytes]) -> bool:
        """Whether this is about a request of this process's own, which is nobody else's business; or iopub's welcome."""
        if DELIMITER not in frames:
            return False
        start = frames.index(DELIMITER) + 1
        return self.session.encode() in frames[start + 2] or b'"iopub_welcome"' in frames[start + 1]

    async def run(self) -> int:
        """Pass on until the kernel has ended; the exit code."""
        await self.hear()
        passing = [
            *(asyncio.ensure_future(self.pass_requests(channel)) for channel in TWO_WAY),
            *(asyncio.ensure_future(self.pass_replies(channel)) for channel in (*TWO_WAY, "iopub")),
            asyncio.ensure_future(self.beat()),
        ]
        watching = asyncio.ensure_future(self.see_end())
        wanted = asyncio.ensure_future(self.ending.wait())
        done, _ = await asyncio.wait({watching, wanted, *passing}, return_when=asyncio.FIRST_COMPLETED)
        if watching not in done:
            for failed in done - {wanted}:
                tell(f"Messages cannot be passed on any more: {told(failed.exception())}.")
            await self.end_kernel()  # in that case, too: nobody else could reach it, or end it
            code = 0 if done == {wanted} else 1
        else:
            code = watching.result()
            await asyncio.sleep(0.1)  # what it had said last is on its way
        for task in (*passing, watching, wanted):
            task.cancel()
        await cleaned_up(self.provisioner)
        if self.reply is not None:
            frames, start = self.reply
            answer = self.front.pack_reply(
                frames, start, "shutdown_reply", {"status": "ok", "restart": False}
            )
            await self.fronts["control"].send_multipart(answer)
        self.context.destroy(linger=1000)
        return code

    async def see_end(self) -> int:
        failures = 0
        lost_at = 0.0  # since when nothing is heard of its machine, if it is not
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                code = await self.provisioner.poll()
                failures = 0
            except Exception as error:  # noqa: BLE001 - that it cannot be asked says nothing of the kernel
                failures += 1
                if failures == UNKNOWN_LOOKS:
                    tell(f"Whether the kernel lives cannot be told: {told(error)}.")
                continue
            lives = True if code is None else await self.lives()
            if lives:
                if lost_at:
                    await self.tell_reach(lost_at, is_over=True)
                lost_at = 0.0
                continue
            lost_at = lost_at or time.time()
            if lives is None and time.time() - lost_at < UNREACHABLE_SECONDS:
                await self.tell_reach(lost_at, is_over=False)
                continue
            tell("The kernel's provisioner says that it has ended.")
            return code if isinstance(code, int) and 0 <= code < 256 else 1

    async def tell_reach(self, lost_at: float, *, is_over: bool) -> None:
        """At each look, because who listens may have come meanwhile."""
        message = self.front.pack(OUT_OF_REACH, {"since": lost_at, "is_over": is_over})
        await self.fronts["iopub"].send_multipart([OUT_OF_REACH.encode(), *message])

    async def lives(self) -> bool | None:
        """Whether the kernel itself shows that it lives; None: nothing is heard of its machine."""
        if self.connection.get("transport") != "tcp":
            return False
        try:
            where = self.connection["ip"], int(self.connection["hb_port"])
            _, writer = await asyncio.wait_for(asyncio.open_connection(*where), BEAT_SECONDS)
            writer.close()
        except (ConnectionRefusedError, ConnectionResetError):
            return False
        except (OSError, asyncio.TimeoutError):
            return None
        heart = self.socket(zmq.REQ)  # answered by a thread that runs no code of anybody's
        try:
            heart.connect(address(self.connection, "hb"))
            await heart.send(b"ping")
            return bool(await heart.poll(BEAT_SECONDS * 1000))
        finally:
            heart.close(linger=0)

    async def end_kernel(self) -> None:
        try:
            await asyncio.wait_for(self.manager.shutdown_kernel(), SHUTDOWN_SECONDS)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, it is to end
            tell(f"The provisioner could not shut it down ({told(error)}): it is killed.")
            try:
                await asyncio.wait_for(self.provisioner.kill(), SHUTDOWN_SECONDS)
            except Exception as second:  # noqa: BLE001
                tell(f"It could not be killed, and may be running still: {told(second)}.")

    # --- messages -------------------------------------------------------------------------------

    async def pass_requests(self, channel: str) -> None:
        front, back = self.fronts[channel], self.backs[channel]
        while True:
            frames = await front.recv_multipart()
            try:
                start = signature_at(frames)
                self.front.check(frames, start)
                # One that names the run that it is meant for is the kernel's own to carry out.
                interrupts = (
                    channel == "control"
                    and is_type(frames[start + 1], "interrupt_request")
                    and b'"kernelexec"' not in frames[start + 4]
                )
                shuts_down = channel == "control" and is_type(frames[start + 1], "shutdown_request")
            except (ValueError, IndexError):
                continue  # no message of the key's owner
            if interrupts:
                task = asyncio.ensure_future(self.interrupt(frames, start))
                self.interrupting.add(task)
                task.add_done_callback(self.interrupting.discard)
            elif shuts_down:
                self.reply = frames, start
                self.ending.set()
            else:
                self.back.sign(frames, start)
                await back.send_multipart(frames)

    async def pass_replies(self, channel: str) -> None:
        front, back = self.fronts[channel], self.backs[channel]
        while True:
            frames = await back.recv_multipart()
            try:
                start = signature_at(frames)
                self.back.check(frames, start)
            except (ValueError, IndexError):
                continue
            if self.session.encode() in frames[start + 2]:
                continue  # to a question of this process's own
            self.front.sign(frames, start)
            await front.send_multipart(frames)

    async def beat(self) -> None:
        while True:
            await self.fronts["hb"].send(await self.fronts["hb"].recv())

    async def interrupt(self, frames: list[bytes], start: int) -> None:
        try:
            await self.manager.interrupt_kernel()
            content: dict = {"status": "ok"}
        except Exception as error:  # noqa: BLE001 - a provisioner may raise anything
            tell(f"The provisioner could not interrupt it: {told(error)}.")
            content = {
                "status": "error",
                "ename": type(error).__name__,
                "evalue": str(error),
                "traceback": [],
            }
        await self.fronts["control"].send_multipart(
            self.front.pack_reply(frames, start, "interrupt_reply", content)
        )


async def cleaned_up(provisioner) -> None:
    try:
        await asyncio.wait_for(provisioner.cleanup(), CLEANUP_SECONDS)
    except Exception as error:  # noqa: BLE001 - the kernel has ended, which is what counts
        tell(f"The provisioner could not clear up after it: {told(error)}.")


def keep(path: str, info: dict) -> None:
    """Write it whole or not at all, for the user alone: it has the kernel's key."""
    temporary = f"{path}.tmp"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w") as file:
        json.dump(
            info, file, default=lambda value: value.decode() if isinstance(value, bytes) else str(value)
        )
    os.replace(temporary, path)


def kept(path: str) -> dict:
    with open(path) as file:
        info = json.load(file)
    key = info["connection_info"].get("key")
    if isinstance(key, str):
        info["connection_info"]["key"] = key.encode()
    return info


def told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".rstrip(".: ")


def tell(text: str) -> None:
    """On stderr, whose end is shown with the kernel's end."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


async def main() -> int:
    kernel = Provisioned(*sys.argv[1:3])
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, kernel.ending.set)
    try:
        await kernel.start()
    except Exception as error:  # noqa: BLE001 - a provisioner may raise anything
        what = "find the kernel again" if kernel.is_second else "start the kernel"
        tell(f"The kernel provisioner of {sys.argv[1]} could not {what}: {told(error)}.")
        return 1
    kernel.join()
    return await kernel.run()


def launch() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    status = asyncio.run(main())
    sys.stderr.flush()
    os._exit(status)  # whatever threads a provisioner has
