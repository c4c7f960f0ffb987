"""Which session a caller means."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernelexec.errors import BadRequest, ConfigError
from kernelexec.hub.caller import Caller, SessionChoice


def caller(cwd: str = "/home/ann/sales", **environ: str) -> Caller:
    return Caller(pid=1, cwd=cwd, environ={"HOME": "/home/ann", **environ})


@pytest.mark.parametrize(
    ("cwd", "choice"),
    [
        ("/home/ann/sales", SessionChoice("sales", None, "/home/ann/sales")),
        ("/home/ann/my sales", SessionChoice("my_sales", None, "/home/ann/my sales")),
        ("/home/ann", SessionChoice("main", None, "")),
        ("/", SessionChoice("main", None, "")),
        ("/srv/📈", SessionChoice("main", None, "/srv/📈")),
    ],
)
def test_the_default_session_is_that_of_the_clients_directory(cwd: str, choice: SessionChoice) -> None:
    assert caller(cwd).choose(None) == choice


def test_a_project_reached_through_a_link_is_the_same_project(tmp_path: Path) -> None:
    (tmp_path / "sales").mkdir()
    (tmp_path / "link").symlink_to("sales")
    assert caller(str(tmp_path / "link")).choose(None) == caller(str(tmp_path / "sales")).choose(None)


def test_a_home_directory_that_is_a_link_is_still_the_home_directory(tmp_path: Path) -> None:
    (tmp_path / "ann").mkdir()
    (tmp_path / "home").symlink_to("ann")
    assert caller(str(tmp_path / "ann"), HOME=str(tmp_path / "home")).choose(None).name == "main"


@pytest.mark.parametrize(
    ("session", "choice"),
    [
        ("other", SessionChoice("other", None, None)),
        ("other@analysis", SessionChoice("other", "analysis", None)),
        ("other@", SessionChoice("other", None, None)),
        ("a@b@c", SessionChoice("a", "b@c", None)),
    ],
)
def test_a_session_can_be_named_with_and_without_its_environment(session: str, choice: SessionChoice) -> None:
    assert caller().choose(session) == choice


@pytest.mark.parametrize(
    "session",
    ["", "@analysis", "a b", "../x", "/etc/passwd", "a\0b", "$(id)", "-rf", ".x", "x" * 61, "\ud800"],
)
def test_a_name_that_is_no_session_is_refused_with_one_that_would_do(session: str) -> None:
    with pytest.raises(BadRequest, match="cannot be the name of a session") as refused:
        caller().choose(session)
    assert "for example" in refused.value.next_step


def test_a_configured_session_is_the_default(tmp_path: Path) -> None:
    assert caller(KERNELEXEC_SESSION="mine").choose(None) == SessionChoice("mine", None, None)
    assert caller(KERNELEXEC_SESSION="mine").choose("other").name == "other"


def test_a_configured_session_that_is_none_is_an_error_of_the_configuration() -> None:
    with pytest.raises(ConfigError, match="'a b'"):
        caller(KERNELEXEC_SESSION="a b").choose(None)


def test_a_wrong_configuration_is_told_at_each_call() -> None:
    wrong = caller(ENV_TYPE="docker")
    for _ in range(2):
        with pytest.raises(ConfigError, match="docker"):
            wrong.config()


def test_a_configuration_is_read_once() -> None:
    someone = caller(CODE_STORAGE_DIR="/data")
    assert someone.config() is someone.config()
