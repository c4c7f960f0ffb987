"""What environments may take: how the file names them, and what the doctor says of it."""

from __future__ import annotations

import asyncio
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from kernelexec.errors import ConfigError
from kernelexec.hub.environment_limits import EnvironmentLimits, read
from kernelexec.hub.examination import examine_settings
from kernelexec.model.environment import RunningKernel
from tests.fakes import environment


def limits(folder: Path, **said: Any) -> EnvironmentLimits:
    (folder / "limits.json").write_text(json.dumps(said))
    return EnvironmentLimits(folder / "limits.json")


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("/envs/analysis", {"prefix": Path("/envs/analysis")}),
        ("~/envs/analysis", {"prefix": Path("~/envs/analysis").expanduser()}),
        ("ir", {"kind": "kernelspec", "kernelspec": "ir", "prefix": Path("/usr/share/kernels/ir")}),
        (
            "/usr/share/kernels/ir",
            {"kind": "kernelspec", "prefix": Path("/usr/share/kernels/ir")},
        ),
        ("default", {"kind": "default"}),
        ("https://hub.example", {"kind": "gateway", "host": "https://hub.example", "kernelspec": "gpu"}),
        ("https://hub.example#gpu", {"kind": "gateway", "host": "https://hub.example", "kernelspec": "gpu"}),
        (
            "/work/a.ipynb",
            {"kind": "existing", "running": RunningKernel("/work/a.ipynb", "/run/kernel-1.json", 7, "/work")},
        ),
    ],
)
def test_the_file_names_environments_as_people_do(tmp_path: Path, name: str, of: dict[str, Any]) -> None:
    here = limits(tmp_path, **{name: {"queued": 3}, "*": {"queued": 5, "kernels": 4}})
    asked, other = here.of(environment(**of)), here.of(environment(prefix=Path("/envs/other")))
    assert (asked.queued, asked.kernels) == (3, 4)
    assert (other.queued, other.kernels) == (5, 4)


def test_a_link_to_an_environment_is_that_environment(tmp_path: Path) -> None:
    (tmp_path / "env").mkdir()
    (tmp_path / "link").symlink_to("env")
    here = limits(tmp_path, **{str(tmp_path / "link"): {"queued": 3}})
    assert here.of(environment(prefix=tmp_path / "env")).queued == 3


def test_what_stands_in_the_files_place_is_told_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "limits.json")
    with pytest.raises(ConfigError, match="not a plain file"):
        read(tmp_path / "limits.json")


@pytest.mark.parametrize(
    ("said", "level", "told"),
    [
        ('{"/nowhere/env": {"kernels": 2}}', "note", "/nowhere/env, which .* names, is not there"),
        ('{"*": {"memory": 2}}', "note", "'memory' in .* memory_mb is one"),
        ('{"*": {"kernels": 2}}', "ok", r"limits.json has limits for \*"),
        ('{"*": {"kernels": "2"}}', "problem", "is not a whole number of kernels"),
    ],
)
def test_the_doctor_tells_what_the_file_says(tmp_path: Path, said: str, level: str, told: str) -> None:
    folder = tmp_path / "kernelexec"
    folder.mkdir()
    (folder / "limits.json").write_text(said)
    environ = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "ENV_TYPE": "default"}
    findings = asyncio.run(examine_settings(environ, "/"))
    about = [one for one in findings if one.subject == "limits" and one.level.value == level]
    assert len(about) == 1
    assert re.search(told, about[0].what)
