"""What is installed, from metadata of every kind, in a real interpreter that imports none of it."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from venv import EnvBuilder

import pytest

from kernelexec.environments.packages import Package, Packages
from kernelexec.errors import BadRequest, EnvironmentUnusable
from kernelexec.model.environment import Environment, Interpreter
from tests.fakes import environment, run

EXPLODES = "raise SystemExit('imported')"


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with distributions made by every tool there ever was."""
    prefix = tmp_path_factory.mktemp("venv")
    EnvBuilder(symlinks=True).create(prefix)
    site = site_of(prefix)
    wheel(site, "Scikit_Learn", "1.7", {"sklearn/__init__.py": EXPLODES, "sklearn/svm/__init__.py": EXPLODES})
    wheel(site, "google-auth", "2.0", {"google/auth/__init__.py": EXPLODES})
    wheel(site, "google-cloud-storage", "3.1", {"google/cloud/storage/__init__.py": EXPLODES})
    wheel(site, "single", "0.1", {"single_module.py": EXPLODES})
    wheel(site, "windows", "1.5", {"windows.py": EXPLODES})
    for path in (site / "windows-1.5.dist-info").iterdir():
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    wheel(site, "half", "9.0", {"half.py": EXPLODES})
    (site / "half-9.0.dist-info" / "METADATA").unlink()
    (site / "~umpy-1.0.dist-info").mkdir()
    old = site / "oldstyle-0.5-py3.9.egg-info"  # distutils: one file
    old.write_text("Metadata-Version: 1.1\nName: oldstyle\nVersion: 0.5\n")
    egg = site / "setup_tools-0.6-py3.9.egg-info"
    egg.mkdir()
    (egg / "PKG-INFO").write_text("Metadata-Version: 1.1\nName: setup-tools\nVersion: 0.6\n")
    (egg / "top_level.txt").write_text("st_module\n")
    (site / "st_module.py").write_text(EXPLODES)
    (site / "stray.py").write_text(EXPLODES)
    project = prefix / "my project"
    (project / "src" / "mine").mkdir(parents=True)
    (project / "src" / "mine" / "__init__.py").write_text(EXPLODES)
    wheel(site, "my-proj", "0.0.1", {})
    said = {"url": (project).as_uri().replace("%20", " "), "dir_info": {"editable": True}}
    (site / "my_proj-0.0.1.dist-info" / "direct_url.json").write_text(json.dumps(said))
    (site / "my_proj.pth").write_text(str(project / "src"))
    (prefix / "conda-meta").mkdir()
    (prefix / "conda-meta" / "openssl-3.3.1-h4bc722e_2.json").write_text("{}")
    return prefix


def site_of(prefix: Path) -> Path:
    return prefix / "lib" / f"python3.{sys.version_info[1]}" / "site-packages"


def wheel(site: Path, name: str, version: str, files: dict[str, str]) -> None:
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nVersion: 99\n"
    )
    for path, text in files.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text)
    (info / "RECORD").write_text(
        "".join(f"{path},sha256=x,1\n" for path in [*files, f"{info.name}/METADATA"])
    )


def environment_at(prefix: Path) -> Environment:
    version = sys.version_info[:3]
    interpreter = Interpreter(prefix / "bin" / "python", prefix, version, "", None)
    return environment(prefix=prefix, interpreter=interpreter)


def look_up(prefix: Path, *names: str, **environ: str) -> dict[str, list[Package]]:
    return run(Packages(environment_at(prefix), environ).look_up(names))


@pytest.mark.parametrize("name", ["scikit-learn", "Scikit.Learn", "scikit_learn"])
def test_a_distribution_is_found_by_every_spelling_of_its_name(prefix: Path, name: str) -> None:
    [found] = look_up(prefix, name)[name]
    assert (found.name, found.version, found.location) == ("Scikit_Learn", "1.7", str(site_of(prefix)))
    assert found.module is None
    assert found.whole


@pytest.mark.parametrize(
    ("module", "distribution"),
    [
        ("sklearn", "Scikit_Learn"),
        ("sklearn.svm", "Scikit_Learn"),
        ("single_module", "single"),
        ("google.cloud", "google-cloud-storage"),
        ("st_module", "setup-tools"),
        ("mine", "my-proj"),
    ],
)
def test_a_module_is_traced_to_its_distribution_without_being_imported(
    prefix: Path, module: str, distribution: str
) -> None:
    [found] = look_up(prefix, module)[module]
    assert (found.name, found.module) == (distribution, module)


