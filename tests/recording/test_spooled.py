"""Values that a kernel puts into files: its module writes them, the recorder takes them."""

from __future__ import annotations

import base64
import errno
import json
import os
from pathlib import Path
from typing import Any
from unittest import mock

import nbformat
import pytest

from kernelexec.model.limits import Limits
from tests.fakes import FakeKernel, FakeStarter, cells, fine, journal_path, ran, run, saying, session_in
from tests.kernelspecs.test_live_kernel import load

spooled_values = load("kernel", "spooled_values")

LIMITS = Limits(cell=50_000, run=1_000_000)
ASKED = {"over": 50_000, "most": 1_000_000}
OUTPUTS = "sales@analysis-1/outputs"
PICTURE = os.urandom(60_000)


class Spool:
    """The kernel's half, and the directory that both halves know."""

    def __init__(self, root: Path, wish: object = ASKED) -> None:
        self.path = root / "k"
        self.path.mkdir(parents=True)
        self.values = spooled_values.SpooledValues(str(self.path / "connection.json"), lambda value: value)
        self.values.wish(wish)

    def sent(self, kind: str, content: dict[str, Any], username: str = "kernelexec") -> dict[str, Any]:
        """The content of a message as it leaves the kernel."""
        message = {"msg_type": kind, "parent_header": {"username": username}, "content": content}
        sent: dict[str, Any] = json.loads(json.dumps(self.values.without_large(message)["content"]))
        return sent

    @property
    def files(self) -> list[str]:
        return sorted(os.listdir(self.path))


def display(data: dict[str, Any]) -> dict[str, Any]:
    return {"data": data, "metadata": {"mine": 1}, "transient": {}}


