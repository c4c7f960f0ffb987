"""What to do about a module that is not found: install which package, look in which folder, or neither."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from kernelexec.environments.inventory import inventory
from kernelexec.environments.module_search import environments_with, folder_with
from kernelexec.hub.caller import Caller
from kernelexec.mcp_server.render.config_text import how_to_choose
from kernelexec.model.distributions import distribution_of, is_shared, removed_in
from kernelexec.session.session import Session

_NO_MODULE = re.compile(r"No module named '?(?P<name>\w+(?:\.\w+)*)'?(?P<file>; '[\w.]+' is not a package)?")
# "Missing optional dependency 'openpyxl'", "run `pip install tabulate`": what libraries say of themselves.
_WANTED = re.compile(
    r"Missing optional dependency '(?P<missing>[\w.-]+)'|"
    r"(?:pip3?|conda|mamba) install (?:-\S+ )*['\"`]?(?P<named>[A-Za-z][\w.-]*(?:\[[\w,-]+\])?)"
)
# Of a name that many packages share one is there, and not the one that has this.
_NO_PART = re.compile(r"cannot import name '(?P<part>\w+)' from '(?P<name>[\w.]+)' \(unknown location\)")
_SCREEN = re.compile(r"libGL\.so|libgthread|libSM\.so|libXext\.so")


def about_import(text: str, code: str, session: Session, caller: Caller) -> str | None:
    """A sentence or two on an import's error with this text; None if there is nothing to be said."""
    wanted, missing = _WANTED.search(text), _NO_MODULE.match(text) or _NO_PART.match(text)
    if wanted is not None:
        package = (wanted["missing"] or wanted["named"]).rstrip(".")
        return f"Here: {_install(package, session, caller)}."
    if _SCREEN.search(text):
        headless = _install("opencv-python-headless", session, caller)
        return f"A screen's library is missing on this system; an OpenCV that needs none: {headless}."
    if missing is None:
        return None
    name, file, part = (missing.groupdict().get(each) for each in ("name", "file", "part"))
    if file:
        return _about_one_file(name or "", session)
    name = _whole_name(f"{name}.{part}" if part else name or "", code)
    return _in_folder(name, session, caller) or _about_missing(name, session, caller)


def _whole_name(name: str, code: str) -> str:
    """The name as it is imported, where the error has only its first part, which many packages share."""
    if not is_shared(name):
        return name
    found = re.search(
        rf"^\s*(?:from\s+(?P<of>{re.escape(name)}[\w.]*)\s+import\s+\(?\s*(?P<part>\w+)"
        rf"|import\s+(?P<all>{re.escape(name)}[\w.]*))",
        code,
        re.MULTILINE,
    )
    return name if found is None else found["all"] or f"{found['of']}.{found['part']}"


def _in_folder(name: str, session: Session, caller: Caller) -> str | None:
    """About a module of the user's own."""
    if "." in name:
        return None
    own = [session.directory, session.directory / "src", Path(caller.cwd), Path(caller.cwd) / "src"]
    folder = folder_with(name, own)
    if folder is None:
        return None
    return (
        f"{name} is in {folder}, where this kernel does not look; to change that: "
        f"import sys; sys.path.insert(0, {str(folder)!r})"
    )


def _about_missing(name: str, session: Session, caller: Caller) -> str:
    package, removed = distribution_of(name), removed_in(name)
    top, _, below = name.partition(".")
    if removed is not None:
        version, instead = removed
        gone = f"Python has no {top} any more since {version}"
        return f"{gone}; a package has it: {_install(instead, session, caller)}." if instead else f"{gone}."
    if top in sys.stdlib_module_names:
        return f"{top} belongs to Python itself; this Python was made without it, and no package has it."
    if package is not None:
        said = f"{name} comes with the package {package}: {_install(package, session, caller)}."
    elif is_shared(name):
        said = f"Several packages bring a part of {name}, each with a name of its own, such as {name}-..."
    elif below:
        above, _, last = name.rpartition(".")
        return (
            f"{above} is there and has no {last}; another version may have: "
            f'check_installed_packages(packages=["{top}"]) says which this is.'
        )
    else:
        said = f"If its package is called so, too: {_install(name, session, caller)}."
    return f"{said}{_elsewhere(top, session, caller) if not below else ''}"


def _elsewhere(module: str, session: Session, caller: Caller) -> str:
    found = inventory(caller.environ, [Path(caller.cwd), session.recorder.storage_dir])
    others = environments_with(module, found, session.environment.prefix)
    return f" Other environments have it: {'; '.join(map(how_to_choose, others))}." if others else ""


def _about_one_file(name: str, session: Session) -> str:
    parent = name.rpartition(".")[0]
    file = session.directory / f"{parent.replace('.', '/')}.py"
    if file.is_file():
        return f"{file} hides the package {parent}: give that file another name, and restart the kernel."
    return f"{parent} is one file without parts; a file of yours may hide a package of that name."


def _install(package: str, session: Session, caller: Caller) -> str:
    """The call that installs a package into this session's environment."""
    own = caller.environment
    is_own = own is None or own.identity == session.environment.identity
    which = "" if is_own else f', session="{session.id}"'
    return f'install_dependencies(packages=["{package}"]{which})'
