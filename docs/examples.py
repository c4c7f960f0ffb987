"""Puts replies of tests/replies, which real calls made, below the comments that ask for them:

<!-- reply: dataframe -->

python -m docs.examples        # or: make replies
"""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
REPLIES = HERE.parent / "tests" / "replies"

_ASKED = re.compile(r"^<!-- reply: (\w+) -->\n(?:\n```text\n.*?^```\n)?", re.MULTILINE | re.DOTALL)


def main() -> None:
    for page in HERE.glob("*.md"):
        before = page.read_text(encoding="utf-8")
        after = with_replies(before)
        if after != before:
            page.write_text(after, encoding="utf-8")
            print(f"docs/{page.name}")


def with_replies(text: str) -> str:
    """A page whose examples are the replies of today. FileNotFoundError for one that there is not."""
    return _ASKED.sub(lambda asked: f"{asked[0].splitlines()[0]}\n\n```text\n{reply(asked[1])}```\n", text)


def reply(name: str) -> str:
    """As an assistant gets it: without the mark by which the test tells an error."""
    return (REPLIES / f"{name}.txt").read_text(encoding="utf-8").removeprefix("isError\n\n")


if __name__ == "__main__":
    main()
