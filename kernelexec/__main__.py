"""`kernelexec` and `python -m kernelexec`: the MCP server without arguments, else the command line."""

from __future__ import annotations

import os
import sys

_WHAT_IT_IS = """kernelexec gives AI assistants persistent Jupyter kernels in your own Python environments.
Without arguments it is an MCP server, which assistants start themselves. What you can type:

    kernelexec setup          put it into your assistants' configuration, and try it
    kernelexec exec '1 + 1'   run code in this directory's session, as an assistant does
    kernelexec watch          see what the assistant does, live
    kernelexec lab            its notebook in JupyterLab, on its live kernel
    kernelexec --help         all commands"""


def main() -> int:
    if len(sys.argv) == 1:
        if os.isatty(0) and os.isatty(1):  # no client gives it a terminal: a person looks what this is
            print(_WHAT_IT_IS)
            return 0
        from kernelexec.bridge import stdio  # here, because the other branch's imports would slow it down

        return stdio.main()
    if sys.argv[1:] == ["--in-process"]:
        from kernelexec.daemon import in_process

        return in_process.main()
    if sys.argv[1:] == ["__far"]:  # what a client of another host starts here
        from kernelexec.bridge import far_end

        return far_end.main()
    from kernelexec.commands import cli

    return cli.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
