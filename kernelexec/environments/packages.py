"""What is installed in an environment: from metadata (kernelspecs/installed_packages.py), with no kernel."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelexec import paths
from kernelexec.environments import kernelspec
from kernelexec.environments.asking import ask
from kernelexec.errors import BadRequest, EnvironmentUnusable
from kernelexec.model.environment import Environment

_SECONDS = 30.0  # a cold network file system; usually 0.1


@dataclass(frozen=True)
class Package:
    """Something installed, as one of the names that was asked for came to it."""

    kind: str  # "distribution", "conda" (not Python's), "python" (a part of it), "module" (belongs to none)
    name: str
    version: str | None
    location: str
    module: str | None = None  # the name asked for, where that is a module's
    editable: bool = False
    whole: bool = True  # its metadata can be read


class Packages:
    """The packages of one environment, as its kernels would find them."""

    def __init__(self, environment: Environment, environ: Mapping[str, str]) -> None:
        if environment.host:
            there = "that machine" if environment.is_far else "that server"
            raise BadRequest(
                f"The packages of {environment.label} are on {environment.host}; its code can look there.",
                f"Run `%pip list` or `%pip install NAME` with execute_code, as far as {there} lets you.",
            )
        if environment.interpreter is None:
            raise BadRequest(
                f"{environment.label} runs {environment.language}; packages are known for Python only.",
                "Use the language's own package manager, from a cell or a terminal.",
            )
        self._executable = environment.interpreter.executable
        self._environ = kernelspec.kernel_variables(environment, environ)

    async def versions(self) -> dict[str, str]:
        """The version of each distribution, and each conda package, by its canonical name."""
        answer = await self._ask({"all": True})
        return dict(answer["versions"])

    async def modules_of(self, names: Sequence[str]) -> dict[str, list[str]]:
        """The top-level modules of distributions, by canonical name."""
        answer = await self._ask({"modules_of": list(names)}) if names else {}
        return dict(answer.get("modules", {}))

    async def look_up(self, names: Sequence[str]) -> dict[str, list[Package]]:
        """What each name stands for, be it a distribution's, a module's or a conda package's; in order."""
        answer = await self._ask({"look_up": list(names)})
        return {name: [Package(**fields) for fields in answer["found"][name]] for name in names}

    async def _ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """The program's answer.

        Raises:
            EnvironmentUnusable: the interpreter does not run.
        """
        program = str(Path(paths.kernelspec_templates(), "installed_packages.py"))
        command = (self._executable, "-B", program)
        try:
            said = await ask(command, self._environ, _SECONDS, json.dumps(question).encode())
        except TimeoutError:
            raise EnvironmentUnusable(f"{self._executable} did not answer within {_SECONDS:.0f} s.") from None
        except OSError as error:
            raise EnvironmentUnusable(
                f"{self._executable} does not run: {error.strerror or error}."
            ) from error
        try:
            # A sitecustomize may have printed before.
            answer: dict[str, Any] = json.loads(said.out.splitlines()[-1])
        except (ValueError, IndexError):
            tail = os.fsdecode(said.err).strip()[-2000:]
            raise EnvironmentUnusable(
                f"{self._executable} does not work as Python.\n{tail}".strip()
            ) from None
        return answer
