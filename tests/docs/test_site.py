"""The site is made of the documents, and nothing in it leads nowhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.examples import with_replies
from tests.docs.documents import PAGES, ROOT, text_of

_BUILD = (sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-c", "docs", "-b", "html", ".")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [*_BUILD, str(folder), "-d", str(folder / ".doctrees")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\n(a new page belongs into docs/contents.yml)"
    return folder


def test_every_page_is_in_the_site(site: Path) -> None:
    assert {page.stem for page in PAGES} <= {file.stem for file in (site / "docs").glob("*.html")}


def test_every_address_in_the_site_is_there(site: Path) -> None:
    """Also what Sphinx itself makes no link of: the theme's files, and the way in."""
    pages = [file for file in site.rglob("*.html") if "_static" not in file.parts]
    anchors = {page: set(re.findall(r'\bid="([^"]+)"', text_of(page))) for page in pages}
    broken = []
    for page in pages:
        for address in re.findall(r'(?:href|src|url)="?(?!\w+:|//)([^"<>]+)"', text_of(page)):
            name, _, anchor = address.partition("#")
            target = (page.parent / name.partition("?")[0]).resolve() if name else page
            if not target.is_file() or (anchor and anchor not in anchors.get(target, {anchor})):
                broken.append((page.name, address))
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_the_examples_are_the_replies_of_today(page: Path) -> None:
    """`make replies` and `make docs` bring them up to date."""
    assert text_of(page) == with_replies(text_of(page))
