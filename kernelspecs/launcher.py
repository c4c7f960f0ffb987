"""Starts an ipykernel in the user's interpreter, with a keeper that watches over it.

    PYTHON launcher.py [--process-file FILE] [--exit-file FILE] [--ipykernel DIR]
                       -f CONNECTION_FILE [ipykernel arguments ...]

--process-file FILE   gets {"format": 1, "keeper": PID, "kernel": PID} as soon as both exist
--exit-file FILE      gets {"format": 1, "kernel": PID, "exit_code": N | null, "signal": N | null,
                      "oom_kills": N | null, "time": SECONDS} when the kernel has ended; oom_kills
                      counts what the system's OOM killer ended meanwhile
--ipykernel DIR       where ipykernel comes from if the environment has none

The process forks before it imports anything. The parent is the keeper: a bare interpreter that
waits for the kernel, writes how it ended, ends what it left behind, and ends the same way. The
child becomes ipykernel. Hub and Jupyter frontends start it alike, from the same kernelspec.

Runs in other people's environments: Python 3.8 or newer, ipykernel 6.29 or newer, nothing else.
Each change to ipykernel checks that what it changes is there, and is left out where it is not.
"""

from __future__ import annotations

import os
import sys

FORMAT = 1
GRACE_SECONDS = 3  # for the kernel, between the keeper's SIGTERM and SIGKILL
OPTIONS = ("--process-file", "--exit-file", "--ipykernel")


def main():
    options = take_options(sys.argv)
    keeper = os.getpid()
    kernel = os.fork()
    if kernel:
        keep(kernel, options)
    else:
        run_kernel(keeper, options)


def take_options(argv):
    """Remove our own options from argv; the rest is ipykernel's."""
    options = dict.fromkeys(OPTIONS)
    for name in OPTIONS:
        if name in argv:
            at = argv.index(name)
            options[name] = argv[at + 1]
            del argv[at : at + 2]
    return options


# --- the keeper ------------------------------------------------------------------
# Lives as long as the kernel and costs memory for as long: no `signal`, `json` or `subprocess`.


def keep(kernel, options):
    """Wait for the kernel's end, write it down, clean up, and end in the same way."""
    import _signal as signal  # the C module behind `signal`, without its enums

    # An interrupt goes to the whole process group and is meant for the kernel.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    become_subreaper()
    watch_parent(kernel, signal)
    oom_kills = count_oom_kills()
    if options["--process-file"]:
        text = '{"format": %d, "keeper": %d, "kernel": %d}' % (FORMAT, os.getpid(), kernel)
        write_file(options["--process-file"], text)
    status = wait_for(kernel)
    if options["--exit-file"]:
        write_file(options["--exit-file"], describe_exit(kernel, status, oom_kills))
    end_leftovers(signal)
    end_like(status, signal)


def become_subreaper():
    """Linux: processes that the kernel's own children leave behind become ours to end."""
    if sys.platform == "linux":
        try:
            import ctypes

            PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>
            ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        except (ImportError, OSError, AttributeError):
            pass  # what is left behind then outlives the kernel, as under a plain ipykernel


def watch_parent(kernel, signal):
    """SIGTERM ends the kernel. So does the end of a Jupyter that started us and says so in
    JPY_PARENT_PID; without that the kernel outlives its starter."""
    killing = []

    def terminate(signum, frame):
        send(kernel, signal.SIGKILL if killing else signal.SIGTERM)
        killing.append(True)
        signal.setitimer(signal.ITIMER_REAL, GRACE_SECONDS)

    def look(signum, frame):
        if killing or os.getppid() != parent:
            terminate(signum, frame)

    parent = os.getppid()
    signal.signal(signal.SIGTERM, terminate)
    signal.signal(signal.SIGALRM, look)
    if os.environ.get("JPY_PARENT_PID") == str(parent):
        signal.setitimer(signal.ITIMER_REAL, 1, 1)


