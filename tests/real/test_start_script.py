"""`scripts/kernelexec`, as installers put it beside a Python, in the hands of clients with any variables."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.real.clients import RawClient
from tests.real.home import Home

ROOT = Path(__file__).parents[2]
# As a client has them that is an AppImage with a Python in it.
HOSTILE = {"PYTHONHOME": "/nonexistent", "PYTHONPATH": "/nonexistent", "PYTHONSAFEPATH": "1"}


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The script in an environment that has kernelexec."""
    folder = tmp_path / "an environment's"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = next((folder / "lib").glob("python3*")) / "site-packages"
    (site / "those.pth").write_text(f"{ROOT}\n{sysconfig.get_path('purelib')}\n")
    return Path(shutil.copy(ROOT / "scripts" / "kernelexec", folder / "bin"))


def version(command: Path | str, environ: dict[str, str], cwd: Path | None = None) -> str:
    done = subprocess.run(
        [command, "--version"], env=environ, cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("how", ["by its path", "on PATH", "a link", "a relative link", "a link to a link"])
def test_variables_of_another_python_do_not_keep_it_from_starting(
    installed: Path, tmp_path: Path, how: str
) -> None:
    links = tmp_path / "links"
    links.mkdir()
    (links / "one").symlink_to(installed)
    (links / "relative").symlink_to(os.path.relpath(installed, links))
    (links / "two").symlink_to("one")
    environ = {**HOSTILE, "PATH": f"{installed.parent}:/usr/bin:/bin"}
    command = {
        "by its path": installed,
        "on PATH": "kernelexec",
        "a link": links / "one",
        "a relative link": links / "relative",
        "a link to a link": links / "two",
    }[how]
    (links / "json.py").write_text("1/0")  # the working directory shadows nothing
    assert version(command, environ, links).startswith("kernelexec ")


def test_where_no_python_stands_beside_it_the_one_on_path_is_used(installed: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "scripts"
    elsewhere.mkdir()
    script = shutil.copy(installed, elsewhere)
    environ = {**HOSTILE, "PATH": f"{installed.parent}:/usr/bin:/bin"}
    assert version(script, environ).startswith("kernelexec ")


def test_a_client_with_variables_of_another_python_is_served_and_its_code_has_them(
    installed: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.real.clients.COMMAND", str(installed))
    with RawClient(home, home.project("hostile"), **HOSTILE) as client:
        client.initialize()
        reply = client.execute("import os; os.environ['PYTHONPATH'], 'PYTHONHOME' in os.environ")
        assert reply.block("result") == "('/nonexistent', False)"


def test_the_package_has_it_and_no_entry_point_in_its_place() -> None:
    declared = (ROOT / "pyproject.toml").read_text()
    assert '"scripts/kernelexec" = "kernelexec"' in declared
    assert "[project.scripts]" not in declared
    assert os.access(ROOT / "scripts" / "kernelexec", os.X_OK)
