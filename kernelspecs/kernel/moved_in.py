"""A live ipykernel of somebody else's (a Jupyter server's) becomes one of ours, by one silent request of the hub's.

`attempt(kernel, sources)` is called with the text of the other modules of this folder: the kernel changes its class, so that
interrupts reach the run that they name, what it publishes is remembered, and variables are told beside a run. It was not
started by us, so its iopub may still drop what nobody fetches, which the hub asks for again, and nothing is written to disk.
For ipykernel 6.29 to 7.x, Python 3.8 on.
"""

from __future__ import annotations

import importlib
import os
import socket
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec

KEPT_BYTES = 64_000_000  # of what it publishes: a server may pass on none of it for a while
OLDEST = (6, 29)


class Sources(MetaPathFinder, Loader):
    """Imports modules from their text, as long as it is on sys.meta_path."""

    def __init__(self, sources) -> None:
        self.sources = sources

    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, self) if name in self.sources else None

    def exec_module(self, module) -> None:
        name = module.__name__
        exec(compile(self.sources[name], "<kernelexec %s>" % name, "exec"), module.__dict__)


def move_in(kernel, sources) -> str:
    """What came of it: "moved in", "was there", or why not."""
    import ipykernel
    from ipykernel import ipkernel

    if getattr(kernel, "recollection", None) is not None:
        return "was there"
    if not isinstance(kernel, ipkernel.IPythonKernel):
        return "its kernel is %s" % type(kernel).__name__
    if ipykernel.version_info[:2] < OLDEST:
        return "ipykernel %s is older than 6.29" % ipykernel.__version__
    modules = import_from(sources)
    become(kernel, modules["replying_kernel"].IPythonKernel, ipkernel.IPythonKernel)
    application, stream = modules["kernel_app"], modules["sliced_streams"]
    application.equip(kernel, None)
    kernel.recollection.keep_more(KEPT_BYTES)
    kernel.is_of_a_server = True
    application.pack_every_character(kernel.session)
    application.skip_empty_flushes(application.iostream.OutStream)
    stream.slice_streams(application.iostream)
    puller = getattr(kernel.iopub_thread, "_event_puller", None)
    if puller is not None:  # it would call the method that was there before
        puller.on_recv(kernel.iopub_thread._handle_event)
    for name, value in application.ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if hasattr(type(kernel), "_execute_sleep"):
        kernel._execute_sleep = 0.0
    return "moved in"


def attempt(kernel, sources) -> str:
    """The same; what went wrong is told, and the kernel stays what it was."""
    before = type(kernel)
    try:
        return move_in(kernel, sources)
    except Exception as error:  # noqa: BLE001 - an ipykernel that is made otherwise than those that we know
        kernel.__class__ = before
        return "%s: %s" % (type(error).__name__, error)


def import_from(sources):
    """These modules, of which no name stays behind: the user's own may be called so."""
    before = {name: sys.modules.pop(name, None) for name in sources}
    finder = Sources(sources)
    sys.meta_path.insert(0, finder)
    try:
        return {name: importlib.import_module(name) for name in sources}
    finally:
        sys.meta_path.remove(finder)
        for name, module in before.items():
            sys.modules.pop(name, None)
            if module is not None:
                sys.modules[name] = module


def become(kernel, ours, stock) -> None:
    theirs = type(kernel)
    kernel.__class__ = ours if theirs is stock else type(ours.__name__, (ours, theirs), {})
    kernel.begin()
    kernel.take_over()


def where():
    """Where this kernel's code reads and writes."""
    try:
        directory = os.getcwd()
    except OSError:
        directory = ""
    return {
        "host": socket.gethostname(),
        "directory": directory,
        "pid": os.getpid(),
        "python": list(sys.version_info[:3]),
        "executable": sys.executable,
    }
