"""ipykernel as kernelexec runs it; started by launcher.py, in the user's environment.

What the kernel does that ipykernel alone does not:
- iopub has no high-water mark: a slow reader costs memory instead of losing output
- no file in the working directory, which joins sys.path afterwards, can shadow a module needed at the start
- DIR comes first on sys.path while ipykernel is imported, and last from then on
- an `interrupt_request` with `{"kernelexec": {"msg_id": ID}}` reaches the run of that request or nobody; the reply's
  content is `{"status": "ok", "kernelexec": {"interrupted": bool}}`
- an interrupt reaches the group, so subprocesses too, and stops a top-level `await`; each run gets its reply
- an `imports_request` on control, with `{"modules": [NAME]}`, has imports look at the disk anew, and is told which of
  them are imported and in what version: `{"status": "ok", "modules": {NAME: VERSION or null}}`
- a reply's metadata has `{"kernelexec": {"names": [...]}}` when the user's variables are others than before
- the next hub is told what the one before did not see (recollection.py)
- a stdout or stderr that the user's code took away is put back: without it no reply would ever come
- a character that UTF-8 does not have (a lone surrogate) is sent as its escape: a message cannot have it
- a chart of Altair or Plotly has a picture, too (still_images.py), where the hub has started the kernel
- debugpy is imported with the first debug request; a child forked by a cell ends where the cell ends
Each change looks for what it changes, and without it leaves ipykernel as it is (made for 6.29 to 7.x, Python 3.8 on).
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import sys
import threading
from importlib.machinery import PathFinder

import zmq
from ipykernel import iostream, ipkernel, kernelapp
from named_interrupts import (
    Cancellation,
    Interrupts,
    lose_no_interrupt,
    show_cancelled_as_interrupted,
)
from namespace_report import variables
from postponed_debugger import PostponedDebugger
from recollection import Recollection, line_of, shows_traceback
from still_images import StillImages
from traitlets.config import Config

# Programs which would wait for ever for a person: git's editor and its password prompt, and pagers.
# And the advice of debugpy, which is imported late, would land in a cell's output.
ENVIRONMENT = {
    "GIT_EDITOR": "true",
    "GIT_TERMINAL_PROMPT": "0",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
}

REPORT_SECONDS = 2.0  # for what takes 1.5 at most, unless a library hangs

# What IPython imports only when it needs it: to show an error, to complete, to run `!command`, to plot, to debug.
LATE_IMPORTS = frozenset(
    [
        "asttokens",
        "executing",
        "pure_eval",
        "stack_data",
        "pygments",
        "jedi",
        "parso",
        "pexpect",
        "ptyprocess",
        "matplotlib_inline",
        "debugpy",
    ]
)


def launch(side_directory: str | None, *, started_by_hub: bool) -> None:
    """Run the kernel until it is shut down. ipykernel came from `side_directory`, where that is given."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    IPKernelApp.side_directory = side_directory
    IPKernelApp.started_by_hub = started_by_hub
    skip_empty_flushes(iostream.OutStream)
    # Below the user's configuration files and command line. ipykernel's own comment on the sleep calls it a mitigation.
    defaults = Config({"IPythonKernel": {"_execute_sleep": 0.0}})
    if started_by_hub:
        # The hub's journal is the record. In, Out and %history work as ever, but the assistant's code stays out of the
        # person's history database, and a run saves 0.5 ms. A person who starts this kernel from Jupyter has the
        # history they are used to.
        defaults.HistoryManager.enabled = False
    IPKernelApp.launch_instance(kernel_class=IPythonKernel, config=defaults)


# The stock names: traitlets files the command line under the class's name, and to find `IPKernelApp` in
# get_ipython().config is how half the world tells that it runs in a kernel.
class IPKernelApp(kernelapp.IPKernelApp):
    """Loses no output, and lets nothing in the working directory break its start."""

    side_directory: str | None = None
    started_by_hub = False

    def init_kernel(self):
        super().init_kernel()
        if self.started_by_hub:
            self.kernel.recollection = Recollection(self.abs_connection_file)
            self.kernel.recollection.watch(iostream.IOPubThread)
            StillImages(self.kernel.shell)

    def init_iopub(self, context):
        pack_every_character(self.session)
        options = getattr(context, "sockopts", {})  # what pyzmq sets on each new socket
        options[zmq.SNDHWM] = 0  # the default of 1000 drops the rest without a word
        try:
            super().init_iopub(context)
        finally:
            options.pop(zmq.SNDHWM, None)

    def init_path(self):
        """ipykernel has been imported, no code of the user's has run: time for the rest of sys.path."""
        sys.meta_path.insert(0, LateImports(list(sys.path)))
        if self.side_directory is not None:
            sys.path.remove(self.side_directory)
            sys.path.append(self.side_directory)
        if not unsafe_path_forbidden():
            super().init_path()