def test_a_namespace_package_belongs_to_all_that_have_a_part_in_it(prefix: Path) -> None:
    found = look_up(prefix, "google")["google"]
    assert {package.name for package in found} == {"google-auth", "google-cloud-storage"}


@pytest.mark.parametrize(
    ("name", "version"), [("oldstyle", "0.5"), ("setup-tools", "0.6"), ("windows", "1.5")]
)
def test_metadata_of_old_tools_and_with_windows_line_ends_is_read(
    prefix: Path, name: str, version: str
) -> None:
    [found] = look_up(prefix, name)[name]
    assert (found.name, found.version, found.whole) == (name, version, True)


def test_an_editable_installation_is_told_with_its_project(prefix: Path) -> None:
    [found] = look_up(prefix, "my-proj")["my-proj"]
    assert found.editable
    assert found.location == str(prefix / "my project")


def test_half_an_installation_is_told_as_that(prefix: Path) -> None:
    [found] = look_up(prefix, "half")["half"]
    assert (found.version, found.whole) == ("9.0", False)


def test_what_belongs_to_no_distribution_is_told_apart(prefix: Path) -> None:
    found = look_up(
        prefix, "json", "sys", "os.path", "python", "stray", "openssl", "numpy", "umpy", "sklearn.nothing"
    )
    assert [found[name][0].kind for name in ("json", "sys", "os.path", "python")] == ["python"] * 4
    assert (found["stray"][0].kind, found["stray"][0].version) == ("module", None)
    assert (found["openssl"][0].kind, found["openssl"][0].version) == ("conda", "3.3.1")
    assert [found[name] for name in ("numpy", "umpy", "sklearn.nothing")] == [[], [], []]


def test_what_a_kernel_would_find_through_pythonpath_counts(prefix: Path, tmp_path: Path) -> None:
    wheel(tmp_path, "elsewhere", "4.2", {"elsewhere.py": EXPLODES})
    wheel(tmp_path, "single", "0.2", {"single_module.py": EXPLODES})
    found = look_up(prefix, "elsewhere", "single", PYTHONPATH=str(tmp_path))
    assert found["elsewhere"][0].location == str(tmp_path)
    assert found["single"][0].version == "0.2"  # what comes first is what is imported


def test_versions_and_modules_are_told_for_all(prefix: Path) -> None:
    packages = Packages(environment_at(prefix), {})
    versions = run(packages.versions())
    assert versions["scikit-learn"] == "1.7"
    assert versions["openssl"] == "3.3.1"
    assert run(packages.modules_of(["scikit-learn", "nothing"])) == {"scikit-learn": ["sklearn"]}
    assert run(packages.modules_of([])) == {}


def test_fifty_names_take_less_than_half_a_second_in_a_large_environment(tmp_path: Path) -> None:
    EnvBuilder(symlinks=True).create(tmp_path)
    for n in range(200):
        files = {f"mod_{n}/__init__.py": "", **{f"mod_{n}/sub/{i}.txt": "" for i in range(3)}}
        wheel(site_of(tmp_path), f"pkg{n}", "1.0", files)
    names = [f"pkg{n}" for n in range(25)] + [f"mod_{n}" for n in range(100, 125)]
    began = time.monotonic()
    found = look_up(tmp_path, *names)
    assert all(found.values())
    assert time.monotonic() - began < 2  # on a busy machine; alone it takes 0.1 s


def test_a_kernel_of_another_language_has_no_packages_here() -> None:
    bash = environment(interpreter=None, language="bash", interrupts="signal")
    with pytest.raises(BadRequest, match="bash"):
        Packages(bash, {})


def test_an_interpreter_that_is_gone_is_told(prefix: Path) -> None:
    good = environment_at(prefix)
    assert good.interpreter is not None
    gone = replace(good, interpreter=replace(good.interpreter, executable=Path("/nowhere/python")))
    with pytest.raises(EnvironmentUnusable, match="/nowhere/python does not run"):
        run(Packages(gone, {}).versions())
