"""Which imports of a cell are of the lent ipykernel. Without a kernel."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernelspecs.test_live_kernel import load


@pytest.fixture
def lent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "kx_lent_one.py").touch()
    (tmp_path / "kx_lent_two").mkdir()
    (tmp_path / "kx_lent_two" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.import_module("kx_lent_one")
    importlib.import_module("kx_lent_two")
    yield tmp_path
    del sys.modules["kx_lent_one"], sys.modules["kx_lent_two"]


@pytest.mark.parametrize(
    "code",
    [
        "import kx_lent_one",
        "import os, kx_lent_one as one, json",
        "if True:\n\timport kx_lent_one",
        "%matplotlib inline\nimport kx_lent_one\n",
        "from kx_lent_one import (\n    a,\n)",
        "from kx_lent_one.parts import *",
    ],
)
def test_what_a_cell_imports_from_the_folder_is_told_once(lent: Path, code: str) -> None:
    modules = load("kernel", "lent_modules").LentModules(str(lent))
    assert modules.news(code) == {"modules": ["kx_lent_one"]}
    assert modules.news(code) is None
    assert modules.news("import kx_lent_two.part") == {"modules": ["kx_lent_two"]}


@pytest.mark.parametrize(
    "code", ["import json", "import kx_not_there", "1 + 1", "# important", "print('import kx_lent_one')"]
)
def test_what_is_not_of_the_folder_is_not_told(lent: Path, code: str) -> None:
    assert load("kernel", "lent_modules").LentModules(str(lent)).news(code) is None


def test_what_every_kernel_has_is_not_told() -> None:
    import IPython

    folder = Path(IPython.__file__).parent.parent
    assert load("kernel", "lent_modules").LentModules(str(folder)).news("import IPython") is None
