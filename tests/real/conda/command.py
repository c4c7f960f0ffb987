"""The `conda` command: runs the conda that the PyPI package conda-lock carries, under its own name."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import os
import sys
import sysconfig
import types
from collections.abc import Sequence

REAL = "conda_lock._vendor.conda"


class Alias(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """`conda` and `conda.x` are the modules conda_lock._vendor.conda and conda_lock._vendor.conda.x."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name == "conda" or name.startswith("conda."):
            return importlib.machinery.ModuleSpec(name, self)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return importlib.import_module(REAL + spec.name.removeprefix("conda"))

    def exec_module(self, module: types.ModuleType) -> None:
        pass


def main() -> int:
    # Its question for a graphics card starts a process that cannot import this module.
    os.environ.setdefault("CONDA_OVERRIDE_CUDA", "")
    for name in ("conda_lock", "conda_lock._vendor"):  # the packages around it, without conda-lock itself
        package = types.ModuleType(name)
        package.__path__ = [os.path.join(sysconfig.get_path("purelib"), *name.split("."))]
        sys.modules[name] = package
    sys.meta_path.insert(0, Alias())
    return int(importlib.import_module("conda.cli").main() or 0)


if __name__ == "__main__":
    sys.exit(main())
