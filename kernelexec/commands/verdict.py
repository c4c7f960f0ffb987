"""A reply's first line, read by the person's commands.

`OK: sales@analysis/7 ran in 0.012 s; saved as /path/sales@analysis-1/0007-load.py`
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_VERDICT = re.compile(r"(?P<state>[A-Z ]+): (?P<what>\D*?)(?P<session>\S+@\S+)/(?P<number>\d+)")
_SAVED = re.compile(r"; saved as (?P<script>.+?)(?:; cell \S+)?$")
_GOES_ON = ("RUNNING", "QUEUED")


@dataclass(frozen=True)
class Verdict:
    """What became of a submission."""

    state: str
    session: str
    number: int
    script: Path | None

    @property
    def execution(self) -> str:
        return f"{self.session}/{self.number}"

    @property
    def goes_on(self) -> bool:
        return self.state in _GOES_ON

    @property
    def asks(self) -> bool:
        return self.state == "WAITING FOR INPUT"

    @property
    def notebook(self) -> Path | None:
        """Which has its cell; None if it has none."""
        if self.script is None or self.state == "NOT RUN":
            return None
        folder = self.script.parent
        return folder.with_name(f"{folder.name}.ipynb")


def verdict_of(text: str) -> Verdict | None:
    """None: nothing was submitted, because it was refused."""
    said = _VERDICT.match(text)
    if said is None:
        return None
    saved = _SAVED.search(text.partition("\n")[0])
    script = Path(saved["script"]) if saved else None
    return Verdict(said["state"], said["session"], int(said["number"]), script)