def unsafe_path_forbidden() -> bool:
    """Whether the user wants no working directory on sys.path. Before 3.11 Python, before 9.7 IPython did not ask."""
    by_environment = os.environ.get("PYTHONSAFEPATH") and not sys.flags.ignore_environment
    return bool(by_environment or sys.flags.isolated or getattr(sys.flags, "safe_path", False))


class LateImports:
    """A finder which imports what IPython uses from where IPython came from, whatever the working directory holds."""

    def __init__(self, path: list[str]) -> None:
        self.path = path

    def find_spec(self, name, path=None, target=None):
        return PathFinder.find_spec(name, self.path) if name in LATE_IMPORTS else None


def skip_empty_flushes(stream_class) -> None:
    """Return at once from a flush of nothing: each run flushes both streams twice, at 0.1 ms in another thread."""
    flush = getattr(stream_class, "flush", None)
    if flush is None:
        return

    def flush_if_needed(self):
        if getattr(self, "_buffers", True) or getattr(self, "_flush_pending", True):
            flush(self)

    stream_class.flush = flush_if_needed


def pack_every_character(session) -> None:
    """Send lone surrogates as their escapes. A message cannot have them: what was printed beside them would be lost, or
    the reply, so that the run would never end."""
    pack = getattr(session, "pack", None)
    if pack is None:
        return

    def pack_encodable(message):
        try:
            packed = pack(message)
            if not packed.isascii():
                packed.decode()  # jupyter_client lets half of them through, as bytes that are no UTF-8
        except UnicodeError:
            packed = pack(encodable(message))
        return packed

    session.pack = pack_encodable


def encodable(value):
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {encodable(key): encodable(inner) for key, inner in value.items()}
    return [encodable(inner) for inner in value] if isinstance(value, (list, tuple)) else value


