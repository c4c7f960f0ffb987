"""`!command`, which IPython runs on a terminal of its own, and what such a program asks there. For Python 3.8 and newer.

IPython's way leaves a program that asks (pip uninstall, apt, ssh, a script with input()) waiting for ever: nobody can type.
Here its question is the kernel's: the line that it has begun is asked as input() asks it, as a password where the terminal
does not echo, and the answer is typed. Where it cannot be seen that a program reads (terminal_readers.py), a line that
looks like a question, and is followed by nothing for some seconds, is taken for one.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import sys
import termios
import threading
import time

import zmq
from terminal_readers import Unknown, reader_of

TICK = 0.05  # seconds, as in IPython
LOOKED_AT_AFTER = 0.2  # seconds without output
PASSWORD_AFTER = 0.5  # where the terminal does not echo, and nothing tells who reads
QUESTION_AFTER = 3.0  # where nothing tells that anybody reads
ENDED_AFTER = 0.2  # an interrupted program, before it is killed; as in IPython
BLOCK = 65_536
MOST_EXITS = 3  # that are told
PROGRAM = re.compile(r"\s*((?:[\w.+-]*/)*)([\w.+-]{1,60})(?=[\s;&|]|\Z)")
QUESTION = re.compile(r"[?:>\])]\s*\Z")
WORDS = re.compile(r"\w")
CODES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)")
EOF = "\x04"


class Withdrawn(Exception):
    """The program went on without an answer."""


class TerminalPrograms:
    """Takes the place of IPython's system() in a kernel; `instead_of` is that."""

    def __init__(self, kernel, instead_of) -> None:
        self.kernel = kernel
        self.instead_of = instead_of
        self.running = threading.local()
        self.exits: list[
            tuple[str, int]
        ] = []  # of the present run: commands that ended with another code than 0

    def system(self, command):
        """The exit code of a command, negative for a signal; what it prints is printed as it comes."""
        import pexpect  # late, as in IPython: few runs need it

        program = Program(self.kernel, pexpect, self.shell(), command)
        self.running.program = program
        try:
            code = program.run()
        finally:
            self.running.program = None
        if code:
            self.exits.append((name_of(command), code))
        return code

    def take_exits(self):
        """What is said of a run: IPython leaves the code in a variable, and the run ends well."""
        exits, self.exits = self.exits, []
        return {"number": len(exits), "last": exits[-MOST_EXITS:]} if exits else None

    def shell(self):
        return self.instead_of.__self__.sh

    def ask(self, prompt, ident, parent, password):
        """An answer for the program that asks; None if none does, which leaves the question to ipykernel."""
        program = getattr(self.running, "program", None)
        return None if program is None else program.request(prompt, ident, parent, password)


def ask_for_programs(kernel, module) -> TerminalPrograms | None:
    """Have `!command` ask, where this IPython runs it as those do which are known."""
    system = getattr(module, "system", None)
    if not hasattr(
        type(getattr(system, "__self__", None)), "sh"
    ):  # of the class: looking it up imports pexpect
        return None
    programs = TerminalPrograms(kernel, system)
    module.system = programs.system
    return programs


