"""What is too large for a message goes to a file beside the connection file, and the message says so.

A result of 200 MB would be held several times over by whoever reads the message, and keep it from everything else
meanwhile. So of what the hub asks for, a value that is larger than the hub lets a cell have is written here as its file is to
be, and the content of the `display_data`, `execute_result`, `update_display_data` or `error` has
    "kernelexec": {"spooled": [{"mime", "characters", "ends": [HEAD, TAIL], "file": NAME or null, "problem": str or null}]}
with `"value_ends"` for an error whose message is long, too. In place of the value stands what another frontend may show, and `"text"` is a display's small text/plain as it was.
The hub takes the files; what it does not take goes with the kernel's directory. What others run is sent as it is.
"""

from __future__ import annotations

import binascii
import json
import os
from itertools import count

HEAD, TAIL = 2_000, 1_000  # characters: what the hub shows of a large text (kernelexec/recording/large.py)
BLOCK = 10_000_000  # characters that are encoded at once
DISPLAYS = ("display_data", "execute_result", "update_display_data")
ASKED_BY = "kernelexec"  # the user name in the hub's requests (kernelexec/kernels/wire.py)
TEXTS = ("image/svg+xml", "application/javascript")  # not base64, though no text/*


class SpooledValues:
    """Puts files in the place of large values, as the request that runs wants it."""

    def __init__(self, connection_file: str, hidden) -> None:
        self.directory = os.path.dirname(os.path.abspath(connection_file))
        self.hidden = hidden  # what a value becomes before it leaves the kernel
        self.over = None  # characters of a value that is put into a file; None: no value is
        self.most = 0  # characters of what is kept at all
        self.numbers = count(1)

    def wish(self, told) -> None:
        """What the request that begins says, if anything."""
        self.over = None
        if isinstance(told, dict) and isinstance(told.get("over"), int) and isinstance(told.get("most"), int):
            self.over, self.most = told["over"], told["most"]

    def watch(self, session) -> None:
        """Look at all that this session sends. Without the method that makes bytes of it, nothing is changed."""
        serialize = getattr(session, "serialize", None)
        if serialize is None:
            return

        def serialize_small(message, *arguments, **options):
            return serialize(self.without_large(message), *arguments, **options)

        session.serialize = serialize_small

    def without_large(self, message):
        """The message as it is to be sent."""
        kind, content = message.get("msg_type"), message.get("content")
        if self.over is None or not isinstance(content, dict) or kind not in (*DISPLAYS, "error"):
            return message
        if (message.get("parent_header") or {}).get("username") != ASKED_BY:
            return message
        smaller = self.error(content) if kind == "error" else self.display(content)
        return message if smaller is None else {**message, "content": smaller}

    def display(self, content):
        data = content.get("data")
        large = [mime for mime in data if exceeds(data[mime], self.over)] if isinstance(data, dict) else []
        if not large:
            return None
        spooled = [self.spool(mime, self.hidden(data[mime])) for mime in large]
        kept = {mime: value for mime, value in data.items() if mime not in large}
        text = kept.get("text/plain")
        shown = [in_place_of(each) for each in spooled]
        kept["text/plain"] = "\n".join(shown if text is None else [str(text), *shown])
        return {**content, "data": kept, "kernelexec": {"spooled": spooled, "text": text}}

    def error(self, content):
        value, traceback = content.get("evalue"), content.get("traceback")
        if not exceeds([value, traceback], self.over):
            return None
        value = self.hidden(str(value))
        shown = self.hidden("\n".join(map(str, traceback or ())))
        spooled = self.spool("text/plain", shown + "\n" + value)
        spooled["ends"] = ends_of(shown)
        if len(value) > HEAD + TAIL:
            spooled["value_ends"] = ends_of(value)
            value = in_place_of({**spooled, "ends": ends_of(value), "characters": len(value)})
        return {
            **content,
            "evalue": value,
            "traceback": [in_place_of({**spooled, "characters": len(shown)})],
            "kernelexec": {"spooled": [spooled]},
        }

    def reply(self, content) -> None:
        """An error in a reply is told short: the message on iopub has all of it."""
        if self.over is not None and exceeds([content.get("evalue"), content.get("traceback")], self.over):
            content["evalue"] = str(content.get("evalue"))[:HEAD]
            content["traceback"] = []

    def spool(self, mime, value):
        """Write a value to a new file; what the message says of it."""
        is_json = mime.endswith("json")
        if isinstance(value, list) and not is_json and all(isinstance(line, str) for line in value):
            value = "".join(value)
        elif not isinstance(value, str):
            value = json.dumps(value, ensure_ascii=False)
        is_text = mime.startswith("text/") or is_json or mime in TEXTS
        name, problem = None, "more than is kept of one run"
        if len(value) <= self.most:
            try:
                name, problem = self.write(value, is_text), None
            except OSError as error:
                problem = error.strerror or type(error).__name__
        told = {"mime": mime, "characters": len(value), "file": name, "problem": problem}
        return {**told, "ends": ends_of(value) if mime == "text/plain" else None}

    def write(self, value, is_text):
        name = "spooled-%d" % next(self.numbers)
        path = os.path.join(self.directory, name)
        try:
            # The directory is the user's alone; the file is to have the rights of others in the notebook's folder.
            with open(
                os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666), "wb"
            ) as file:
                for block in blocks_of(value, is_text):
                    file.write(block)
        except OSError:
            if os.path.exists(path):
                os.unlink(path)
            raise
        return name


def blocks_of(value, is_text):
    """What the file holds: text as UTF-8, anything else as the bytes that base64 stands for."""
    if not is_text:
        try:
            yield binascii.a2b_base64(value.encode("ascii"))
            return
        except ValueError:  # also what binascii raises: it is not base64, and kept as it came
            pass
    for start in range(0, len(value), BLOCK):
        yield value[start : start + BLOCK].encode("utf-8", "backslashreplace")


def exceeds(value, most) -> bool:
    """Whether there are more characters than this in a JSON value; looks at no more of it than that."""
    waiting = [value]
    while waiting and most >= 0:
        value = waiting.pop()
        if isinstance(value, str):
            most -= len(value)
        elif isinstance(value, dict):
            most -= len(value)
            waiting.extend(value)
            waiting.extend(value.values())
        elif isinstance(value, (list, tuple)):
            most -= len(value)
            waiting.extend(value)
    return most < 0


def ends_of(text):
    return [text[:HEAD], text[max(HEAD, len(text) - TAIL) :]]


def in_place_of(spooled):
    """What a frontend may show that knows nothing of the file."""
    what = "[... %s, %s characters, is too large for a message ...]" % (
        spooled["mime"],
        format(spooled["characters"], ","),
    )
    head, tail = spooled["ends"] or ("", "")
    return "\n".join(filter(None, (head, what, tail)))
