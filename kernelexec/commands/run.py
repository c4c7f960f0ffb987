"""`kernelexec run`."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernelexec.commands.hub_client import ask
from kernelexec.commands.output import sentence
from kernelexec.commands.parameters import LABEL, assignments, is_tagged, read_parameters
from kernelexec.commands.places import absolute, settings_of
from kernelexec.config import read_config
from kernelexec.environments.jupyter_paths import kernelspecs
from kernelexec.errors import BadRequest
from kernelexec.model.execution import State
from kernelexec.model.naming import clean_name, folded, with_end
from kernelexec.plain_file import read_plain
from kernelexec.recording.history import Submitted, read_directory, read_submissions
from kernelexec.recording.journal_lines import last_opened
from kernelexec.recording.notebook_format import Document, joined_cell, parse
from kernelexec.recording.records import LARGEST, find_records, sessions_in, split_name
from kernelexec.recording.script import label_of, numbered_scripts

if TYPE_CHECKING:
    from kernelexec.commands import Commands
    from kernelexec.commands.script_runner import Outcome, Script


def add(commands: Commands) -> None:
    """Add `run` to the parser."""
    command = commands.add_parser(
        "run",
        help="run a folder's scripts again, in order, in a fresh session",
        description="Run the scripts of a folder (0001-load.py and so on, as they are now) in order, in a "
        "fresh session of the environment and in the directory that they ran in, and stop at the first that "
        "fails. Its notebook and scripts are kept like any other's; its kernel is stopped at the end. Exit "
        "status 0 if all ran well, else 1. Where the folder has no journal, both are those of the settings.",
    )
    command.add_argument(
        "folder", type=Path, metavar="FOLDER", help="for example sales@analysis-1; or any notebook"
    )
    command.add_argument(
        *("-p", "--parameter"),
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="give a variable this value, after the cell tagged `parameters`, else first; may be repeated",
    )
    command.add_argument("--cwd", type=Path, metavar="DIRECTORY", help="run there; default: where they ran")
    command.add_argument("--session", metavar="NAME", help="the fresh session's name; default: NAME-rerun")
    command.add_argument("--keep-going", action="store_true", help="go on after a script that fails")
    command.add_argument("--succeeded", action="store_true", help="only those that succeeded the first time")
    command.add_argument("--keep-kernel", action="store_true", help="leave the kernel running at the end")
    command.set_defaults(run=_run)


@dataclass(frozen=True)
class _Origin:
    """The folder's session, as far as its journal tells."""

    name: str
    storage_dir: Path
    environment: Mapping[str, Any]  # as the journal describes it; empty without one
    submissions: Mapping[str, Submitted]
    directory: Path  # where they ran


def _run(options: argparse.Namespace) -> int:
    parameters = read_parameters(options.parameter)
    folder = absolute(options.folder)
    notebook = folder if folder.suffix == ".ipynb" else folder.with_name(f"{folder.name}.ipynb")
    folder = folder.with_suffix("") if folder.suffix == ".ipynb" else folder
    if folder.is_dir():
        origin = _origin(folder)
        scripts = _scripts(folder, origin, options.succeeded)
    elif notebook.is_file():
        origin, scripts = _of_notebook(notebook)
    else:
        raise BadRequest(f"{folder} is not a folder.", "Give the folder of a notebook's scripts.")
    if options.cwd is not None:
        origin = replace(origin, directory=absolute(options.cwd))
    if parameters:
        place = _after_defaults(scripts, notebook)
        scripts.insert(place, _given(folder, parameters))
    _look_at(origin.directory)
    name = _fresh_name(origin, options.session)
    environ = {
        **os.environ,
        **settings_of(origin.environment),
        "CODE_STORAGE_DIR": str(origin.storage_dir),
        "KERNELEXEC_CWD": str(origin.directory),
        "KERNELEXEC_SESSION": name,
    }
    number = sentence([(len(scripts), "script", "scripts")])
    print(f"{number} of {folder}, in the fresh session {name} in {origin.storage_dir}")
    print(f"code runs in {origin.directory}\n")
    # Here, because the MCP client takes half a second to import.
    from kernelexec.commands import script_runner

    outcome = script_runner.Outcome()
    try:
        script_runner.run(scripts, environ, outcome, options.keep_going)
    except KeyboardInterrupt:
        print("\ninterrupted")
    finally:
        if not options.keep_kernel:
            _stop_kernel(origin.storage_dir, name)
    print(_report(scripts, outcome, origin, options))
    return 0 if outcome.ran_well == len(scripts) else 1


