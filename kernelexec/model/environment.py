"""An environment: one interpreter that kernels run in, and what was found out about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Interpreter:
    """What an interpreter says of itself (see environments/probe.py)."""

    executable: Path
    prefix: Path
    version: tuple[int, int, int]
    abi: str  # what compiled modules must match, e.g. ".cpython-312-x86_64-linux-gnu.so"
    ipykernel: str | None  # version of its own ipykernel

    @property
    def version_text(self) -> str:
        return ".".join(map(str, self.version))


@dataclass(frozen=True)
class Environment:
    """An environment that has a kernelspec and can be started."""

    kind: str  # "venv" or "default"
    label: str
    prefix: Path  # as the person wrote it; identity is its real path
    interpreter: Interpreter
    kernelspec: str  # the kernelspec's name, as in `jupyter kernelspec list`
    display_name: str
    argv: tuple[str, ...]  # with {connection_file}
    variables: tuple[tuple[str, str], ...]  # activation; a value may hold ${PATH}
    borrowed_ipykernel: Path | None  # where ipykernel comes from if it has none of its own

    @cached_property
    def identity(self) -> str:
        """The real path of the prefix, as it was when first asked for."""
        return str(self.prefix.resolve())

    def to_json(self) -> dict[str, Any]:
        """For the kernelspec's metadata and the registry."""
        interpreter = self.interpreter
        return {
            "kind": self.kind,
            "label": self.label,
            "prefix": str(self.prefix),
            "interpreter": {
                "executable": str(interpreter.executable),
                "prefix": str(interpreter.prefix),
                "version": list(interpreter.version),
                "abi": interpreter.abi,
                "ipykernel": interpreter.ipykernel,
            },
            "kernelspec": self.kernelspec,
            "display_name": self.display_name,
            "argv": list(self.argv),
            "variables": [list(pair) for pair in self.variables],
            "borrowed_ipykernel": str(self.borrowed_ipykernel) if self.borrowed_ipykernel else None,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Environment:
        """The reverse of to_json.

        Raises:
            KeyError, TypeError, ValueError: not what to_json makes.
        """
        said = fields["interpreter"]
        major, minor, micro = said["version"]
        interpreter = Interpreter(
            executable=Path(said["executable"]),
            prefix=Path(said["prefix"]),
            version=(major, minor, micro),
            abi=said["abi"],
            ipykernel=said["ipykernel"],
        )
        borrowed = fields["borrowed_ipykernel"]
        return cls(
            kind=fields["kind"],
            label=fields["label"],
            prefix=Path(fields["prefix"]),
            interpreter=interpreter,
            kernelspec=fields["kernelspec"],
            display_name=fields["display_name"],
            argv=tuple(fields["argv"]),
            variables=tuple((name, value) for name, value in fields["variables"]),
            borrowed_ipykernel=Path(borrowed) if borrowed else None,
        )
