"""ipykernel as kernelexec runs it; started by launcher.py, in the user's environment.

What the application does that ipykernel's alone does not (what its kernel does: replying_kernel.py):
- iopub has no high-water mark: a slow reader costs memory instead of losing output
- what is printed leaves in messages of a bounded size, before the end of its run (sliced_streams.py)
- what is displayed goes to a file where it is too large for a message (spooled_values.py), where the hub has started the kernel
- what it does around each run costs less (light_messages.py), and its start imports less (fewer_imports.py)
- no garbage is looked for until the user's first line: imports leave none (a tenth of a start)
- no file in the working directory, which joins sys.path afterwards, can shadow a module needed at the start
- DIR comes first on sys.path while ipykernel is imported, and last from then on
- a crash in native code tells the user's line on the kernel's own stderr
- what was printed just before the kernel died can be read (last_prints.py), where the hub has started the kernel
- the next hub is told what the one before did not see (recollection.py)
- a character that UTF-8 does not have (a lone surrogate) is sent as its escape: a message cannot have it
- warnings, log records and printed tracebacks name the file that a cell is saved in (saved_names.py), where the hub has started the kernel
- a chart of Altair or Plotly has a picture, too (still_images.py), and so has a figure of Matplotlib that is displayed where
  its backend draws into files only (headless_figures.py), where the hub has started the kernel
- all that a run gives to the pager is in its reply (pages.py), where the hub has started the kernel
- what a program asks that `!command` has started is asked like input() (terminal_programs.py), where the hub has started the
  kernel
- what a cell imports and only the lent ipykernel has brought is told (lent_modules.py), where the hub has started the kernel
- who looked for a module in vain is known after an installation (missed_imports.py), where the hub has started the kernel
Each change looks for what it changes, and without it leaves ipykernel as it is (made for 6.29 to 7.x, Python 3.8 on).
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import sys
from importlib.machinery import PathFinder

import zmq
from code_files import unsafe_path_forbidden
from headless_figures import HeadlessFigures
from ipykernel import iostream, ipkernel, kernelapp, zmqshell
from last_prints import LastPrints
from lent_modules import LentModules
from light_messages import (
    ask_once,
    keep_no_unwritten_lines,
    make_no_unread_records,
    pack_once,
    wake_directly,
)
from missed_imports import MissedImports
from pages import keep_all_pages
from recollection import Recollection
from replying_kernel import IPythonKernel
from saved_names import name_saved_files
from sliced_streams import slice_streams
from spooled_values import SpooledValues
from still_images import StillImages, is_wanted
from terminal_programs import ask_for_programs
from traitlets import Type, default
from traitlets.config import Config

# Programs which would wait for ever for a person: git's editor and its password prompt, and pagers.
# And the advice of debugpy, which is imported late, would land in a cell's output.
# And Python programs that would keep what they print until they end, or until 8 kB are full: a worker's progress would be
# seen when it is over. It costs them 1 to 5 us a print.
ENVIRONMENT = {
    "GIT_EDITOR": "true",
    "GIT_TERMINAL_PROMPT": "0",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    "PYTHONUNBUFFERED": "1",
}

# What IPython imports only when it needs it: to show an error, to complete, to run `!command`, to plot, to debug.
LATE_IMPORTS = frozenset(
    [
        "asttokens",
        "executing",
        "pure_eval",
        "stack_data",
        "pygments",
        "jedi",
        "parso",
        "pexpect",
        "ptyprocess",
        "matplotlib_inline",
        "debugpy",
    ]
)


def launch(
    side_directory: str | None, *, started_by_hub: bool, kept_bytes: int = 0, collects_garbage: bool = False
) -> None:
    """Run the kernel until it is shut down. ipykernel came from `side_directory`, where that is given.

    `kept_bytes`: of what it publishes, for a hub on another machine, whose link may be down for a while; 0: as usual.
    `collects_garbage`: whether the user's code is to find garbage collected, which it is not until then."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    IPKernelApp.side_directory = side_directory
    IPKernelApp.started_by_hub = started_by_hub
    IPKernelApp.kept_bytes = kept_bytes
    IPKernelApp.collects_garbage = collects_garbage
    tell_crashes(2)
    skip_empty_flushes(iostream.OutStream)
    wake_directly(iostream.IOPubThread)
    slice_streams(iostream)
    ask_once(ipkernel)
    # Below the user's configuration files and command line. ipykernel's own comment on the sleep calls it a mitigation.
    defaults = Config({"IPythonKernel": {"_execute_sleep": 0.0}})
    if started_by_hub:
        # The hub's journal is the record. In, Out and %history work as ever, but the assistant's code stays out of the
        # person's history database, and a run saves 0.5 ms. A person who starts this kernel from Jupyter has the
        # history they are used to.
        defaults.HistoryManager.enabled = False
    IPKernelApp.launch_instance(kernel_class=IPythonKernel, config=defaults)


