"""Which session a command is for, and with which settings it speaks to the hub.

The settings are this shell's, if it has any of ours; else those of the project's entry in a client's file,
so that a person meets the session that the assistant works in; else those of the session that is named.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelexec import paths
from kernelexec.commands.hub_client import ask_running
from kernelexec.commands.places import absolute
from kernelexec.commands.tool_client import caller_here
from kernelexec.config import ENVIRONMENT_VARIABLES, Config, read_config
from kernelexec.errors import BadRequest, HubUnavailable
from kernelexec.model.naming import session_name
from kernelexec.recording.records import find_records, journal_path, sessions_in

_OURS = ("CODE_STORAGE_DIR", "KERNELEXEC_CWD", "KERNELEXEC_SESSION", "ENV_TYPE")
_SETTINGS = (*_OURS, *ENVIRONMENT_VARIABLES.values())


def add_session_option(parser: argparse.ArgumentParser) -> None:
    """`-s SESSION`, as `options.session`."""
    parser.add_argument(
        "-s",
        "--session",
        metavar="SESSION",
        help="name, name@environment or a notebook; default: this directory's",
    )


def add_session_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "session",
        nargs="?",
        metavar="SESSION",
        help="name, name@environment or a notebook; default: this directory's",
    )


@dataclass(frozen=True)
class Chosen:
    """A session as a command means it."""

    environ: Mapping[str, str]  # of the client that the command is
    session: str | None  # for the tools' argument; None: the default

    def journal(self) -> tuple[str, Path]:
        """The session's id and its journal.

        Raises:
            BadRequest: there is none, or more than one may be meant.
        """
        config = read_config(self.environ, os.getcwd())
        known = sessions_in(config.storage_dir)
        wanted = self.session or _opened_here(config) or config.session or _name_of_directory(self.environ)
        found = [each for each in known if each == wanted] or [
            each for each in known if each.partition("@")[0] == wanted
        ]
        if len(found) > 1:  # one name in several environments: the one that was used last
            found.sort(key=lambda each: journal_path(config.storage_dir, each).stat().st_mtime)
        if not found:
            listed = ", ".join(known) or "none yet"
            raise BadRequest(
                f"There is no session {wanted!r} in {config.storage_dir}.", f"Sessions there: {listed}."
            )
        return found[-1], journal_path(config.storage_dir, found[-1])


def chosen(wanted: str | None) -> Chosen:
    """The session that somebody means by a name, an id, STORAGE:ID, a notebook's path or nothing.

    Raises:
        BadRequest: a path belongs to no session.
    """
    environ = {**os.environ, **_of_a_client()}
    if wanted is None:
        return Chosen(environ, None)
    storage, colon, name = wanted.rpartition(":")
    if colon and os.path.isabs(storage):
        return Chosen({**environ, "CODE_STORAGE_DIR": storage}, name)
    path = Path(wanted)
    if path.suffix == ".ipynb" or (os.sep in wanted and path.exists()):
        records = find_records(absolute(path), [read_config(environ, os.getcwd()).storage_dir])
        return Chosen({**environ, "CODE_STORAGE_DIR": str(records.storage_dir)}, records.session)
    return Chosen({**environ, **_of_an_open_session(wanted, environ)}, wanted)


def chosen_for(execution: str) -> Chosen:
    """The session of an execution's id."""
    return chosen(execution.rpartition("/")[0] or None)


def _of_a_client() -> dict[str, str]:
    """The settings of the first entry of ours in this project's files, then in the user's."""
    if any(os.environ.get(name, "").strip() for name in _SETTINGS):
        return {}
    project = Path(os.getcwd())
    return next((dict(settings) for settings in _entries(project)), {})


def _entries(project: Path) -> Iterator[Mapping[str, str]]:
    from kernelexec.commands.clients.config_file import ConfigFile  # here, where the shell has no settings
    from kernelexec.commands.clients.entry import started
    from kernelexec.commands.clients.known import CLIENTS, SCOPES

    for scope in SCOPES:
        for client in CLIENTS.values():
            if scope not in client.files:
                continue
            path = client.path(scope, os.environ, project)
            if not path.is_file():
                continue
            try:
                entries = ConfigFile(client, path).entries()
            except BadRequest:  # which the doctor tells
                continue
            for entry in entries.values():
                environ = started(client, entry, os.environ, project).environ
                yield {name: environ[name] for name in _SETTINGS if name in environ}


def _of_an_open_session(wanted: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Where its records are and where its kernel works, unless our own storage directory has it."""
    config = read_config(environ, os.getcwd())
    if any(is_meant(each, wanted) for each in sessions_in(config.storage_dir)):
        return {}
    found = [session for session in open_sessions() if is_meant(session["session"], wanted)]
    if len(found) != 1:
        return {}
    settings = {"CODE_STORAGE_DIR": found[0]["storage_dir"]}
    return {**settings, "KERNELEXEC_CWD": found[0]["directory"]} if "directory" in found[0] else settings


def _opened_here(config: Config) -> str | None:
    """The session of the notebook that was opened from this directory, which the hub's tools are for, too."""
    asked = {"command": "opened", "caller": caller_here(), "storage_dir": config.storage_identity}
    try:
        answer = ask_running(asked)
    except HubUnavailable:
        return None
    return answer.get("session") if answer else None


def is_meant(session: str, wanted: str) -> bool:
    return session == wanted or session.partition("@")[0] == wanted


def open_sessions() -> Sequence[Mapping[str, Any]]:
    """As `kernelexec ps --json` has them; none where no hub runs."""
    try:
        status = ask_running({"command": "ps"})
    except HubUnavailable:
        return []
    sessions: Sequence[Mapping[str, Any]] = status["sessions"] if status else []
    return sessions


def _name_of_directory(environ: Mapping[str, str]) -> str:
    return session_name(Path(os.path.realpath(os.getcwd())), Path(os.path.realpath(paths.home(environ))))
