"""Where kernelexec keeps things outside CODE_STORAGE_DIR.

Every function takes the environment variables that decide, because the hub serves clients whose
environments differ from its own. Imported by the bridge: strings and os.path only. Not platformdirs,
which reads its own process's variables, and has Jupyter's and a socket's places otherwise.
"""

from __future__ import annotations

import os
import stat
import sys

from kernelexec.errors import HubUnavailable

TYPE_CHECKING = False  # see bridge/rendezvous
if TYPE_CHECKING:
    from collections.abc import Mapping

# <sys/syslimits.h>: os.confstr knows this one by number only on some builds of Python.
_CS_DARWIN_USER_TEMP_DIR = 65537


def home(environ: Mapping[str, str]) -> str:
    return environ.get("HOME") or os.path.expanduser("~")


def runtime_dir(environ: Mapping[str, str]) -> str:
    """The directory of the hub's socket and of the kernels' sockets.

    Fixed for a user but for KERNELEXEC_RUNTIME_DIR: a client started by a desktop and a person's
    shell have different XDG_RUNTIME_DIR and TMPDIR, and must meet at one place. Short, because a
    socket's path has at most 107 bytes on Linux and 103 on macOS.
    """
    chosen = environ.get("KERNELEXEC_RUNTIME_DIR")
    if chosen:
        return os.path.abspath(os.path.expanduser(chosen))
    if sys.platform == "darwin":
        temporary = os.confstr(_CS_DARWIN_USER_TEMP_DIR) or "/tmp"
        return os.path.join(temporary, "kernelexec")
    return f"/tmp/kernelexec-{os.getuid()}"


def state_dir(environ: Mapping[str, str]) -> str:
    """The directory of the log and of the registry of running kernels."""
    if sys.platform == "darwin":
        return os.path.join(home(environ), "Library", "Application Support", "kernelexec", "state")
    return os.path.join(_xdg(environ, "XDG_STATE_HOME", ".local/state"), "kernelexec")


def data_dir(environ: Mapping[str, str]) -> str:
    """The directory of what kernelexec makes for itself: launcher, default environment."""
    if sys.platform == "darwin":
        return os.path.join(home(environ), "Library", "Application Support", "kernelexec")
    return os.path.join(_xdg(environ, "XDG_DATA_HOME", ".local/share"), "kernelexec")


def config_dir(environ: Mapping[str, str]) -> str:
    """The directory of what the person has written for all clients."""
    if sys.platform == "darwin":
        return os.path.join(home(environ), "Library", "Application Support", "kernelexec")
    return os.path.join(_xdg(environ, "XDG_CONFIG_HOME", ".config"), "kernelexec")


def jupyter_data_dir(environ: Mapping[str, str]) -> str:
    """The user's Jupyter data directory, as jupyter_core finds it (without its Windows cases)."""
    chosen = environ.get("JUPYTER_DATA_DIR")
    if chosen:
        return os.path.expanduser(chosen)
    if sys.platform == "darwin":
        return os.path.join(home(environ), "Library", "Jupyter")
    return os.path.join(_xdg(environ, "XDG_DATA_HOME", ".local/share"), "jupyter")


def jupyter_runtime_dir(environ: Mapping[str, str]) -> str:
    """Where the user's Jupyter servers and kernels leave word of themselves, as jupyter_core finds it."""
    return environ.get("JUPYTER_RUNTIME_DIR") or os.path.join(jupyter_data_dir(environ), "runtime")


def kernelspec_templates() -> str:
    """The folder of the kernel.json templates, logos and the launcher: in a wheel inside the
    package, in a checkout beside it."""
    inside = os.path.join(import_root(), "kernelexec", "kernelspecs")
    return inside if os.path.isdir(inside) else os.path.join(import_root(), "kernelspecs")


def import_root() -> str:
    """The folder that a program of ours needs on sys.path to import kernelexec."""
    return os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def log_file(environ: Mapping[str, str]) -> str:
    return os.path.join(state_dir(environ), "hub.log")


def make_private_dir(path: str) -> None:
    """Make a directory that this user can enter and nobody else, or see to it that it is one.

    Raises:
        HubUnavailable: it belongs to somebody else, is a link, or cannot be made.
    """
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        if look_at_private_dir(path) != 0o700:
            os.chmod(path, 0o700)
    except OSError as error:
        raise HubUnavailable(
            f"The directory {path} cannot be used: {error.strerror}.",
            "Set KERNELEXEC_RUNTIME_DIR to a directory of your own.",
        ) from error


def look_at_private_dir(path: str) -> int:
    """The permissions of a directory of this user's. What it has is not somebody else's then.

    Raises:
        HubUnavailable: it belongs to somebody else, or is a link.
        OSError: it is not there.
    """
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode):
        import shlex  # here, because the bridge's start is a user's wait

        raise HubUnavailable(f"{path} is not a directory.", f"Remove it: rm {shlex.quote(path)}")
    if found.st_uid != os.getuid():
        raise HubUnavailable(
            f"{path} belongs to another user (uid {found.st_uid}).",
            "Set KERNELEXEC_RUNTIME_DIR to a directory of your own.",
        )
    return stat.S_IMODE(found.st_mode)


def _xdg(environ: Mapping[str, str], variable: str, below_home: str) -> str:
    value = environ.get(variable, "")
    # The XDG specification: a relative path is to be ignored.
    return value if os.path.isabs(value) else os.path.join(home(environ), below_home)
