"""What a hub imports of the SDK, each in an interpreter of its own."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


_OF_A_HUB = "import sys, kernelexec.daemon.process, kernelexec.mcp_server.server; print(*sys.modules)"


def test_a_hub_imports_no_client_of_the_sdk() -> None:
    imported = run(
        "import sys, kernelexec.daemon.process, kernelexec.mcp_server.server; print(*sys.modules)"
    ).split()
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


_MODELS = """
import inspect, sys
def models():
    import mcp_types, mcp_types.methods, mcp.shared.message
    found = {}
    for name, module in sorted(sys.modules.items()):
        if name.partition(".")[0] in ("mcp", "mcp_types"):
            for each in vars(module).values():
                if inspect.isclass(each) and issubclass(each, pydantic.BaseModel) and each.__module__ == name:
                    found[name, each.__qualname__] = each
    return found
import pydantic
"""
_WHAT_THEY_ARE = """
import hashlib, json
def outcome(made):
    try:
        return json.dumps(made(), sort_keys=True, default=str)
    except (pydantic.ValidationError, pydantic.errors.PydanticUserError, TypeError) as error:
        return str(error)
for (module, name), model in models().items():
    said = outcome(lambda: model.model_validate({}).model_dump()), outcome(model.model_json_schema)
    print(module, name, hashlib.sha256(str(said).encode()).hexdigest()[:12])
"""


def test_models_that_are_built_when_used_are_what_they_are_otherwise() -> None:
    ours = run(f"import kernelexec.mcp_server.server\n{_MODELS}{_WHAT_THEY_ARE}").splitlines()
    stock = run(f"import mcp\n{_MODELS}{_WHAT_THEY_ARE}").splitlines()  # which brings the clients', too
    assert len(ours) > 300
    assert set(ours) - set(stock) == set()


def test_models_of_the_sdk_are_not_built_before_they_are_used_and_others_at_once() -> None:
    built = f"""
import kernelexec.mcp_server.server
{_MODELS}
class Own(pydantic.BaseModel):
    n: int
all = models().values()
print(sum(model.__pydantic_complete__ for model in all) < len(all) / 2, Own.__pydantic_complete__)
"""
    assert run(built) == "True True"


_ADAPTERS = """
import hashlib, json, mcp_types, mcp_types.jsonrpc, pydantic
for module in (mcp_types._types, mcp_types.jsonrpc):
    for name, adapter in sorted(vars(module).items()):
        if isinstance(adapter, pydantic.TypeAdapter):
            said = json.dumps(adapter.json_schema(), sort_keys=True)
            print(name, hashlib.sha256(said.encode()).hexdigest()[:12])
"""


def test_adapters_that_are_built_when_used_are_what_they_are_otherwise() -> None:
    ours = run(f"import kernelexec.mcp_server.server\n{_ADAPTERS}").splitlines()
    assert len(ours) > 5
    assert ours == run(f"import mcp\n{_ADAPTERS}").splitlines()


_TABLES = """
import mcp_types.methods as methods
from collections.abc import Mapping
for name, table in sorted(vars(methods).items()):
    if isinstance(table, Mapping) and name.isupper():
        print(name, len(table), sorted(map(str, table)), [str(table[key]) for key in table], table.get("no"))
params = {"name": "x", "arguments": {}, "_meta": {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "a", "version": "1"}}}
for version in ("2025-11-25", "2026-07-28"):
    print(repr(methods.parse_client_request("tools/call", version, params)))
    print(methods.serialize_server_result("tools/call", version, {"content": [], "resultType": "complete"}))
try:
    methods.validate_client_request("initialize", "2026-07-28", {})
except KeyError as error:
    print(error)
"""


def test_models_of_the_newer_era_are_imported_when_they_are_looked_up_and_are_what_they_always_are() -> None:
    ours = run(f"import kernelexec.mcp_server.server\n{_TABLES}")
    assert ours == run(_TABLES)
    assert "mcp_types._v2026_07_28" in ours
    assert "mcp_types._v2026_07_28" not in run(_OF_A_HUB).split()


def test_a_hub_imports_no_web_server() -> None:
    imported = run(
        "import sys, kernelexec.daemon.process, kernelexec.mcp_server.server; print(*sys.modules)"
    ).split()
    assert {"starlette", "uvicorn", "click", "mcp.server.auth"} & set(imported) == set()


_ROUTES = """
from mcp.server.lowlevel.server import Server
from mcp.server.transport_security import TransportSecuritySettings
import inspect
server = Server("x")
app = server.streamable_http_app(transport_security=TransportSecuritySettings())
print([(type(route).__module__, route.path) for route in app.routes])
print(inspect.signature(Server.streamable_http_app))
print(server.session_manager.max_sessions, Server("y").streamable_http_app())
"""


def test_who_wants_the_http_application_of_the_sdk_has_it() -> None:
    ours, stock = (run(f"{first}{_ROUTES}") for first in ("import kernelexec.mcp_server.server\n", ""))
    assert "starlette.routing" in ours
    assert ours.partition(" object at")[0] == stock.partition(" object at")[0]


def test_an_sdk_that_needs_the_web_server_at_once_has_it(tmp_path: Path) -> None:
    installed = importlib.util.find_spec("mcp")
    assert installed is not None
    assert installed.origin is not None
    shutil.copytree(Path(installed.origin).parent, tmp_path / "mcp")
    with (tmp_path / "mcp/server/lowlevel/server.py").open("a") as source:
        source.write("\nclass Own(Starlette): pass\n")
    code = f"""
import sys; sys.path.insert(0, {str(tmp_path)!r})
import kernelexec.mcp_server.server, mcp.server.lowlevel.server as server
print(server.__file__.startswith({str(tmp_path)!r}), server.Own.__mro__[1].__module__)
"""
    assert run(code) == "True starlette.applications"
