"""Who is told to have looked for a module in vain. Without a kernel."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kernelspecs.test_live_kernel import load


@pytest.fixture
def missed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    finder = load("kernel", "missed_imports").MissedImports()
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, finder])
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield finder
    for name in set(sys.modules) - before:
        del sys.modules[name]


def as_the_user(code: str) -> None:
    exec(compile(code, "<cell>", "exec"), {"__name__": "__main__"})


QUIETLY = "try: import kxm_extra\nexcept ImportError: kxm_extra = None\n"


@pytest.mark.parametrize(
    "looks",
    [
        QUIETLY,
        "import importlib.util\nHAS = importlib.util.find_spec('kxm_extra') is not None\n",
        "import importlib\ntry: importlib.import_module('kxm_extra')\nexcept ImportError: pass\n",
        "def has():\n    try: import kxm_extra\n    except ImportError: return False\nHAS = has()\n",
    ],
)
def test_who_looked_while_it_was_imported_goes_on_without(missed: Any, tmp_path: Path, looks: str) -> None:
    (tmp_path / "kxm_library.py").write_text(looks)
    as_the_user("import kxm_library")
    assert missed.missed(["kxm_extra", "other"]) == {"kxm_extra": {"kxm_library": True}}
    assert missed.missed(["other"]) == {}


def test_who_looks_when_it_is_called_may_look_again(missed: Any, tmp_path: Path) -> None:
    (tmp_path / "kxm_library.py").write_text("def read():\n    import kxm_extra\n")
    as_the_user("import kxm_library\ntry: kxm_library.read()\nexcept ImportError: pass")
    assert missed.missed(["kxm_extra"]) == {"kxm_extra": {"kxm_library": False}}


def test_of_the_users_own_code_nothing_is_told(missed: Any) -> None:
    as_the_user(QUIETLY)
    assert missed.missed(["kxm_extra"]) == {}


def test_what_could_not_be_imported_itself_is_looked_for_again_but_not_by_who_took_note(
    missed: Any, tmp_path: Path
) -> None:
    (tmp_path / "kxm_part.py").write_text("import kxm_extra\n")
    as_the_user("try: import kxm_part\nexcept ImportError: pass")
    assert missed.missed(["kxm_extra"]) == {}
    (tmp_path / "kxm_library.py").write_text("try: import kxm_part\nexcept ImportError: PART = None\n")
    as_the_user("import kxm_library")
    assert missed.missed(["kxm_extra"]) == {"kxm_extra": {"kxm_library": True}}


def test_in_a_shared_namespace_only_what_is_there_now_is_told(missed: Any, tmp_path: Path) -> None:
    (tmp_path / "kxm_space" / "old").mkdir(parents=True)
    (tmp_path / "kxm_library.py").write_text(
        "import kxm_space\nfor name in ('new', 'never'):\n"
        "    try: __import__('kxm_space.' + name)\n    except ImportError: pass\n"
    )
    as_the_user("import kxm_library")
    (tmp_path / "kxm_space" / "new.py").write_text("")
    importlib.invalidate_caches()
    assert missed.missed(["kxm_space"]) == {"kxm_space.new": {"kxm_library": True}}


def test_looking_a_thousand_times_is_kept_once(missed: Any) -> None:
    as_the_user("for n in range(1000):\n    try: import kxm_extra\n    except ImportError: pass")
    assert len(missed.seekers["kxm_extra"]) == 1
