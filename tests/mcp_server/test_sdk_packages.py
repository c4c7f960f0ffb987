"""What a hub imports of the SDK, each in an interpreter of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_hub_imports_no_client_of_the_sdk() -> None:
    imported = run("import sys, kernelexec.daemon.process; print(*sys.modules)").split()
    assert "mcp.server.lowlevel.server" in imported
    assert {"mcp.client", "mcp.server.mcpserver"} & set(imported) == set()


@pytest.mark.parametrize(
    "code",
    [
        "from mcp import ClientSession as found",
        "import mcp; found = mcp.ClientSession",
        "import mcp.client.session as module; found = module.ClientSession",
        "from mcp.client import ClientSession as found",
        "import mcp.server, mcp; found = mcp.ClientSession; mcp.server.MCPServer; mcp.server.lowlevel.Server",
        "from mcp import *; found = ClientSession",
    ],
)
@pytest.mark.parametrize("first", ["kernelexec.daemon.process", "mcp", "json"])
def test_whoever_asks_for_the_rest_has_it(code: str, first: str) -> None:
    assert (
        run(f"import {first}, kernelexec.mcp_server.server\n{code}\nprint(found.__name__)") == "ClientSession"
    )


def test_what_is_not_there_is_told_as_ever() -> None:
    code = "try:\n    from {} import nothing_of_the_kind\nexcept ImportError as error:\n    print(error)"
    for package in ("mcp", "mcp.server"):
        asked = f"import kernelexec.mcp_server\n{code.format(package)}"
        assert run(asked).startswith(f"cannot import name 'nothing_of_the_kind' from '{package}'")
