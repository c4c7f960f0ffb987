"""Links, as GitHub has them, and the size of what one reads first."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.docs.documents import DOCUMENTS, OTHERS, PAGES, README, ROOT, blocks_in, prose_of, text_of

_LONGEST_README = 9_000  # characters: what one reads on the first day
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def test_the_readme_is_what_one_reads_on_the_first_day() -> None:
    assert len(text_of(README)) <= _LONGEST_README


def test_the_readme_has_the_command_for_the_main_job_and_the_one_for_the_tests() -> None:
    lines = [line.split("#")[0].strip() for block in blocks_in(README) for line in block.text.splitlines()]
    assert {"make demo", "make check"} <= set(lines)


def test_the_readme_shows_the_smallest_configuration_before_any_other() -> None:
    first = next(block for block in blocks_in(README) if block.language == "json")
    assert first.text.strip() == '{"mcpServers": {"kernelexec": {"command": "kernelexec"}}}'


def linked_in(path: Path) -> set[Path]:
    links = (link.partition("#")[0] for link in _LINK.findall(prose_of(path)))
    return {(path.parent / unquote(link)).resolve() for link in links if "://" not in link}


def test_a_reader_comes_to_every_page_from_the_readme_with_two_steps() -> None:
    index = ROOT / "docs" / "index.md"
    assert index in linked_in(README)
    assert set(PAGES) - linked_in(README) - linked_in(index) == set()


def anchors_of(path: Path) -> set[str]:
    """As GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose_of(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", [*DOCUMENTS, *OTHERS], ids=lambda path: path.name)
def test_every_link_and_picture_leads_to_what_is_there(document: Path) -> None:
    broken = []
    for link in _LINK.findall(prose_of(document)):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / unquote(name)).resolve() if name else document
        if not target.is_file() or (anchor and anchor not in anchors_of(target)):
            broken.append(link)
    assert broken == []
