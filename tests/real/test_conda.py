"""The conda that the tests use is a real one."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.real.conda.tool import Conda


def test_a_conda_environment_has_a_python_of_its_own_and_is_known_to_conda(
    conda: Conda, conda_prefix: Path
) -> None:
    program = "import sys, ssl, ctypes, sqlite3, pip; print(sys.prefix)"
    said = subprocess.run(
        [conda_prefix / "bin" / "python", "-c", program], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == str(conda_prefix)
    listed = json.loads(conda.run("list", "--json", "--prefix", str(conda_prefix)))
    assert {package["name"] for package in listed} == {"python", "pip"}
