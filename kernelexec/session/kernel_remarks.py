"""What our kernels add to a reply about its run (kernelspecs/kernel/replying_kernel.py), in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kernelexec.model.distributions import distribution_of
from kernelexec.model.text import one_line

_LONGEST_NAME = 100  # characters of a command's or a module's name
_LONGEST_PATH = 4_096  # characters of a path


def remarks_of_kernel(metadata: Mapping[str, object]) -> list[str]:
    """Of a reply's metadata, what is to be told of its run however it ended."""
    said = metadata.get("kernelexec")
    if not isinstance(said, Mapping):
        return []
    told = (
        (said.get("exits"), _exits),
        (said.get("unseen"), _unseen),
        (said.get("lost_directory"), _without_directory),
        (said.get("changed_directory"), _in_another_directory),
        (said.get("lent"), _lent),
    )
    return [in_words(of) for of, in_words in told if isinstance(of, Mapping)]


def _exits(told: Mapping[str, Any]) -> str:
    """Commands that failed (terminal_programs.py): for IPython that is no error."""
    last, number = told.get("last"), told.get("number")
    named = [_exited(each) for each in last] if isinstance(last, list) else []
    more = f"{number} commands failed, at last: " if isinstance(number, int) and number > len(named) else ""
    return f"{more}{'; '.join(named)}."


def _exited(command: object) -> str:
    name, code = command if isinstance(command, list) and len(command) == 2 else ("", None)
    what = f"`!{one_line(str(name))[:_LONGEST_NAME]} ...`" if name else "A `!command`"
    return (
        f"{what} was ended by signal {-code}"
        if isinstance(code, int) and code < 0
        else f"{what} exited with {code}"
    )


def _without_directory(lost: Mapping[str, object]) -> str:
    """The working directory was deleted, by this run or from outside; told until there is one again."""
    path = one_line(str(lost.get("path") or ""))[:_LONGEST_PATH]
    if lost.get("another"):
        return (
            f"The kernel's working directory, {path}, was deleted, and the one that has its name now is "
            f"another: relative paths fail until you call os.chdir({path!r})."
        )
    return (
        f"The kernel's working directory{f', {path},' if path else ''} was deleted: relative paths and many "
        "programs fail until you call os.chdir(...) with a directory that is there."
    )


def _in_another_directory(changed: Mapping[str, object]) -> str:
    """Code has left the kernel's first directory, and a file was not found (working_directory.py)."""
    path = one_line(str(changed.get("path") or ""))[:_LONGEST_PATH]
    return f"Relative paths begin in {path} now, because code has changed the working directory."


def _lent(lent: Mapping[str, object]) -> str:
    """Modules of the lent ipykernel that the cell has imported; told once (lent_modules.py)."""
    told = lent.get("modules")
    modules = [one_line(str(name))[:_LONGEST_NAME] for name in told] if isinstance(told, list) else []
    packages = ", ".join(f'"{distribution_of(name) or name}"' for name in modules)
    return (
        f"Not installed in this environment: {', '.join(modules)}. The import found what comes with the "
        "ipykernel that kernelexec lends this kernel, and fails anywhere else. "
        f"To install: install_dependencies(packages=[{packages}])."
    )


def _unseen(unseen: Mapping[str, object]) -> str:
    """Figures that nothing shows; told once (headless_figures.py)."""
    backend = one_line(str(unseen.get("backend")))[:_LONGEST_NAME]
    return (
        f"Matplotlib draws with {backend} here, which shows nothing: display(fig) shows a figure, and after "
        "`%matplotlib inline` each is shown."
    )
