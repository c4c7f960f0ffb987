"""The `kernelexec://` resources: a session's notebook and history, an execution's code, output and pictures.

All are what the caller's storage directory holds, read anew each time. A resource is read whole, and clients
refuse what is over a megabyte: so what is larger is refused here, with how to get it in parts.
"""

from __future__ import annotations

import asyncio
import base64
import mimetypes
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path, PurePath
from urllib.parse import quote, unquote

import mcp_types as types

from kernelexec.errors import BadRequest, NotFound
from kernelexec.mcp_server.call import Call
from kernelexec.mcp_server.notebook_parts import part_from
from kernelexec.mcp_server.reading import read_part
from kernelexec.mcp_server.recorded import Recorded, recorded_execution
from kernelexec.mcp_server.render.body import how_to_read
from kernelexec.mcp_server.render.summary_text import describe_summaries
from kernelexec.model.text import plain
from kernelexec.recording.history import notebook_number
from kernelexec.recording.inside import open_inside
from kernelexec.recording.records import Records, journal_path, sessions_in
from kernelexec.recording.summaries import read_summaries

LARGEST = 700_000  # bytes: base64 adds a third, and JSON's escapes as much to some texts
_LISTED_FILES = 100  # of large outputs, the newest
_SESSION = "kernelexec://session/{session}"
_URI = re.compile(r"kernelexec://session/(?P<session>[^/]+)/(?P<rest>.+)")
_NOTEBOOK = "application/x-ipynb+json"
_LARGEST_NOTEBOOK = 200_000_000  # bytes that are read to find a part of it
_OUTPUT_FILE = re.compile(r"(?P<session>.+@.+)-\d+/outputs/[^/]+")

Contents = types.TextResourceContents | types.BlobResourceContents

TEMPLATES = [
    types.ResourceTemplate(uri_template=f"{_SESSION}/{path}", name=name, title=title, mime_type=mime)
    for path, name, title, mime in (
        ("notebook", "notebook", "The session's present notebook", _NOTEBOOK),
        ("notebook/{cell}", "notebook part", "The notebook from this cell on, in parts", _NOTEBOOK),
        ("executions", "executions", "What has been done in the session", "text/plain"),
        ("{number}/code", "code", "The code of an execution", "text/x-python"),
        ("{number}/output", "output", "What an execution has shown, as text", "text/plain"),
        ("{number}/image/{image}", "image", "A picture of an execution, as it was made", "image/png"),
        ("file/{+path}", "file", "A large output, in a file beside the notebook", None),
    )
]


def uri_of(session_id: str, path: str) -> str:
    """The resource of a session at this path, for example `7/image/1`."""
    return f"kernelexec://session/{quote(session_id, safe='@')}/{quote(path)}"


async def list_resources(call: Call) -> list[types.Resource]:
    """Notebooks and histories of all sessions, and the newest large outputs."""
    return await asyncio.to_thread(_listed, call.caller.config().storage_dir)


async def read_resource(call: Call, uri: str) -> Contents:
    """What the resource holds.

    Raises:
        NotFound: there is no such resource.
        BadRequest: it is too large for clients, or cannot be read.
        KernelexecError
    """
    found = _URI.fullmatch(uri)
    if found is None:
        raise _unknown(uri)
    session_id, path = unquote(found["session"]), unquote(found["rest"])
    await call.hub.adopted(call.caller, session_id)
    if session_id not in sessions_in(call.caller.config().storage_dir):
        raise NotFound(
            f"There is no session {session_id!r} in {call.caller.config().storage_dir}.",
            "resources/list lists what there is.",
        )
    for pattern, read in _READERS:
        matched = re.fullmatch(pattern, path)
        if matched is not None:
            return await read(call, uri, session_id, matched)
    raise _unknown(uri)


def _unknown(uri: str) -> NotFound:
    templates = ", ".join(template.uri_template for template in TEMPLATES)
    return NotFound(f"There is no resource {uri!r}.", f"There are: {templates}.")


