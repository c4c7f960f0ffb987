"""A name that is not there, and was in a kernel that has ended: which run had made it."""

from __future__ import annotations

import re

from kernelexec.model.names_in_code import names_in
from kernelexec.recording.replayable import read_runs
from kernelexec.session.session import Session

_UNDEFINED = re.compile(r"name '(\w+)' is not defined")


def about_lost_name(text: str, session: Session) -> str | None:
    """What to do where the text of a NameError names such a name. Reads the session's journal."""
    found = _UNDEFINED.match(text)
    if found is None or session.generation < 2:
        return None
    name, earlier = found[1], session.generation
    for generation, runs in sorted(read_runs(session.recorder.journal).items(), reverse=True):
        if generation >= earlier:
            continue
        for success in reversed(runs.successes):
            if name in success.code and name in names_in(success.code).made:
                which = f"{session.id}/{success.number}" if success.number else "a cell of the user's"
                return (
                    f"{name} was made by {which} in an earlier kernel, which ended. Run that code again, or "
                    "all that had succeeded there, in a new kernel, without what this one has: "
                    f'restart_kernel(session="{session.id}", replay=true, generation={generation}).'
                )
    return None
