"""Passwords that were typed into a run: what this kernel sends has dots in their place, wherever they come back.

A text that answered getpass(), or an input() whose prompt reads like one for a secret, is kept in memory, and is looked
for in all that is sent from then on: prints, results, errors, the list of variables. So no journal, notebook or reply has
it. It is found as it was typed, and as Python, JSON, HTML and addresses write it; what is computed from it is not.
"""

from __future__ import annotations

import html
import json
import os
import re
import threading
from functools import partial
from urllib.parse import quote, quote_plus

HIDDEN = "\u00b7" * 8  # as JupyterLab shows a password
# As kernelexec/model/execution.py has it: what the hub does not write into the cell.
SECRET = re.compile(r"pass(word|phrase|wort|code)|secret|token|api.?key|\bpin\b|credential", re.IGNORECASE)
SHORTEST = 4  # characters: what is shorter is in any text
# What is shorter is hidden where it stands as a word: "test" is a password, and a part of "latest".
SHORTEST_PART = 8
SHORTEST_BY_PROMPT = 8  # "How many tokens?" asks for no secret, and "1024" is none
MOST = 100  # the last ones
LONGEST_HELD = 200  # characters that wait for what may follow


class TypedPasswords:
    """What was typed. It is hidden in what a session packs, and in what is written to streams in pieces."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.is_watching = False
        self.typed: list[str] = []
        self.spelled: list[str] = []  # in all ways, the longest first
        self.pattern = re.compile("")
        self.beginnings: frozenset[str] = frozenset()
        self.streams = ()  # in which it is hidden, too, when it is written in pieces
        self.held = {}  # the end of what was written, and with what to write it; by stream and thread
        self.lock = threading.RLock()  # a signal's handler may write while the main thread does

    def remember(self, text, prompt, password, *streams) -> None:
        """An answer, which is hidden from now on. `password`: getpass() asked for it; `streams`: see `write`."""
        shortest = SHORTEST if password else SHORTEST_BY_PROMPT
        is_secret = self.is_watching and (password or SECRET.search(prompt))
        if not is_secret or not isinstance(text, str) or len(text.strip()) < shortest:
            return
        others = [each for each in self.typed if each != text]
        self.typed = [*others[1 - MOST :], text]
        spelled = {way for each in self.typed for way in ways_to_write(each)}
        self.spelled = sorted(spelled, key=len, reverse=True)
        self.pattern = re.compile("|".join(map(as_pattern, self.spelled)))
        self.beginnings = frozenset(
            each[:end] for each in spelled for end in range(1, min(len(each), LONGEST_HELD))
        )
        self.streams = streams
        self.guard()

    def hidden(self, value):
        """The same value with dots in place of each password."""
        if isinstance(value, str):
            # The pattern alone would take a second for 10 MB.
            return self.pattern.sub(HIDDEN, value) if any(each in value for each in self.spelled) else value
        if isinstance(value, dict):
            return {self.hidden(key): self.hidden(inner) for key, inner in value.items()}
        return [self.hidden(inner) for inner in value] if isinstance(value, (list, tuple)) else value

    def watch(self, session) -> None:
        """Hide them in all that this session sends. Without the method that packs it, nothing is hidden."""
        pack = getattr(session, "pack", None)
        if pack is None:
            return

        def pack_hidden(part):
            return pack(self.hidden(part) if self.spelled and says_what_came_of_code(part) else part)

        session.pack = pack_hidden
        self.is_watching = True

    def guard(self) -> None:
        """Again after each run: IPython has its own way to write while one runs, and puts back what was there before."""
        for stream in self.streams:
            write = stream.write
            if hasattr(stream, "__dict__") and getattr(write, "passwords", None) is not self:
                stream.write = partial(self.write, id(stream), write)
                stream.write.passwords = self

    def write(self, stream, write, text):
        """Write a text but for its end, if that may be the beginning of a password: that waits for the rest.

        `write`: the stream's own, which sends what it has when it likes.
        """
        if not isinstance(text, str) or os.getpid() != self.pid:  # a forked child may end at any moment
            return write(text)
        with self.lock:
            place = stream, threading.get_ident()
            whole = self.hidden(self.held.pop(place, ("",))[0] + text)
            kept = self.beginning_at_end(whole)
            if kept:
                self.held[place] = whole[-kept:], write
            if kept < len(whole):
                write(whole[: len(whole) - kept])
        return len(text)

    def beginning_at_end(self, text) -> int:
        """How many characters at a text's end may begin a password."""
        lengths = range(min(LONGEST_HELD, len(text)), 0, -1)
        return next((length for length in lengths if text[-length:] in self.beginnings), 0)

    def release(self) -> None:
        """Write what waits: nothing follows soon, for the run is at its end or asks something."""
        if self.held:
            with self.lock:
                held, self.held = self.held, {}
                for text, write in held.values():
                    write(text)
        self.guard()


def ways_to_write(text):
    plain = text.strip()  # code strips it, too
    ways = [text, plain, html.escape(plain), quote(plain, "", errors="replace")]
    ways += [quote_plus(plain, errors="replace")]
    ways += [ascii(plain)[1:-1], repr(plain.encode("utf-8", "replace"))[2:-1], json.dumps(plain)[1:-1]]
    for _ in range(2):  # in what is written in what is written: the repr of a list of reprs
        ways += [
            way.replace("\\", "\\\\").replace(quoted, "\\" + quoted) for way in ways for quoted in "\0'\""
        ]
        ways = list(dict.fromkeys(ways))
    return ways


def as_pattern(text):
    if len(text) >= SHORTEST_PART:
        return re.escape(text)
    before, after = (r"(?<!\w)" if text[0].isalnum() else ""), (r"(?!\w)" if text[-1].isalnum() else "")
    return before + re.escape(text) + after


def says_what_came_of_code(part) -> bool:
    """Not the headers of messages; nor the code itself, which is recorded as it was sent."""
    return not (isinstance(part, dict) and ("msg_type" in part or part.keys() == {"code", "execution_count"}))