def _stop_kernel(storage_dir: Path, name: str) -> None:
    """Also where nothing was heard of the session, which may have been interrupted as it began."""
    for session in ask({"command": "ps"}).get("sessions", ()):
        its_name = session["session"].partition("@")[0]
        if session["storage_dir"] == str(storage_dir) and folded(its_name) == folded(name):
            ask({"command": "stop", "session": f"{storage_dir}:{session['session']}"})


def _look_at(directory: Path) -> None:
    if not directory.is_dir():
        raise BadRequest(
            f"The directory that the scripts ran in does not exist: {directory}. Nothing was run.",
            "Make it, or say where they are to run: kernelexec run --cwd DIRECTORY ...",
        )


def _origin(folder: Path) -> _Origin:
    config = read_config(os.environ, os.getcwd())
    chosen = config.storage_dir
    try:
        records = find_records(folder, [chosen])
    except BadRequest:
        name = (split_name(folder.name) or (folder.name, 1))[0].partition("@")[0]
        print(f"{folder} has no journal beside it or in {chosen}: the environment is that of the settings.")
        return _Origin(clean_name(name) or "scripts", chosen, {}, {}, config.kernel_dir())
    environment = last_opened(records.journal).get("described", {})
    submissions = read_submissions(records.journal, records.folder.name)
    name, storage = records.session.partition("@")[0], records.storage_dir
    directory = Path(read_directory(records.journal, records.generation) or storage)
    if config.origin_of_dir == "KERNELEXEC_CWD":
        directory = config.kernel_dir()
    return _Origin(name, storage, environment, submissions, directory)


def _scripts(folder: Path, origin: _Origin, succeeded: bool) -> list[Script]:
    from kernelexec.commands.script_runner import Script

    extension = origin.environment.get("extension") or ".py"
    chosen = []
    for path in numbered_scripts(folder, extension):
        submitted = origin.submissions.get(path.name)
        if succeeded and submitted is not None and submitted.state is not State.OK:
            continue
        try:
            code = path.read_bytes().decode()
        except UnicodeDecodeError as error:
            raise BadRequest(f"{path} is not UTF-8 text: {error}.", "Nothing was run.") from error
        note = submitted.note if submitted else None
        chosen.append(Script(path, code, label_of(path), note))
    if not chosen:
        what = "that succeeded " if succeeded else ""
        raise BadRequest(
            f"There are no scripts {what}in {folder}.",
            f"A script's name begins with four digits, and ends in {extension}: 0001-load{extension}.",
        )
    return chosen


def _of_notebook(notebook: Path) -> tuple[_Origin, list[Script]]:
    """Any notebook: its code cells, in the directory that its kernel worked in, else its own."""
    from kernelexec.commands.script_runner import Script

    config = read_config(os.environ, os.getcwd())
    document = _read(notebook)
    said = document.rest.get("metadata")
    about = said.get("kernelexec") if isinstance(said, Mapping) else None
    worked = about.get("directory") if isinstance(about, Mapping) else None
    directory = Path(worked) if isinstance(worked, str) and os.path.isdir(worked) else notebook.parent
    if config.origin_of_dir == "KERNELEXEC_CWD":
        directory = config.kernel_dir()
    cells = [joined_cell(cell) for cell in document.cells if cell.get("cell_type") == "code"]
    scripts = [
        Script(notebook.with_name(str(cell["id"])), str(cell["source"]), str(cell["id"]), None)
        for cell in cells
        if str(cell["source"]).strip()
    ]
    if not scripts:
        raise BadRequest(f"{notebook} has no code.", "Nothing was run.")
    name = clean_name(notebook.stem) or "notebook"
    return _Origin(name, config.storage_dir, _environment_of(said), {}, directory), scripts


