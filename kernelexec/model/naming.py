"""The names that land on disk and in replies: sessions, environments, execution ids.

One pure rule: a name is cleaned, and where another thing already has it, six hex digits of what
it stands for follow. So the same thing always gets the same name, and two things never share one.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from pathlib import PurePath

DEFAULT_SESSION = "main"
_LONGEST = 60  # bytes, so that name@environment-generation.ipynb stays far below 255
_VENV_FOLDERS = frozenset({".venv", "venv", "env", ".env"})
_EXECUTION_ID = re.compile(r"(?P<session>.+@.+)/(?P<number>[1-9][0-9]{0,8})")


def clean_name(text: str) -> str:
    """A portable file name part: letters, digits, `_`, `-` and `.`; NFC; "" if nothing is left."""
    text = unicodedata.normalize("NFC", text)
    # Marks too: without them Hindi or Thai lose their vowels.
    kept = "".join(c if unicodedata.category(c)[0] in "LNM" or c in "_-." else "_" for c in text)
    kept = re.sub(r"_{2,}", "_", kept).strip("._- ")
    while kept and unicodedata.category(kept[0])[0] == "M":  # it would change what stands before
        kept = kept[1:].lstrip("._- ")
    return _cut(kept, _LONGEST)


def _cut(name: str, size: int) -> str:
    """At most so many bytes of it, and no punctuation at the end."""
    return name.encode("utf-8", "ignore")[:size].decode("utf-8", "ignore").strip("._- ")


def digits(identity: str) -> str:
    """Six hex digits that stand for an identity (a path)."""
    return hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()[:6]


def session_name(project: PurePath, home: PurePath) -> str:
    """The default session's name for a client that works in `project`."""
    if project in (home, PurePath(project.anchor)):
        return DEFAULT_SESSION
    return clean_name(project.name) or DEFAULT_SESSION


def environment_label(prefix: PurePath) -> str:
    """An environment's name; for `.venv` and the like that of the folder it is in."""
    name = prefix.parent.name if prefix.name.lower() in _VENV_FOLDERS else prefix.name
    return clean_name(name) or "env"


def apart(name: str, identity: str) -> str:
    """The name for the second, third, ... thing called `name`."""
    return with_end(name, f"-{digits(identity)}")


def with_end(name: str, end: str) -> str:
    """A clean name with an end, which is short and ASCII; the name is cut if both would be too long."""
    return _cut(name, _LONGEST - len(end)) + end


def folded(name: str) -> str:
    """The same for all spellings of a name that are one file where case does not count (macOS, Windows)."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def parse_execution_id(text: str) -> tuple[str, int] | None:
    """`sales@analysis/7` as ("sales@analysis", 7); None if it is no execution id."""
    found = _EXECUTION_ID.fullmatch(text.strip())
    return (found["session"], int(found["number"])) if found else None
