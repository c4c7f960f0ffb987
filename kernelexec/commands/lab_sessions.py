"""Which notebook `kernelexec lab` opens: of sessions with a kernel, and of those that only left files."""

from __future__ import annotations

import difflib
import os
import re
import shlex
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelexec.errors import BadRequest
from kernelexec.model.environment import Environment
from kernelexec.recording.journal_lines import last_opened
from kernelexec.recording.records import journal_path, last_notebook, sessions_in

_NOTEBOOK = re.compile(r"(?P<session>[^@]+@.+)-\d+\.ipynb")
_SUGGESTED = 5  # names, where a name is none of the known ones


@dataclass(frozen=True)
class Target:
    """What to open: a folder, and perhaps a notebook in it."""

    folder: Path
    notebook: Path | None
    session: str | None = None
    is_live: bool = False
    prefix: Path | None = None  # of the session's environment


@dataclass(frozen=True)
class Here:
    """Where the command was typed."""

    storage_dir: Path  # that the environment names, or the default one
    is_given: bool  # whether somebody has named it
    cwd: Path


def on_disk(storage_dirs: Iterable[Path], known: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The sessions of these directories that are not among the known ones, described as those are."""
    names = {(os.path.realpath(each["storage_dir"]), each["session"]) for each in known}
    found = []
    for folder in dict.fromkeys(Path(os.path.realpath(path)) for path in storage_dirs):
        for session in sorted({*sessions_in(folder), *_with_notebooks(folder)}):
            if (str(folder), session) not in names:
                found.append(_left(folder, session))
    return found


def _with_notebooks(folder: Path) -> Iterable[str]:
    """Also those whose journals are gone."""
    found = (_NOTEBOOK.fullmatch(path.name) for path in folder.glob("*@*-*.ipynb"))
    return (match["session"] for match in found if match)


def _left(folder: Path, session: str) -> dict[str, Any]:
    notebook = last_notebook(folder, session)
    journal = journal_path(folder, session)
    there = [journal] if notebook is None else [journal, notebook]
    try:
        changed = max(path.stat().st_mtime for path in there if path.exists())
    except (OSError, ValueError):
        changed = 0.0
    return {
        "session": session,
        "state": "no kernel",
        "idle_seconds": max(time.time() - changed, 0.0),
        "storage_dir": str(folder),
        "notebook": None if notebook is None else str(notebook),
        "journal": str(journal),
    }


def choose(sessions: Sequence[Mapping[str, Any]], wanted: str | None, here: Here) -> Target:
    """The notebook of the session that is wanted, or else of the one used last: of the current directory, if
    it has one, and of a storage directory that somebody has named only of that.

    `sessions` as `kernelexec ps --json` describes them.

    Raises:
        BadRequest: there is no such session, or more than one; lists what there is.
    """
    if wanted is not None:
        return _target(_named(sessions, wanted, here))
    in_storage = [s for s in sessions if not here.is_given or _same(s["storage_dir"], here.storage_dir)]
    with_notebook = [s for s in in_storage if _notebook(s) is not None]
    if not with_notebook:
        return Target(here.storage_dir, None)
    return _target(min(with_notebook, key=lambda s: _order(s, here)))


def _order(session: Mapping[str, Any], here: Here) -> tuple[bool, bool, float]:
    return not _is_of(session, here.cwd), session["state"] == "no kernel", session["idle_seconds"]


def _is_of(session: Mapping[str, Any], cwd: Path) -> bool:
    """Whether the session works here: it was opened for this project, or its files are here."""
    if _same(session["storage_dir"], cwd) or _same(session.get("directory") or "", cwd):
        return True
    project = last_opened(Path(session["journal"])).get("project") if "journal" in session else None
    return isinstance(project, str) and _same(project, cwd)


def _named(sessions: Sequence[Mapping[str, Any]], wanted: str, here: Here) -> Mapping[str, Any]:
    found = [s for s in sessions if wanted in (s["session"], f"{s['storage_dir']}:{s['session']}")]
    found = found or [s for s in sessions if s["session"].rpartition("@")[0] == wanted]
    if len(found) > 1:
        found = [s for s in found if _is_of(s, here.cwd)] or found
    if len(found) == 1:
        return found[0]
    if found:
        names = "\n".join(
            "  kernelexec lab " + shlex.quote(f"{s['storage_dir']}:{s['session']}") for s in found
        )
        raise BadRequest(f"{wanted} is ambiguous.", f"Say which:\n{names}")
    raise BadRequest(f"There is no session {wanted!r}.", _suggested(sessions, wanted, here))


def _suggested(sessions: Sequence[Mapping[str, Any]], wanted: str, here: Here) -> str:
    if not sessions:
        return f"{here.storage_dir} has no notebooks yet."
    names: list[str] = list(dict.fromkeys(s["session"] for s in sessions))
    short = {name.rpartition("@")[0]: name for name in names}
    near = difflib.get_close_matches(wanted, [*names, *short], n=_SUGGESTED)
    if near:
        return f"Near to it: {', '.join(dict.fromkeys(short.get(name, name) for name in near))}."
    rest = f" and {len(names) - _SUGGESTED} more (kernelexec ps)" if len(names) > _SUGGESTED else ""
    return f"There are: {', '.join(names[:_SUGGESTED])}{rest}."


def _target(session: Mapping[str, Any]) -> Target:
    """Raises BadRequest: a JupyterLab of this machine would run it elsewhere than it was run."""
    server = _server(session)
    if server:
        notebook = session["notebook"]
        look = f"To read it here: jupyter lab {shlex.quote(notebook)}" if notebook else ""
        own = (
            "To work on the live kernel, join it in that server's own JupyterLab, among its running kernels."
        )
        raise BadRequest(
            f"The kernel of {session['session']} is one of {server}, which a JupyterLab here cannot join: it "
            "would run the notebook in a kernel of this machine, without its variables.",
            "\n".join(filter(None, (own if "://" in server else "", look))),
        )
    notebook = _notebook(session)
    folder = Path(session["storage_dir"])
    if notebook is not None and not notebook.is_relative_to(folder):
        folder = notebook.parent  # a notebook of the person's
    is_live = session["state"] not in ("no kernel", "starting")
    return Target(folder, notebook, session["session"], is_live, _prefix(session))


def _server(session: Mapping[str, Any]) -> str | None:
    """The Jupyter server, or the command, whose its kernels are, if they are one's."""
    if "server" in session:
        return session["server"] or None
    environment = _environment(session)
    return (environment.host or None) if environment is not None else None


def _notebook(session: Mapping[str, Any]) -> Path | None:
    """Its present notebook; while nothing has been run for that, the last one that there is."""
    if session["notebook"] and Path(session["notebook"]).exists():
        return Path(session["notebook"])
    return last_notebook(Path(session["storage_dir"]), session["session"])


def _prefix(session: Mapping[str, Any]) -> Path | None:
    if "interpreter" in session:
        return Path(session["interpreter"]).parent.parent
    environment = _environment(session)
    return environment.prefix if environment is not None else None


def _environment(session: Mapping[str, Any]) -> Environment | None:
    """Of a session that has left only files."""
    try:
        return Environment.from_json(last_opened(Path(session["journal"]))["described"])
    except (KeyError, TypeError, ValueError):
        return None


def _same(one: str | Path, other: str | Path) -> bool:
    return bool(str(one)) and os.path.realpath(one) == os.path.realpath(other)
