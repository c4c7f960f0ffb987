"""What configure_environment chose, on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kernelexec.config import Config, EnvironmentChoice, read_config
from kernelexec.environments.choices import Choice, Choices, ChoiceUnreadable


def config(directory: str = "/home/ann/sales", **environ: str) -> Config:
    return read_config({"HOME": "/home/ann", **environ}, directory)


def chosen(**settings: str) -> Choice:
    environment = EnvironmentChoice("venv", "/v/don\udce9es", "configure_environment")
    return Choice(environment, "2026-11-25T03:00:00+00:00", settings)


def test_a_choice_is_the_clients_in_its_directory_and_storage_alone(tmp_path: Path) -> None:
    Choices(tmp_path).put("editor", config(), chosen())
    choices = Choices(tmp_path)  # the next hub's
    assert choices.get("editor", config()) == chosen()
    assert choices.get("other", config()) is None
    assert choices.get("editor", config("/home/ann/costs")) is None
    assert choices.get("editor", config(CODE_STORAGE_DIR="/data")) is None
    choices.forget("editor", config())
    assert choices.get("editor", config()) is None
    assert list(tmp_path.iterdir()) == []


def test_a_choice_holds_as_long_as_the_configuration_that_it_was_made_against() -> None:
    made = chosen(VENV_PATH="/v")
    assert made.holds_against(config(VENV_PATH="/v", KERNELEXEC_SESSION="x"))
    assert not made.holds_against(config(VENV_PATH="/w"))
    assert not made.holds_against(config(VENV_PATH="/v", ENV_TYPE="default"))
    assert not made.holds_against(config())


@pytest.mark.parametrize(
    "content", ["", "[]", '{"format": 2}', '{"format": 1, "environment": 3}', "another kind"]
)
def test_a_choice_that_cannot_be_read_is_told_as_that(tmp_path: Path, content: str) -> None:
    choices = Choices(tmp_path)
    choices.put("editor", config(), chosen())
    (file,) = tmp_path.iterdir()
    file.write_text(file.read_text().replace('"venv"', '"docker"') if content == "another kind" else content)
    with pytest.raises(ChoiceUnreadable, match=file.name):
        choices.get("editor", config())


def test_what_a_later_version_has_added_to_a_choice_is_passed_over(tmp_path: Path) -> None:
    choices = Choices(tmp_path)
    choices.put("editor", config(), chosen())
    (file,) = tmp_path.iterdir()
    said = json.loads(file.read_text())
    said["environment"]["later"] = said["later"] = "what a later version has added"
    file.write_text(json.dumps(said))
    assert choices.get("editor", config()) == chosen()
