"""Makes large messages of a kernel small, in a process of its own (kernels/large_messages).

Its memory and its time are not the hub's. For each message it gets a line of JSON on stdin (`Asked`), behind
it the frames from the header to the content; it writes a line of JSON, {"content": ...}, for each content
that stands in the place of the message's, or {"problem": TEXT}, and an empty line. A value that is too large
for a cell is in a file then, as kernelexec's own kernel would have put it there
(kernelspecs/kernel/spooled_values.py).
"""

from __future__ import annotations

import hmac
import importlib
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import count
from typing import Any, TypedDict

WRONG_SIGNATURE = "wrong signature"
END = b"\n"  # an empty line, after all answers to one message
_SLICE = 1_000_000  # characters of a stream: what the hub takes at once
_OOM_SCORE = 300  # as a kernel's: whose memory ends first is this one's, and never the hub's


class Asked(TypedDict):
    """What is asked for."""

    type: str  # of the message
    key: str
    signature: str
    sizes: list[int]  # of the frames that follow
    modules: str  # the folder of spooled_values
    spool: str  # where files go
    first: int  # the number of the first one
    over: int  # characters of a value that goes to a file
    most: int  # characters of one that is kept at all


def main() -> None:
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write(str(_OOM_SCORE))
    while line := sys.stdin.buffer.readline():
        for answer in _answers(json.loads(line)):
            sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
        sys.stdout.buffer.write(END)
        sys.stdout.buffer.flush()


def _answers(asked: Asked) -> Iterator[Mapping[str, Any]]:
    frames = [sys.stdin.buffer.read(size) for size in asked["sizes"]]
    if not _is_signed(asked, frames):
        yield {"problem": WRONG_SIGNATURE}
        return
    try:
        content = json.loads(frames.pop().decode())
    except (ValueError, RecursionError) as error:
        yield {"problem": str(error)}
        return
    if not isinstance(content, dict):
        yield {"problem": "not a JSON object"}
        return
    for smaller in _smaller(asked, content):
        yield {"content": smaller}


def _is_signed(asked: Asked, frames: list[bytes]) -> bool:
    if not asked["key"]:
        return True
    signature = hmac.new(asked["key"].encode(), digestmod="sha256")
    for frame in frames:
        signature.update(frame)
    return hmac.compare_digest(signature.hexdigest(), asked["signature"])


def _smaller(asked: Asked, content: dict[str, Any]) -> Iterator[Mapping[str, Any]]:
    text = content.get("text")
    if asked["type"] == "stream" and isinstance(text, str):
        for start in range(0, len(text), _SLICE):
            yield {**content, "text": text[start : start + _SLICE]}
        return
    sys.path.insert(0, asked["modules"])
    values = importlib.import_module("spooled_values").SpooledValues(
        f"{asked['spool']}/-", lambda value: value
    )
    values.wish({"over": asked["over"], "most": asked["most"]})
    values.numbers = count(asked["first"])
    if asked["type"] == "execute_reply":
        values.reply(content)
        yield content
    else:
        made = values.error(content) if asked["type"] == "error" else values.display(content)
        yield content if made is None else made


if __name__ == "__main__":
    main()
