"""`kernelexec exec`, `wait` and `show`: run code in a session, and see what became of it."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernelexec import paths
from kernelexec.commands import USAGE, pictures
from kernelexec.commands.hub_client import ask
from kernelexec.commands.output import add_json_option, complain, print_json
from kernelexec.commands.screen import Screen
from kernelexec.commands.session_choice import Chosen, add_session_option, chosen, chosen_for
from kernelexec.commands.tool_client import Reply, ToolClient
from kernelexec.commands.verdict import verdict_of
from kernelexec.errors import BadRequest

if TYPE_CHECKING:
    from kernelexec.commands import Commands

_GOES_ON = 3  # exit status of what has no end yet
_GLANCE_SECONDS = 1.0  # at a terminal, after which output is shown as it comes
_PAGE = 36_000  # characters, the most that read_output gives at once
_FAILED = 1
_OF_PARTS = "New output since your last reply"  # which is above it on the terminal


def add(commands: Commands) -> None:
    """Add `exec`, `wait` and `show` to the parser."""
    run = commands.add_parser(
        "exec",
        help="run code in a session, as an assistant does",
        description="Run code in a session, and show its outputs. CODE is code, or a file's path, or - for "
        "standard input. It is recorded as an assistant's is. Exit status: 0 if it ran well, 1 if it failed "
        f"or was not run, {_GOES_ON} if it goes on (--detach, or it asks for input and nobody is there).",
    )
    add_session_option(run)
    run.add_argument("code", metavar="CODE", help="code, a file, or - for standard input")
    run.add_argument("--name", metavar="NAME", help="a label for the saved file")
    run.add_argument("--note", metavar="TEXT", help="Markdown above the cell in the notebook")
    run.add_argument("--max-seconds", type=float, metavar="N", help="interrupt it after this time")
    run.add_argument("--detach", action="store_true", help="do not wait for the end: prints the run's id")
    add_json_option(run)
    run.set_defaults(run=_exec)

    wait = commands.add_parser("wait", help="wait for the end of a run, and show all its output")
    wait.add_argument("execution", metavar="ID", help="the run's id, for example main@default/7")
    wait.add_argument("--seconds", type=float, metavar="N", help="no longer than this")
    add_json_option(wait)
    wait.set_defaults(run=_wait)

    show = commands.add_parser("show", help="show a run: its code and all that it has printed")
    show.add_argument("execution", metavar="ID", help="the run's id, for example main@default/7")
    add_json_option(show)
    show.set_defaults(run=_show)


def _exec(options: argparse.Namespace) -> int:
    where = chosen(options.session)
    tool, arguments = _submission(options, where)
    client = ToolClient(where.environ)
    screen = Screen()
    streams = screen.is_terminal and not options.json
    first = 0.0 if options.detach else _GLANCE_SECONDS if streams else None
    try:
        reply = client.call(tool, {**arguments, "wait_seconds": first}, screen.status)
    except KeyboardInterrupt:
        screen.end_status()
        complain("cancelled; kernelexec history says what became of it")
        raise
    said = verdict_of(reply.text)
    if options.detach or said is None:
        screen.end_status()
        return _told(reply, screen, options)
    return _to_the_end(client, reply, screen, options, streams=streams)


def _submission(options: argparse.Namespace, where: Chosen) -> tuple[str, dict[str, Any]]:
    """The tool that runs it, with its arguments. A file of the project runs as by hand."""
    common = {"session": where.session, "max_seconds": options.max_seconds}
    labels = {"filename": options.name, "note": options.note}
    if options.code == "-":
        return "execute_code", {**common, **labels, "code": sys.stdin.read()}
    path = Path(options.code)
    if "\n" in options.code or len(options.code) > 1_000 or not path.is_file():
        return "execute_code", {**common, **labels, "code": options.code}
    whole = os.path.realpath(path)
    project = os.path.realpath(os.getcwd())
    is_project = project not in (os.path.realpath(paths.home(os.environ)), "/")
    if is_project and Path(whole).is_relative_to(project) and not (options.name or options.note):
        return "execute_code_file", {**common, "file_path": whole}
    try:
        code = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"{path} cannot be read: {error}.", "Nothing was run.") from error
    return "execute_code", {**common, **labels, "filename": options.name or path.stem, "code": code}


def _to_the_end(
    client: ToolClient, reply: Reply, screen: Screen, options: argparse.Namespace, *, streams: bool
) -> int:
    """Wait for a run's end. `streams`: each reply shows what is new; else the last one shows all of it."""
    shown = 0
    while (said := verdict_of(reply.text)) and (said.goes_on or said.asks):
        if said.asks and not _answered(client, said.execution, screen):
            break
        if streams:
            shown += _output(reply, screen, said.execution, shown)
        asked: dict[str, Any] = {"execution_id": said.execution}
        if streams:
            asked["wait_seconds"] = _GLANCE_SECONDS
        else:
            asked["offset"] = 0
        try:
            reply = client.call("wait_for_execution", asked, screen.status)
        except KeyboardInterrupt:
            screen.end_status()
            complain(f"{said.execution} was interrupted")
            raise
    screen.end_status()
    return _told(reply, screen, options, shown)


