"""`kernelexec` and `python -m kernelexec`: the MCP server without arguments, else the command line."""

from __future__ import annotations

import sys


def main() -> int:
    if len(sys.argv) == 1:
        from kernelexec.bridge import stdio  # here, because the other branch's imports would slow it down

        return stdio.main()
    from kernelexec.commands import cli

    return cli.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
