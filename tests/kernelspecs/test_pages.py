"""What one run gives to the pager, all of it. With IPython's own payloads."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from IPython.core.payload import PayloadManager

from tests.kernelspecs.test_live_kernel import load


def paged(*payloads: dict[str, Any]) -> list[dict[str, Any]]:
    shell = SimpleNamespace(payload_manager=PayloadManager())
    load("kernel", "pages").keep_all_pages(shell)
    for payload in payloads:
        shell.payload_manager.write_payload(payload)
    found: list[dict[str, Any]] = shell.payload_manager.read_payload()
    return found


def page(**data: Any) -> dict[str, Any]:
    return {"source": "page", "data": {f"text/{kind}": text for kind, text in data.items()}, "start": 0}


def test_two_pages_are_one_with_both_texts() -> None:
    [both] = paged(page(plain="len\n"), page(plain="print\n", html="<b>print</b>"))
    assert both == page(plain="len\n\nprint\n")


def test_of_other_payloads_the_last_counts_as_ever() -> None:
    code = [{"source": "set_next_input", "text": text, "replace": False} for text in ("a", "b")]
    found = paged(code[0], page(plain="len"), code[1])
    assert found == [code[1], page(plain="len")]


def test_pages_that_have_no_text_in_common_are_left_as_they_are() -> None:
    assert paged(page(html="<b>x</b>"), page(plain="y")) == [page(plain="y")]
    assert paged({"source": "page"}, page(plain="y")) == [page(plain="y")]


def test_a_shell_without_payloads_is_left_alone() -> None:
    load("kernel", "pages").keep_all_pages(SimpleNamespace())