def tell_crashes(stderr: int) -> None:
    """Have a crash in native code write where Python was to what is stderr now: ipykernel puts a pipe in its place, which
    nobody reads once the kernel is dead."""
    options = {"c_stack": False} if sys.version_info >= (3, 14) else {}
    with contextlib.suppress(OSError, ValueError):
        faulthandler.enable(os.dup(stderr), all_threads=False, **options)


# The stock names: traitlets files the command line under the class's name, and to find `IPKernelApp` in
# get_ipython().config is how half the world tells that it runs in a kernel.
class IPKernelApp(kernelapp.IPKernelApp):
    """Loses no output, and lets nothing in the working directory break its start."""

    side_directory: str | None = None
    started_by_hub = False
    remember_header = None
    kept_bytes = 0
    collects_garbage = False
    blocking_class = Type(klass=object)  # what each application would import as it begins (fewer_imports.py)

    @default("blocking_class")
    def _import_blocking_class(self):
        from jupyter_client import BlockingKernelClient

        return BlockingKernelClient

    def init_kernel(self):
        super().init_kernel()
        make_no_unread_records(self.log)
        self.kernel.remember_header = self.remember_header
        if self.started_by_hub:
            equip(self.kernel, self.abs_connection_file)
            if self.kept_bytes:
                self.kernel.recollection.keep_more(self.kept_bytes)
            if self.side_directory is not None:
                self.kernel.lent_modules = LentModules(self.side_directory)

    def init_iopub(self, context):
        self.remember_header = pack_once(self.session)
        pack_every_character(self.session)
        options = getattr(context, "sockopts", {})  # what pyzmq sets on each new socket
        options[zmq.SNDHWM] = 0  # the default of 1000 drops the rest without a word
        try:
            super().init_iopub(context)
        finally:
            options.pop(zmq.SNDHWM, None)

    def init_path(self):
        """ipykernel has been imported, no code of the user's has run: time for the rest of sys.path, and for garbage."""
        if self.collects_garbage:
            # What there is is old, as if collections had passed it over.
            gc.freeze()
            gc.unfreeze()
            gc.enable()
        sys.meta_path.insert(0, LateImports(list(sys.path)))
        if self.side_directory is not None:
            sys.path.remove(self.side_directory)
            sys.path.append(self.side_directory)
        if not unsafe_path_forbidden():
            super().init_path()


def equip(kernel, connection_file: str | None) -> None:
    """What a kernel has whose runs a hub records. `connection_file`: beside which it leaves word of its end, if there."""
    kernel.recollection = Recollection(connection_file)
    kernel.recollection.watch(iostream.IOPubThread)
    if connection_file is not None:
        kernel.last_prints = LastPrints(connection_file)
        kernel.last_prints.watch(iostream.OutStream)
    kernel.typed_passwords.watch(kernel.session)
    if connection_file is not None:
        kernel.spooled = SpooledValues(connection_file, kernel.typed_passwords.hidden)
        kernel.spooled.watch(kernel.session)
    if is_wanted():
        StillImages(kernel.shell)
    name_saved_files()
    keep_all_pages(kernel.shell)
    keep_no_unwritten_lines(getattr(kernel.shell, "history_manager", None))
    kernel.programs = ask_for_programs(kernel, zmqshell)
    kernel.figures = HeadlessFigures(kernel.shell)
    kernel.missed_imports = MissedImports()
    sys.meta_path.append(kernel.missed_imports)


class LateImports:
    """A finder which imports what IPython uses from where IPython came from, whatever the working directory holds."""

    def __init__(self, path: list[str]) -> None:
        self.path = path

    def find_spec(self, name, path=None, target=None):
        return PathFinder.find_spec(name, self.path) if name in LATE_IMPORTS else None


def skip_empty_flushes(stream_class) -> None:
    """Return at once from a flush of nothing: each run flushes both streams twice, at 0.1 ms in another thread."""
    flush = getattr(stream_class, "flush", None)
    if flush is None:
        return

    def flush_if_needed(self):
        if getattr(self, "_buffers", True) or getattr(self, "_flush_pending", True):
            flush(self)

    stream_class.flush = flush_if_needed


def pack_every_character(session) -> None:
    """Send lone surrogates as their escapes. A message cannot have them: what was printed beside them would be lost, or
    the reply, so that the run would never end."""
    pack = getattr(session, "pack", None)
    if pack is None:
        return

    def pack_encodable(message):
        try:
            packed = pack(message)
            if not packed.isascii():
                packed.decode()  # jupyter_client lets half of them through, as bytes that are no UTF-8
        except UnicodeError:
            packed = pack(encodable(message))
        return packed

    session.pack = pack_encodable


def encodable(value):
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {encodable(key): encodable(inner) for key, inner in value.items()}
    return [encodable(inner) for inner in value] if isinstance(value, (list, tuple)) else value
