"""The command line itself: its table of commands, its completion, its pictures."""

from __future__ import annotations

import io
import re

import pytest
from PIL import Image

from kernelexec.commands import cli, completion, pictures, tool_client
from kernelexec.commands.tool_client import Picture, Reply, ToolClient
from kernelexec.commands.verdict import verdict_of


def commands_of(command: str | None) -> list[str]:
    return list(completion._commands(cli.parser(command)))


def test_each_command_is_found_in_the_module_that_has_it() -> None:
    assert sorted(commands_of(None)) == sorted(cli._MODULES)
    for command in cli._MODULES:
        assert command in commands_of(command)


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        (["his"], ["history"]),
        (["setup", "c"], ["claude-code", "claude-desktop", "codex", "cursor"]),
        (["setup", "--scope", ""], ["project", "user"]),
        (["export", "--fo"], ["--force"]),
        (["kernelspecs", "in"], ["install"]),
        (["kernelspecs", "install", "--con"], ["--conda"]),
        (["completion", "f"], ["fish"]),
        (["nosuch", "x"], []),
        (["exec", "x", "y", "z"], []),
    ],
)
def test_what_can_come_next_is_completed(typed: list[str], found: list[str]) -> None:
    assert completion.words(cli.parser(), typed) == found


def test_a_call_that_began_nothing_because_an_environment_is_prepared_is_made_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = "execute_code was not run. The environment is still being prepared, which goes on."
    replies = [Reply(said, (), True), Reply(said, (), True), Reply("OK: a@b/1 ran", (), False)]
    monkeypatch.setattr(tool_client, "_AGAIN_SECONDS", 0)
    client = ToolClient.__new__(ToolClient)
    monkeypatch.setattr(client, "_call_once", lambda *_: replies.pop(0))
    assert client.call("execute_code", {}).text == "OK: a@b/1 ran"


def picture(colour: str, size: tuple[int, int] = (7, 13)) -> Picture:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "PNG")
    return Picture("image/png", out.getvalue())


def test_a_terminal_gets_a_picture_in_its_own_way() -> None:
    red = picture("red")
    assert pictures._drawn(red, {"TERM": "xterm-kitty"}).startswith("\x1b_Ga=T,f=100,m=0;")
    assert "inline=1" in pictures._drawn(red, {"TERM_PROGRAM": "iTerm.app"})
    assert pictures._drawn(red, {"TERM": "xterm-256color"}) == ""


def test_a_large_picture_goes_to_kitty_in_parts() -> None:
    noise = Picture("image/png", bytes(range(256)) * 100)
    parts = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", pictures._drawn(noise, {"TERM": "xterm-kitty"}))
    assert all(len(data) <= 4096 for _, data in parts)
    assert [keys[-1] for keys, _ in parts] == ["1"] * (len(parts) - 1) + ["0"]


def test_a_sixel_picture_has_each_pixel_once() -> None:
    sixel = pictures._drawn(picture("red"), {"TERM": "foot"})
    assert sixel.startswith('\x1bPq"1;1;7;13#')
    assert "100;0;0" in sixel
    *bands, end = sixel.split("-")
    assert end == "\x1b\\"
    drawn = [re.findall(r"#\d+([?-~]{7})\$", band)[-1] for band in bands]
    assert drawn == ["~" * 7, "~" * 7, "@" * 7]  # six rows, six rows, one row


def test_a_verdict_is_read_from_the_first_line() -> None:
    said = verdict_of("OK: sales@a/7 ran in 0.1 s; saved as /s/sales@a-1/0007-x.py\nKernel: new")
    assert said is not None
    assert (said.state, said.execution, str(said.notebook)) == ("OK", "sales@a/7", "/s/sales@a-1.ipynb")
    assert verdict_of("execute_code was not run, its arguments are wrong.") is None
