"""`kernelexec history` and `watch`: what was done in a session, and what is being done, from its journal."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernelexec.commands.output import add_json_option, print_json, print_line, print_table
from kernelexec.commands.screen import Screen
from kernelexec.commands.session_choice import add_session_argument, chosen

if TYPE_CHECKING:
    from kernelexec.commands import Commands

_HEAD = ("RUN", "TIME", "OUTCOME", "SECONDS", "CODE")
# Looked at so often for something new: a file's growth wakes nobody in the standard library.
_TICK_SECONDS = 0.1
_LONGEST_CODE = 60  # characters of a line of code in a table
_WATCHED = ("submitted", "output", "finished", "kernel", "died", "other", "interrupt_asked")


def add(commands: Commands) -> None:
    """Add `history` and `watch` to the parser."""
    history = commands.add_parser("history", help="what was run in a session, and what came of it")
    add_session_argument(history)
    history.add_argument("--last", type=int, default=30, metavar="N", help="the last N; default 30")
    add_json_option(history)
    history.set_defaults(run=_history)

    watch = commands.add_parser(
        "watch", help="see live what the assistant does: code, output, what came of it; Control-C ends it"
    )
    add_session_argument(watch)
    watch.add_argument(
        "--last", type=int, default=1, metavar="N", help="begin with the last N runs; default 1"
    )
    watch.add_argument("--once", action="store_true", help="do not wait for more")
    add_json_option(watch)
    watch.set_defaults(run=_watch)


def _history(options: argparse.Namespace) -> int:
    from kernelexec.recording.summaries import read_summaries  # here: ps and the like do without

    session, journal = chosen(options.session).journal()
    summaries = read_summaries(journal)
    numbered = [at for at, summary in enumerate(summaries) if summary.number is not None]
    first = numbered[-options.last] if 0 < options.last <= len(numbered) else 0
    shown = summaries[first:]
    if options.json:
        print_json(
            [
                {
                    "execution": f"{session}/{each.number}" if each.number is not None else None,
                    "time": each.time.isoformat(),
                    "state": each.state.value if each.state else None,
                    "error": each.error,
                    "seconds": each.seconds,
                    "kind": each.kind.value,
                    "label": each.label,
                    "note": each.note,
                    "text": each.text,
                }
                for each in shown
            ]
        )
        return 0
    from kernelexec.model.text import clip_line

    rows = [
        (
            f"{session}/{each.number}" if each.number is not None else "",
            each.time.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
            (each.error or (each.state.value if each.state else "")) if each.number is not None else "--",
            f"{each.seconds:.1f}" if each.seconds is not None else "",
            clip_line(each.text, _LONGEST_CODE),
        )
        for each in shown
    ]
    print_table(_HEAD, rows)
    return 0


def _watch(options: argparse.Namespace) -> int:
    session, journal = chosen(options.session).journal()
    watcher = _Watcher(session, Screen())
    try:
        for record in _following(journal, options.last, once=options.once):
            if options.json:
                print_line({"session": session, **record})
            else:
                watcher.show(record)
    except KeyboardInterrupt:
        return 0  # the usual end
    return 0


def _following(path: Path, last: int, *, once: bool) -> Iterator[Mapping[str, Any]]:
    """The events of a journal from its last submissions on, and then as they come."""
    from kernelexec.recording.journal_lines import parsed, placed_lines

    starts, end = [], 0
    for line, position in placed_lines(path):
        if b'"event":"submitted"' in line[:40]:
            starts.append(position)
        end = position + len(line)
    begin = end if last < 1 else starts[-last] if len(starts) >= last else 0
    with path.open("rb") as file:
        file.seek(begin)
        rest = b""
        while True:
            part = file.read(1 << 20)
            if not part:
                if once:
                    return
                _wait_for_more(path, file.tell())
                continue
            *lines, rest = (rest + part).split(b"\n")
            for line in lines:
                record = parsed(line + b"\n")
                if record is not None and record["event"] in _WATCHED:
                    yield record


def _wait_for_more(path: Path, size: int) -> None:
    while os.stat(path).st_size <= size:
        time.sleep(_TICK_SECONDS)


class _Watcher:
    """Shows events, of however many runs at once."""

    def __init__(self, session: str, screen: Screen) -> None:
        self._session = session
        self._screen = screen
        self._printing: int | None = None  # whose output came last
        self._in_line = False

    def show(self, record: Mapping[str, Any]) -> None:
        event = record["event"]
        if event == "output":
            self._output(record)
            return
        self._end_line()
        if event == "submitted":
            self._submitted(record)
        elif event == "finished":
            self._finished(record)
        elif event == "kernel":
            self._screen.say(f"-- a new kernel, generation {record['generation']}", "dim")
        elif event == "died":
            self._screen.say(f"-- the kernel ended: {_one_line(record['cause'])}", "red")
        elif event == "interrupt_asked":
            self._screen.say(f"-- {_one_line(record['why'])}", "yellow")
        elif event == "other":
            self._screen.say(f"-- another client ran: {_one_line(record.get('code') or '')}", "dim")

    def _submitted(self, record: Mapping[str, Any]) -> None:
        from kernelexec.model.text import plain

        self._printing = None
        label = f" ({_one_line(record['label'])})" if record["label"] else ""
        self._screen.say(f"\n{self._session}/{record['n']}{label}", "bold")
        if record["note"]:
            self._screen.say(plain(record["note"]), "italic")
        self._screen.code(plain(record["code"]).rstrip("\n"))

    def _output(self, record: Mapping[str, Any]) -> None:
        from kernelexec.model.text import plain

        if self._printing not in (None, record["n"]):
            self._end_line()
            self._screen.say(f"[{self._session}/{record['n']}]", "dim")
        self._printing = record["n"]
        content = record["content"]
        if record["type"] == "stream":
            text = plain(str(content.get("text", "")))
            sys.stdout.write(text)
            sys.stdout.flush()
            self._in_line = not text.endswith("\n")
            return
        self._end_line()
        if record["type"] == "error":
            traceback = "\n".join(map(str, content.get("traceback", ())))
            self._screen.say(plain(traceback) or _one_line(content.get("evalue", "")), "red")
        elif "data" in content:
            self._screen.say(_in_words(content["data"]))

    def _finished(self, record: Mapping[str, Any]) -> None:
        state = str(record["state"])
        style = "green" if state == "ok" else "yellow" if state in ("interrupted", "not run") else "red"
        problem = f": {_one_line(record['problem'])}" if record["problem"] else ""
        self._screen.say(f"-- {self._session}/{record['n']} {state}{problem}", style)

    def _end_line(self) -> None:
        if self._in_line:
            print(flush=True)
            self._in_line = False


def _in_words(data: Mapping[str, Any]) -> str:
    from kernelexec.model.text import plain

    if isinstance(data.get("text/plain"), str):
        return plain(data["text/plain"])
    return f"<{', '.join(map(_one_line, data)) or 'nothing'}>"


def _one_line(text: object) -> str:
    from kernelexec.model.text import one_line

    return one_line(str(text))