def _listed(storage_dir: Path) -> list[types.Resource]:
    listed = []
    for session_id in sessions_in(storage_dir):
        notebook = _notebook(storage_dir, session_id)
        if notebook is not None:
            listed.append(_listed_notebook(session_id, notebook))
        listed.append(
            types.Resource(
                uri=uri_of(session_id, "executions"),
                name=f"{session_id} executions",
                title=f"What has been done in {session_id}",
                mime_type="text/plain",
            )
        )
    return listed + _large_outputs(storage_dir)


def _listed_notebook(session_id: str, notebook: Path) -> types.Resource:
    size = notebook.stat().st_size
    whole = size <= LARGEST
    return types.Resource(
        uri=uri_of(session_id, "notebook" if whole else "notebook/1"),
        name=notebook.name,
        title=f"Notebook of {session_id}" + ("" if whole else ", the first part"),
        description=None if whole else f"Of {size:,} bytes; each part names the next.",
        mime_type=_NOTEBOOK,
        size=size if whole else None,
    )


def _large_outputs(storage_dir: Path) -> list[types.Resource]:
    files = [(path, path.lstat()) for path in storage_dir.glob("*@*/outputs/*") if not path.is_symlink()]
    files.sort(key=lambda each: each[1].st_mtime, reverse=True)
    return [
        types.Resource(
            uri=uri_of(session, f"file/{path.relative_to(storage_dir)}"),
            name=str(path.relative_to(storage_dir)),
            mime_type=mimetypes.guess_type(path.name)[0] or "application/octet-stream",
            size=status.st_size,
        )
        for path, status in files[:_LISTED_FILES]
        for session in [path.parent.parent.name.rpartition("-")[0]]
    ]


def _notebook(storage_dir: Path, session_id: str) -> Path | None:
    """The newest generation's."""
    named = re.compile(rf"{re.escape(session_id)}-(\d+)\.ipynb")
    found = [(int(m[1]), p) for p in storage_dir.glob("*.ipynb") if (m := named.fullmatch(p.name))]
    return max(found)[1] if found else None


# --- reading them ------------------------------------------------------------------------


async def _read_notebook(call: Call, uri: str, session_id: str, found: re.Match[str]) -> Contents:
    path = await asyncio.to_thread(_existing_notebook, call, session_id)
    instead = f"In parts, each naming the next: {uri}/1 and on. The file is {path}."
    data = await asyncio.to_thread(_bytes_of, path.parent, path.name, LARGEST, instead)
    return types.TextResourceContents(uri=uri, mime_type=_NOTEBOOK, text=data.decode("utf-8", "replace"))


async def _read_notebook_part(call: Call, uri: str, session_id: str, found: re.Match[str]) -> Contents:
    path = await asyncio.to_thread(_existing_notebook, call, session_id)
    data = await asyncio.to_thread(
        _bytes_of, path.parent, path.name, _LARGEST_NOTEBOOK, f"The file is {path}."
    )
    base = uri_of(session_id, "notebook")
    text = await asyncio.to_thread(part_from, data, int(found["cell"]), LARGEST, base, str(path))
    return types.TextResourceContents(uri=uri, mime_type=_NOTEBOOK, text=text)


def _existing_notebook(call: Call, session_id: str) -> Path:
    session = call.hub.find(call.caller, session_id)
    if session is not None and session.opened is not None:
        return session.opened.path
    notebook = _notebook(call.caller.config().storage_dir, session_id)
    if notebook is None:
        raise NotFound(f"{session_id} has no notebook yet.", "It has one when the first cell has been run.")
    return notebook


async def _read_executions(call: Call, uri: str, session_id: str, found: re.Match[str]) -> Contents:
    journal = call.hub.journal_path(call.caller, session_id)
    summaries = await asyncio.to_thread(read_summaries, journal)
    session = call.hub.find(call.caller, session_id)
    current = session.current if session is not None else None
    text = describe_summaries(session_id, summaries, 1_000, current)
    return types.TextResourceContents(uri=uri, mime_type="text/plain", text=text)


async def _read_code(call: Call, uri: str, session_id: str, found: re.Match[str]) -> Contents:
    recorded = await recorded_execution(call, f"{session_id}/{found['number']}")
    code = recorded.execution.code
    if len(code) > LARGEST:
        raise _too_large(uri, len(code), f"It is in {recorded.execution.script}, for read_code_file.")
    return types.TextResourceContents(uri=uri, mime_type="text/x-python", text=code)


