"""What a person types: `kernelexec COMMAND`, one module a command; each adds its own to the parser.

- `cli` reads the command line; `hub_client` asks the hub, `places` says where records are, `output` shows
  tables, `--json` and sentences.
- `setup`, on `clients/`: the clients' own configuration.
- `sessions` (ps, stop), `input`, `doctor`, `kernelspecs`, `gc` with `leftovers`, `export`, `rebuild`.
- `run` with `script_runner`, `tour` (try), on `mcp_client`: an MCP client of our own server; `verdict` reads
  what it is told.
- `lab` with `jupyterlab`: JupyterLab on a live kernel.

In come arguments, out go words and an exit status: 0, 1 for a failure, 2 for wrong usage. It never touches
a kernel or a journal that a hub owns: it asks that hub.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # argparse names the type only in its stubs
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

USAGE = 2  # exit status of a command that was called wrongly
