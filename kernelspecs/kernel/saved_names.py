"""Warnings, log records and printed tracebacks call a cell by the file that its code is saved in.

A cell is compiled under a name in a temporary folder (/tmp/ipykernel_123/456.py), which nobody finds. The name itself stays
as it is: by it debuggers find a cell, and IPython its count.
"""

from __future__ import annotations

import contextlib
import linecache
import logging
import re
import sys
import threading
import traceback
import warnings

_FRAME = re.compile(r'"([^"\n]+)"')
_saved: dict[str, str] = {}  # the file of a cell's code by the name under which it was compiled


@contextlib.contextmanager
def saved_as(compiler, path: str):
    """What is compiled meanwhile is saved at this path."""
    stock = getattr(compiler, "cache", None)
    if stock is None:
        yield
        return

    def cache(*arguments, **options):
        name = stock(*arguments, **options)
        _saved[name] = path
        return name

    compiler.cache = cache
    try:
        yield
    finally:
        vars(compiler).pop("cache", None)


def name_saved_files() -> None:
    """From here on. Whoever replaces one of these later has his own way."""
    format_warning, make_record = warnings.formatwarning, logging.getLogRecordFactory()

    def formatwarning(message, category, filename, lineno, line=None):
        saved = _saved.get(filename)
        if saved is not None:
            # The line as it was compiled: the file may have been edited since.
            line = linecache.getline(filename, lineno) if line is None else line
            filename = saved
        return format_warning(message, category, filename, lineno, line)

    def record_of(name, level, pathname, *arguments, **options):
        return make_record(name, level, _saved.get(pathname, pathname), *arguments, **options)

    warnings.formatwarning = formatwarning
    logging.setLogRecordFactory(record_of)
    _name_in_tracebacks()


def _name_in_tracebacks() -> None:
    """Those that code prints or logs itself; what ends a cell is shown by IPython, which has its own way."""
    format_stack, hook = traceback.StackSummary.format, threading.excepthook

    def format_with_saved(stack, *arguments, **options):
        return [
            _FRAME.sub(_saved_name, entry, count=1) for entry in format_stack(stack, *arguments, **options)
        ]

    def excepthook(told):
        # The stock one is written in C, and does not ask the module for its words.
        if told.exc_type is SystemExit or sys.stderr is None:
            hook(told)
            return
        name = told.thread.name if told.thread is not None else threading.get_ident()
        shown = traceback.format_exception(told.exc_type, told.exc_value, told.exc_traceback)
        print("Exception in thread %s:\n%s" % (name, "".join(shown)), end="", file=sys.stderr, flush=True)

    traceback.StackSummary.format = format_with_saved
    threading.excepthook = excepthook


def _saved_name(name: re.Match[str]) -> str:
    return '"%s"' % _saved.get(name[1], name[1])