def _answered(client: ToolClient, execution: str, screen: Screen) -> bool:
    """The person's answer to what a run asks; a password goes past the record. False: nobody is there."""
    if not sys.stdin.isatty():
        return False
    asked = ask({"command": "question", "execution": execution})
    if "prompt" not in asked:
        return True  # somebody else has answered
    screen.end_status()
    try:
        if asked["password"]:
            text = getpass.getpass(asked["prompt"])
            answer = {"command": "answer", "execution": execution, "question": asked.get("name")}
            return "error" not in ask({**answer, "text": text})
        print(asked["prompt"], end="", flush=True)
        line = sys.stdin.readline()
    except (EOFError, KeyboardInterrupt):
        return False
    if not line:
        return False
    client.call("send_input", {"execution_id": execution, "text": line.rstrip("\n"), "wait_seconds": 0})
    return True


def _told(reply: Reply, screen: Screen, options: argparse.Namespace, shown: int = 0) -> int:
    """Show a reply; the exit status that it stands for."""
    said, reply = verdict_of(reply.text), reply.for_a_person()
    name = said.execution if said else "kernelexec"
    if options.json:
        files = [str(pictures.save(each, f"{name}-{n}")) for n, each in enumerate(reply.pictures, 1)]
        print_json(
            {
                "state": said.state if said else None,
                "execution": said.execution if said else None,
                "script": str(said.script) if said and said.script else None,
                "notebook": str(said.notebook) if said and said.notebook else None,
                "text": reply.text,
                "pictures": files,
            }
        )
    elif screen.is_terminal:
        _output(reply, screen, name, shown)
        told = [line for line in reply.head.splitlines() if not line.startswith(_OF_PARTS)]
        screen.verdict("\n".join(told))
    else:
        screen.verdict(reply.head)
        if reply.body:
            screen.say("")
        _output(reply, screen, name, shown)
    return _status(said.state if said else "", options)


def _status(state: str, options: argparse.Namespace) -> int:
    if state == "OK":
        return 0
    if state in ("RUNNING", "QUEUED", "WAITING FOR INPUT"):
        return 0 if getattr(options, "detach", False) else _GOES_ON
    return _FAILED


def _output(reply: Reply, screen: Screen, name: str, shown: int) -> int:
    """The outputs and the pictures; how many of these."""
    screen.end_status()
    screen.outputs(reply.body)
    for number, picture in enumerate(reply.pictures, shown + 1):
        drawn = pictures.show(picture, f"{name}-{number}")
        print(drawn, flush=True)  # past rich, which knows no pictures
    return len(reply.pictures)


def _wait(options: argparse.Namespace) -> int:
    where = chosen_for(options.execution)
    client, screen = ToolClient(where.environ), Screen()
    asked = {"execution_id": options.execution, "offset": 0, "wait_seconds": options.seconds}
    reply = client.call("wait_for_execution", asked, screen.status)
    if options.seconds is None:
        return _to_the_end(client, reply, screen, options, streams=False)
    screen.end_status()
    return _told(reply, screen, options)


def _show(options: argparse.Namespace) -> int:
    from kernelexec.recording.history import load_execution  # here: nobody else needs it
    from kernelexec.recording.journal import ClosedJournal

    session, _, number = options.execution.rpartition("/")
    if not session or not number.isdigit():
        complain(f"{options.execution!r} is no run's id, for example main@default/7")
        return USAGE
    where = chosen(session)
    session, journal = where.journal()
    execution = load_execution(ClosedJournal(journal), session, journal.parent.parent, int(number))
    if execution is None:
        raise BadRequest(f"There is no execution {session}/{number}.", "kernelexec history lists them.")
    client, screen = ToolClient(where.environ), Screen()
    texts, files, head = _read(client, execution.id)
    if options.json:
        print_json(
            {
                "execution": execution.id,
                "state": execution.state.value,
                "code": execution.code,
                "note": execution.note,
                "script": str(execution.script) if execution.script else None,
                "output": "".join(texts),
                "pictures": files,
            }
        )
        return 0
    screen.say(head, "bold")
    screen.code(execution.code.rstrip("\n"))
    screen.say("")
    screen.outputs("".join(texts))
    for file in files:
        screen.say(file)
    return 0


def _read(client: ToolClient, execution: str) -> tuple[list[str], list[str], str]:
    """All of an execution's output, its pictures' files, and the first line about it."""
    texts: list[str] = []
    files: list[str] = []
    offset, head = 0, ""
    while True:
        asked = {"execution_id": execution, "offset": offset, "limit": _PAGE}
        reply = client.call("read_output", asked)
        head = head or reply.head.partition("\n")[0]
        if reply.is_error:
            raise BadRequest(reply.text)
        texts.append(reply.body)
        files += [
            str(pictures.save(each, f"{execution}-{len(files) + n}"))
            for n, each in enumerate(reply.pictures, 1)
        ]
        following = _next_offset(reply.head)
        if following is None or following <= offset:
            return texts, files, head
        offset = following


def _next_offset(head: str) -> int | None:
    for line in head.splitlines():
        if line.startswith("Next: "):
            return int(line.rpartition("offset=")[2].rstrip(")"))
    return None
