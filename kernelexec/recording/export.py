"""A clean copy of a notebook, for somebody who has nothing to do with kernelexec. Pure.

It is made from the notebook, not from the journal: what the person edited, moved or deleted counts.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from kernelexec.model.outputs import JSON, is_json_mime
from kernelexec.model.shown_errors import is_error
from kernelexec.recording.completion import Candidate, completed
from kernelexec.recording.notebook_format import Cell, Document
from kernelexec.recording.other_runs import OtherRun

# What opens everywhere; a kernelspec of ours is on this machine only.
_PYTHON: dict[str, JSON] = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
_OUR_KERNELSPECS = "kernelexec-"
_EMBEDDED_AT_MOST = 20_000_000  # bytes; more makes a notebook that nobody can open
_MAY_FAIL = "raises-exception"  # nbconvert and nbclient go on after a cell with this tag
_OURS = re.compile(r"kernelexec-([0-9]{1,9})")
_NOTE = re.compile(r"kernelexec-[0-9]+-note")
_OVERFLOW = re.compile(r"\n\[all of this output, (?P<size>[0-9,]+) bytes: .*\]\n", re.DOTALL)

# What recording/large.py puts into a text for what is in files.
_REFERENCE = re.compile(r"\[(?:all of it, [^\[\]]*? bytes: [^\[\]]*)\]$")

ReadFile = Callable[[str], bytes | None]


@dataclass
class CleanCopy:
    """A notebook to hand over, and what was done to make it."""

    document: Document
    kept: int = 0  # cells
    failed: int = 0  # runs that failed, were interrupted or did not end: left out
    own_failed: int = 0  # cells that the person added and that end in an error: kept
    embedded: int = 0  # outputs that were in files beside the notebook
    not_embedded: list[str] = field(default_factory=list)  # those that are too large, or gone
    directory: str | None = None  # where its kernel worked, which relative paths mean
    put_back: list[str] = field(default_factory=list)  # what had failed or was only in the journal
    missing: list[str] = field(default_factory=list)  # which cell needs a name that nothing makes


def clean_copy(
    document: Document,
    read_file: ReadFile,
    other_runs: Sequence[OtherRun] = (),
    numbers: Mapping[str, int] | None = None,
) -> CleanCopy:
    """The cells that succeeded and those of the person, in order, without what only concerns us.

    `read_file` gives an output that was too large for the notebook, by the name that stands in it; None
    if it is not there. `other_runs` are the person's, as the journal has them; `numbers`, of a notebook of
    the person's, which execution of ours was the last of a cell.
    """
    copy = CleanCopy(document, directory=_directory(document.rest))
    chosen, left_out = _chosen(document.cells, copy)
    if _is_python(document.rest):
        candidates = [*left_out, *_of_the_person(document.cells, chosen, other_runs, numbers or {})]
        whole = completed(chosen, sorted(candidates, key=lambda each: each.place))
        chosen, copy.missing = whole.cells, whole.missing
        copy.put_back = [each.name for each in whole.put_back]
        copy.failed -= sum(not each.is_others for each in whole.put_back)
    cells = [_Cleaned(copy, read_file).cell(cell) for cell in chosen]
    copy.document = Document(list(_numbered(_distinct(cells))), _rest(document.rest))
    copy.kept = len(cells)
    return copy


# --- which cells -----------------------------------------------------------------


def _chosen(cells: Sequence[Cell], copy: CleanCopy) -> tuple[list[Cell], list[Candidate]]:
    """A note stays with its run; that of a try that failed, with the next run if that has none itself."""
    chosen: list[Cell] = []
    left_out: list[Candidate] = []
    note: Cell | None = None
    for cell in cells:
        if _is_empty(cell) or {"previous", "kernel"} & _about(cell).keys():
            continue
        if _is_note(cell):
            note = cell
        elif not _is_ours(cell):
            copy.own_failed += _has_error(cell)
            chosen.append(cell)
        elif _succeeded(cell):
            chosen += [cell] if note is None else [note, cell]
            note = None
        else:
            copy.failed += 1
            left_out += _left_out(cell, len(chosen))
    return chosen, left_out


def _left_out(cell: Cell, place: int) -> list[Candidate]:
    """A try that did not succeed, which may have made what a later cell needs; the copy runs on after it."""
    if cell.get("cell_type") != "code":
        return []
    name = str(_about(cell).get("execution") or cell.get("id"))
    metadata = {**_without(cell.get("metadata")), "tags": [_MAY_FAIL]}
    made: Cell = {**cell, "metadata": metadata}
    return [Candidate(name, _text(cell.get("source")), made, place, False, False)]


def _of_the_person(
    cells: Sequence[Cell], chosen: Sequence[Cell], runs: Sequence[OtherRun], known: Mapping[str, int]
) -> list[Candidate]:
    """What the person ran, each behind the cells of ours that ran before it."""
    numbers = [(known.get(str(cell.get("id"))) or _number_of(cell), cell) for cell in cells]
    found: list[Candidate] = []
    for run in runs:
        before = {id(cell) for number, cell in numbers if number is not None and number <= run.after}
        places = [place for place, cell in enumerate(chosen) if id(cell) in before]
        name = f"your In [{run.count or ' '}]"
        cell: Cell = {
            "cell_type": "code",
            "id": f"kernelexec-other-{len(found)}",
            "source": run.code,
            "outputs": list(run.outputs),
            "execution_count": run.count or 1,
            "metadata": {},
        }
        found.append(Candidate(name, run.code, cell, places[-1] + 1 if places else 0, run.succeeded, True))
    return found


def _number_of(cell: Cell) -> int | None:
    found = _OURS.fullmatch(str(cell.get("id")))
    return int(found[1]) if found else None


def _is_python(rest: Mapping[str, JSON]) -> bool:
    metadata = rest.get("metadata")
    language = metadata.get("language_info") if isinstance(metadata, Mapping) else None
    return isinstance(language, Mapping) and language.get("name") == "python"


def _is_note(cell: Cell) -> bool:
    return cell.get("cell_type") == "markdown" and _NOTE.fullmatch(str(cell.get("id"))) is not None


def _is_ours(cell: Cell) -> bool:
    return "state" in _about(cell)


def _about(cell: Mapping[str, JSON]) -> Mapping[str, JSON]:
    """What our metadata says of a cell or an output."""
    metadata = cell.get("metadata")
    said = metadata.get("kernelexec") if isinstance(metadata, Mapping) else None
    return said if isinstance(said, Mapping) else {}


def _is_empty(cell: Cell) -> bool:
    return not _text(cell.get("source")).strip() and not cell.get("outputs")


def _succeeded(cell: Cell) -> bool:
    """By its outputs, if the person ran it again, else by what is recorded of it."""
    if _has_error(cell):
        return False
    if _about(cell).get("state") == "ok":
        return True
    return cell.get("cell_type") == "code" and cell.get("execution_count") is not None and _has_rerun(cell)


def _has_rerun(cell: Cell) -> bool:
    """Whether somebody ran it again: a run that failed leaves an error, and one without an end no reply."""
    if _about(cell).get("state") in ("error", "interrupted"):
        return True
    metadata = cell.get("metadata")
    timing = metadata.get("execution") if isinstance(metadata, Mapping) else None
    return not isinstance(timing, Mapping) or "shell.execute_reply" in timing


def _has_error(cell: Cell) -> bool:
    return any(map(is_error, _outputs(cell)))


def _outputs(cell: Cell) -> list[Mapping[str, JSON]]:
    outputs = cell.get("outputs")
    if not isinstance(outputs, Sequence) or isinstance(outputs, str):
        return []
    return [output for output in outputs if isinstance(output, Mapping)]


def _is_for_others(output: Mapping[str, JSON]) -> bool:
    """Not our label above late output, and not the SystemExit of a cell that ended well."""
    return not _about(output).get("late") and (output.get("output_type") != "error" or is_error(output))


# --- what is in them -------------------------------------------------------------


@dataclass(frozen=True)
class _Cleaned:
    """Cells without what only concerns us."""

    copy: CleanCopy
    read_file: ReadFile

    def cell(self, cell: Cell) -> dict[str, JSON]:
        cleaned = {**cell, "metadata": _without(cell.get("metadata"), "kernelexec", "execution")}
        if cell.get("cell_type") == "code":
            cleaned["outputs"] = [self._output(o) for o in _outputs(cell) if _is_for_others(o)]
        return cleaned

    def _output(self, output: Mapping[str, JSON]) -> Mapping[str, JSON]:
        cut = _OVERFLOW.fullmatch(_text(output.get("text")))
        if cut:
            return {**output, "text": f"\n[the rest is left out here; all of it were {cut['size']} bytes]\n"}
        about = _about(output)
        if "file" in about:
            output = {**output, "data": self._whole(output, _files(about))}
        return {**output, "metadata": _without(output["metadata"], "kernelexec")} if about else output

    def _whole(self, output: Mapping[str, JSON], files: Sequence[Mapping[str, JSON]]) -> dict[str, JSON]:
        """The data of an output with what is in files in the place of what refers to it."""
        data = _without(output.get("data"), "text/markdown" if _is_link(output, files) else "")
        text = _REFERENCE.sub("", _text(data.get("text/plain"))).strip("\n")
        missing = []
        for file in files:
            name, mime = _text(file.get("file")), _text(file.get("mime"))
            content = self.read_file(name)
            if content is not None and len(content) <= _EMBEDDED_AT_MOST and mime:
                self.copy.embedded += 1
                data[mime] = _mime_value(mime, content)
            else:
                self.copy.not_embedded.append(name)
                missing.append(f"[an output is left out here: {mime}, {_number(file.get('size'))} bytes]")
        if not any(file.get("mime") == "text/plain" for file in files):
            data["text/plain"] = text
        if missing:
            data["text/plain"] = "\n".join([_text(data.get("text/plain")), *missing]).strip("\n")
        return {mime: value for mime, value in data.items() if mime != "text/plain" or value}


def _files(about: Mapping[str, JSON]) -> list[Mapping[str, JSON]]:
    """The files that an output refers to."""
    others = about.get("others")
    more = others if isinstance(others, Sequence) and not isinstance(others, str) else []
    return [about, *(file for file in more if isinstance(file, Mapping))]


def _is_link(output: Mapping[str, JSON], files: Sequence[Mapping[str, JSON]]) -> bool:
    """Whether its Markdown only shows what is in the files."""
    data = output.get("data")
    markdown = _text(data.get("text/markdown")) if isinstance(data, Mapping) else ""
    return any(f"]({quote(_text(file.get('file')))})" in markdown for file in files)


def _number(value: JSON) -> str:
    return f"{value:,}" if isinstance(value, int) else "some"


def _mime_value(mime: str, data: bytes) -> JSON:
    if is_json_mime(mime):
        value: JSON = json.loads(data)
        return value
    if mime.startswith("text/") or mime in ("image/svg+xml", "application/javascript"):
        return data.decode("utf-8", "replace")
    return base64.b64encode(data).decode()


def _numbered(cells: Iterable[dict[str, JSON]]) -> Iterator[dict[str, JSON]]:
    """With counts 1, 2, 3 and so on for what has been run, as after a run from top to bottom."""
    last = 0
    for cell in cells:
        if cell.get("cell_type") != "code":
            yield cell
            continue
        last += cell.get("execution_count") is not None
        count = last if cell.get("execution_count") is not None else None
        outputs = [
            {**output, "execution_count": count} if output.get("output_type") == "execute_result" else output
            for output in _outputs(cell)
        ]
        yield {**cell, "execution_count": count, "outputs": outputs}


def _distinct(cells: Iterable[dict[str, JSON]]) -> Iterator[dict[str, JSON]]:
    """With ids that are each there once; ours are replaced, always by the same."""
    taken: set[str] = set()
    for cell in cells:
        name = _text(cell.get("id"))
        while name in taken or name.startswith("kernelexec-"):
            name = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        taken.add(name)
        yield {**cell, "id": name}


def _directory(rest: Mapping[str, JSON]) -> str | None:
    metadata = rest.get("metadata")
    said = metadata.get("kernelexec") if isinstance(metadata, dict) else None
    directory = said.get("directory") if isinstance(said, dict) else None
    return directory if isinstance(directory, str) else None


def _rest(rest: Mapping[str, JSON]) -> dict[str, JSON]:
    metadata = _without(rest.get("metadata"), "kernelexec")
    kernelspec = metadata.get("kernelspec")
    if isinstance(kernelspec, Mapping) and _text(kernelspec.get("name")).startswith(_OUR_KERNELSPECS):
        language = metadata.get("language_info")
        name = language.get("name") if isinstance(language, Mapping) else kernelspec.get("language")
        if name == "python":
            metadata["kernelspec"] = _PYTHON
    return {**rest, "metadata": metadata}


def _without(metadata: JSON, *keys: str) -> dict[str, JSON]:
    if not isinstance(metadata, Mapping):
        return {}
    return {key: value for key, value in metadata.items() if key not in keys}


def _text(value: JSON) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, Sequence):
        return ""
    return "".join(line for line in value if isinstance(line, str))
