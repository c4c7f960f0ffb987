"""Interrupts that reach the run they are meant for, and no other, and that nothing swallows but the user's own code.

SIGINT raises a KeyboardInterrupt wherever the main thread happens to be. Where that is the user's code, all is well.
Elsewhere it can be lost, and each such place is seen to here:
- before the run listens, though the hub has been told that it runs: it is interrupted as soon as it listens (`expect`)
- in a callback of IPython's events, whose errors are only printed: the user's code is not begun (`check`)
- between the statements of a cell with a top-level await, where it would end the event loop: the next one is not begun
- in a task of the user's that does not come back to the event loop (Cancellation)
- in a __del__, the callback of a weak reference, a fork hook, where Python ignores it: it comes again (unraisablehook)
- in `!command` and `%%bash`, which end the command and go on: they raise it afterwards
- as the main thread is about to wait in the operating system, past Python's last look for signals: there it would wait
  on until whatever it waits for comes. A few nudges follow each interrupt: a signal that does nothing but end that wait
"""

from __future__ import annotations

import _thread
import asyncio
import functools
import os
import signal
import sys
import threading
import time

SCRIPTS = "IPython.core.magics.script"  # %%bash and its like
# Ignored by default, and C code copes with it: Go's scheduler sends it all the time.
NUDGE = signal.SIGURG
NUDGES_AFTER = 0.002, 0.02, 0.2, 1.0  # seconds from one to the next; each may meet the same instant
# Until what swallowed an interrupt has returned: an earlier one would be swallowed with it.
AGAIN_SECONDS = 0.01


class Interrupts:
    """Sees to it that a SIGINT reaches the run it is meant for, or nobody.

    SIGINT is ignored except between listen and deafen. A named interrupt is checked and sent under a lock, which
    deafen takes first. So when deafen sets SIGINT to be ignored, all that will ever be sent to this run has been sent:
    what arrived raises there, and the system drops what is still on its way.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.main_thread = threading.get_ident()
        self.keeper = os.getppid()
        self.lock = threading.Lock()
        self.run: str | None = None
        self.expected: str | None = None  # the run that is about to listen
        self.early = False  # the expected run was interrupted
        self.sent = 0  # interrupts of this run
        self.sent_at = 0.0  # the last of them
        self.due = False  # it met no code of the user's: the next statement must not begin

    def expect(self, msg_id: str) -> None:
        with self.lock:
            self.early = self.early and self.expected == msg_id
            self.expected = msg_id

    def listen(self, msg_id: str) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with self.lock:
            early = self.early
            self.run, self.expected, self.early = msg_id, None, False
            self.sent, self.due = int(early), False
        if early:
            raise KeyboardInterrupt

    def deafen(self) -> None:
        # In a child forked by the user's code nobody may ever release the lock.
        while os.getpid() == self.pid:
            try:
                with self.lock:
                    self.run = self.expected = None
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                return
            except KeyboardInterrupt:
                pass  # meant for the run which has just ended

    def interrupt(self, msg_id: object) -> bool:
        with self.lock:
            if msg_id is None or msg_id not in (self.run, self.expected):
                return False
            if msg_id == self.run:
                self.send()
            else:
                self.early = True
            return True

    def send(self) -> None:
        """Interrupt the kernel and its subprocesses; only the kernel when the group is not the launcher's own."""
        self.sent, self.sent_at = self.sent + 1, time.monotonic()
        group = os.getpgrp()
        if group in (self.pid, self.keeper):
            os.killpg(group, signal.SIGINT)
        else:
            os.kill(self.pid, signal.SIGINT)
        if self.run is not None:
            _thread.start_new_thread(self.nudge, (self.run,))

    def nudge(self, run: str) -> None:
        """In a thread of its own: let the main thread, if it waits for the operating system, see the interrupt."""
        for seconds in NUDGES_AFTER:
            time.sleep(seconds)
            if self.run != run or signal.getsignal(NUDGE) is not ignore_nudge:
                return
            # Still due: a task of the user's has begun before the event loop came to cancel the cell.
            signal.pthread_kill(self.main_thread, signal.SIGINT if self.due else NUDGE)

    def send_again(self, run: str) -> None:
        """In a thread of its own: interrupt the kernel once more, for Python has ignored it."""
        time.sleep(AGAIN_SECONDS)
        with self.lock:
            if self.run == run:
                os.kill(self.pid, signal.SIGINT)
        self.nudge(run)


def ignore_nudge(signum, frame) -> None:
    """Python has looked for signals before it calls this."""


