"""Where conda environments are found, with nothing of conda on PATH."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernelexec.environments.conda_places import find_prefix, find_tool, name_of, prefixes, roots
from kernelexec.errors import EnvironmentUnusable


def make(prefix: Path) -> Path:
    """As much of an environment as conda itself looks at."""
    (prefix / "conda-meta").mkdir(parents=True)
    (prefix / "conda-meta" / "history").touch()
    return prefix


def make_root(root: Path, tool: str = "conda") -> Path:
    make(root)
    (root / "bin").mkdir()
    (root / "bin" / tool).write_text("#!/bin/sh\n")
    (root / "bin" / tool).chmod(0o755)
    return root


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "home").mkdir()
    return {"HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin"}


def at(environ: dict[str, str], path: str) -> Path:
    return Path(environ["HOME"], path)


def test_an_installation_in_a_usual_place_is_found_with_its_environments(home: dict[str, str]) -> None:
    root = make_root(at(home, "miniforge3"))
    data = make(root / "envs" / "data")
    assert roots(home) == [root]
    assert prefixes(home) == [root, data]
    assert find_prefix("data", home) == data
    assert find_prefix("base", home) == root
    assert (name_of(root, home), name_of(data, home)) == ("base", "data")
    assert find_tool(data, home) == root / "bin" / "conda"


@pytest.mark.parametrize(
    "written",
    [
        "envs_dirs:\n  - {folder}\n",
        "channels: [a, b]\nenvs_dirs: ['{folder}', /other]\nssl_verify: true\n",
        '# mine\nenvs_dirs:   # there\n- "{folder}" # yes\nother:\n- /not/this\n',
        "envs_path:\n    - ~/../elsewhere\n",
        "envs_dirs:\n  - $HOME/../elsewhere\n",
        "envs_dirs: [\n  /other,  # a list over lines\n  {folder}]\n",
        "'envs_dirs':\n- &mine '{folder}'\npkgs_dirs: [*mine, 'a # b']\n",
    ],
)
def test_condarc_says_where_environments_are(home: dict[str, str], tmp_path: Path, written: str) -> None:
    data = make(tmp_path / "elsewhere" / "data")
    at(home, ".condarc").write_text(written.format(folder=tmp_path / "elsewhere"))
    assert find_prefix("data", home).resolve() == data


@pytest.mark.parametrize(
    "content",
    ["envs_dirs: 5\n", "envs_dirs:\n", "\xff\x00", ": :\n- -\n", "envs_dirs: [\n", "x: 2026-99-99\n"],
)
def test_a_condarc_that_says_nothing_useful_is_passed_over(home: dict[str, str], content: str) -> None:
    at(home, ".condarc").write_bytes(content.encode("latin-1"))
    with pytest.raises(EnvironmentUnusable):
        find_prefix("data", home)


def test_what_conda_lists_itself_is_found(home: dict[str, str], tmp_path: Path) -> None:
    lone = make(tmp_path / "lone env")
    inside = make(make_root(tmp_path / "strange place") / "envs" / "inside")
    at(home, ".conda").mkdir()
    at(home, ".conda/environments.txt").write_text(f"{lone}\n/gone\nnot a path\n{inside}\n")
    assert find_prefix("lone env", home) == lone
    assert find_prefix("inside", home) == inside
    assert roots(home) == [tmp_path / "strange place"]


def test_variables_name_places(home: dict[str, str], tmp_path: Path) -> None:
    root = make_root(tmp_path / "odd")
    mamba = make(tmp_path / "mm" / "envs" / "data")
    assert roots({**home, "CONDA_EXE": str(root / "bin" / "conda")}) == [root]
    assert find_prefix("data", {**home, "MAMBA_ROOT_PREFIX": str(tmp_path / "mm")}) == mamba
    assert find_prefix("data", {**home, "CONDA_ENVS_DIRS": str(mamba.parent)}) == mamba


def test_conda_on_path_leads_to_its_root(home: dict[str, str], tmp_path: Path) -> None:
    root = make_root(tmp_path / "odd")
    assert roots({**home, "PATH": str(root / "bin")}) == [root]


@pytest.mark.parametrize("name", ["date", "data; id", "$(id)", "--help", "a/b"])
def test_an_unknown_name_is_refused_with_what_there_is(home: dict[str, str], name: str) -> None:
    make(make_root(at(home, "miniconda3")) / "envs" / "data")
    with pytest.raises(EnvironmentUnusable, match="There is no conda environment called") as refused:
        find_prefix(name, home)
    assert "There are: base, data" in refused.value.next_step


def test_micromamba_alone_is_a_tool(home: dict[str, str]) -> None:
    prefix = make(at(home, "micromamba/envs/data"))
    at(home, ".local/bin").mkdir(parents=True)
    tool = at(home, ".local/bin/micromamba")
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    assert find_prefix("data", home) == prefix
    assert find_tool(prefix, home) == tool
