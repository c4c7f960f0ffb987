"""Where a person's commands find the records."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kernelexec.config import ENVIRONMENT_VARIABLES, read_config


def storage_dir() -> tuple[Path, str]:
    """The storage directory that the environment names, and in words what it comes from."""
    chosen = read_config(os.environ, os.getcwd()).storage_dir
    origin = "CODE_STORAGE_DIR" if os.environ.get("CODE_STORAGE_DIR", "").strip() else "the default"
    return chosen, origin


def absolute(path: Path) -> Path:
    """The path from the working directory, in the person's own spelling."""
    return Path(os.path.abspath(path))


def settings_of(environment: Mapping[str, Any]) -> dict[str, str]:
    """The variables that choose an environment, as the journal describes it."""
    kind = environment.get("kind")
    if not kind:
        return {}
    settings = dict.fromkeys(ENVIRONMENT_VARIABLES.values(), "")
    if kind == "existing":  # what ran in it is run again in a kernel of its own, in the same environment
        kind = "venv" if Path(environment["prefix"], "pyvenv.cfg").is_file() else "kernelspec"
    settings["ENV_TYPE"] = kind
    if kind in ENVIRONMENT_VARIABLES:
        value = environment["kernelspec"] if kind == "kernelspec" else environment["prefix"]
        settings[ENVIRONMENT_VARIABLES[kind]] = value
    return settings
