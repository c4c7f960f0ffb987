"""`kernelexec export`."""

from __future__ import annotations

import argparse
import gc
import os
import shlex
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from kernelexec import paths
from kernelexec.commands.output import sentence
from kernelexec.commands.places import absolute, settings_of, storage_dir
from kernelexec.errors import BadRequest
from kernelexec.hub import storage_dirs
from kernelexec.plain_file import read_plain
from kernelexec.recording.export import CleanCopy, clean_copy
from kernelexec.recording.history import unwritten_numbers
from kernelexec.recording.journal import is_taken, storage_failed
from kernelexec.recording.journal_lines import last_opened
from kernelexec.recording.notebook_format import Document, parse
from kernelexec.recording.opened_records import find_opened_records
from kernelexec.recording.other_runs import OtherRun, read_other_runs
from kernelexec.recording.records import LARGEST, Records, find_records
from kernelexec.recording.validity import problem_in
from kernelexec.recording.whole_file import write_whole

if TYPE_CHECKING:
    from kernelexec.commands import Commands

_NOTEBOOK_SECONDS = 4.0  # the notebook is at most two seconds behind its session
_POLL_SECONDS = 0.1


def add(commands: Commands) -> None:
    """Add `export` to the parser."""
    command = commands.add_parser(
        "export",
        help="make a clean copy of a notebook, ready to hand to somebody",
        description="Make a clean copy of a notebook: the cells that succeeded and those you added, in the "
        "notebook's order and as they are in it now, with their notes; tries that failed, were interrupted "
        "or did not end are left out. Counts begin at 1, kernelexec's metadata and times are removed, the "
        "kernel is the usual python3, and outputs that are in files beside the notebook are put into it. A "
        "notebook that is not in the working directory is looked for in CODE_STORAGE_DIR.",
    )
    command.add_argument("notebook", type=Path, metavar="NOTEBOOK")
    command.add_argument(
        "--output", type=Path, metavar="FILE", help="default: NOTEBOOK.clean.ipynb beside it"
    )
    command.add_argument("--force", action="store_true", help="replace FILE if it is there")
    command.add_argument(
        "--check", action="store_true", help="run the copy in a fresh kernel and say what differs"
    )
    command.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> int:
    notebook = _found(absolute(options.notebook))
    output = (
        absolute(options.output) if options.output else notebook.with_name(f"{notebook.stem}.clean.ipynb")
    )
    if os.path.realpath(output) == os.path.realpath(notebook):
        raise BadRequest("The copy would replace the notebook itself.", "Give another name with --output.")
    records = _records(notebook)
    missing = _wait_for_cells(records) if records else 0
    with _no_garbage_collection():
        copy, journal = _copied(notebook, records)
        data = copy.document.to_bytes()
        _check(data, notebook)
    try:
        write_whole(output, data, replace=options.force)
    except FileExistsError:
        raise BadRequest(
            f"{output} is there already.", "Give another name with --output, or --force."
        ) from None
    except OSError as error:
        raise storage_failed(output, error) from error
    print(_report(output, copy, missing))
    if copy.directory is not None and os.path.realpath(copy.directory) != os.path.realpath(output.parent):
        print(f"its code ran in {copy.directory}: relative paths in it begin there")
    return _check_run(copy, journal, output) if options.check else 0


def _copied(notebook: Path, records: Records | None) -> tuple[CleanCopy, Path | None]:
    """The copy, and the journal that it was made with."""
    opened = None if records else find_opened_records(notebook, _storage_dirs(notebook))
    if opened is None:
        files = _Files(records.storage_dir if records else notebook.parent)
        copy = clean_copy(_read(notebook), files.read, _other_runs(records))
        return copy, records.journal if records else None
    files = _Files(opened.storage_dir)
    copy = clean_copy(_read(notebook), files.read, opened.other_runs, opened.numbers)
    copy.directory = copy.directory or opened.directory
    return copy, opened.journal


