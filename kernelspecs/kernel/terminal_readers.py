"""Who waits for what is typed at a terminal: looked up in /proc, where the system has it. For Python 3.8 and newer.

A process that is blocked in read() on a terminal waits for a line of it. Readline waits in select() for descriptor 0 alone.
"""

from __future__ import annotations

import os
import platform

# The numbers of the system calls; of other machines nothing is certain.
READ = {"x86_64": ("0",), "aarch64": ("63",)}.get(platform.machine(), ())
SELECT = {"x86_64": ("23", "270"), "aarch64": ("72",)}.get(platform.machine(), ())
POLL = {"x86_64": ("7", "271"), "aarch64": ("73",)}.get(platform.machine(), ())
MOST_THREADS = 20  # that are looked at of a process


class Unknown(Exception):
    """It cannot be told whether somebody reads."""


def reader_of(group: int) -> str | None:
    """The name of a process of this group that waits for its terminal; None if none does.

    Unknown: one of them may, and cannot be looked at (sudo's, macOS's) or waits in a way that does not tell.
    """
    is_certain = bool(READ)
    for process in processes_of(group):
        try:
            waiting = [waits_for_terminal(process, call) for call in calls_of(process)]
        except (PermissionError, ValueError):
            is_certain = False
            continue
        except OSError:  # it has ended
            continue
        if True in waiting:
            return process[0]
        is_certain = is_certain and None not in waiting
    if not is_certain:
        raise Unknown
    return None


def processes_of(group: int) -> list[tuple[str, str]]:
    """Name and folder of each."""
    try:
        entries = [entry for entry in os.listdir("/proc") if entry.isdigit()]
    except OSError:
        raise Unknown from None
    found = []
    for entry in entries:
        try:
            with open("/proc/%s/stat" % entry, encoding="utf-8", errors="replace") as file:
                text = file.read()
        except OSError:
            continue
        name, rest = text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 2 :].split()
        if rest[2] == str(group) and rest[0] not in "ZX":
            found.append((name, "/proc/" + entry))
    return found


def calls_of(process: tuple[str, str]) -> list[list[str]]:
    """The system call that each thread is in, with its arguments; of one that runs there is none."""
    calls = []
    for thread in os.listdir(process[1] + "/task")[:MOST_THREADS]:
        with open("%s/task/%s/syscall" % (process[1], thread), encoding="ascii") as file:
            calls.append(file.read().split())
    return calls


def waits_for_terminal(process: tuple[str, str], call: list[str]) -> bool | None:
    """None: it may."""
    number, arguments = call[0], call[1:]
    if number in READ:
        return is_terminal(process, int(arguments[0], 16))
    if number in SELECT and int(arguments[0], 16) == 1:
        return is_terminal(process, 0)
    if number in POLL and int(arguments[1], 16) == 1 and is_terminal(process, 0):
        return None
    return False


def is_terminal(process: tuple[str, str], descriptor: int) -> bool:
    return os.readlink("%s/fd/%d" % (process[1], descriptor)).startswith(("/dev/pts/", "/dev/tty"))
