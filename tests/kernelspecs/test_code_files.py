"""What a code file finds while it runs. Runs what runs in the user's interpreter, without a kernel."""

from __future__ import annotations
import __future__

import sys
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from IPython.core.compilerop import CachingCompiler

from tests.kernelspecs.test_live_kernel import load

code_files = load("kernel", "code_files")
CODE = '"""What it is for."""\nfrom __future__ import annotations\nx = 1\n'


@pytest.fixture
def shell() -> Any:
    return SimpleNamespace(user_ns={"kept": 5, "__doc__": "the kernel's"}, compile=CachingCompiler())


def test_a_file_finds_itself_and_what_the_kernel_has(shell: Any, tmp_path: Path) -> None:
    path, arguments, folders = str(tmp_path / "a.py"), sys.argv, list(sys.path)
    with code_files.run_as(shell, path, CODE):
        assert (sys.argv, sys.path[0]) == ([path], str(tmp_path))
        assert shell.user_ns == {"kept": 5, "__file__": path, "__doc__": "What it is for."}
        assert code_files.running_file() == path
        sys.path.append("/the file's own")
    assert sys.argv is arguments
    assert sys.path == [*folders, "/the file's own"]
    sys.path.pop()
    assert shell.user_ns == {"kept": 5, "__doc__": "the kernel's"}
    assert code_files.running_file() is None


def test_what_fails_leaves_nothing_of_the_file_either(shell: Any, tmp_path: Path) -> None:
    arguments, folders = sys.argv, list(sys.path)
    with suppress(SystemExit), code_files.run_as(shell, str(tmp_path / "a.py"), "%magic"):
        assert shell.user_ns["__doc__"] is None
        sys.path.clear()
        sys.exit(0)
    assert sys.path == []
    sys.path[:] = folders
    assert sys.argv is arguments
    assert "__file__" not in shell.user_ns


def test_only_the_files_own_code_has_its_name(shell: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "a.py")
    stock = shell.compile.cache("1", 1)
    with code_files.run_as(shell, path, CODE):
        assert shell.compile.cache(CODE, 2) == path
        assert shell.compile.format_code_name(path) is None  # a file, no cell
        assert shell.compile.cache("get_ipython().run_cell(...)", 3) != path
        shell.compile(CODE, path, "exec")
        assert shell.compile.flags & __future__.annotations.compiler_flag
    assert not shell.compile.flags & __future__.annotations.compiler_flag
    assert shell.compile.cache("1", 1) == stock


def test_where_python_wants_no_unsafe_path_a_files_folder_does_not_join_it(
    shell: Any, tmp_path: Path
) -> None:
    with code_files.run_as(shell, str(tmp_path / "a.py"), CODE, on_path=False):
        assert str(tmp_path) not in sys.path
