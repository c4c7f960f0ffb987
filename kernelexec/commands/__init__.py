"""What a person types: `kernelexec COMMAND`, one module a command; each adds its own to the parser.

- `cli` reads the command line, `completion` completes it; `hub_client` asks the hub, `tool_client` calls
  an assistant's tools, of whose replies `typed_calls` makes a person's, `session_choice` says which
  session is meant, `places` where records are; `output` has tables, `--json` and sentences, `screen` what
  a terminal shows besides, `pictures` its pictures.
- `execute` (exec, wait, show), `kernel` (vars, interrupt, restart, install, open), `history` (and watch),
  `console`.
- `setup`, on `clients/`: the clients' own configuration.
- `sessions` (ps, stop), `logs`, `input`, `doctor`, `kernelspecs`, `gc` with `leftovers`, `export`
  with `export_check`, `rebuild`.
- `run` with `parameters` and `script_runner`, `attempt` (try) with `tour` and `tour_steps`, on `mcp_client`:
  an MCP client of our own server; `verdict` reads what it is told.
- `lab` with `lab_sessions` and `jupyterlab`: JupyterLab on a live kernel; `live_extension`: what shows the
  assistant at work there; `viewers`: what draws its charts.
- `far` and `far_lab`: any of them on another host; `host` with `own_wheel`: kernelexec put there.

In come arguments, out go words and an exit status: 0, 1 for a failure, 2 for wrong usage. It never touches
a kernel or a journal that a hub owns: it asks that hub.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # argparse names the type only in its stubs
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

USAGE = 2  # exit status of a command that was called wrongly
