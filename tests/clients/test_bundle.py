"""The bundle for Claude Desktop, with its own maker's program: valid, packed, and started as the app does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.libraries import INSTALLED
from tests.real.clients import RawClient
from tests.real.home import Home

ROOT = Path(__file__).parents[2]
NODE_MODULES = INSTALLED / "node_modules"
NODE = NODE_MODULES / ".bin" / "node"
UV = Path(sys.executable).parent / "uv"
# What the app asks of the library that the program is made with.
_AS_THE_APP = """
import { getMcpConfigForManifest } from "%s/@anthropic-ai/mcpb/dist/node.js";
import { readFileSync } from "fs";
const [extensionPath, userConfig] = process.argv.slice(1);
const manifest = JSON.parse(readFileSync(extensionPath + "/manifest.json", "utf-8"));
const systemDirs = { HOME: "/home/me" };
const asked = { manifest, extensionPath, systemDirs, userConfig: JSON.parse(userConfig), pathSeparator: "/" };
console.log(JSON.stringify(await getMcpConfigForManifest(asked)));
"""


def mcpb(*arguments: object) -> str:
    program = NODE_MODULES / "@anthropic-ai" / "mcpb" / "dist" / "cli" / "cli.js"
    done = subprocess.run(
        [NODE, program, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def extension(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that was staged, packed and unpacked."""
    folder = tmp_path_factory.mktemp("bundle")
    environ = {**os.environ, "PATH": f"{UV.parent}:{os.environ['PATH']}"}
    command = [sys.executable, ROOT / "packaging" / "mcpb" / "stage.py", folder / "staged"]
    subprocess.run(command, env=environ, check=True, timeout=100)
    mcpb("validate", folder / "staged" / "manifest.json")
    mcpb("pack", folder / "staged", folder / "kernelexec.mcpb")
    mcpb("unpack", folder / "kernelexec.mcpb", folder / "unpacked")
    return folder / "unpacked"


def started(extension: Path, **user_config: str) -> dict[str, object]:
    """The command and the environment variables that the app would start it with."""
    program = _AS_THE_APP % NODE_MODULES.as_posix()
    said = subprocess.run(
        [NODE, "--input-type=module", "-e", program, extension, json.dumps(user_config)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found: dict[str, object] = json.loads(said.stdout)
    return found


def test_the_app_hands_on_what_its_user_has_chosen(extension: Path) -> None:
    assert started(extension)["env"] == {"CODE_STORAGE_DIR": "", "VENV_PATH": "", "CONDA_ENV_NAME": ""}
    chosen = started(extension, storage="/home/me/analyses", venv="/home/me/envs/a")
    assert chosen["env"] == {
        "CODE_STORAGE_DIR": "/home/me/analyses",
        "VENV_PATH": "/home/me/envs/a",
        "CONDA_ENV_NAME": "",
    }


@pytest.mark.timeout(300)  # uv fetches what the wheel needs
def test_it_runs_code_where_uv_is_all_that_there_is(extension: Path, home: Home) -> None:
    entry = started(extension, storage=str(home.storage), venv=home.environ["VENV_PATH"])
    assert isinstance(entry["args"], list)
    assert isinstance(entry["env"], dict)
    assert entry["command"] == "uv"
    certificates = {name: value for name, value in os.environ.items() if name.endswith("_CERT_FILE")}
    environ = {**certificates, **entry["env"], "ENV_TYPE": ""}
    subprocess.run(
        [UV, "sync", "--quiet", "--project", extension], env={**home.environ, **environ}, check=True
    )  # as the app's first start does, which takes longer than a client waits for an answer
    with RawClient(home, Path("/"), [str(UV), *entry["args"]], **environ) as client:
        client.initialize()
        reply = client.execute("import os, sys\nos.getcwd(), sys.prefix")
        assert reply.session.startswith("main@")
        assert reply.block("result") == repr((str(home.storage), home.environ["VENV_PATH"]))
        client.close()
