"""What the person lets the kernels and sessions of an environment take, whichever client uses it."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelexec.config import ALLOWED, amount
from kernelexec.errors import ConfigError
from kernelexec.model.environment import Environment
from kernelexec.model.limits import Allowance
from kernelexec.model.server_address import kernel_at
from kernelexec.plain_file import read_text
from kernelexec.system_errors import in_words

FILE = "limits.json"
ALL = "*"  # what stands for each environment that is not named, and for what those that are leave out
_EXAMPLE = f'{{"/home/me/envs/analysis": {{"memory_mb": 4000, "kernels": 2}}, "{ALL}": {{"queued": 20}}}}'
_LARGEST = 1_000_000  # bytes


@dataclass(frozen=True)
class Written:
    """What the file says, checked."""

    file: Path
    by_name: Mapping[str, Mapping[str, int | None]]  # as it names environments; None: as much as they like
    unknown: tuple[str, ...]  # a sentence about each limit that there is none of

    def of(self, environment: Environment) -> Allowance:
        """What this environment's kernels and sessions may take."""
        names = _names(environment)
        said: dict[str, int | None] = dict(self.by_name.get(ALL, {}))
        for name, limits in self.by_name.items():
            if name in names or os.path.realpath(os.path.expanduser(name)) in names:
                said.update(limits)
        return Allowance.of(said, str(self.file))

    @property
    def missing(self) -> list[str]:
        """The paths that it names, and that are not there."""
        paths = (name for name in self.by_name if name.startswith(("/", "~")))
        return [path for path in paths if not os.path.lexists(os.path.expanduser(path))]


class EnvironmentLimits:
    """Reads the file where it has changed: a limit holds from the next submission, or the next kernel, on."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read: tuple[object, Written] | None = None

    def of(self, environment: Environment) -> Allowance:
        """
        Raises:
            ConfigError: the file cannot be used, and why; what would be limited is not done.
        """
        return self.written().of(environment)

    def written(self) -> Written:
        """
        Raises:
            ConfigError
        """
        state = _state(self._file)
        if self._read is None or self._read[0] != state:
            self._read = state, read(self._file)
        return self._read[1]


def read(file: Path) -> Written:
    """What the file says; nothing where there is none.

    Raises:
        ConfigError: it cannot be used, and why.
    """
    try:
        said = json.loads(read_text(file, _LARGEST))
    except FileNotFoundError:
        return Written(file, {}, ())
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {in_words(error)}.", _mend(file)) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file} is no JSON: {error}.", _mend(file)) from error
    if not (isinstance(said, dict) and all(isinstance(limits, dict) for limits in said.values())):
        raise ConfigError(f"{file} is no table of limits by environment.", _mend(file))
    unknown: list[str] = []
    by_name = {name: _checked(file, name, limits, unknown) for name, limits in said.items()}
    return Written(file, by_name, tuple(unknown))


def in_short(allowance: Allowance) -> str:
    """What is set of it, for people; empty if nothing is."""
    said = {name: getattr(allowance, name) for name in ALLOWED}
    return ", ".join(f"{name} {value}" for name, value in said.items() if value is not None)


def _checked(file: Path, name: str, limits: Mapping[str, Any], unknown: list[str]) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    for limit, value in limits.items():
        if limit not in ALLOWED:
            near = difflib.get_close_matches(limit, list(ALLOWED), n=1, cutoff=0.5)
            hint = f"; {near[0]} is one" if near else f"; there are {', '.join(ALLOWED)}"
            unknown.append(f"{limit!r} in {file} is no limit and has no effect{hint}.")
        elif value == 0:
            found[limit] = None
        elif value is not None:
            text = str(value) if isinstance(value, int) and value is not True else repr(value)
            found[limit] = amount(f"{json.dumps({limit: value})[1:-1]} for {name!r} in {file}", text, limit)
    return found


def _names(environment: Environment) -> set[str]:
    """All that an environment may be called in the file; a path is its real one."""
    names = {environment.identity}
    if environment.kind == "kernelspec":
        names.add(environment.kernelspec)
    if environment.kind == "default":
        names.add("default")
    if environment.host:
        names |= {environment.host, kernel_at(environment.host, environment.kernelspec)}
    return names


def _state(file: Path) -> object:
    """Something else where the file is another, or has changed."""
    try:
        found = os.stat(file)
    except OSError as error:
        return error.errno
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _mend(file: Path) -> str:
    return f"The user has to correct it, or to remove it for no limits; for example: {_EXAMPLE}"
