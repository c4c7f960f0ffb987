"""Virtual environments that uv made and installs into: `ENV_TYPE=venv-uv`."""

from __future__ import annotations

from kernelexec.environments.venv import Venv


class UvVenv(Venv):
    """As another virtual environment, but for the commands that make and mend it."""

    kind = "venv-uv"
    setting = "UV_VENV_PATH"
    make = "uv venv"
    make_anew = "uv venv --allow-existing"