def _check_run(copy: CleanCopy, journal: Path | None, output: Path) -> int:
    """What comes of the copy in a fresh kernel; the exit status."""
    # Here, because the MCP client takes half a second to import.
    from kernelexec.commands.export_check import check

    described = last_opened(journal).get("described", {}) if journal else {}
    directory = copy.directory if copy.directory and os.path.isdir(copy.directory) else str(output.parent)
    environ = {**os.environ, **settings_of(described), "KERNELEXEC_CWD": directory}
    checked = check(copy.document.cells, environ)
    print(f"checked in a fresh kernel: {sentence([(checked.ran, 'cell ran', 'cells ran')])}")
    for what, found in (("failed", checked.failed), ("other output", checked.different)):
        for each in found:
            print(f"{what}: {each}")
    if not (checked.failed or checked.different):
        print("nothing differs")
    return 1 if checked.failed else 0


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """A notebook of 10,000 cells is a million objects without a cycle: looking for some took a third of
    the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _found(notebook: Path) -> Path:
    """The notebook; where none is in the working directory, the one of this name that sessions write."""
    written = storage_dir()[0] / notebook.name
    is_here = notebook.parent == Path.cwd() and not os.path.lexists(notebook)
    return written if is_here and written.is_file() else notebook


def _records(notebook: Path) -> Records | None:
    """The records it belongs to; None if they are not here, for a notebook is enough."""
    try:
        return find_records(notebook, [storage_dir()[0]])
    except BadRequest:
        return None


def _storage_dirs(notebook: Path) -> list[Path]:
    """Where a session may have records that has worked in somebody's notebook."""
    known = storage_dirs.known(Path(paths.state_dir(os.environ)))
    return list(dict.fromkeys([storage_dir()[0], notebook.parent, *known]))


def _other_runs(records: Records | None) -> list[OtherRun]:
    try:
        return read_other_runs(records.journal, records.generation) if records else []
    except OSError:
        return []  # as _wait_for_cells


def _wait_for_cells(records: Records) -> int:
    """Let a running hub add the cells of what has ended; how many are not in the notebook then."""
    deadline = time.monotonic() + _NOTEBOOK_SECONDS
    try:
        while (missing := len(unwritten_numbers(records.journal, records.generation))) > 0:
            if not is_taken(records.journal) or time.monotonic() > deadline:
                break
            time.sleep(_POLL_SECONDS)
    except OSError:
        return 0  # the notebook is what matters, and the journal may be another user's
    return missing


def _read(notebook: Path) -> Document:
    try:
        document = parse(read_plain(notebook, LARGEST, follow=True))
    except OSError as error:
        raise BadRequest(
            f"{notebook} cannot be read: {error.strerror}.",
            f"If it was deleted: kernelexec rebuild {shlex.quote(str(notebook))}",
        ) from error
    if document is None:
        raise BadRequest(
            f"{notebook} is not a notebook of version 4.",
            "If it was damaged, make a new one from its journal: kernelexec rebuild "
            f"{shlex.quote(str(notebook))}",
        )
    return document


class _Files:
    """The outputs beside a notebook."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str) -> bytes | None:
        """A plain file below the folder, reached through no link; None if it is none."""
        parts = Path(name).parts
        if not parts or ".." in parts or Path(name).is_absolute():
            return None
        path = self._folder
        try:
            for part in parts:
                path = path / part
                if stat.S_ISLNK(os.lstat(path).st_mode):
                    return None
            return read_plain(path, LARGEST)
        except OSError:
            return None


def _check(data: bytes, notebook: Path) -> None:
    """Whether everybody's Jupyter can open the copy."""
    problem = problem_in(data)
    if problem is not None:
        raise BadRequest(
            f"{notebook} has something that is not valid in a notebook, {problem}",
            "Nothing was written. Mend that cell in JupyterLab, or leave it out, and save; or export the "
            f"notebook as it was recorded, which this makes: kernelexec rebuild {shlex.quote(str(notebook))}",
        )


def _report(output: Path, copy: CleanCopy, missing: int) -> str:
    lines = [f"{output}: {sentence([(copy.kept, 'cell', 'cells')]) or 'no cells'}"]
    if copy.failed:
        lines.append(f"left out: {sentence([(copy.failed, 'try', 'tries')])} that did not succeed")
    if copy.put_back:
        lines.append(f"put back, because it ran or a later cell needs it: {', '.join(copy.put_back)}")
    lines += [f"missing: {each}, which nothing before it makes" for each in copy.missing]
    if copy.own_failed:
        lines.append(f"{sentence([(copy.own_failed, 'cell', 'cells')])} of your own with an error, kept")
    if copy.embedded:
        lines.append(f"put into it: {sentence([(copy.embedded, 'output', 'outputs')])} from files")
    if copy.not_embedded:
        lines.append(f"too large or missing, so not in it: {', '.join(copy.not_embedded)}")
    if missing:
        lines.append(
            f"{sentence([(missing, 'run', 'runs')])} of the journal not in the notebook yet; the hub adds "
            "what is missing when the session is next used"
        )
    return "\n".join(lines)
