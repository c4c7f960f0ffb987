"""What adds one of kernelexec's extras to this installation, however that was made."""

from __future__ import annotations

import importlib.util
import json
import shlex
import sys
from pathlib import Path

_EXTRAS = {
    "console": "jupyter_console",
    "lab": "jupyterlab",
    "pdf": "pypdfium2",
    "remote": "websockets",
}  # a module of each
_OF_UV = ("archive-v0", "builds-v0", "environments-v2")  # folders of uv's cache, where uvx keeps programs


def install_command(extra: str) -> str:
    """The command that brings what `extra` needs, and comes from where kernelexec itself did.

    The command that needs an extra has its name; what clients start has none.
    """
    prefix, python = Path(sys.prefix), shlex.quote(sys.executable)
    if (prefix / "uv-receipt.toml").exists():  # it is made anew, with the extras that are named and no others
        present = [each for each, module in _EXTRAS.items() if importlib.util.find_spec(module)]
        return f"uv tool install {shlex.quote(itself(','.join(sorted({*present, extra}))))}"
    if is_of_uvx():
        command = "" if extra == "remote" else f" {extra}"
        return f"uvx --from {shlex.quote(itself(extra))} kernelexec{command}"
    if (prefix / "pipx_metadata.json").exists():
        return f"pipx inject kernelexec {_packages(extra)}"
    if importlib.util.find_spec("pip") is None:
        return f"uv pip install --python {python} {_packages(extra)}"
    return f"{python} -m pip install {_packages(extra)}"


def is_of_uvx() -> bool:
    """Whether this installation is in uv's cache, which may be cleaned at any time."""
    return any(part in _OF_UV for part in Path(sys.prefix).parts)


def itself(extra: str = "") -> str:
    """kernelexec as a requirement; with the clone or the wheel that it came from, if it did (PEP 610)."""
    from importlib.metadata import PackageNotFoundError, distribution  # here: a hub seldom says this

    name = f"kernelexec[{extra}]" if extra else "kernelexec"
    try:
        origin = distribution("kernelexec").read_text("direct_url.json")
    except PackageNotFoundError:
        return name
    return f"{name} @ {json.loads(origin)['url']}" if origin else name


def _packages(extra: str) -> str:
    from importlib.metadata import distribution

    from packaging.requirements import Requirement  # here: nothing else of the command line needs it

    asked = [Requirement(each) for each in distribution("kernelexec").requires or ()]
    needed = [each for each in asked if each.marker and each.marker.evaluate({"extra": extra})]
    always = [each for each in asked if each.marker and each.marker.evaluate({"extra": ""})]
    return shlex.join(f"{each.name}{each.specifier}" for each in needed if each not in always)
