"""SystemExit in a cell, as from sys.exit(1) or argparse: shown like any error, with the user's line.

IPython shows no traceback of it, and warns that to exit one should use quit(), which would end the kernel with all its
variables. Each change looks for what it changes, and without it leaves IPython as it is.
"""

from __future__ import annotations

import sys

ADVICE = "To exit: use"
WELL = (None, 0)  # the exit codes of a program that ended well: no error to look into


def show_exits(shell) -> None:
    """Have this shell show where a SystemExit came from, and give no advice to quit."""
    show = getattr(shell, "showtraceback", None)
    if show is None:
        return

    def showtraceback(exc_tuple=None, filename=None, tb_offset=None, exception_only=False, **options):
        raised = (exc_tuple or sys.exc_info())[1]
        if isinstance(raised, SystemExit) and raised.code not in WELL:
            exception_only = False
        return show(exc_tuple, filename, tb_offset, exception_only, **options)

    shell.showtraceback = showtraceback
    give_no_advice(sys.modules.get("IPython.core.interactiveshell"))


def give_no_advice(module) -> None:
    warn = getattr(module, "warn", None)
    if warn is None or getattr(warn, "gives_no_advice", False):
        return

    def warn_of_all_else(message, category=None, stacklevel=1, **options):
        if not str(message).startswith(ADVICE):
            warn(message, category, stacklevel + 1, **options)

    warn_of_all_else.gives_no_advice = True
    module.warn = warn_of_all_else