class IPythonKernel(ipkernel.IPythonKernel):
    """Every run gets its reply, and an interrupt the run it is meant for."""

    def __init__(self, **options) -> None:
        self.kernel_pid = os.getpid()
        self.main_thread = threading.get_ident()
        self.interrupts = Interrupts()
        self.cancelled = False  # the current run, because of an interrupt
        self.recollection = Recollection(None)
        super().__init__(**options)
        self.control_handlers["imports_request"] = self.imports_request
        self.control_handlers["variables_request"] = self.variables_request
        self.control_handlers["kernelexec_request"] = self.kernelexec_request
        self.streams = sys.stdout, sys.stderr
        show_cancelled_as_interrupted(self)
        lose_no_interrupt(self)

    def in_main_thread(self) -> bool:
        return (
            threading.get_ident() == self.main_thread
        )  # a subshell runs in another, where signals do not arrive

    def set_parent(self, ident, parent, channel="shell"):
        """Comes before anybody is told that a request is being handled."""
        header = parent.get("header") or {}
        if channel == "shell" and header.get("msg_type") == "execute_request" and self.in_main_thread():
            self.interrupts.expect(header["msg_id"])
        super().set_parent(ident, parent, channel)

    def pre_handler_hook(self):
        """Let SIGINT raise from here on, unless this is a run.

        A run listens from do_execute on: a KeyboardInterrupt before would leave it without a reply.
        """
        if self.in_main_thread() and self.get_parent("shell")["header"]["msg_type"] != "execute_request":
            super().pre_handler_hook()

    def post_handler_hook(self):
        if self.in_main_thread():
            self.interrupts.deafen()

    async def do_execute(self, *arguments, **options):
        if not self.in_main_thread():
            return await super().do_execute(*arguments, **options)
        self.cancelled = False
        msg_id = self.get_parent("shell")["header"]["msg_id"]
        self.recollection.begins(msg_id)
        try:
            try:
                self.interrupts.listen(msg_id)
                reply = await super().do_execute(*arguments, **options)
            finally:
                self.interrupts.deafen()
        except (KeyboardInterrupt, asyncio.CancelledError):
            self.interrupts.deafen()  # again: the interrupt may have cut the first one short
            self.cancel_cell()
            reply = self.reply_of_error("KeyboardInterrupt", "")
        except Exception as error:  # noqa: BLE001 - from around the code, which is too deeply nested, say
            self.interrupts.deafen()
            reply = self.reply_of_error(type(error).__name__, str(error))
        if self.cancelled and reply.get("ename") == "CancelledError":
            reply.update(ename="KeyboardInterrupt", evalue="")
        if os.getpid() != self.kernel_pid:
            end_forked_child(reply)
        self.put_streams_back()
        return reply

    async def variables_request(self, stream, ident, parent):
        """What variables there are (namespace_report.py), also while a cell runs.

        In a thread: whatever a library does when it is asked, the next interrupt must not wait behind it for long.
        """
        asked = parent["content"]
        report = Report(
            self.shell.user_ns, self.shell.user_ns_hidden, asked.get("pattern", ""), asked.get("limit", 100)
        )
        content = await report.within(REPORT_SECONDS)
        self.session.send(stream, "variables_reply", content, parent, ident=ident)

    def put_streams_back(self) -> None:
        for place, name in enumerate(("stdout", "stderr")):
            stream = self.streams[place]
            if getattr(sys, name) is not stream and not callable(getattr(getattr(sys, name), "flush", None)):
                setattr(sys, name, stream)
                self.streams[1].write(
                    "kernelexec: sys.%s could not be written to any more and was put back\n" % name
                )

    def finish_metadata(self, parent, metadata, reply_content):
        metadata = super().finish_metadata(parent, metadata, reply_content)
        if self.in_main_thread():
            names = self.recollection.new_names(self.shell.user_ns, self.shell.user_ns_hidden)
            if names is not None:
                metadata["kernelexec"] = {"names": names}
            self.recollection.replied(parent["header"]["msg_id"], reply_content, metadata)
        return metadata

    def _input_request(self, prompt, ident, parent, password=False):
        self.recollection.question = {"prompt": str(prompt), "password": bool(password)}
        try:
            return super()._input_request(prompt, ident, parent, password)
        finally:
            self.recollection.question = None

    async def kernelexec_request(self, stream, ident, parent):
        """A question of the hub's about a run (recollection.py)."""
        about = parent["content"].get("about")
        messages, complete = self.recollection.of_run(about) if about else ([], False)
        content = {
            "status": "ok",
            "running": self.interrupts.run,
            "begun": about in self.recollection.begun,
            "reply": self.recollection.replies.get(about),
            "question": self.recollection.question,
            "messages": messages if parent["content"].get("messages") else [],
            "complete": complete,
            "line": line_of(self.main_thread),
            "ending": shows_traceback(self.main_thread),
            "names": self.recollection.names or [],
        }
        self.session.send(stream, "kernelexec_reply", content, parent, ident=ident)

    def cancel_cell(self) -> None:
        """An interrupt may have hit between making the cell's task and waiting for it."""
        cell = self.shell.run_cell_async.__code__
        for task in asyncio.all_tasks():
            if getattr(task.get_coro(), "cr_code", None) is cell:
                task.cancel()

    def reply_of_error(self, name: str, value: str) -> dict[str, object]:
        """For what was raised in ipykernel's code around the user's. ipykernel itself would not reply at all."""
        self.shell.showtraceback()
        return {
            "status": "error",
            "ename": name,
            "evalue": value,
            "traceback": getattr(self.shell, "_last_traceback", None) or [],
            "execution_count": self.shell.execution_count - 1,
            "user_expressions": {},
            "payload": [],
        }

    def _cancel_on_sigint(self, task):
        """ipykernel's own does not wake the event loop from its signal handler."""
        return Cancellation(self, task)

    def _send_interrupt_children(self):
        self.interrupts.send()

    async def interrupt_request(self, stream, ident, parent):
        named = parent["content"].get("kernelexec")
        if not isinstance(named, dict):
            await super().interrupt_request(stream, ident, parent)
            return
        content = {
            "status": "ok",
            "kernelexec": {"interrupted": self.interrupts.interrupt(named.get("msg_id"))},
        }
        self.session.send(stream, "interrupt_reply", content, parent, ident=ident)

    async def imports_request(self, stream, ident, parent):
        """After an installation: what is there is looked for anew, and which of some modules are imported is told."""
        importlib.invalidate_caches()
        asked = parent["content"].get("modules", ())
        found = {name: version_of(sys.modules[name]) for name in asked if name in sys.modules}
        self.session.send(stream, "imports_reply", {"status": "ok", "modules": found}, parent, ident=ident)

    async def poll_stopped_queue(self):
        if not isinstance(getattr(self, "debugger", None), PostponedDebugger):
            await super().poll_stopped_queue()

    async def do_debug_request(self, msg):
        debugger = getattr(self, "debugger", None)
        if isinstance(debugger, PostponedDebugger):
            self.debugger = debugger.load()
            self.debug_events = asyncio.ensure_future(
                self.poll_stopped_queue()
            )  # kept: a loop's own reference is weak
        return await super().do_debug_request(msg)


class Report(threading.Thread):
    """The report on the variables, made in a thread that nobody waits for too long."""

    def __init__(self, *arguments) -> None:
        super().__init__(name="kernelexec variables", daemon=True)
        self.arguments = arguments
        self.content: dict[str, object] = {
            "status": "error",
            "ename": "TimeoutError",
            "evalue": "",
            "traceback": [],
        }
        self.loop = asyncio.get_running_loop()
        self.done = asyncio.Event()

    def run(self) -> None:
        try:
            self.content = {"status": "ok", **variables(*self.arguments)}
        finally:
            self.loop.call_soon_threadsafe(self.done.set)

    async def within(self, seconds: float) -> dict[str, object]:
        self.start()
        with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
            await asyncio.wait_for(self.done.wait(), seconds)
        return self.content


def version_of(module) -> str | None:
    """What a module says of its version, without running code of its own."""
    version = getattr(module, "__dict__", {}).get("__version__")
    return version if isinstance(version, str) else None


def end_forked_child(reply) -> None:
    """End a child which came back from the cell that forked it: two processes must not answer on the same sockets."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os._exit(reply["status"] == "error")