def send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def wait_for(kernel):
    """The kernel's wait status; what else ends meanwhile is reaped."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == kernel:
            return status


def describe_exit(kernel, status, oom_kills_before):
    import time

    signaled = os.WIFSIGNALED(status)
    oom_kills = count_oom_kills()
    return '{"format": %d, "kernel": %d, "exit_code": %s, "signal": %s, "oom_kills": %s, "time": %.3f}' % (
        FORMAT,
        kernel,
        "null" if signaled else os.WEXITSTATUS(status),
        os.WTERMSIG(status) if signaled else "null",
        "null" if None in (oom_kills, oom_kills_before) else oom_kills - oom_kills_before,
        time.time(),
    )


def count_oom_kills():
    """How many processes the system's OOM killer has ended since boot; None where it does not say."""
    try:
        with open("/proc/vmstat") as file:
            for line in file:
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    except (OSError, ValueError):
        pass
    return None


def write_file(path, text):
    """Whole or not at all, for this user only."""
    temporary = path + ".tmp"
    try:
        descriptor = os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        os.write(descriptor, text.encode())
        os.close(descriptor)
        os.replace(temporary, path)
    except OSError as error:
        sys.stderr.write("kernelexec launcher: %s: %s\n" % (path, error))


def end_leftovers(signal):
    """End the processes that the kernel started and did not wait for."""
    while True:
        for pid in children():
            send(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)  # their own children then become ours
        except ChildProcessError:
            return


def children():
    try:
        with open("/proc/self/task/%d/children" % os.getpid()) as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return []


def end_like(status, signal):
    """So that a Jupyter that started us sees how the kernel ended."""
    if os.WIFSIGNALED(status):
        import resource

        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 1)


# --- the kernel --------------------------------------------------------------------


def run_kernel(keeper, options):
    """Become ipykernel."""
    safe_path = bool(getattr(sys.flags, "safe_path", False))
    if not safe_path:
        del sys.path[0]  # our own directory; nothing in the cwd may shadow a module at the start
    if os.environ.get("JPY_PARENT_PID"):
        os.environ["JPY_PARENT_PID"] = str(keeper)  # ipykernel compares it with its real parent
    forbid_questions()
    borrowed = options["--ipykernel"]
    if borrowed:
        # In front for the import, so that an old traitlets in the environment does not break
        # ipykernel; at the end afterwards, so that user code gets the environment's own packages.
        sys.path.insert(0, borrowed)
    app_class, config = make_app()
    if borrowed:
        sys.path.remove(borrowed)
        sys.path.append(borrowed)
    if not safe_path:
        sys.path.insert(0, "")
    sys.argv[0] = "ipykernel_launcher"
    app_class.launch_instance(config=config)


def forbid_questions():
    """Programs that would wait for ever for an answer nobody can give: pagers, editors, passwords."""
    for name, value in (
        ("PAGER", "cat"),
        ("GIT_PAGER", "cat"),
        ("GIT_EDITOR", "true"),
        ("GIT_TERMINAL_PROMPT", "0"),
    ):
        os.environ.setdefault(name, value)


def make_app():
    """The ipykernel application with our changes, and its configuration."""
    import comm  # noqa: F401 - imported now, because later the cwd comes first on sys.path
    import zmq
    from ipykernel.ipkernel import IPythonKernel
    from ipykernel.kernelapp import IPKernelApp
    from traitlets.config import Config

    for late in ("jedi", "matplotlib_inline.backend_inline", "nest_asyncio", "pexpect", "IPython.core.completer"):
        import_if_there(late)
    skip_needless_flushes()

    class App(IPKernelApp):
        def init_iopub(self, context):
            # The default limit of 1,000 queued messages drops output without a word: of 200,000
            # lines 1,990 arrived. A socket takes its options from the context when it is made.
            context.setsockopt(zmq.SNDHWM, 0)
            try:
                super().init_iopub(context)
            finally:
                context.sockopts.pop(zmq.SNDHWM, None)

    config = Config()
    config.IPKernelApp.kernel_class = interruptible(IPythonKernel)
    # The history database costs 0.5 ms a call and, shared by all kernels, its lock. In, Out, _ and
    # %history work without it.
    config.HistoryManager.enabled = False
    # A pause that stock ipykernel makes before each reply; over an ordered socket it does nothing.
    config.IPythonKernel._execute_sleep = 0.0
    return App, config


