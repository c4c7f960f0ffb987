"""What callers have seen of a person's notebook, kept for the next hub."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernelexec.recording import kept_looks
from kernelexec.recording.journal import Journal
from kernelexec.recording.kept_looks import KeptLooks, looks_path
from kernelexec.recording.looks import Look, Seen

pytestmark = pytest.mark.anyio
NOTEBOOK = Path("/p/n.ipynb")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / ".kernelexec" / "n@e.jsonl")
    yield journal
    journal.close()


def look(**sources: str) -> Look:
    return Look({name: Seen("code", source, "f00") for name, source in sources.items()})


async def kept(journal: Journal, looks: dict[str, Look]) -> dict[str, Look]:
    """What another hub finds after these were kept."""
    one = KeptLooks(journal, NOTEBOOK)
    for caller, each in looks.items():
        one.keep(caller, each)
    await one.flush()
    return dict(KeptLooks(journal, NOTEBOOK).load())


async def test_looks_come_back_as_they_were_with_the_order_of_their_cells(journal: Journal) -> None:
    looks = {"one": look(b="x = 1", a="é\ud800\n"), "two": look(a="x = 1"), "none": Look()}
    found = await kept(journal, looks)
    assert found == looks
    assert list(found["one"].cells) == ["b", "a"]
    assert looks_path(journal.path).stat().st_mode & 0o777 == 0o600
    assert looks_path(journal.path).read_text().count("x = 1") == 1


async def test_a_look_that_was_taken_back_is_not_kept(journal: Journal) -> None:
    one = KeptLooks(journal, NOTEBOOK)
    one.keep("c", look(a="1"))
    one.keep("c", None)
    one.keep("d", look(a="2"))
    await one.flush()
    assert list(KeptLooks(journal, NOTEBOOK).load()) == ["d"]


async def test_the_file_is_bounded_and_the_last_looks_are_in_it(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = {f"caller-{n}": look(a="same") for n in range(40)}
    assert list(await kept(journal, many)) == [f"caller-{n}" for n in range(8, 40)]
    monkeypatch.setattr(kept_looks, "_MOST_CHARACTERS", 10)
    found = await kept(journal, {"old": look(a="other"), "c": look(a="12345678"), "d": look(a="12345678")})
    assert list(found) == ["c", "d"]


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"format": 1}', json.dumps({"format": 1, "notebook": str(NOTEBOOK), "looks": 3})],
)
async def test_what_is_no_such_file_is_as_if_there_was_none(journal: Journal, content: str) -> None:
    looks_path(journal.path).write_text(content)
    assert KeptLooks(journal, NOTEBOOK).load() == {}


async def test_looks_at_another_notebook_or_of_another_format_are_left_alone(journal: Journal) -> None:
    await kept(journal, {"c": look(a="1")})
    assert KeptLooks(journal, Path("/p/other.ipynb")).load() == {}
    path = looks_path(journal.path)
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    assert KeptLooks(journal, NOTEBOOK).load() == {}


async def test_a_killed_hubs_half_file_is_removed_and_the_whole_one_read(journal: Journal) -> None:
    await kept(journal, {"c": look(a="1")})
    half = journal.path.with_name(".n@e.looks.tmp-1")
    half.write_text("{")
    assert KeptLooks(journal, NOTEBOOK).load() == {"c": look(a="1")}
    assert not half.exists()


async def test_nothing_is_written_beside_a_journal_that_was_moved_away(journal: Journal) -> None:
    journal.path.rename(journal.path.with_name("elsewhere"))
    one = KeptLooks(journal, NOTEBOOK)
    one.keep("c", look(a="1"))
    await one.flush()
    assert not looks_path(journal.path).exists()
