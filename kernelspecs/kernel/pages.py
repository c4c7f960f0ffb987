"""All that a run gives to the pager, instead of the last text alone.

IPython keeps one payload of each kind: of `len?` and `print?` in one cell, the first help is thrown away.
"""

from __future__ import annotations

SEPARATOR = "\n\n"


def keep_all_pages(shell) -> None:
    """Add what is paged to what the same run has paged before."""
    manager = getattr(shell, "payload_manager", None)
    write, read = getattr(manager, "write_payload", None), getattr(manager, "read_payload", None)
    if write is None or read is None:
        return

    def write_joined(data, *arguments, **options):
        if isinstance(data, dict) and data.get("source") == "page":
            before = next((each for each in read() if each.get("source") == "page"), None)
            data = data if before is None else joined(before, data)
        write(data, *arguments, **options)

    manager.write_payload = write_joined


def joined(before, page):
    """Two pages as one: of what both have a text of, in their order. Where nothing is, the second alone, as IPython has it."""
    first, second = before.get("data"), page.get("data")
    if not isinstance(first, dict) or not isinstance(second, dict):
        return page
    both = {
        mime: first[mime].rstrip("\n") + SEPARATOR + second[mime]
        for mime in second
        if mime.startswith("text/") and isinstance(first.get(mime), str) and isinstance(second[mime], str)
    }
    return {**page, "data": both} if both else page
