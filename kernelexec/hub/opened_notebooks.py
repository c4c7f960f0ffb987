"""Which session a person's notebook is opened in: by its path, in the environment that it names."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kernelexec.config import EnvironmentChoice
from kernelexec.environments import catalog
from kernelexec.environments.existing import has_running_kernel
from kernelexec.environments.source import Progress
from kernelexec.errors import BadRequest, EnvironmentUnusable
from kernelexec.hub.caller import Caller, SessionChoice
from kernelexec.hub.chosen_environments import ChosenEnvironments
from kernelexec.model.environment import Environment
from kernelexec.model.naming import apart, clean_name
from kernelexec.recording.journal_lines import read
from kernelexec.recording.notebook_place import find_notebook, make_notebook
from kernelexec.recording.notebook_reading import empty
from kernelexec.recording.notebook_text import NotebookText
from kernelexec.recording.opened_notebook import OpenedNotebook
from kernelexec.recording.records import journal_path

_ANYBODYS = ("python3", "python")  # kernelspecs that each environment with an ipykernel has
_ORIGIN = "the notebook's kernelspec"
_RUNNING = "the kernel that the user's Jupyter runs for the notebook"


@dataclass(frozen=True)
class Found:
    """A notebook that is to be opened, and what runs it."""

    path: Path
    is_new: bool
    environment: Environment
    remark: str = ""  # about the choice of the environment, where it is not what the notebook names


def path_of(caller: Caller, path: str) -> Path:
    """The real path of a notebook that this caller may open.

    Raises:
        BadRequest, ConfigError
    """
    config = caller.config()
    project = [config.client_dir] if config.project else []
    return find_notebook(path, [*project, config.storage_dir])


async def found(path: Path, caller: Caller, environments: ChosenEnvironments, progress: Progress) -> Found:
    """The notebook and its environment, prepared.

    Raises:
        BadRequest: the notebook cannot be worked in.
        ConfigError, EnvironmentUnusable
    """
    notebook = await asyncio.to_thread(OpenedNotebook(path).read) if path.exists() else None
    if notebook is not None and await asyncio.to_thread(has_running_kernel, path, caller.environ):
        joined = catalog.source_of(EnvironmentChoice("existing", str(path), _RUNNING), caller.environ)
        return Found(path, False, await environments.prepare(joined, caller.environ, progress))
    name = _kernelspec_in(notebook)
    if name in ("", *_ANYBODYS):
        return Found(path, notebook is None, await environments.environment_of(caller, progress))
    choice = EnvironmentChoice("kernelspec", name, _ORIGIN)
    try:
        source = await asyncio.to_thread(catalog.source_of, choice, caller.environ)
        return Found(path, False, await environments.prepare(source, caller.environ, progress))
    except EnvironmentUnusable as error:
        environment = await environments.environment_of(caller, progress)
        said = f"The notebook names the kernel {name!r}, which cannot be used ({error.what})"
        return Found(path, False, environment, f"{said}: it runs in your environment instead.")


def make(found: Found) -> None:
    """Make the notebook where it is missing, for the kernel that runs it.

    Raises:
        BadRequest: that cannot be done.
    """
    if found.is_new:
        make_notebook(found.path, empty(_metadata(found.environment)))


def session_for(path: Path, environment: Environment, storage_dir: Path) -> SessionChoice:
    """The session of this notebook: called after it, unless another one is called so."""
    name = clean_name(path.stem) or "notebook"
    for each in (name, apart(name, str(path))):
        journal = journal_path(storage_dir, f"{each}@{environment.label}")
        if not journal.exists() or opened_in(journal) == str(path):
            return SessionChoice(each, environment.label, None)
    raise BadRequest(
        f"There are sessions called {name!r} already, of other notebooks or none.",
        "Choose another name with `session`.",
    )


def opened_in(journal: Path) -> str | None:
    """The path of the notebook that a session works in, from its journal; None if it has its own."""
    try:
        paths = [record["path"] for record in read(journal) if record["event"] == "notebook"]
    except OSError:
        return None
    return paths[-1] if paths else None


def _kernelspec_in(notebook: NotebookText | None) -> str:
    said = notebook.metadata.get("kernelspec") if notebook is not None else None
    name = said.get("name") if isinstance(said, Mapping) else None
    return name if isinstance(name, str) else ""


def _metadata(environment: Environment) -> dict[str, dict[str, str]]:
    spec = {
        "display_name": environment.display_name,
        "language": environment.language,
        "name": environment.kernelspec,
    }
    return {"kernelspec": spec, "language_info": {"name": environment.language}}
