"""An environment: one interpreter that kernels run in, and what was found out about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
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

    def to_json(self) -> dict[str, Any]:
        return {
            "executable": str(self.executable),
            "prefix": str(self.prefix),
            "version": list(self.version),
            "abi": self.abi,
            "ipykernel": self.ipykernel,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Interpreter:
        """The reverse of to_json.

        Raises:
            KeyError, TypeError, ValueError: not what to_json makes.
        """
        major, minor, micro = fields["version"]
        return cls(
            executable=Path(fields["executable"]),
            prefix=Path(fields["prefix"]),
            version=(major, minor, micro),
            abi=fields["abi"],
            ipykernel=fields["ipykernel"],
        )


@dataclass(frozen=True)
class RunningKernel:
    """A kernel that somebody else has started, as it was when it was looked for last."""

    joins: str  # what it is looked for by: the path of a notebook that it is of, else of its connection file
    connection_file: str
    pid: int
    directory: str  # in which it works
    server: str = ""  # the address of the Jupyter server that has it; "" if none says so

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> RunningKernel:
        """As asdict has made it; what else there is a later version has written."""
        return cls(**{name: value for name, value in said.items() if name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class Environment:
    """An environment that has a kernelspec and can be started."""

    kind: str  # "conda", "venv", "venv-uv", "kernelspec", "existing" or "default"
    label: str
    prefix: Path  # as the person wrote it; of a kernelspec its folder; identity is its real path
    interpreter: Interpreter | None  # None: its kernel is not a Python one
    kernelspec: str  # the kernelspec's name, as in `jupyter kernelspec list`
    display_name: str
    argv: tuple[str, ...]  # with {connection_file}
    variables: tuple[tuple[str, str], ...]  # activation; a value may hold ${PATH}
    borrowed_ipykernel: Path | None  # where ipykernel comes from if it has none of its own
    language: str = "python"  # as its kernelspec names it
    extension: str = ".py"  # of its scripts
    # "named": our launcher runs the kernel, and an interrupt reaches the run it is meant for or nobody.
    # "signal", "message": somebody else's kernel, interrupted as its kernelspec says.
    interrupts: str = "named"
    transport: str = "ipc"  # what the kernel's sockets are: "ipc" or "tcp"; else "websocket", "command"
    # Where its kernels run: "" is this machine, else a Jupyter server's URL or the command that leads there.
    host: str = ""
    running: RunningKernel | None = None  # of the kind "existing": the one kernel that there is in it
    provisioner: str = ""  # the kernel provisioner that starts its kernels, wherever; "": none
    version: str = ""  # of its language, where only a kernel there could tell

    @cached_property
    def identity(self) -> str:
        """The real path of the prefix, as it was when first asked for; and its host, where not here. Of a
        kernel that runs what it is looked for by."""
        if self.running is not None:
            return self.running.joins
        return f"{self.host} {self.prefix}" if self.host else str(self.prefix.resolve())

    @property
    def location(self) -> str:
        """What says where it is, for people."""
        if self.provisioner:
            return f"{self.prefix}, started by the provisioner {self.provisioner!r}, maybe on another machine"
        if not self.host:
            return str(self.prefix)
        return f"{self.kernelspec if self.kind == 'gateway' else self.prefix} on {self.host}"

    @property
    def is_far(self) -> bool:
        """Whether it is at the end of a command."""
        return bool(self.host) and self.kind != "gateway"

    @property
    def is_ours(self) -> bool:
        """Whether the kernel runs as kernelexec's launcher runs ipykernel."""
        return self.interrupts == "named"

    @property
    def is_python(self) -> bool:
        return self.language.lower() == "python"

    @property
    def runs(self) -> str:
        """What code is written in, e.g. "Python 3.12.1" or "bash"."""
        if self.interpreter is not None:
            return f"Python {self.interpreter.version_text}"
        return (
            f"{'Python' if self.is_python else self.language} {self.version}"
            if self.version
            else self.language
        )

    @property
    def program(self) -> Path:
        """What is executed: the interpreter, or the kernel's own program."""
        return self.interpreter.executable if self.interpreter else Path(self.argv[0])

    def to_json(self) -> dict[str, Any]:
        """For the kernelspec's metadata and the registry."""
        interpreter = self.interpreter
        return {
            "kind": self.kind,
            "label": self.label,
            "prefix": str(self.prefix),
            "interpreter": interpreter.to_json() if interpreter else None,
            "kernelspec": self.kernelspec,
            "display_name": self.display_name,
            "argv": list(self.argv),
            "variables": [list(pair) for pair in self.variables],
            "borrowed_ipykernel": str(self.borrowed_ipykernel) if self.borrowed_ipykernel else None,
            "language": self.language,
            "extension": self.extension,
            "interrupts": self.interrupts,
            "transport": self.transport,
            **({"host": self.host, "version": self.version} if self.host else {}),
            **({"running": asdict(self.running)} if self.running is not None else {}),
            **({"provisioner": self.provisioner} if self.provisioner else {}),
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Environment:
        """The reverse of to_json.

        Raises:
            KeyError, TypeError, ValueError: not what to_json makes.
        """
        interpreter = fields["interpreter"]
        borrowed = fields["borrowed_ipykernel"]
        return cls(
            kind=fields["kind"],
            label=fields["label"],
            prefix=Path(fields["prefix"]),
            interpreter=Interpreter.from_json(interpreter) if interpreter is not None else None,
            kernelspec=fields["kernelspec"],
            display_name=fields["display_name"],
            argv=tuple(fields["argv"]),
            variables=tuple((name, value) for name, value in fields["variables"]),
            borrowed_ipykernel=Path(borrowed) if borrowed else None,
            # Earlier versions knew Python kernels of their own only.
            language=fields.get("language", "python"),
            extension=fields.get("extension", ".py"),
            interrupts=fields.get("interrupts", "named"),
            transport=fields.get("transport", "ipc"),
            host=fields.get("host", ""),
            running=RunningKernel.from_json(fields["running"]) if "running" in fields else None,
            provisioner=fields.get("provisioner", ""),
            version=fields.get("version", ""),
        )