def recorded(root: Path, spool: Spool, *messages: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The outputs of one run that says these; the same in memory, notebook and journal."""
    storage_dir = root / "storage"
    storage_dir.mkdir()

    async def test() -> Any:
        async with session_in(storage_dir, FakeStarter([saying(*messages), fine])) as session:
            session.recorder.limits = LIMITS
            await ran(session, "first")
            return session.executions.get(1).outputs.to_notebook()

    with mock.patch.object(FakeKernel, "spool", spool.path):
        outputs: list[dict[str, Any]] = run(test())
    [cell] = cells(storage_dir)
    nbformat.validate(nbformat.read(storage_dir / "sales@analysis-1.ipynb", nbformat.NO_CONVERT))
    for output, written in zip(outputs, cell["outputs"], strict=False):  # what is not kept comes last
        assert written.get("metadata") == output.get("metadata")
    assert "spooled" not in journal_path(storage_dir).read_text()
    assert journal_path(storage_dir).stat().st_size < 30_000
    return outputs


def test_a_large_text_is_one_of_the_outputs_and_its_ends_are_in_the_cell(tmp_path: Path) -> None:
    spool, text = Spool(tmp_path), "a" + "x" * 70_000 + "\N{BUG}\ud800z"
    content = spool.sent("execute_result", {**display({"text/plain": text}), "execution_count": 1})
    assert len(json.dumps(content)) < 8_000
    assert "70,004 characters, is too large for a message" in content["data"]["text/plain"]
    [output] = recorded(tmp_path, spool, ("execute_result", content))
    kept = tmp_path / "storage" / OUTPUTS / "0001-1.txt"
    assert kept.read_text() == text.encode("utf-8", "backslashreplace").decode()
    assert output["metadata"] == {
        "mine": 1,
        "kernelexec": {
            "file": f"{OUTPUTS}/0001-1.txt",
            "mime": "text/plain",
            "size": kept.stat().st_size,
        },
    }
    shown = output["data"]["text/plain"]
    assert shown.startswith("axxx")
    assert shown.endswith("z")
    assert f"[... all of it, text/plain, {kept.stat().st_size:,} bytes: {OUTPUTS}/0001-1.txt ...]" in shown
    assert spool.files == []


def test_a_picture_is_written_as_bytes_and_the_small_text_beside_it_stays(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    data = {"image/png": base64.encodebytes(PICTURE).decode(), "text/plain": "<Figure>"}
    content = spool.sent("display_data", display(data))
    [output] = recorded(tmp_path, spool, ("display_data", content))
    assert (tmp_path / "storage" / OUTPUTS / "0001-1.png").read_bytes() == PICTURE
    assert output["data"]["text/plain"].startswith("<Figure>\n[all of it, image/png, 60,000 bytes: ")
    assert "too large for a message" not in output["data"]["text/plain"]
    assert output["data"]["text/markdown"].startswith("![image/png")


def test_each_large_type_has_a_file_whoever_writes_it(tmp_path: Path) -> None:
    spool, table = Spool(tmp_path), ["x" * 10] * 9_000
    data = {"application/json": table, "text/html": "<b>" * 9_000, "text/plain": "short"}
    [output] = recorded(tmp_path, spool, ("display_data", spool.sent("display_data", display(data))))
    written = {each.suffix: each.read_text() for each in (tmp_path / "storage" / OUTPUTS).iterdir()}
    assert json.loads(written[".json"]) == table
    assert written[".html"] == "<b>" * 9_000
    assert set(output["data"]) == {"text/plain", "text/markdown"}


def test_an_error_keeps_its_name_and_both_ends(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    error = {"ename": "ValueError", "evalue": "v" * 60_000, "traceback": ["first", "t" * 60_000, "last"]}
    content = spool.sent("error", error)
    assert len(json.dumps(content)) < 20_000
    [output] = recorded(tmp_path, spool, ("error", content))
    assert output["ename"] == "ValueError"
    assert output["evalue"].startswith("vvv")
    assert "0001-1.txt" in output["evalue"]
    [traceback] = output["traceback"]
    assert traceback.startswith("first\nt")
    assert traceback.endswith("t\nlast")
    whole = (tmp_path / "storage" / OUTPUTS / "0001-1.txt").read_text()
    assert whole == "first\n" + "t" * 60_000 + "\nlast\n" + "v" * 60_000
    reply = dict(error)
    spool.values.reply(reply)
    assert len(json.dumps(reply)) < 3_000


@pytest.mark.parametrize("fault", [errno.EXDEV, errno.EPERM, errno.EMLINK])
def test_where_a_file_cannot_have_two_names_it_is_copied(tmp_path: Path, fault: int) -> None:
    spool = Spool(tmp_path)
    content = spool.sent("display_data", display({"text/html": "h" * 70_000}))
    with mock.patch("os.link", side_effect=OSError(fault, os.strerror(fault))):
        recorded(tmp_path, spool, ("display_data", content))
    assert (tmp_path / "storage" / OUTPUTS / "0001-1.html").read_text() == "h" * 70_000
    assert spool.files == []


@pytest.mark.parametrize("what", ["gone", "pipe", "link", "full"])
def test_a_value_whose_file_is_none_is_told_as_not_kept(tmp_path: Path, what: str) -> None:
    spool = Spool(tmp_path)
    if what == "full":
        spool.values.write = mock.Mock(side_effect=OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    content = spool.sent("display_data", display({"text/plain": "h" * 70_000}))
    if what != "full":
        [file] = spool.files
        (spool.path / file).unlink()
    if what == "pipe":
        os.mkfifo(spool.path / file)
    if what == "link":
        (tmp_path / "secret").write_text("secret")
        (spool.path / file).symlink_to(tmp_path / "secret")
    [output] = recorded(tmp_path, spool, ("display_data", content))
    shown = output["data"]["text/plain"]
    assert "70,000 characters, was not kept: " in shown
    assert shown.startswith("hhh")
    assert output["metadata"] == {"mine": 1}
    assert ("No space left" in shown) is (what == "full")
    assert list((tmp_path / "storage").rglob("0001-*")) == []


def test_what_is_more_than_a_run_may_keep_is_not_even_written(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    content = spool.sent("display_data", display({"text/plain": "h" * 2_000_000}))
    assert spool.files == []
    recorded(tmp_path, spool, ("display_data", content))
    assert "a display of 2,00" in (tmp_path / "storage" / OUTPUTS / "0001.txt").read_text()


@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", "spooled-1/x", "connection.json", "", None])
def test_only_a_file_of_the_spool_is_ever_taken(tmp_path: Path, name: object) -> None:
    spool = Spool(tmp_path)
    (tmp_path / "secret").write_text("secret")
    (spool.path / "connection.json").write_text("{}")
    content = spool.sent("display_data", display({"text/plain": "h" * 70_000}))
    content["kernelexec"]["spooled"][0]["file"] = name
    [output] = recorded(tmp_path, spool, ("display_data", content))
    assert "was not kept" in output["data"]["text/plain"]
    assert (spool.path / "connection.json").exists()


def test_what_others_run_and_what_is_small_is_sent_as_it_is(tmp_path: Path) -> None:
    large, small = display({"text/plain": "h" * 70_000}), display({"text/plain": "h" * 40_000})
    spool = Spool(tmp_path)
    assert spool.sent("display_data", large, username="ann") == large
    assert spool.sent("display_data", small) == small
    assert spool.sent("stream", {"name": "stdout", "text": "h" * 70_000})["text"] == "h" * 70_000
    spool.values.wish(None)  # a hub that does not know of it
    assert spool.sent("display_data", large) == large
    assert spool.files == []


def test_an_update_reaches_every_cell_that_shows_the_display(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    shown = {"data": {"text/plain": "s"}, "metadata": {}, "transient": {"display_id": "a"}}
    update = spool.sent("update_display_data", {**shown, "data": {"text/plain": "u" * 70_000}})
    storage_dir = tmp_path / "storage"
    storage_dir.mkdir()

    async def test() -> None:
        starter = FakeStarter(
            [
                saying(("display_data", shown)),
                saying(("display_data", shown), ("update_display_data", update)),
            ]
        )
        async with session_in(storage_dir, starter) as session:
            session.recorder.limits = LIMITS
            await ran(session, "first")
            await ran(session, "second")

    with mock.patch.object(FakeKernel, "spool", spool.path):
        run(test())
    for cell in cells(storage_dir):
        assert "".join(cell["outputs"][0]["data"]["text/plain"]).startswith("uuu")
    for name in ("0001-1.txt", "0002-1.txt"):
        assert (storage_dir / OUTPUTS / name).read_text() == "u" * 70_000
    assert spool.files == []
