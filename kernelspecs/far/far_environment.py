"""The far environment: activated as its shell would, with an ipykernel lent to it where it has none of its own.

For Python 3.8 and newer.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

REQUIREMENTS = ("ipykernel>=6.29,<8", "nbformat>=5.1,<6")
OLDEST = (6, 29)
INSTALL_SECONDS = 600.0  # a slow line: it is some 20 MB
MARK = "whole"
UNSET = "***unset***"  # conda's own word for it
ACTIVATE = 'for script in "$CONDA_PREFIX"/etc/conda/activate.d/*.sh; do [ -r "$script" ] && . "$script"; done >&2; exec "$@"'


def activated(command: list, environ: dict) -> list:
    """The command that runs this one in the environment of this interpreter; `environ` is changed."""
    prefix = sys.prefix
    if os.path.isdir(os.path.join(prefix, "conda-meta")):
        environ["CONDA_PREFIX"] = prefix
        environ["CONDA_DEFAULT_ENV"] = os.path.basename(prefix)
        environ["CONDA_SHLVL"] = "1"
        set_variables_of_conda(prefix, environ)
    elif prefix != sys.base_prefix:
        environ["VIRTUAL_ENV"] = prefix
    else:
        return command
    environ["PATH"] = os.pathsep.join([os.path.join(prefix, "bin"), environ.get("PATH") or os.defpath])
    if "CONDA_PREFIX" in environ and os.path.isdir(os.path.join(prefix, "etc", "conda", "activate.d")):
        # Packages write their scripts for bash, some of which end another shell. The command is words, which
        # no shell reads.
        return [shutil.which("bash") or "/bin/sh", "-c", ACTIVATE, "sh", *command]
    return command


def set_variables_of_conda(prefix: str, environ: dict) -> None:
    """Those of `conda env config vars` and of packages, as `conda activate` does."""
    packages = sorted(glob.glob(os.path.join(glob.escape(prefix), "etc", "conda", "env_vars.d", "*.json")))
    for path in (*packages, os.path.join(prefix, "conda-meta", "state")):
        try:
            with open(path, encoding="utf-8") as file:
                said = json.load(file)
            said = said.get("env_vars", {}) if os.path.basename(path) == "state" else said
            for name, value in said.items():
                if value == UNSET:
                    environ.pop(name, None)
                elif re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                    environ[name] = str(value)
        except (OSError, ValueError, AttributeError):
            continue


def lent_ipykernel(talk, programs: str):
    """The folder that is lent; None where the environment has an ipykernel that serves."""
    version = own_version()
    if version is not None and tuple(map(int, re.findall(r"\d+", version)[:2])) >= OLDEST:
        return None
    tag = "far-cp%d%d-%s" % (
        *sys.version_info[:2],
        hashlib.sha256(repr((REQUIREMENTS, sys.platform, os.uname().machine)).encode()).hexdigest()[:12],
    )
    folder = os.path.join(os.path.dirname(os.path.dirname(programs)), "ipykernel", tag)
    if os.path.exists(os.path.join(folder, MARK)):
        return folder
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    talk.say(progress="Fetching ipykernel there, which this environment does not have (once).")
    unfinished = tempfile.mkdtemp(prefix=tag + ".", dir=os.path.dirname(folder))
    try:
        fetch(unfinished, version)
        with open(os.path.join(unfinished, MARK), "w"):
            pass
        if os.path.isdir(folder):
            shutil.rmtree(folder, ignore_errors=True)
        os.rename(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def own_version():
    from importlib import metadata

    try:
        return metadata.version("ipykernel")
    except metadata.PackageNotFoundError:
        return None


def pip() -> list:
    """The environment's own; else the one that its Python brings to install that."""
    from importlib.util import find_spec

    if find_spec("pip") is None and find_spec("ensurepip") is not None:
        import ensurepip

        bundled = sorted(glob.glob(os.path.join(ensurepip.__path__[0], "_bundled", "pip-*.whl")))
        if bundled:
            return [sys.executable, bundled[-1] + "/pip"]
    return [sys.executable, "-m", "pip"]


def fetch(folder: str, version) -> None:
    from far_kernel import Refused

    uv = shutil.which("uv") or shutil.which("uv", path=os.path.expanduser("~/.local/bin"))
    if uv is not None:
        command = [uv, "pip", "install", "--python", sys.executable, "--target", folder, *REQUIREMENTS]
    else:
        command = [*pip(), "--retries", "1", "--timeout", "15", "install", "--target", folder, *REQUIREMENTS]
    try:
        done = subprocess.run(
            command,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=INSTALL_SECONDS,
        )
        said = done.stdout.decode("utf-8", "replace").strip()[-1500:] if done.returncode else ""
    except (OSError, subprocess.SubprocessError) as error:
        said = str(error)
    if said:
        has = "ipykernel %s, which is too old" % version if version else "no ipykernel"
        raise Refused(
            "%s there has %s, and none could be lent to it: %s" % (sys.executable, has, said),
            "Install it there: %s -m pip install 'ipykernel>=6.29' (or: conda install, uv pip install)."
            % sys.executable,
        )
    # Without compiled files a kernel starts three times slower.
    subprocess.run(
        [sys.executable, "-m", "compileall", "-q", folder],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