class Program:
    """One command."""

    def __init__(self, kernel, pexpect, shell, command) -> None:
        self.kernel = kernel
        self.pexpect = pexpect
        self.child = pexpect.spawn(shell, args=["-c", command])
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.line = ""  # the one that it has begun
        self.printed = 0  # characters of that
        self.echo = ""  # what the terminal will say back of an answer
        self.can_ask = True
        self.heard_at = self.looked_at = time.monotonic()

    def run(self):
        try:
            while self.hear():
                pass
        except KeyboardInterrupt:
            self.end()
        self.child.isalive()  # has its exit code looked at
        signal, code = self.child.signalstatus, self.child.exitstatus
        if code is None:
            return -signal if signal is not None else 0
        return 128 - code if code > 128 else code

    def hear(self) -> bool:
        """Print what it says next; False at its end."""
        try:
            data = self.child.read_nonblocking(BLOCK, TICK)
        except self.pexpect.TIMEOUT:
            self.look()
            return True
        except self.pexpect.EOF:
            self.print_rest()
            return False
        self.heard_at = time.monotonic()
        self.take(self.decoder.decode(data + self.what_follows()))
        return True

    def what_follows(self) -> bytes:
        """What it says at once after something: a terminal gives 4 kB at a time, and each would be a message."""
        parts = []
        with contextlib.suppress(self.pexpect.TIMEOUT, self.pexpect.EOF):
            while time.monotonic() < self.heard_at + TICK:
                parts.append(self.child.read_nonblocking(BLOCK, 0))
        return b"".join(parts)

    def take(self, text) -> None:
        """Print it, but for the last line, if that is not complete: it may be a question."""
        text, self.echo = without_echo(text, self.echo)
        self.print_rest()
        end = max(text.rfind("\n"), text.rfind("\r")) + 1
        if end:
            show(text[:end])
            self.line, self.printed = "", 0
        self.line += text[end:]

    def print_rest(self) -> None:
        show(self.line[self.printed :])
        self.printed = len(self.line)

    def look(self) -> None:
        """Whether it waits for somebody, when it says nothing."""
        now = time.monotonic()
        quiet = now - self.heard_at
        if quiet < LOOKED_AT_AFTER or now - self.looked_at < LOOKED_AT_AFTER:
            return
        self.looked_at = now
        name = self.reader(quiet)
        if name is None:
            self.print_rest()
        elif self.can_ask:
            self.ask(name)

    def reader(self, quiet):
        """The name of who reads; None if nobody does, or is not known to."""
        try:
            return reader_of(os.tcgetpgrp(self.child.child_fd))
        except OSError:
            return None
        except Unknown:
            looks_so = quiet > QUESTION_AFTER and QUESTION.search(CODES.sub("", self.line))
            return "the program" if looks_so or (quiet > PASSWORD_AFTER and self.hides_input()) else None

    def hides_input(self) -> bool:
        """A password is typed without an echo. Readline echoes itself, and so has no lines of the terminal's either."""
        try:
            flags = termios.tcgetattr(self.child.child_fd)[3]
        except termios.error:
            return False
        return not flags & termios.ECHO and bool(flags & termios.ICANON)

    def ask(self, name) -> None:
        password = self.hides_input()
        if self.printed:
            show("\r")  # the question begins with what stands there
        words = CODES.sub("", self.line)
        prompt = (
            words
            if WORDS.search(words)
            else "[%s reads from its terminal; Ctrl-D (U+0004) ends that] " % name
        )
        ask = self.kernel.getpass if password else self.kernel.raw_input
        try:
            answer = ask(prompt)
        except Withdrawn:
            self.withdraw()
            return
        except EOFError:
            self.child.sendeof()
        except Exception as error:  # noqa: BLE001 - ipykernel's, where no frontend can be asked
            self.can_ask = False
            show("kernelexec: %s waits for input on its terminal (%s); interrupt it\n" % (name, error))
            return
        else:
            with contextlib.suppress(OSError):  # it has ended
                self.child.send((answer + "\n").encode())
            self.echo = "\r\n" if password else answer + "\r\n"
        self.line, self.printed = "", 0
        self.heard_at = time.monotonic()

    def request(self, prompt, ident, parent, password):
        """As ipykernel asks, but that the program may go on without an answer."""
        stdin, session = self.kernel.stdin_socket, self.kernel.session
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        with contextlib.suppress(zmq.Again):
            while True:  # answers to earlier questions
                stdin.recv_multipart(zmq.NOBLOCK)
        session.send(stdin, "input_request", {"prompt": prompt, "password": password}, parent, ident=ident)
        while True:
            ready, _, _ = zmq.select([stdin, self.child.child_fd], [], [], TICK)
            if self.child.child_fd in ready:
                raise Withdrawn
            if stdin in ready:
                _, reply = session.recv(stdin)
                if reply is not None:
                    answer = str(reply["content"].get("value", ""))
                    if answer == EOF:
                        raise EOFError
                    return answer

    def withdraw(self) -> None:
        parent = self.kernel.get_parent("shell")
        self.kernel.session.send(self.kernel.iopub_socket, "input_withdrawn", {}, parent)

    def end(self) -> None:
        """What Ctrl-C at a terminal does, and then what ends anything."""
        with contextlib.suppress(OSError, KeyboardInterrupt):
            self.child.sendline(chr(3))
            until = time.monotonic() + ENDED_AFTER
            while time.monotonic() < until and self.hear_last():
                pass
        self.child.terminate(force=True)

    def hear_last(self) -> bool:
        try:
            show(self.decoder.decode(self.child.read_nonblocking(BLOCK, TICK)))
        except self.pexpect.TIMEOUT:
            return True
        except self.pexpect.EOF:
            return False
        return True


def name_of(command) -> str:
    """Its program alone: a variable of the user's in the rest may be a password."""
    found = PROGRAM.match(command)
    return found[2] if found else ""


def show(text) -> None:
    if text:
        print(text, end="")
        sys.stdout.flush()


def without_echo(text, echo):
    """The text without the answer that the terminal says back, and what of that is still to come."""
    if text.startswith(echo):
        return text[len(echo) :], ""
    return ("", echo[len(text) :]) if echo.startswith(text) else (text, "")