async def _read_output(call: Call, uri: str, session_id: str, found: re.Match[str]) -> Contents:
    recorded = await recorded_execution(call, f"{session_id}/{found['number']}")
    transcript = recorded.transcript
    if transcript.end > LARGEST:
        raise _too_large(uri, transcript.end, f"In parts: {how_to_read(recorded.execution.id, 0)}")
    part = await asyncio.to_thread(read_part, transcript, recorded.storage_dir, 0, LARGEST)
    return types.TextResourceContents(uri=uri, mime_type="text/plain", text=part.text)


async def _read_image(call: Call, uri: str, session_id: str, found: re.Match[str]) -> Contents:
    recorded = await recorded_execution(call, f"{session_id}/{found['number']}")
    number = int(found["image"])
    images = {image.number: image.picture for piece in recorded.transcript.pieces for image in piece.images}
    picture = images.get(number)
    if picture is None:
        raise NotFound(f"{recorded.execution.id} has no image {number}; it has {len(images)}.")
    if picture.file is not None:
        return await _blob(call, uri, picture.file)
    size = len(picture.encoded) * 3 // 4
    if size > LARGEST:
        raise _too_large(uri, size, _in_the_notebook(recorded))
    return types.BlobResourceContents(uri=uri, mime_type=picture.mime, blob=picture.encoded)


def _in_the_notebook(recorded: Recorded) -> str:
    execution = recorded.execution
    session, folder = execution.session, recorded.storage_dir
    number = notebook_number(journal_path(folder, session), execution.generation)
    notebook = Records(folder, session, number).notebook
    return f"{how_to_read(execution.id, 0)} shows it smaller; the original is in {notebook}."


async def _read_file(call: Call, uri: str, session_id: str, found: re.Match[str]) -> Contents:
    inside = _OUTPUT_FILE.fullmatch(found["path"])
    if inside is None or inside["session"] != session_id:
        raise _unknown(uri)
    return await _blob(call, uri, found["path"])


async def _blob(call: Call, uri: str, file: str) -> Contents:
    storage_dir = call.caller.config().storage_dir
    instead = f"It is in {storage_dir / file}; read_output reads text in parts."
    data = await asyncio.to_thread(_bytes_of, storage_dir, file, LARGEST, instead)
    mime = mimetypes.guess_type(file)[0] or "application/octet-stream"
    if mime.startswith("text/") or mime == "application/json":
        return types.TextResourceContents(
            uri=uri, mime_type=mime, text=plain(data.decode("utf-8", "replace"))
        )
    return types.BlobResourceContents(uri=uri, mime_type=mime, blob=base64.b64encode(data).decode())


def _bytes_of(storage_dir: Path, file: str, limit: int, instead: str) -> bytes:
    try:
        with open(open_inside(storage_dir, PurePath(file), os.O_RDONLY), "rb") as reader:
            size = os.fstat(reader.fileno()).st_size
            if size > limit:
                raise _too_large(file, size, instead, limit)
            return reader.read()
    except FileNotFoundError as error:
        raise NotFound(f"{file} is not there.", "It was moved or deleted.") from error
    except (OSError, ValueError) as error:
        raise BadRequest(f"{file} cannot be read: {error}.") from error


def _too_large(what: str, size: int, instead: str, limit: int = LARGEST) -> BadRequest:
    who = "clients take" if limit == LARGEST else "are read"
    return BadRequest(f"{what} has {size:,} bytes, more than the {limit:,} that {who}.", instead)


Reader = Callable[[Call, str, str, "re.Match[str]"], Awaitable[Contents]]
_READERS: tuple[tuple[str, Reader], ...] = (
    ("notebook", _read_notebook),
    (r"notebook/(?P<cell>[1-9]\d{0,8})", _read_notebook_part),
    ("executions", _read_executions),
    (r"(?P<number>[1-9]\d{0,8})/code", _read_code),
    (r"(?P<number>[1-9]\d{0,8})/output", _read_output),
    (r"(?P<number>[1-9]\d{0,8})/image/(?P<image>[1-9]\d{0,5})", _read_image),
    (r"file/(?P<path>.+)", _read_file),
)