def _environment_of(metadata: object) -> Mapping[str, Any]:
    """That of the kernelspec which a notebook names, where there is one; else that of the settings."""
    spec = metadata.get("kernelspec") if isinstance(metadata, Mapping) else None
    name = spec.get("name") if isinstance(spec, Mapping) else None
    if name in (None, "", "python3", "python") or name not in kernelspecs(os.environ):
        return {}
    return {"kind": "kernelspec", "kernelspec": name}


def _read(notebook: Path) -> Document:
    try:
        document = parse(read_plain(notebook, LARGEST, follow=True))
    except OSError as error:
        raise BadRequest(f"{notebook} cannot be read: {error.strerror}.", "Nothing was run.") from error
    if document is None:
        raise BadRequest(f"{notebook} is not a notebook of version 4.", "Nothing was run.")
    return document


def _after_defaults(scripts: Sequence[Script], notebook: Path) -> int:
    """Behind the code whose cell is tagged; 0 where none is."""
    if not notebook.is_file():
        return 0
    tagged = [str(cell["id"]) for cell in _read(notebook).cells if is_tagged(cell)]
    for place, script in enumerate(scripts, 1):
        number = script.path.name.partition("-")[0].partition(".")[0]
        names = (script.path.name, f"kernelexec-{number.lstrip('0')}")
        if any(name in tagged for name in names):
            return place
    return 0


def _given(folder: Path, parameters: Mapping[str, object]) -> Script:
    from kernelexec.commands.script_runner import Script

    return Script(folder / LABEL, assignments(parameters), LABEL, None)


def _fresh_name(origin: _Origin, wanted: str | None) -> str:
    taken = {folded(session.partition("@")[0]) for session in sessions_in(origin.storage_dir)}
    if wanted is not None:
        if folded(wanted) in taken:
            raise BadRequest(
                f"There is a session {wanted} in {origin.storage_dir} already.", "Give another name."
            )
        return wanted
    names = (with_end(origin.name, f"-rerun{f'-{n}' if n > 1 else ''}") for n in count(1))
    return next(name for name in names if folded(name) not in taken)


def _report(scripts: Sequence[Script], outcome: Outcome, origin: _Origin, options: argparse.Namespace) -> str:
    failed = outcome.failed or []
    not_run = len(scripts) - outcome.ran_well - len(failed)
    lines = [
        sentence(
            [
                (outcome.ran_well, "script ran well", "scripts ran well"),
                (len(failed), "failed", "failed"),
                (not_run, "was not run", "were not run"),
            ]
        )
    ]
    lines += [f"failed: {path}{_as_before(path, origin)}" for path in failed]
    if failed and not_run and any(_failed_before(path, origin) for path in failed):
        folder = shlex.quote(str(options.folder))
        lines.append(f"to leave out what did not succeed then: kernelexec run --succeeded {folder}")
    if outcome.notebook is not None:
        lines.append(f"notebook: {outcome.notebook}")
    if options.keep_kernel and outcome.session is not None:
        lines.append(f"its kernel still runs; it ends with: kernelexec stop {outcome.session}")
    return "\n".join(lines)


def _as_before(path: Path, origin: _Origin) -> str:
    return " (it did not succeed the first time either)" if _failed_before(path, origin) else ""


def _failed_before(path: Path, origin: _Origin) -> bool:
    submitted = origin.submissions.get(path.name)
    return submitted is not None and submitted.state is not State.OK
