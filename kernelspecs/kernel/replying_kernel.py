"""The kernel of kernel_app.py: every run gets its reply, and an interrupt the run it is meant for.

What it does that ipykernel's alone does not:
- an `interrupt_request` with `{"kernelexec": {"msg_id": ID}}` reaches the run of that request or nobody; the reply's
  content is `{"status": "ok", "kernelexec": {"interrupted": bool}}`
- an interrupt reaches the group, so subprocesses too, and stops a top-level `await`; each run gets its reply
- an `imports_request` on control, with `{"modules": [NAME]}`, has imports look at the disk anew, and is told which of
  them are imported and in what version, and who looked for them in vain (missed_imports.py):
  `{"status": "ok", "modules": {NAME: VERSION or null}, "missed": {NAME: {MODULE: whether it was being imported}}}`
- a `variables_request` on control is told what variables there are (namespace_report.py)
- an `execute_request` with `{"kernelexec": {"file": PATH}}` is run as that code file (code_files.py)
- an `execute_request` with `{"kernelexec": {"spool": {"over": CHARACTERS, "most": CHARACTERS}}}` has its large values put into files
  (spooled_values.py), where the hub has started the kernel
- an `execute_request` with `{"kernelexec": {"saved": PATH}}` has its warnings, log records and printed tracebacks name that file
  (saved_names.py)
- a `kernelexec_request` on control is told what is known of a run (recollection.py)
- a reply's metadata has `{"kernelexec": {"interrupts": N}}`, how many interrupts reached the run; with `"became": true`
  where its error comes of one (after_interrupts.py), and `"names": [...], "number": int` when the user's variables are
  others than before, or come in another order (bindings.py); with `"unseen": {...}` where figures are that nothing shows
  (headless_figures.py), with `"exits": {...}` where a `!command` failed (terminal_programs.py), and with `"lost_directory": {...}` where the working directory is gone, or
  `"changed_directory": {...}` where it is another than at the start and a file was not found (working_directory.py), and with
  `"lent": {"modules": [NAME]}` where the cell has imported what the environment does not have (lent_modules.py)
- of a server's kernel that and the answer to a `kernelexec_request` have `"usage": {"memory": bytes, "cpu": seconds}` (own_usage.py)
- a stdout or stderr that the user's code took away is put back: without it no reply would ever come
- a password that was typed is hidden wherever it comes back (typed_passwords.py), where the hub has started the kernel
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
import time

from after_interrupts import comes_of_interrupt
from code_files import run_as, unsafe_path_forbidden
from ipykernel import ipkernel
from exits import show_exits
from light_messages import Passage, Transformation, more_follows, reply_directly
from named_interrupts import (
    Cancellation,
    Interrupts,
    lose_no_interrupt,
    show_cancelled_as_interrupted,
)
from namespace_report import variables
from own_usage import own_usage
from postponed_debugger import PostponedDebugger
from recollection import Recollection, line_of, shows_traceback
from saved_names import saved_as
from typed_passwords import TypedPasswords
from working_directory import changed_directory, lost_directory

OUR_REQUESTS = ("imports_request", "variables_request", "kernelexec_request")
REPORT_SECONDS = 2.0  # for what takes 1.5 at most, unless a library hangs


class IPythonKernel(ipkernel.IPythonKernel):
    """See above. Under its stock name, by which traitlets files the command line (see kernel_app.py)."""

    def __init__(self, **options) -> None:
        self.begin()
        super().__init__(**options)
        self.take_over()

    def begin(self) -> None:
        """What a kernel of this class has from the first."""
        self.kernel_pid = os.getpid()
        self.main_thread = threading.get_ident()
        self.interrupts = Interrupts()
        self.cancelled = False  # the current run, because of an interrupt
        self.came_of_interrupts: dict[str, object] = {}  # of the last run
        self.recollection = Recollection(None)
        self.figures = None
        self.last_prints = None
        self.remember_header = (
            None  # how what is published of a run is packed at less cost (light_messages.py)
        )
        self.passage = Passage(self)
        self.lent_modules = None
        self.missed_imports = None
        self.programs = None
        self.spooled = None
        self.typed_passwords = TypedPasswords()
        self.is_of_a_server = False  # which has started it, and watches it (moved_in.py)

    def take_over(self) -> None:
        """What ipykernel has made is used in our way from now on."""
        self.control_handlers["interrupt_request"] = self.interrupt_request
        self.control_handlers["imports_request"] = self.imports_request
        self.control_handlers["variables_request"] = self.variables_request
        self.control_handlers["kernelexec_request"] = self.kernelexec_request
        self.streams = sys.stdout, sys.stderr
        self.transformation = Transformation(self.shell)
        show_exits(self.shell)
        show_cancelled_as_interrupted(self)
        lose_no_interrupt(self)

    def _publish_status(self, status, channel, parent=None):
        """A server takes any idle for the kernel's, and one that ends idle kernels then ends this in the midst of a run."""
        request = parent or self.get_parent(channel) or {}
        asked = request.get("header", {}).get("msg_type")
        if self.is_of_a_server and channel == "control" and asked in OUR_REQUESTS:
            return
        if status == "busy" and asked == "execute_request" and is_echoed(request) and self.in_main_thread():
            with more_follows(self.iopub_thread):
                super()._publish_status(status, channel, parent)
        else:
            super()._publish_status(status, channel, parent)

    def start(self):
        super().start()
        reply_directly(self)

    def shell_channel_thread_main(self, msg):
        return self.passage.take(msg, super().shell_channel_thread_main)

    def in_main_thread(self) -> bool:
        # A subshell runs in another, where signals do not arrive.
        return threading.get_ident() == self.main_thread

    def set_parent(self, ident, parent, channel="shell"):
        """Comes before anybody is told that a request is being handled."""
        header = parent.get("header") or {}
        if channel == "shell" and header.get("msg_type") == "execute_request" and self.in_main_thread():
            self.interrupts.expect(header["msg_id"])
            if self.remember_header is not None:
                self.remember_header(header)
        super().set_parent(ident, parent, channel)
        if channel == "shell":
            self.streams_follow(parent)

    def streams_follow(self, parent) -> None:
        """What is printed belongs to the run that prints it, also by a stream that was not sys.stdout when the run began: code
        that has put a file in its place may put it back at any time."""
        for stream in self.streams:
            if stream not in (sys.stdout, sys.stderr) and hasattr(stream, "set_parent"):
                stream.set_parent(parent)

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
        self.transformation.forget()
        if not self.in_main_thread():
            return await super().do_execute(*arguments, **options)
        content = self.get_parent("shell")["content"]
        told = content.get("kernelexec") or {}
        path, saved = told.get("file"), told.get("saved")
        if self.spooled is not None:
            self.spooled.wish(told.get("spool"))
        with contextlib.ExitStack() as stack:
            if path is not None:
                stack.enter_context(
                    run_as(self.shell, path, content["code"], on_path=not unsafe_path_forbidden())
                )
            elif saved is not None:
                stack.enter_context(saved_as(self.shell.compile, saved))
            return await self.execute_in_main_thread(*arguments, **options)

    async def execute_in_main_thread(self, *arguments, **options):
        self.cancelled = False
        msg_id = self.get_parent("shell")["header"]["msg_id"]
        if self.last_prints is not None:
            self.last_prints.begins(msg_id)
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
        self.came_of_interrupts = self.what_came_of_interrupts(reply)
        if self.cancelled and reply.get("ename") == "CancelledError":
            reply.update(ename="KeyboardInterrupt", evalue="")
        if os.getpid() != self.kernel_pid:
            end_forked_child(reply)
        self.typed_passwords.release()
        self.put_streams_back()
        return reply

    async def variables_request(self, stream, ident, parent):
        """What variables there are (namespace_report.py), also while a cell runs.

        In a thread: whatever a library does when it is asked, the next interrupt must not wait behind it for long.
        """
        asked = parent["content"]
        report = Report(
            self.shell.user_ns,
            self.shell.user_ns_hidden,
            asked.get("pattern", ""),
            asked.get("limit", 100),
            self.recollection.bindings.ages(),
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
            told = metadata["kernelexec"] = dict(self.came_of_interrupts)
            if self.spooled is not None:
                self.spooled.reply(reply_content)
            names = self.recollection.new_names(self.shell.user_ns, self.shell.user_ns_hidden)
            if names is not None:
                told.update(names)
            unseen = self.figures.news() if self.figures is not None else None
            if unseen is not None:
                told["unseen"] = unseen
            exits = self.programs.take_exits() if self.programs else None
            if exits is not None and not self.interrupts.sent:
                told["exits"] = exits
            lost = lost_directory()
            if lost is not None:
                told["lost_directory"] = lost
            changed = changed_directory(reply_content)
            if changed is not None:
                told["changed_directory"] = changed
            lent = self.lent_modules.news(parent["content"]["code"]) if self.lent_modules else None
            if lent is not None:
                told["lent"] = lent
            if self.is_of_a_server:
                told["usage"] = own_usage()
            self.recollection.replied(parent["header"]["msg_id"], reply_content, metadata)
        return metadata

    def what_came_of_interrupts(self, reply) -> dict[str, object]:
        """For the reply's metadata: whoever asked for an interrupt does not know whether it came in time."""
        told: dict[str, object] = {"interrupts": self.interrupts.sent}
        if self.interrupts.sent and reply["status"] == "error":
            result = getattr(self.shell, "last_execution_result", None)
            error = getattr(result, "error_in_exec", None) or getattr(result, "error_before_exec", None)
            told["became"] = comes_of_interrupt(
                error, self.cancelled, time.monotonic() - self.interrupts.sent_at
            )
        return told

    def _input_request(self, prompt, ident, parent, password=False):
        self.recollection.question = {"prompt": str(prompt), "password": bool(password)}
        self.typed_passwords.release()
        try:
            answer = self.programs.ask(prompt, ident, parent, password) if self.programs else None
            if answer is None:
                answer = super()._input_request(prompt, ident, parent, password)
        finally:
            self.recollection.question = None
        self.typed_passwords.remember(answer, str(prompt), password, *self.streams)
        return answer

    async def kernelexec_request(self, stream, ident, parent):
        """A question of the hub's about a run (recollection.py)."""
        asked = parent["content"]
        about = asked.get("about")
        wanted = about if asked.get("messages") else None
        page = self.recollection.of_run(wanted, asked.get("after", -1), asked.get("most"))
        content = {
            "status": "ok",
            "running": self.interrupts.run,
            "begun": about in self.recollection.begun,
            "reply": self.recollection.replies.get(about),
            "question": self.recollection.question,
            **page,
            "line": line_of(self.main_thread),
            "ending": shows_traceback(self.main_thread),
            **(self.recollection.names or {"names": []}),
            **({"usage": own_usage()} if self.is_of_a_server else {}),
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
        """After an installation: what is there is looked for anew; which of some modules are imported is told, and who missed them."""
        importlib.invalidate_caches()
        asked = parent["content"].get("modules", ())
        found = {name: version_of(sys.modules[name]) for name in asked if name in sys.modules}
        missed = self.missed_imports.missed(asked) if self.missed_imports is not None else {}
        content = {"status": "ok", "modules": found, "missed": missed}
        self.session.send(stream, "imports_reply", content, parent, ident=ident)

    async def poll_stopped_queue(self):
        if not isinstance(getattr(self, "debugger", None), PostponedDebugger):
            await super().poll_stopped_queue()

    async def do_debug_request(self, msg):
        debugger = getattr(self, "debugger", None)
        if isinstance(debugger, PostponedDebugger):
            self.debugger = debugger.load()
            # Kept: a loop's own reference is weak.
            self.debug_events = asyncio.ensure_future(self.poll_stopped_queue())
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


def is_echoed(request) -> bool:
    """Whether the code of an execute_request is published at once, before it runs."""
    content = request.get("content")
    return isinstance(content, dict) and not content.get("silent", False)


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
