"""How warnings and log records call a cell. Runs what runs in the user's interpreter, without a kernel."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
import warnings
from pathlib import Path

import pytest
from IPython.core.compilerop import CachingCompiler

from tests.kernelspecs.test_live_kernel import load

CODE = "import logging\nlogging.getLogger('x').warning('said')\n"


def test_what_is_compiled_meanwhile_is_called_by_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved_names = load("kernel", "saved_names")
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    monkeypatch.setattr(logging, "_logRecordFactory", logging.getLogRecordFactory())
    monkeypatch.setattr(traceback.StackSummary, "format", traceback.StackSummary.format)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    saved_names.name_saved_files()
    compiler, path = CachingCompiler(), str(tmp_path / "0007-load.py")
    with saved_names.saved_as(compiler, path):
        name = compiler.cache(CODE, 7, raw_code=CODE)
    other = compiler.cache("x = 1\n", 8, raw_code="x = 1\n")
    assert warnings.formatwarning("old", UserWarning, name, 1).splitlines() == [
        f"{path}:1: UserWarning: old",
        "  import logging",
    ]
    assert warnings.formatwarning("old", UserWarning, other, 1).startswith(f"{other}:1: ")
    heard: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = heard.append  # type: ignore[method-assign]
    logging.getLogger("x").addHandler(handler)
    try:
        exec(compile(CODE, name, "exec"), {})
        logging.getLogger("x").warning("mine")
    finally:
        logging.getLogger("x").removeHandler(handler)
    [theirs, mine] = heard
    assert (theirs.pathname, theirs.filename, theirs.lineno) == (path, "0007-load.py", 2)
    assert mine.pathname == sys._getframe().f_code.co_filename


def test_a_traceback_that_code_prints_or_a_thread_ends_with_calls_the_cell_by_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    saved_names = load("kernel", "saved_names")
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    monkeypatch.setattr(logging, "_logRecordFactory", logging.getLogRecordFactory())
    monkeypatch.setattr(traceback.StackSummary, "format", traceback.StackSummary.format)
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)
    saved_names.name_saved_files()
    compiler, path = CachingCompiler(), str(tmp_path / "0007-load.py")
    code = """\
import logging, threading, traceback
def fail(): raise KeyError('"x"')
try: fail()
except KeyError: print(traceback.format_exc())
thread = threading.Thread(target=fail, name="mine")
thread.start(); thread.join()
"""
    with saved_names.saved_as(compiler, path):
        name = compiler.cache(code, 7, raw_code=code)
    exec(compile(code, name, "exec"), {})
    out, err = capsys.readouterr()
    assert f'File "{path}", line 3, in <module>' in out
    assert f'File "{path}", line 2, in fail' in out
    assert "    try: fail()" in out
    assert name not in out
    assert err.startswith("Exception in thread mine:\nTraceback (most recent call last):\n")
    assert f'File "{path}", line 2, in fail' in err
    assert name not in err
    assert err.endswith("KeyError: '\"x\"'\n")