def import_if_there(name):
    import importlib

    try:
        importlib.import_module(name)
    except Exception:  # noqa: BLE001 - another library's trouble is not ours; it shows when it is used
        pass


def skip_needless_flushes():
    """A flush of an empty stream costs ipykernel a round trip between threads, four times a call."""
    from ipykernel.iostream import OutStream

    flush = OutStream.flush
    code = getattr(OutStream.write, "__code__", None)
    if code is None or not {"_buffers", "_buffer_lock"} <= set(code.co_names):
        return

    def flush_if_needed(self):
        with self._buffer_lock:
            empty = not self._buffers and not getattr(self, "_flush_pending", False)
        if not empty:
            flush(self)

    OutStream.flush = flush_if_needed


def interruptible(kernel_class):
    """The kernel with interrupts that name the request they are meant for.

    An interrupt_request whose content has {"kernelexec": {"msg_id": ID}} interrupts only while the
    request ID runs; the reply's content says {"kernelexec": {"interrupted": true or false}}. Any
    SIGINT counts only while a request runs, so one that comes late never hits the next request.
    """
    import asyncio
    import contextlib
    import functools
    import signal
    import threading

    needed = ("do_execute", "interrupt_request", "pre_handler_hook", "get_parent", "_cancel_on_sigint")
    if not all(hasattr(kernel_class, name) for name in needed):
        return kernel_class

    class Kernel(kernel_class):
        _running = None  # msg_id of the request that user code runs for
        _wanted = None  # msg_id that the next SIGINT is meant for; None: any

        @functools.wraps(kernel_class.do_execute)
        async def do_execute(self, *args, **kwargs):
            if threading.current_thread() is not threading.main_thread():
                return await super().do_execute(*args, **kwargs)  # a subshell: no signals there
            reply = None
            try:
                self._running = self.get_parent("shell").get("header", {}).get("msg_id", "")
                try:
                    reply = await super().do_execute(*args, **kwargs)
                finally:
                    self._running = None
            except (KeyboardInterrupt, asyncio.CancelledError):
                pass  # it came outside of user code, where nothing else would answer the request
            return reply or self._interrupted_reply()

        def _interrupted_reply(self):
            count = getattr(self, "execution_count", None)
            error = {"ename": "KeyboardInterrupt", "evalue": "", "traceback": ["KeyboardInterrupt"]}
            self.send_response(self.iopub_socket, "error", error)
            return dict(error, status="error", execution_count=count, user_expressions={}, payload=[])

        def pre_handler_hook(self):
            self.saved_sigint_handler = signal.signal(signal.SIGINT, self._on_sigint)

        def _on_sigint(self, signum, frame):
            if self._is_meant():
                raise KeyboardInterrupt

        def _is_meant(self):
            wanted, self._wanted = self._wanted, None
            return self._running is not None and wanted in (None, self._running)

        @contextlib.contextmanager
        def _cancel_on_sigint(self, future):
            """For top-level await: a waiting coroutine is cancelled, a running one interrupted."""
            loop = asyncio.get_running_loop()
            coroutine = future.get_coro()

            def on_sigint(signum, frame):
                if not self._is_meant():
                    return
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
            if named is not None:
                meant = self._running is not None and named.get("msg_id") == self._running
                content["kernelexec"] = {"interrupted": meant}
                self._wanted = named.get("msg_id") if meant else None
            if named is None or meant:
                interrupt_group(signal.SIGINT)
            self.session.send(stream, "interrupt_reply", content, parent, ident=ident)

    return Kernel


def interrupt_group(number):
    """The kernel and what it started in its process group, if the group is the keeper's and ours."""
    group = os.getpgrp()
    if group in (os.getpid(), os.getppid()):
        os.killpg(group, number)
    else:
        os.kill(os.getpid(), number)


if __name__ == "__main__":
    main()
