"""Warnings and log records call a cell by the file that its code is saved in.

A cell is compiled under a name in a temporary folder (/tmp/ipykernel_123/456.py), which nobody finds. The name itself stays
as it is: by it debuggers find a cell, and IPython its count.
"""

from __future__ import annotations

import contextlib
import linecache
import logging
import warnings

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
    """From here on. Whoever replaces formatwarning or the record factory later has his own way."""
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
