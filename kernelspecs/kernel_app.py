"""ipykernel as kernelexec runs it; started by launcher.py, in the user's environment.

Python 3.8 or newer, ipykernel 6.29 or newer. Each change to ipykernel checks that what it changes
is there, and is left out where it is not.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import threading

import zmq
from ipykernel.iostream import OutStream
from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp
from traitlets.config import Config

# Programs that would wait for ever for an answer nobody can give: pagers, editors, passwords.
NO_QUESTIONS = {"PAGER": "cat", "GIT_PAGER": "cat", "GIT_EDITOR": "true", "GIT_TERMINAL_PROMPT": "0"}


def launch(add_cwd):
    """Run the kernel until it is shut down. `add_cwd`: with the cwd on sys.path, as is usual."""
    for name, value in NO_QUESTIONS.items():
        os.environ.setdefault(name, value)
    skip_needless_flushes()
    config = Config()
    config.IPKernelApp.kernel_class = kernel_class()
    # The history database costs 0.5 ms a call and, shared by all kernels, its lock. In, Out, _ and
    # %history work without it.
    config.HistoryManager.enabled = False
    # A pause that stock ipykernel makes before each reply; over an ordered socket it does nothing.
    config.IPythonKernel._execute_sleep = 0.0
    App.add_cwd = add_cwd
    App.launch_instance(config=config)


class App(IPKernelApp):
    """Loses no output, and lets nothing in the cwd break its start."""

    add_cwd = True

    def init_iopub(self, context):
        # The default limit of 1,000 queued messages drops output without a word: of 200,000 lines
        # 1,990 arrived. A socket takes its options from the context when it is made.
        context.setsockopt(zmq.SNDHWM, 0)
        try:
            super().init_iopub(context)
        finally:
            context.sockopts.pop(zmq.SNDHWM, None)

    def init_path(self):
        """Not yet: a random.py of the user's must not be imported by what starts after this."""

    def init_code(self):
        if self.add_cwd:
            super().init_path()
        super().init_code()


def skip_needless_flushes():
    """A flush of an empty stream costs a round trip between threads, four times a call."""
    flush = OutStream.flush
    names = getattr(getattr(OutStream.write, "__code__", None), "co_names", ())
    if not {"_buffers", "_buffer_lock"} <= set(names):
        return

    def flush_if_needed(self):
        with self._buffer_lock:
            empty = not self._buffers and not getattr(self, "_flush_pending", False)
        if not empty:
            flush(self)

    OutStream.flush = flush_if_needed


def kernel_class():
    needed = ("do_execute", "interrupt_request", "get_parent", "_cancel_on_sigint")
    return Kernel if all(hasattr(IPythonKernel, name) for name in needed) else IPythonKernel


class Kernel(IPythonKernel):
    """With interrupts that name the request they are meant for.

    An interrupt_request whose content has {"kernelexec": {"msg_id": ID}} interrupts only while the
    request ID runs; the reply's content says {"kernelexec": {"interrupted": true or false}}.
    """

    _running = None  # msg_id of the request that user code runs for
    # Held from the look at _running to the signal's delivery, and by the main thread when a run
    # ends: so a signal is always sent before the end of the run that it is meant for.
    _interrupting = threading.Lock()

    @functools.wraps(IPythonKernel.do_execute)
    async def do_execute(self, *args, **kwargs):
        if threading.current_thread() is not threading.main_thread():
            return await super().do_execute(*args, **kwargs)  # a subshell: no signals there
        reply = None
        try:
            self._running = self.get_parent("shell").get("header", {}).get("msg_id", "")
            reply = await super().do_execute(*args, **kwargs)
        except (KeyboardInterrupt, asyncio.CancelledError):
            pass  # it came outside of user code, where nothing else would answer the request
        finally:
            self._end_run()
        return reply or self._interrupted_reply()

    def _end_run(self):
        while True:
            try:
                with self._interrupting:
                    self._running = None
                # Delivers what is pending; what comes later is ignored, until post_handler_hook.
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                return
            except KeyboardInterrupt:
                pass  # meant for this run, which is over

    def _interrupted_reply(self):
        error = {"ename": "KeyboardInterrupt", "evalue": "", "traceback": ["KeyboardInterrupt"]}
        self.send_response(self.iopub_socket, "error", error)
        count = getattr(self, "execution_count", None)
        return dict(error, status="error", execution_count=count, user_expressions={}, payload=[])

    @contextlib.contextmanager
    def _cancel_on_sigint(self, future):
        """For top-level await: a waiting coroutine is cancelled, a running one interrupted."""
        loop = asyncio.get_running_loop()
        coroutine = future.get_coro()

        def on_sigint(signum, frame):
            if getattr(coroutine, "cr_running", False):
                raise KeyboardInterrupt
            loop.call_soon_threadsafe(future.cancel)

        before = signal.signal(signal.SIGINT, on_sigint)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    async def interrupt_request(self, stream, ident, parent):
        named = parent["content"].get("kernelexec")
        content = {"status": "ok"}
        if named is None:
            interrupt_group()
        else:
            with self._interrupting:
                meant = self._running is not None and named.get("msg_id") == self._running
                if meant:
                    interrupt_group()
            content["kernelexec"] = {"interrupted": meant}
        self.session.send(stream, "interrupt_reply", content, parent, ident=ident)


def interrupt_group():
    """The kernel, and what it started, if the process group is the keeper's and ours."""
    group = os.getpgrp()
    if group in (os.getpid(), os.getppid()):
        os.killpg(group, signal.SIGINT)
    else:
        os.kill(os.getpid(), signal.SIGINT)