class Cancellation:
    """While a cell with a top-level await runs, SIGINT raises in the user's code, or cancels what the cell awaits."""

    def __init__(self, kernel, task) -> None:
        self.kernel = kernel
        self.task = task
        run_code = type(kernel.shell).run_code
        self.run_code = getattr(run_code, "__code__", None)
        # Whatever is raised in these themselves, IPython takes for an error of the statement.
        self.around = self.run_code, getattr(kernel.shell.run_code, "__code__", None)

    def __enter__(self) -> None:
        self.previous = signal.signal(signal.SIGINT, self.interrupt)

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self.previous)

    def interrupt(self, signum, frame) -> None:
        if os.getpid() != self.kernel.kernel_pid or frame.f_code in self.around:
            raise KeyboardInterrupt
        in_cell, in_users_code = self.place(frame)
        if in_cell:
            self.kernel.interrupts.due = False
            raise KeyboardInterrupt
        # A KeyboardInterrupt anywhere else would end the event loop.
        self.kernel.interrupts.due = True
        self.task.get_loop().call_soon_threadsafe(self.cancel)  # the only call which wakes a loop that sleeps
        if in_users_code:
            raise asyncio.CancelledError

    def cancel(self) -> None:
        self.kernel.interrupts.due = False
        if self.task.cancel():
            self.kernel.cancelled = True

    def place(self, frame):
        """Whether IPython's run_code runs the user's code here, and whether this is called by any code of the user's."""
        namespace = self.kernel.shell.user_global_ns
        in_users_code = False
        while frame is not None:
            caller = frame.f_back
            if frame.f_globals is namespace:
                in_users_code = True
                if caller is not None and caller.f_code is self.run_code:
                    return True, True
            frame = caller
        return False, in_users_code


def show_cancelled_as_interrupted(kernel) -> None:
    """Show the CancelledError of an interrupted await as the KeyboardInterrupt it is, and leave out our own frame."""
    shell = kernel.shell
    show = shell.showtraceback

    def showtraceback(exc_tuple=None, *arguments, **options):
        _kind, error, trace = exc_tuple or sys.exc_info()
        drop_own_frames(trace)
        if kernel.cancelled and isinstance(error, asyncio.CancelledError):
            error = KeyboardInterrupt().with_traceback(trace)
            exc_tuple = KeyboardInterrupt, error, trace
        show(exc_tuple, *arguments, **options)

    shell.showtraceback = showtraceback


def drop_own_frames(trace) -> None:
    """Take this module's frames out: a traceback is to say what it says in any kernel."""
    ours = drop_own_frames.__code__.co_filename
    while trace is not None:
        while trace.tb_next is not None and trace.tb_next.tb_frame.f_code.co_filename == ours:
            trace.tb_next = trace.tb_next.tb_next
        trace = trace.tb_next


def lose_no_interrupt(kernel) -> None:
    """Raise again what IPython and Python would swallow."""
    shell, interrupts = kernel.shell, kernel.interrupts
    if kernel.in_main_thread() and signal.getsignal(NUDGE) is signal.SIG_DFL:
        signal.signal(NUDGE, ignore_nudge)
    check_before_statements(shell, interrupts, kernel.in_main_thread)
    for name in ("system", "getoutput"):
        if hasattr(shell, name):
            setattr(shell, name, raises_interrupts(getattr(shell, name), interrupts))
    if hasattr(shell, "run_cell_magic"):
        magics = shell.magics_manager.magics["cell"]  # some come with their first use
        shell.run_cell_magic = raises_interrupts(
            shell.run_cell_magic,
            interrupts,
            lambda name, *_: getattr(magics.get(name), "__module__", "") == SCRIPTS,
        )
    raise_again_what_python_ignores(interrupts, kernel.in_main_thread)


def check_before_statements(shell, interrupts, in_main_thread) -> None:
    """Begin no statement of a run whose interrupt came to nothing in the code around the user's."""
    run_code = shell.run_code
    checked = None  # the run whose first statement has begun: from then on it may catch an interrupt

    async def run_code_unless_interrupted(*arguments, **options):
        # All in this one function, so that Cancellation sees an interrupt after the check.
        nonlocal checked
        if in_main_thread():
            is_due = interrupts.due or (interrupts.sent and interrupts.run != checked)
            checked, interrupts.due = interrupts.run, False
            if is_due:
                raise KeyboardInterrupt
        return await run_code(*arguments, **options)

    shell.run_code = run_code_unless_interrupted


def raises_interrupts(function, interrupts, concerns=lambda *_: True):
    """For a function that runs a command, and when interrupted ends that and returns, or fails for it."""

    @functools.wraps(function)
    def interruptible(*arguments, **options):
        before = interrupts.sent
        try:
            returned = function(*arguments, **options)
        except Exception:
            if interrupts.sent == before or not concerns(*arguments):
                raise
        else:
            if interrupts.sent == before or not concerns(*arguments):
                return returned
        raise KeyboardInterrupt

    return interruptible


def raise_again_what_python_ignores(interrupts, in_main_thread) -> None:
    show = sys.unraisablehook

    def unraisablehook(unraisable):
        run = interrupts.run
        is_ours = issubclass(unraisable.exc_type, KeyboardInterrupt) and run and in_main_thread()
        if not is_ours or os.getpid() != interrupts.pid:
            show(unraisable)
            return
        while True:
            try:
                _thread.start_new_thread(interrupts.send_again, (run,))
                return
            except KeyboardInterrupt:  # here, too, it would be ignored
                pass

    sys.unraisablehook = unraisablehook
