"""The person's commands, one module for each group; each adds its own to the parser."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # argparse names the type only in its stubs
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

USAGE = 2  # exit status of a command that was called wrongly
