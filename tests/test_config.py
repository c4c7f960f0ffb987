"""A client's environment variables and what they mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernelexec.config import (
    BESIDE_THE_CLIENT,
    OF_THE_UV_PROJECT,
    EnvironmentChoice,
    read_config,
    unknown_settings,
)
from kernelexec.errors import ConfigError

HOME = {"HOME": "/home/ann"}


def test_without_any_variable_everything_has_a_place() -> None:
    config = read_config(HOME, "/home/ann/sales")
    assert config.storage_dir == Path("/home/ann/kernelexec")
    assert config.kernel_dir() == Path("/home/ann/sales")
    assert config.client_dir == Path("/home/ann/sales")
    assert config.environment == EnvironmentChoice("default")
    assert config.session is None
    assert (config.wait_seconds, config.longest_wait_seconds) == (45, 50)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("/data/out", "/data/out"),
        ("out", "/home/ann/sales/out"),
        ("./a/../out/", "/home/ann/sales/out"),
        ("~", "/home/ann"),
        ("~/out", "/home/ann/out"),
        (" /data/my files ", "/data/my files"),
        ("/data/$(id); 'x'", "/data/$(id); 'x'"),
        ("/données", "/données"),
        ("", "/home/ann/kernelexec"),
        ("  ", "/home/ann/kernelexec"),
    ],
)
def test_the_storage_directory_is_a_path_and_never_a_shell_word(value: str, path: str) -> None:
    assert read_config({**HOME, "CODE_STORAGE_DIR": value}, "/home/ann/sales").storage_dir == Path(path)


def test_another_users_home_can_be_named(tmp_path: Path) -> None:
    assert read_config({**HOME, "CODE_STORAGE_DIR": "~root/x"}, "/").storage_dir == Path("/root/x")


# Settings, the client's directory, the session's project (None: of whoever uses it), where its kernel works.
WHERE = [
    ({}, "/home/ann/sales", "/home/ann/sales", "/home/ann/sales"),
    ({}, "/home/ann/sales", None, "/home/ann/sales"),
    ({}, "/home/ann/sales", "/home/ann/other", "/home/ann/other"),
    ({}, "/home/ann/sales", "", "/home/ann/kernelexec"),
    ({}, "/home/ann", "", "/home/ann/kernelexec"),
    ({}, "/home/ann/", None, "/home/ann/kernelexec"),
    ({}, "/", None, "/home/ann/kernelexec"),
    ({}, "/", "/home/ann/sales", "/home/ann/sales"),
    ({"CODE_STORAGE_DIR": " "}, "/home/ann/sales", None, "/home/ann/sales"),
    ({"CODE_STORAGE_DIR": "/data"}, "/home/ann/sales", "/home/ann/sales", "/data"),
    ({"CODE_STORAGE_DIR": "/data"}, "/home/ann/sales", "/home/ann/other", "/data"),
    ({"CODE_STORAGE_DIR": "/data"}, "/", None, "/data"),
    ({"CODE_STORAGE_DIR": "/data", "KERNELEXEC_CWD": "."}, "/home/ann/sales", None, "/home/ann/sales"),
    ({"KERNELEXEC_CWD": "src"}, "/home/ann/sales", "/home/ann/other", "/home/ann/sales/src"),
    ({"KERNELEXEC_CWD": "~"}, "/", None, "/home/ann"),
]


@pytest.mark.parametrize(("settings", "cwd", "project", "directory"), WHERE)
def test_kernels_work_where_the_settings_say_else_in_the_project(
    settings: dict[str, str], cwd: str, project: str | None, directory: str
) -> None:
    assert read_config({**HOME, **settings}, cwd).kernel_dir(project) == Path(directory)


def test_a_link_to_the_home_directory_is_no_project_either(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "link").symlink_to("home")
    config = read_config({"HOME": str(tmp_path / "link")}, str(tmp_path / "home"))
    assert (config.project, config.kernel_dir()) == ("", config.storage_dir)


def test_a_project_is_shown_as_its_client_spells_it_and_is_the_same_by_every_name(tmp_path: Path) -> None:
    (tmp_path / "sales").mkdir()
    (tmp_path / "link").symlink_to("sales")
    config = read_config(HOME, str(tmp_path / "link"))
    assert config.project == str((tmp_path / "sales").resolve())
    assert config.kernel_dir(config.project) == tmp_path / "link"


def test_a_setting_that_there_is_not_is_named_with_what_was_meant() -> None:
    settings = {"KERNELEXEC_CWD": ".", "KERNELEXEC_WAIT_SECOND": "5", "KERNELEXEC_COLOUR": "red", "CWD": "x"}
    assert unknown_settings({**HOME, **settings}) == [
        "KERNELEXEC_COLOUR is no setting of kernelexec's and has no effect.",
        "KERNELEXEC_WAIT_SECOND is no setting of kernelexec's and has no effect; "
        "KERNELEXEC_WAIT_SECONDS is one.",
    ]


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("KERNELEXEC_WAIT", "KERNELEXEC_WAIT_SECONDS"),
        ("KERNELEXEC_KERNEL_IDLE", "KERNELEXEC_KERNEL_IDLE_SECONDS"),
        ("KERNELEXEC_CDW", "KERNELEXEC_CWD"),
        ("KERNELEXEC_VENV_PATH", "VENV_PATH"),
        ("KERNELEXEC_CODE_STORAGE_DIR", "CODE_STORAGE_DIR"),
        ("KERNELEXEC_TIMEOUT", ""),
        ("KERNELEXEC_DIR", ""),
    ],
)
def test_for_a_misspelt_setting_the_one_that_is_meant_is_named_or_none(said: str, meant: str) -> None:
    (told,) = unknown_settings({said: "x"})
    assert told.removeprefix(f"{said} is no setting of kernelexec's and has no effect") == (
        f"; {meant} is one." if meant else "."
    )


@pytest.mark.parametrize(
    "variable", ["CODE_STORAGE_DIR", "VENV_PATH", "CONDA_ENV_NAME", "KERNEL_NAME", "KERNELEXEC_CWD"]
)
def test_a_path_with_a_nul_is_refused(variable: str) -> None:
    with pytest.raises(ConfigError, match=variable):
        read_config({**HOME, variable: "/a\0b"}, "/")


CONDA, VENV, UV, KERNEL = (
    {"CONDA_ENV_NAME": "data"},
    {"VENV_PATH": "/v"},
    {"UV_VENV_PATH": "/u"},
    {"KERNEL_NAME": "bash"},
)
DATA = EnvironmentChoice("conda", "data", "CONDA_ENV_NAME")


@pytest.mark.parametrize(
    ("variables", "choice"),
    [
        ({}, EnvironmentChoice("default")),
        ({"ENV_TYPE": "default"}, EnvironmentChoice("default", origin="ENV_TYPE")),
        ({"ENV_TYPE": "default", **VENV}, EnvironmentChoice("default", origin="ENV_TYPE")),
        ({"ENV_TYPE": "conda", **CONDA}, DATA),
        ({"ENV_TYPE": "venv", **CONDA, **VENV}, EnvironmentChoice("venv", "/v", "VENV_PATH")),
        ({"ENV_TYPE": "venv-uv", **UV}, EnvironmentChoice("venv-uv", "/u", "UV_VENV_PATH")),
        ({"ENV_TYPE": "kernelspec", **KERNEL}, EnvironmentChoice("kernelspec", "bash", "KERNEL_NAME")),
        ({**CONDA, **VENV, **UV, **KERNEL}, DATA),
        ({**VENV, **UV, **KERNEL}, EnvironmentChoice("venv", "/v", "VENV_PATH")),
        ({**UV, **KERNEL}, EnvironmentChoice("venv-uv", "/u", "UV_VENV_PATH")),
        (KERNEL, EnvironmentChoice("kernelspec", "bash", "KERNEL_NAME")),
        ({"CONDA_ENV_NAME": " ", **KERNEL}, EnvironmentChoice("kernelspec", "bash", "KERNEL_NAME")),
        (
            {"ENV_TYPE": " VENV ", "VENV_PATH": ".venv"},
            EnvironmentChoice("venv", "/home/ann/.venv", "VENV_PATH"),
        ),
        ({"UV_VENV_PATH": "~/u"}, EnvironmentChoice("venv-uv", "/home/ann/u", "UV_VENV_PATH")),
        ({"CONDA_ENV_NAME": "/c/data"}, EnvironmentChoice("conda", "/c/data", "CONDA_ENV_NAME")),
        ({"CONDA_ENV_NAME": "./c"}, EnvironmentChoice("conda", "/home/ann/c", "CONDA_ENV_NAME")),
        ({"CONDA_ENV_NAME": "a; id"}, EnvironmentChoice("conda", "a; id", "CONDA_ENV_NAME")),
    ],
)
def test_the_environment_that_is_asked_for(variables: dict[str, str], choice: EnvironmentChoice) -> None:
    assert read_config({**HOME, **variables}, "/home/ann").environment == choice


def make_venv(folder: Path) -> Path:
    folder.mkdir()
    (folder / "pyvenv.cfg").touch()
    return folder


def test_without_configuration_the_venv_beside_the_client_is_used(tmp_path: Path) -> None:
    venv = make_venv(tmp_path / ".venv")
    beside = read_config(HOME, str(tmp_path)).environment
    assert beside == EnvironmentChoice("venv", str(venv), BESIDE_THE_CLIENT)
    assert read_config({**HOME, **CONDA}, str(tmp_path)).environment == DATA
    explicit = read_config({**HOME, "ENV_TYPE": "default"}, str(tmp_path)).environment
    assert explicit.kind == "default"


def test_a_folder_that_is_only_called_so_is_no_venv(tmp_path: Path) -> None:
    (tmp_path / ".venv").mkdir()
    assert read_config(HOME, str(tmp_path)).environment.kind == "default"
    make_venv(tmp_path / ".venv" / "one of many")
    assert read_config(HOME, str(tmp_path)).environment.kind == "default"


def test_a_venv_beside_the_client_that_is_broken_is_meant_all_the_same(tmp_path: Path) -> None:
    beside = tmp_path / ".venv"
    meant = EnvironmentChoice("venv", str(beside), BESIDE_THE_CLIENT)
    for target in (tmp_path / "gone", tmp_path, beside):  # nothing, no environment, itself
        beside.symlink_to(target)
        assert read_config(HOME, str(tmp_path)).environment == meant
        beside.unlink()
    (beside / "lib").mkdir(parents=True)
    assert read_config(HOME, str(tmp_path)).environment == meant


def test_a_conda_environment_beside_the_client_is_one(tmp_path: Path) -> None:
    (tmp_path / ".venv" / "conda-meta").mkdir(parents=True)
    (tmp_path / ".venv" / "conda-meta" / "history").touch()
    assert read_config(HOME, str(tmp_path)).environment.kind == "conda"


def project(folder: Path, text: str = "[project]\nname = 'x'\n") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(text)
    return folder


WORKSPACE = "[tool.uv.workspace]\nmembers = ['packages/*', 'apps/**/web']\nexclude = ['packages/old']\n"


@pytest.mark.parametrize(
    ("folder", "is_member"),
    [
        (".", True),
        ("src", True),  # a folder of the root's own
        ("packages/a", True),
        ("packages/a/src/deep", True),
        ("apps/shop/web", True),
        ("packages/old", False),
        ("packages/a/nested", False),
        ("other/b", False),
    ],
)
def test_a_member_of_a_uv_workspace_has_the_workspaces_environment(
    tmp_path: Path, folder: str, is_member: bool
) -> None:
    root = project(tmp_path / "work", WORKSPACE)
    venv = make_venv(root / ".venv")
    for member in ("packages/a", "packages/old", "packages/a/nested", "apps/shop/web", "other/b"):
        project(root / member)
    (root / folder).mkdir(parents=True, exist_ok=True)
    found = read_config(HOME, str(root / folder)).environment
    if folder == ".":
        assert (found.kind, found.value, found.origin) == ("venv", str(venv), BESIDE_THE_CLIENT)
    elif is_member:
        assert found == EnvironmentChoice("venv", str(venv), OF_THE_UV_PROJECT)
    else:
        assert found.kind == "default"


def test_a_members_own_environment_is_nearer_than_the_workspaces(tmp_path: Path) -> None:
    root = project(tmp_path / "work", WORKSPACE)
    make_venv(root / ".venv")
    own = make_venv(project(root / "packages" / "a") / ".venv")
    assert read_config(HOME, str(own.parent)).environment.value == str(own)


def test_a_folder_in_a_uv_project_has_the_projects_environment_wherever_uv_keeps_it(tmp_path: Path) -> None:
    root = project(tmp_path / "work")
    make_venv(root / ".venv")
    (root / "notebooks").mkdir()
    assert read_config(HOME, str(root / "notebooks")).environment.kind == "default"  # not uv's
    (root / "uv.lock").touch()
    found = read_config(HOME, str(root / "notebooks")).environment
    assert found == EnvironmentChoice("venv", str(root / ".venv"), OF_THE_UV_PROJECT)
    elsewhere = make_venv(tmp_path / "elsewhere")
    variables = {**HOME, "UV_PROJECT_ENVIRONMENT": str(elsewhere)}
    assert read_config(variables, str(root / "notebooks")).environment.value == str(elsewhere)


def test_a_pyproject_that_cannot_be_read_is_no_project_of_uvs(tmp_path: Path) -> None:
    make_venv(project(tmp_path / "work", "[tool.uv.workspace") / ".venv")
    make_venv(project(tmp_path / "odd", "[tool]\nuv = 5\n") / ".venv")
    for name in ("work", "odd"):
        (tmp_path / name / "src").mkdir()
        assert read_config(HOME, str(tmp_path / name / "src")).environment.kind == "default"


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"ENV_TYPE": "venv"}, "VENV_PATH"),
        ({"ENV_TYPE": "venv", "VENV_PATH": " "}, "VENV_PATH"),
        ({"ENV_TYPE": "conda", **VENV}, "CONDA_ENV_NAME"),
        ({"ENV_TYPE": "venv-uv", **VENV}, "UV_VENV_PATH"),
        ({"ENV_TYPE": "kernelspec"}, "KERNEL_NAME"),
        ({"ENV_TYPE": "docker"}, "'docker' is not one of conda, venv, venv-uv, kernelspec, gateway, default"),
        ({"ENV_TYPE": "docker", "VENV_PATH": "/v"}, "'docker'"),
    ],
)
def test_an_environment_that_cannot_be_meant_is_refused_with_what_to_do(
    variables: dict[str, str], told: str
) -> None:
    with pytest.raises(ConfigError, match=told) as refused:
        read_config({**HOME, **variables}, "/home/ann")
    assert "ENV_TYPE=venv with VENV_PATH" in refused.value.next_step


@pytest.mark.parametrize("value", ["-1", "nan", "inf", "-inf", "1e18", "soon", "86401", "5 s", "0x10"])
@pytest.mark.parametrize("variable", ["KERNELEXEC_WAIT_SECONDS", "KERNELEXEC_MAX_WAIT_SECONDS"])
def test_a_time_that_is_none_is_refused_and_named(variable: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"{variable}='{value}'"):
        read_config({**HOME, variable: value}, "/")


@pytest.mark.parametrize(("value", "seconds"), [("0", 0), ("12.5", 12.5), ("86400", 86_400), ("", 45)])
def test_the_waiting_time_can_be_set(value: str, seconds: float) -> None:
    assert read_config({**HOME, "KERNELEXEC_WAIT_SECONDS": value}, "/").wait_seconds == seconds


def test_the_usual_wait_is_never_longer_than_the_longest() -> None:
    config = read_config({**HOME, "KERNELEXEC_MAX_WAIT_SECONDS": "10"}, "/")
    assert (config.wait_seconds, config.longest_wait_seconds) == (10, 10)


@pytest.mark.parametrize(("value", "session"), [("sales", "sales"), ("", None)])
def test_a_session_can_be_set(value: str, session: str | None) -> None:
    assert read_config({**HOME, "KERNELEXEC_SESSION": value}, "/").session == session
