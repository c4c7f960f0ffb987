"""`kernelexec vars`, `interrupt`, `restart`, `install`, `open`: the kernel, as an assistant has it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kernelexec.commands.hub_client import ask_running
from kernelexec.commands.output import add_json_option, print_json
from kernelexec.commands.screen import Screen
from kernelexec.commands.session_choice import add_session_argument, add_session_option, chosen
from kernelexec.commands.tool_client import ToolClient
from kernelexec.commands.verdict import verdict_of
from kernelexec.errors import BadRequest

if TYPE_CHECKING:
    from kernelexec.commands import Commands


def add(commands: Commands) -> None:
    """Add `vars`, `interrupt`, `restart`, `install` and `open` to the parser."""
    variables = commands.add_parser("vars", help="the variables of a session's kernel, also while it runs")
    add_session_argument(variables)
    variables.add_argument("--pattern", metavar="TEXT", help="part of a name, or like 'df*'")
    add_json_option(variables)
    variables.set_defaults(run=_vars)

    interrupt = commands.add_parser("interrupt", help="interrupt what runs in a session; variables stay")
    add_session_argument(interrupt)
    add_json_option(interrupt)
    interrupt.set_defaults(run=_interrupt)

    restart = commands.add_parser("restart", help="give a session a fresh kernel; its variables are lost")
    add_session_argument(restart)
    restart.add_argument("--replay", action="store_true", help="run again, in order, what had succeeded")
    add_json_option(restart)
    restart.set_defaults(run=_restart)

    install = commands.add_parser("install", help="install packages into a session's environment")
    add_session_option(install)
    install.add_argument("packages", nargs="+", metavar="PACKAGE", help="for example pandas or 'pandas>=2'")
    add_json_option(install)
    install.set_defaults(run=_install)

    notebook = commands.add_parser("open", help="work in a notebook of your own: a session writes into it")
    add_session_option(notebook)
    notebook.add_argument("notebook", metavar="NOTEBOOK", help="an .ipynb file in your project")
    add_json_option(notebook)
    notebook.set_defaults(run=_open)


def _vars(options: argparse.Namespace) -> int:
    if not options.json:
        return _say(options, "list_variables", {"pattern": options.pattern})
    session, journal = chosen(options.session).journal()
    asked = {
        "command": "variables",
        "session": session,
        "storage_dir": str(journal.parent.parent),
        "pattern": options.pattern or "",
    }
    answer = ask_running(asked) or {"error": f"{session} has no kernel: no hub runs"}
    if "error" in answer:
        raise BadRequest(answer["error"])
    print_json(answer)
    return 0


def _interrupt(options: argparse.Namespace) -> int:
    return _say(options, "interrupt_kernel", {})


def _restart(options: argparse.Namespace) -> int:
    return _say(options, "restart_kernel", {"replay": options.replay})


def _install(options: argparse.Namespace) -> int:
    return _say(options, "install_dependencies", {"packages": options.packages})


def _open(options: argparse.Namespace) -> int:
    return _say(options, "open_notebook", {"path": os.path.abspath(options.notebook)})


def _say(options: argparse.Namespace, tool: str, arguments: Mapping[str, Any]) -> int:
    """Call a tool for the session, wait for what goes on, and show what is said."""
    where = chosen(options.session)
    client, screen = ToolClient(where.environ), Screen()
    reply = client.call(tool, {**arguments, "session": where.session}, screen.status)
    while (said := verdict_of(reply.text)) and said.goes_on:
        asked = {"execution_id": said.execution, "offset": 0}
        reply = client.call("wait_for_execution", asked, screen.status)
    screen.end_status()
    reply = reply.for_a_person()
    if options.json:
        print_json({"text": reply.text, "failed": reply.is_error})
    else:
        screen.verdict(reply.head)
        if reply.body:
            screen.say("")
            screen.outputs(reply.body)
    return 1 if reply.is_error else 0
