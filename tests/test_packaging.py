"""What registries and clients read of kernelexec, beside the wheel."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from kernelexec import __version__
from tests.docs.test_documents import all_variables_read

ROOT = Path(__file__).parent.parent
PACKAGING = ROOT / "packaging"


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((PACKAGING / name).read_text())
    return found


def test_all_of_them_have_the_same_version() -> None:
    server = read("server.json")
    assert {server["version"], *(package["version"] for package in server["packages"])} == {__version__}
    assert read("mcpb/manifest.json")["version"] == __version__
    assert f'version: "{__version__}"' in (PACKAGING / "conda" / "recipe.yaml").read_text()


def test_the_registrys_entry_is_one_that_it_takes() -> None:
    """What its schema of 2025-12-11 demands of an entry with a PyPI package."""
    server = read("server.json")
    assert re.fullmatch(r"[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+", server["name"])
    assert 1 <= len(server["description"]) <= 100
    for package in server["packages"]:
        assert package["transport"] == {"type": "stdio"}
        assert {variable["name"] for variable in package["environmentVariables"]} <= all_variables_read()
        assert {variable.get("format", "string") for variable in package["environmentVariables"]} <= {
            "string",
            "filepath",
        }


def test_the_readme_says_whose_entry_it_is() -> None:
    """By that the registry knows that entry and package have the same owner."""
    assert f"<!-- mcp-name: {read('server.json')['name']} -->" in (ROOT / "README.md").read_text()


def test_a_bundle_sets_settings_that_there_are_from_what_its_user_is_asked() -> None:
    manifest = read("mcpb/manifest.json")
    environ = manifest["server"]["mcp_config"]["env"]
    assert set(environ) <= all_variables_read()
    assert set(environ.values()) == {f"${{user_config.{name}}}" for name in manifest["user_config"]}
    assert all(asked["default"] == "" for asked in manifest["user_config"].values()), (
        "unset it stays as it is"
    )
