"""Where a person's commands find the records."""

from __future__ import annotations

import os
from pathlib import Path

from kernelexec.config import read_config


def storage_dir() -> tuple[Path, str]:
    """The storage directory that the environment names, and in words what it comes from."""
    chosen = read_config(os.environ, os.getcwd()).storage_dir
    origin = "CODE_STORAGE_DIR" if os.environ.get("CODE_STORAGE_DIR", "").strip() else "the default"
    return chosen, origin


def absolute(path: Path) -> Path:
    """The path from the working directory, in the person's own spelling."""
    return Path(os.path.abspath(path))
