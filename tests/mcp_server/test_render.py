"""Replies as the assistant reads them: the texts in replies/, and the rules that hold for all.

KERNELEXEC_WRITE_REPLIES=1 writes the texts anew, for a person to review.
"""

from __future__ import annotations

import asyncio
import base64
import io
import os
import re
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
from PIL import Image

from kernelexec.errors import KernelFailed
from kernelexec.kernels.kernel import Death
from kernelexec.mcp_server.render import TEXT_LIMIT, execution_result, failure
from kernelexec.model.execution import Execution, State
from kernelexec.model.limits import Limits
from kernelexec.session.session import Session
from tests.fakes import (
    BEN,
    Answer,
    FakeKernel,
    FakeStarter,
    caller,
    dying,
    environment,
    failing,
    fine,
    finish,
    printing,
    ran,
    run,
    saying,
    session_in,
    settled,
    stalling,
    submit,
    told,
)
from tests.mcp_server.calls import text_of

REPLIES = Path(__file__).parent / "replies"
MOST = 12_000  # characters that the client with the smallest limit keeps


def picture_data(kind: str = "PNG", size: tuple[int, int] = (32, 24), *, noise: bool = False) -> bytes:
    """A picture; with noise it is about as large as its pixels are many."""
    image = Image.effect_noise(size, 100).convert("RGB") if noise else Image.new("RGB", size, "navy")
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def shown(
    data: bytes, mime: str = "image/png", text: str = "<Figure size 640x480>"
) -> tuple[str, dict[str, Any]]:
    """The message that displays it."""
    bundle = {"text/plain": text, mime: base64.b64encode(data).decode()}
    return "display_data", {"data": bundle, "metadata": {}}


def opened(
    identity: str, model: str, module: str = "@jupyter-widgets/controls", **state: Any
) -> tuple[str, dict[str, Any]]:
    """The message that makes a widget."""
    named = {"_model_name": model, "_model_module": module, **state}
    return "comm_open", {"comm_id": identity, "data": {"state": named}}


def displayed_widget(identity: str, text: str) -> tuple[str, dict[str, Any]]:
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": identity}}
    return "display_data", {"data": {"text/plain": text, **view}, "metadata": {}}


PNG = base64.b64encode(picture_data()).decode()


@pytest.fixture
def storage() -> Iterator[Path]:
    """A directory whose path is always equally long: where a text is cut depends on it."""
    with tempfile.TemporaryDirectory(prefix="kx", dir="/tmp") as folder:
        yield Path(folder)


async def reply_of(execution: Execution, session: Session, *, known: bool = False) -> types.CallToolResult:
    """The reply; `known`: the caller has spoken to this kernel before."""
    someone = caller(session.recorder.storage_dir)
    if known:
        told(session)
    return await execution_result(execution, session, someone)


def images_of(result: types.CallToolResult) -> list[types.ImageContent]:
    return [block for block in result.content if isinstance(block, types.ImageContent)]


def steady(text: str, storage_dir: Path) -> str:
    """Without what differs from run to run."""
    text = text.replace(str(storage_dir), "/data")
    text = re.sub(r"\b\d+\.\d+ s\b", "0.123 s", text)
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "2026-11-23 10:00:00 UTC", text)


def held_against(name: str, result: types.CallToolResult, storage_dir: Path) -> None:
    """Compare with replies/NAME.txt: error flag, text, and the kinds of what follows it."""
    blocks = [f"<{block.mime_type}>\n" for block in images_of(result)]
    flag = "isError\n\n" if result.is_error else ""
    shown = f"{flag}{steady(text_of(result), storage_dir)}\n{''.join(blocks)}"
    file = REPLIES / f"{name}.txt"
    if os.environ.get("KERNELEXEC_WRITE_REPLIES"):
        file.write_text(shown)
    assert shown == file.read_text()


# --- what is said, word by word -------------------------------------------------------


TRACEBACK = (
    "\x1b[31m-------------------------------------------\x1b[39m",
    "\x1b[31mKeyError\x1b[39m                  Traceback (most recent call last)",
    "Cell \x1b[32mIn[1]\x1b[39m\x1b[32m, line 1\x1b[39m\n"
    '\x1b[32m----> \x1b[39m\x1b[32m1\x1b[39m penguins["weight"]',
    "\x1b[31mKeyError\x1b[39m: 'weight'",
)
FIGURE = shown(picture_data())
RESULT = ("execute_result", {"data": {"text/plain": "42"}, "metadata": {}, "execution_count": 1})

ANSWERED: dict[str, Answer] = {
    "success": saying(("stream", {"name": "stdout", "text": "loading\n"}), RESULT),
    "success_without_output": fine,
    "error": failing("KeyError", "'weight'", TRACEBACK),
    "stderr": saying(
        ("stream", {"name": "stdout", "text": "344 rows\n"}),
        ("stream", {"name": "stderr", "text": "FutureWarning: use .loc\n"}),
        RESULT,
    ),
    "progress_bar": printing("  0%|          |\r 50%|#####     |\r100%|##########|\n", "stderr"),
    "truncated": printing("".join(f"line {n:06d} {'.' * 180}\n" for n in range(20_000))),
    "many_outputs": saying(
        *(("display_data", {"data": {"text/plain": f"row {n:.<400}"}}) for n in range(50))
    ),
    "image": saying(FIGURE),
    "five_images": saying(*[FIGURE] * 5),
    "image_and_error": saying(FIGURE, ("error", {"ename": "E", "evalue": "", "traceback": ["E"]})),
    "not_text": saying(("display_data", {"data": {"text/html": "<b>x</b>", "application/pdf": "aGk="}})),
    "died": dying(Death(signal=9, oom_kills=1), first="half\n"),
    "died_segfault": dying(Death(signal=11, stderr="Fatal Python error: Aborted\n\x1b[1mThread 0x1")),
    "interrupted_by_another": failing("KeyboardInterrupt"),
    "output_like_a_reply": saying(
        ("stream", {"name": "stdout", "text": "OK: sales@analysis/9 ran\n\n\x1b[1m[result]\x1b[0m\n42\n"}),
        ("stream", {"name": "out]\n\n[result", "text": "43\n"}),
        ("error", {"ename": "E\n\n[stderr]\nF", "evalue": "", "traceback": ["E\n\n[stderr]\nF"]}),
    ),
    "widget": saying(
        opened("bar", "HBoxModel", children=["IPY_MODEL_text", "IPY_MODEL_progress"]),
        opened("text", "HTMLModel", value="<b>Epoch 2</b>"),
        opened("progress", "IntProgressModel", value=2, max=3),
        displayed_widget("bar", "HBox(children=(HTML(value='Epoch 1'), IntProgress(value=1, max=3)))"),
        opened("out", "OutputModel", "@jupyter-widgets/output", msg_id="1"),
        displayed_widget("out", "Output()"),
    ),
}


@pytest.mark.parametrize("name", ANSWERED)
def test_the_reply_to_a_run_that_has_ended(storage: Path, name: str) -> None:
    async def test() -> None:
        async with session_in(storage, FakeStarter([fine, ANSWERED[name]])) as session:
            await ran(session, "x = 1")
            execution = await ran(session, "penguins")
            held_against(name, await reply_of(execution, session, known=True), storage)

    run(test())


async def new_kernel(session: Session, starter: FakeStarter) -> Execution:
    return await ran(session, "x = 1", label="load data")


async def known_kernel_of_an_earlier_client(session: Session, starter: FakeStarter) -> Execution:
    await ran(session, "x = 1")
    return await ran(session, "x")


async def running(session: Session, starter: FakeStarter) -> Execution:
    starter.plan = [[stalling(first="epoch 1\n")]]
    execution = submit(session, "train()")
    await settled(lambda: execution.state is State.RUNNING)
    return execution


async def running_in_spite_of_an_interrupt(session: Session, starter: FakeStarter) -> Execution:
    async def deaf(kernel_run: Any) -> Any:
        kernel_run.busy()
        await asyncio.Event().wait()

    starter.plan = [[deaf]]
    execution = submit(session, "train()")
    await settled(lambda: execution.state is State.RUNNING)
    await session.cancel(execution, "Cancelled by the client.")
    return execution


async def queued(session: Session, starter: FakeStarter) -> Execution:
    starter.plan = [[stalling()]]
    first = submit(session, "train()")
    await settled(lambda: first.state is State.RUNNING)
    return submit(session, "x")


async def queued_while_the_kernel_starts(session: Session, starter: FakeStarter) -> Execution:
    starter.go_on.clear()
    execution = submit(session, "x")
    await settled(lambda: starter.starts == 1)
    return execution


async def interrupted(session: Session, starter: FakeStarter) -> Execution:
    starter.plan = [[stalling(first="epoch 1\n")]]
    return await ran(session, "train()", max_seconds=0.01)


async def not_run_after_a_death_in_between(session: Session, starter: FakeStarter) -> Execution:
    await ran(session, "x = 1")
    starter.kernels[0].die(Death(signal=9, oom_kills=2))
    await settled(lambda: session.kernel is None)
    return submit(session, "x")


async def new_kernel_after_that(session: Session, starter: FakeStarter) -> Execution:
    await reply_of(await not_run_after_a_death_in_between(session, starter), session)
    return await ran(session, "x = 1")


async def not_run_because_queued_behind_a_death(session: Session, starter: FakeStarter) -> Execution:
    starter.plan = [[dying(Death(exit_code=3), first="")]]
    first, second = submit(session, "exit(3)"), submit(session, "x")
    await session.executions.wait(first, 2)
    await session.executions.wait(second, 2)
    return second


async def not_run_because_no_kernel_starts(session: Session, starter: FakeStarter) -> Execution:
    starter.plan = [KernelFailed("The kernel did not start: it exited with code 1.\nNo module named 'zmq'")]
    return await ran(session, "x")


async def not_run_because_taken_back(session: Session, starter: FakeStarter) -> Execution:
    execution = await queued(session, starter)
    await session.cancel(execution, "Cancelled by the client.")
    return execution


async def notebook_not_written(session: Session, starter: FakeStarter) -> Execution:
    execution = await ran(session, "x")
    session.recorder.notebooks.problem = "/data/sales@analysis-1.ipynb: No space left on device"
    return execution


SITUATIONS: list[Callable[[Session, FakeStarter], Awaitable[Execution]]] = [
    new_kernel,
    known_kernel_of_an_earlier_client,
    running,
    running_in_spite_of_an_interrupt,
    queued,
    queued_while_the_kernel_starts,
    interrupted,
    not_run_after_a_death_in_between,
    new_kernel_after_that,
    not_run_because_queued_behind_a_death,
    not_run_because_no_kernel_starts,
    not_run_because_taken_back,
    notebook_not_written,
]


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda each: each.__name__)
def test_the_reply_in_a_situation(
    storage: Path, situation: Callable[[Session, FakeStarter], Awaitable[Execution]]
) -> None:
    async def test() -> None:
        starter = FakeStarter()
        async with session_in(storage, starter) as session:
            execution = await situation(session, starter)
            held_against(situation.__name__, await reply_of(execution, session), storage)

    run(test())


def test_the_reply_to_a_run_whose_end_nobody_saw(storage: Path) -> None:
    async def test() -> None:
        async with session_in(storage, FakeStarter([stalling(first="half\n")])) as session:
            execution = submit(session, "train()")
            await settled(lambda: execution.state is State.RUNNING)
        async with session_in(storage, FakeStarter()) as session:
            told(session)
            held_against("unknown", await reply_of(session.executions.get(1), session), storage)

    run(test())


def test_the_reply_to_a_run_whose_output_went_to_a_file(storage: Path) -> None:
    async def test() -> None:
        answer = saying(*(("stream", {"name": "stdout", "text": f"line {n}\n"}) for n in range(100)))
        async with session_in(storage, FakeStarter([answer])) as session:
            session.recorder.limits = Limits(cell=100)
            held_against("overflow", await reply_of(await ran(session, "x"), session, known=True), storage)

    run(test())


def test_of_an_output_in_a_file_the_first_lines_and_the_end_are_shown_and_the_rest_is_named(
    tmp_path: Path,
) -> None:
    async def test() -> None:
        lines = [f"line {n:06d}\n" for n in range(20_000)]
        answer = saying(*(("stream", {"name": "stdout", "text": line}) for line in lines))
        async with session_in(tmp_path, FakeStarter([answer])) as session:
            session.recorder.limits = Limits(cell=100_000)
            text = text_of(await reply_of(await ran(session, "x"), session, known=True))
            head = text.partition("[stdout]\n")[2].partition("\n\n[... ")[0]
            assert "".join(lines).startswith(head)
            assert text.endswith("line 019999")
            assert "line 010000" not in text
            offset = int(re.search(r"offset=(\d+)\) reads what is left out", text)[1])  # type: ignore[index]
            assert offset == len("[stdout]\n") + len(head) + len("\n")
            assert text.count("[... ") == 1

    run(test())


def ending_with(name: str, value: str, stderr: str) -> Answer:
    """A run that fails without an error message, as IPython's UsageError and ExceptionGroup do."""

    async def answer(kernel_run: Any) -> Any:
        kernel_run.busy()
        kernel_run.print(stderr, "stderr")
        kernel_run.idle()
        return kernel_run.reply("error", ename=name, evalue=value)

    return answer


@pytest.mark.parametrize(
    ("name", "value", "stderr"),
    [
        ("ExceptionGroup", "g (2 sub-exceptions)", "  | ExceptionGroup: g (2 sub-exceptions)\n  +-+----\n"),
        (
            "UsageError",
            "Line magic function `%x` not found.",
            "UsageError: Line magic function `%x` not found.\n",
        ),
    ],
)
def test_an_error_that_ipython_tells_on_stderr_only_is_named_by_the_verdict_and_told_once(
    tmp_path: Path, name: str, value: str, stderr: str
) -> None:
    result = replied(tmp_path, ending_with(name, value, stderr))
    text = text_of(result)
    assert result.is_error
    assert f" with {name}; saved as " in text.partition("\n")[0]
    assert text.count(value) == 1


def test_an_error_that_nothing_shows_is_told_by_the_reply(tmp_path: Path) -> None:
    text = text_of(replied(tmp_path, ending_with("E", "why", "something else\n")))
    assert "It raised E: why" in text


def test_a_run_that_ended_well_and_showed_errors_says_so_in_its_verdict(tmp_path: Path) -> None:
    errors = [
        ("error", {"ename": name, "evalue": "v", "traceback": []})
        for name in ("KeyError", "E\nF", "KeyError")
    ]
    verdict = text_of(replied(tmp_path, saying(*errors[:1]))).partition("\n")[0]
    assert verdict.startswith("OK: sales@analysis/1 ran in ")
    assert ", but showed an error: KeyError; saved as " in verdict
    several = text_of(replied(tmp_path / "several", saying(*errors))).partition("\n")[0]
    assert ", but showed 3 errors: KeyError, E F; saved as " in several


def test_an_error_in_an_output_widget_is_named_by_the_verdict_of_its_run(tmp_path: Path) -> None:
    async def answer(kernel_run: Any) -> Any:
        kernel_run.busy()
        message_type, content = opened(
            "o", "OutputModel", "@jupyter-widgets/output", msg_id=kernel_run.msg_id
        )
        kernel_run.say(message_type, **content)
        kernel_run.error("KeyError", "inside")
        kernel_run.idle()
        return kernel_run.reply()

    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([answer, fine])) as session:
            first = text_of(await reply_of(await ran(session, "x"), session, known=True))
            assert ", but showed an error: KeyError; saved as " in first.partition("\n")[0]
            assert ", but" not in text_of(await reply_of(await ran(session, "y"), session))

    run(test())


def test_a_clean_exit_is_no_error_and_is_told_as_the_end_of_the_code(tmp_path: Path) -> None:
    result = replied(tmp_path, failing("SystemExit", "0", ["An exception has occurred", "SystemExit: 0"]))
    text = text_of(result)
    assert not result.is_error
    assert re.match(r"OK: sales@analysis/1 ran in \S+ s; saved as ", text)
    assert "The code ended itself by sys.exit(0), which is no error" in text
    assert "[error]" not in text
    assert text_of(replied(tmp_path / "3", failing("SystemExit", "3"))).startswith("ERROR: ")


@pytest.mark.parametrize(
    "said",
    [
        "asyncio.run() cannot be called from a running event loop",
        "This event loop is already running",
        "Cannot run the event loop while another loop is running",
    ],
)
def test_a_loop_in_a_cell_gets_the_hint_to_await(tmp_path: Path, said: str) -> None:
    assert "write `await main()`" in text_of(replied(tmp_path, failing("RuntimeError", said)))
    assert "await main()" not in text_of(replied(tmp_path / "other", failing("RuntimeError", "no luck")))


def test_every_text_in_replies_is_one_that_is_tested() -> None:
    tested = {*ANSWERED, *(each.__name__ for each in SITUATIONS), "unknown", "overflow"}
    assert {path.stem for path in REPLIES.glob("*.txt")} == tested


# --- what holds for all ------------------------------------------------------------------


def replied(tmp_path: Path, answer: Answer, *, known: bool = True) -> types.CallToolResult:
    async def test() -> types.CallToolResult:
        async with session_in(tmp_path, FakeStarter([answer])) as session:
            return await reply_of(await ran(session, "x"), session, known=known)

    return run(test())


LINES = "".join(f"line {n:05d}\n" for n in range(1_000))
LARGE: dict[str, Answer] = {
    "one_block": printing("x" * 1_000_000),
    "many_lines": printing("y\nno\n\n" * 100 + "".join(f"{n}\n" for n in range(30_000))),
    "sixteen_large_blocks": saying(*[("display_data", {"data": {"text/plain": LINES}})] * 16),
    "a_hundred_large_blocks": saying(*[("display_data", {"data": {"text/plain": LINES}})] * 100),
    "two_thousand_small_blocks": saying(*[("display_data", {"data": {"text/plain": "x"}})] * 2_000),
    "a_long_traceback": failing("E", "", [LINES] * 10),
    "a_long_error_name": failing("E" * 100_000, "v" * 100_000),
    "a_long_stderr": dying(Death(signal=11, stderr="s" * 4_000), first="o" * 1_000_000),
    "escape_codes_and_controls": printing("\x00\x07" * 50_000),
}


@pytest.mark.parametrize("name", LARGE)
def test_no_reply_is_longer_than_every_client_keeps(tmp_path: Path, name: str) -> None:
    result = replied(tmp_path, LARGE[name], known=False)
    assert len(text_of(result)) <= MOST


@pytest.mark.parametrize(
    "name", ["one_block", "many_lines", "sixteen_large_blocks", "a_hundred_large_blocks"]
)
def test_a_long_reply_uses_the_room_there_is_and_says_where_the_rest_is(tmp_path: Path, name: str) -> None:
    text = text_of(replied(tmp_path, LARGE[name]))
    assert len(text) > TEXT_LIMIT * 0.8
    assert "left out" in text
    assert 'read_output(execution_id="sales@analysis/1", offset=' in text


def test_short_blocks_leave_their_room_to_long_ones(tmp_path: Path) -> None:
    texts = ["x" * 9_000, "short", "short"]
    text = text_of(replied(tmp_path, saying(*(("display_data", {"data": {"text/plain": t}}) for t in texts))))
    assert "x" * 9_000 in text


def test_a_long_problem_does_not_hide_the_output(tmp_path: Path) -> None:
    result = replied(tmp_path, dying(Death(signal=11, stderr="s" * 20_000), first="the output"))
    assert "the output" in text_of(result)


@pytest.mark.parametrize(
    "raw", ["\x1b]52;c;aGk=\x07x", "\x1b[2Jx", "a\u202eb", "\x9d0;x\x07", "\ud800", "\x00"]
)
def test_no_control_character_reaches_the_reply(tmp_path: Path, raw: str) -> None:
    answer = saying(
        ("stream", {"name": "stdout", "text": raw}),
        ("stream", {"name": raw, "text": "x"}),
        ("display_data", {"data": {"text/plain": raw, f"image/{raw}": "x"}}),
        ("display_data", {"data": {f"application/{raw}": "x"}}),
        ("error", {"ename": raw, "evalue": raw, "traceback": [raw]}),
    )
    text = text_of(replied(tmp_path, answer))
    text.encode()
    bad = {c for c in text if (ord(c) < 32 and c != "\n") or 0x7F <= ord(c) < 0xA0 or c in "\u202e\ud800"}
    assert not bad


# --- pictures ----------------------------------------------------------------------------


def size_of(image: types.ImageContent) -> tuple[int, int]:
    return Image.open(io.BytesIO(base64.b64decode(image.data))).size


def test_a_picture_that_fits_is_sent_as_it_is(tmp_path: Path) -> None:
    [image] = images_of(replied(tmp_path, saying(FIGURE)))
    assert (image.data, image.mime_type) == (PNG, "image/png")


def test_there_are_at_most_four_pictures_and_the_others_can_be_read(tmp_path: Path) -> None:
    result = replied(tmp_path, saying(*[FIGURE] * 6))
    assert len(images_of(result)) == 4
    offset = (
        text_of(result).partition("images 5 to 6 are left out")[2].partition("offset=")[2].partition(")")[0]
    )
    assert int(offset) > 0


def test_pictures_that_are_too_large_together_are_made_smaller_and_the_small_one_is_not(
    tmp_path: Path,
) -> None:
    large, small = picture_data(size=(800, 600), noise=True), picture_data()
    assert len(large) > 400_000
    result = replied(tmp_path, saying(shown(large), shown(small), shown(large)))
    first, second, third = images_of(result)
    assert sum(len(base64.b64decode(image.data)) for image in (first, second, third)) <= 600_000
    assert base64.b64decode(second.data) == small
    assert "image 1 was made smaller, 800 x 600 pixels to" in text_of(result)
    assert "image 2" not in text_of(result).partition("\n\n")[0]


def test_a_picture_of_more_pixels_than_models_take_is_scaled(tmp_path: Path) -> None:
    result = replied(tmp_path, saying(shown(picture_data(size=(5_000, 40)))))
    [image] = images_of(result)
    assert size_of(image) == (2_000, 16)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_picture_reaches_the_model_whatever_its_format(tmp_path: Path, kind: str) -> None:
    result = replied(tmp_path, saying(shown(picture_data(kind), f"image/{kind.lower()}")))
    [image] = images_of(result)
    assert image.mime_type == ("image/jpeg" if kind == "JPEG" else "image/png")
    assert size_of(image) == (32, 24)


def test_drawings_reach_the_model_as_pictures_in_their_order(tmp_path: Path) -> None:
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="30"><circle r="9"/></svg>'
    drawing = ("display_data", {"data": {"image/svg+xml": svg}, "metadata": {}})
    broken = ("display_data", {"data": {"image/svg+xml": "<svg"}, "metadata": {}})
    result = replied(tmp_path, saying(broken, drawing, FIGURE))
    first, second = images_of(result)
    assert (first.mime_type, size_of(first)) == ("image/png", (160, 120))
    assert second.data == PNG
    text = text_of(result)
    assert "image 1 cannot be shown (it is SVG that cannot be drawn); it is in the notebook" in text
    assert "[image 2: image/svg+xml]" in text


def test_a_picture_in_an_output_widget_is_shown(tmp_path: Path) -> None:
    async def answer(kernel_run: Any) -> Any:
        kernel_run.busy()
        for message_type, content in (
            FIGURE,
            opened("o", "OutputModel", "@jupyter-widgets/output", msg_id=kernel_run.msg_id),
            shown(picture_data(size=(9, 9))),
        ):
            kernel_run.say(message_type, **content)
        kernel_run.idle()
        return kernel_run.reply()

    result = replied(tmp_path, answer)
    assert [size_of(image) for image in images_of(result)] == [(32, 24), (9, 9)]
    assert "[widget]\n[image 2: image/png]" in text_of(result)


def test_a_transparent_picture_that_is_made_smaller_stays_readable(tmp_path: Path) -> None:
    image = Image.merge("RGBA", [Image.effect_noise((900, 900), 100) for _ in range(4)])
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    [sent] = images_of(replied(tmp_path, saying(shown(buffer.getvalue()))))
    assert len(base64.b64decode(sent.data)) <= 600_000


def bomb() -> bytes:
    """A sound PNG that says it has 10,000,000,000 pixels."""
    small = picture_data(size=(1, 1))
    header = small[12:16] + struct.pack(">II", 100_000, 100_000) + small[24:29]
    return small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:]


@pytest.mark.parametrize(
    ("encoded", "why"),
    [
        ("no base64!", "not valid base64"),
        (base64.b64encode(b"hello").decode(), "it is broken"),
        (base64.b64encode(picture_data(size=(400, 400), noise=True)[:9_000]).decode(), "it is broken"),
        (base64.b64encode(bomb()).decode(), "it has too many pixels"),
        ("", "it is broken"),
    ],
)
def test_what_is_no_picture_is_not_sent_and_harms_no_other(tmp_path: Path, encoded: str, why: str) -> None:
    broken = ("display_data", {"data": {"image/png": encoded}, "metadata": {}})
    result = replied(tmp_path, saying(broken, FIGURE))
    assert [image.data for image in images_of(result)] == [PNG]
    assert re.search(f"image 1 cannot be shown \\(.*({why})", text_of(result))


def test_base64_in_lines_is_sent_in_one(tmp_path: Path) -> None:
    lines = PNG[:20] + "\n" + PNG[20:] + "\n"
    [image] = images_of(replied(tmp_path, saying(("display_data", {"data": {"image/png": lines}}))))
    assert image.data == PNG


def test_pillow_is_not_loaded_for_pictures_that_fit() -> None:
    code = "import sys, kernelexec.mcp_server.server; sys.exit('PIL.Image' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_result_with_an_empty_text_is_not_called_something_else(tmp_path: Path) -> None:
    text = text_of(replied(tmp_path, saying(("execute_result", {"data": {"text/plain": ""}}))))
    assert "not text" not in text


@pytest.mark.parametrize(
    ("answer", "is_error"),
    [
        (fine, False),
        (failing("E"), True),
        (failing("KeyboardInterrupt"), False),
        (dying(Death(signal=9)), True),
        (ANSWERED["image_and_error"], False),
        (printing("oops", "stderr"), False),
    ],
)
def test_what_failed_is_marked_as_an_error_unless_images_would_be_lost(
    tmp_path: Path, answer: Answer, is_error: bool
) -> None:
    assert replied(tmp_path, answer).is_error is is_error


def test_a_call_that_could_not_be_served_is_an_error() -> None:
    result = failure("It was not run.")
    assert (result.is_error, text_of(result)) == (True, "It was not run.")


def test_a_caller_is_told_of_its_kernel_once(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            someone = caller(tmp_path)
            first = await ran(session, "a")
            assert "Kernel: new" in text_of(await execution_result(first, session, someone))
            second = await ran(session, "b")
            assert "Kernel:" not in text_of(await execution_result(second, session, someone))
            another = replace(someone, id=BEN.id)
            assert "still there" in text_of(await execution_result(second, session, another))

    run(test())


def test_an_old_run_of_another_kernel_is_not_said_to_have_run_in_the_present_one(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter([dying(Death(signal=9), first="half")])) as session:
            await ran(session, "a")
            await ran(session, "b", caller=BEN)
            text = text_of(await execution_result(session.executions.get(1), session, caller(tmp_path)))
            assert text.startswith("DIED: sales@analysis/1")
            assert "Kernel: new" not in text
            assert "It is not the kernel of sales@analysis/1" in text
            assert "sales@analysis-2.ipynb" not in text.partition("Kernel:")[0]

    run(test())


@pytest.mark.parametrize("first", [dying(Death(signal=11), first="half"), fine])
def test_an_old_reply_does_not_swallow_the_news_of_a_later_death(tmp_path: Path, first: Answer) -> None:
    async def test() -> None:
        starter = FakeStarter([first])
        async with session_in(tmp_path, starter) as session:
            last = await ran(session, "a")
            told(session, last)
            await ran(session, "b")
            starter.kernels[-1].die(Death(signal=9))
            await settled(lambda: session.kernel is None)
            text = text_of(await execution_result(session.executions.get(1), session, caller(tmp_path)))
            assert "signal 9" in text

    run(test())


def test_an_old_submission_that_was_not_run_does_not_swallow_the_news_of_a_death(tmp_path: Path) -> None:
    async def test() -> None:
        starter = FakeStarter()
        starter.go_on.clear()
        async with session_in(tmp_path, starter) as session:
            first = submit(session, "a")
            await session.cancel(first, "Cancelled by the client.")
            starter.go_on.set()
            await ran(session, "b")
            starter.kernels[0].die(Death(signal=9))
            await settled(lambda: session.kernel is None)
            assert "signal 9" in text_of(await execution_result(first, session, caller(tmp_path)))

    run(test())


def test_an_adopted_kernel_is_not_called_new(tmp_path: Path) -> None:
    async def test() -> None:
        async with session_in(tmp_path, FakeStarter()) as session:
            await ran(session, "a")
        async with session_in(tmp_path, FakeStarter()) as session:
            told(session)
            started = session.executions.get(1).submitted
            kernel = FakeKernel(session.on_message)
            kernel.count = 1
            session.adopt(kernel, started)
            text = text_of(await execution_result(await ran(session, "b"), session, caller(tmp_path)))
            assert "running since" in text
            assert environment().interpreter.version_text in text

    run(test())


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("FileNotFoundError", "your own directory is"),
        ("StdinNotImplementedError", "put the value into the code"),
    ],
)
def test_an_error_that_an_assistant_cannot_see_the_reason_of_is_explained(
    tmp_path: Path, name: str, told: str
) -> None:
    text = text_of(replied(tmp_path, failing(name)))
    assert told in text.partition("[error]")[0]


def layout(identity: str, **state: str) -> tuple[str, dict[str, Any]]:
    return opened(identity, "LayoutModel", "@jupyter-widgets/base", **state)


def test_a_bar_is_told_where_it_stands_and_one_that_is_gone_leaves_no_gap(tmp_path: Path) -> None:
    messages = [
        layout("seen"),
        opened("outer", "LabelModel", value="outer: 20/20", layout="IPY_MODEL_seen"),
        displayed_widget("outer", "outer: 0%"),
    ]
    for number in range(20):
        messages += [
            layout(f"layout{number}"),
            opened(f"bar{number}", "LabelModel", value="inner: 0%", layout=f"IPY_MODEL_layout{number}"),
            displayed_widget(f"bar{number}", "inner: 0%"),
            ("comm_msg", {"comm_id": f"layout{number}", "data": {"state": {"visibility": "hidden"}}}),
            ("stream", {"name": "stdout", "text": f"epoch {number}\n"}),
        ]
    messages.append(("execute_result", {"data": {"text/plain": "42"}, "execution_count": 1}))
    text = text_of(replied(tmp_path, saying(*messages)))
    epochs = "\n".join(f"epoch {number}" for number in range(20))
    assert text.endswith(f"[widget]\nouter: 20/20\n\n[stdout]\n{epochs}\n\n[result]\n42")


def test_of_many_outputs_the_last_are_shown_as_far_as_there_is_room(tmp_path: Path) -> None:
    few = [("display_data", {"data": {"text/plain": f"row {n}"}, "metadata": {}}) for n in range(200)]
    text = text_of(replied(tmp_path, saying(*few)))
    assert "left out" not in text
    assert text.count("[display]") == 200


def test_html_that_comes_as_its_own_source_is_told_as_text(tmp_path: Path) -> None:
    html = "<div><p>finished 0</p><p>finished 1</p></div>"
    bundle = {"text/plain": html, "text/html": html, "text/markdown": f"```html\n{html}\n```"}
    text = text_of(replied(tmp_path, saying(("display_data", {"data": bundle, "metadata": {}}))))
    assert text.endswith("[display]\nfinished 0\nfinished 1")


def test_what_a_widget_shows_comes_again_with_what_is_new_of_a_run_that_goes_on(tmp_path: Path) -> None:
    async def test() -> None:
        gate = asyncio.Event()

        async def answer(kernel_run: Any) -> Any:
            kernel_run.busy()
            for message_type, content in (
                opened("bar", "LabelModel", value="1/2"),
                displayed_widget("bar", "0/2"),
                ("stream", {"name": "stdout", "text": "one\n"}),
            ):
                kernel_run.say(message_type, **content)
            await gate.wait()
            kernel_run.say("comm_msg", comm_id="bar", data={"state": {"value": "2/2"}})
            kernel_run.print("two\n")
            kernel_run.idle()
            return kernel_run.reply()

        async with session_in(tmp_path, FakeStarter([answer])) as session:
            execution, someone = submit(session, "x"), caller(tmp_path)
            await settled(lambda: execution.last_text == "one\n")
            first = text_of(await execution_result(execution, session, someone))
            assert first.endswith("[widget]\n1/2\n\n[stdout]\none")
            gate.set()
            await finish(session, execution)
            second = text_of(await execution_result(execution, session, someone))
            assert second.endswith("[widget]\n2/2\n\n[stdout]\ntwo")

    run(test())


def test_what_is_printed_again_and_again_is_told_once(tmp_path: Path) -> None:
    warnings = "findfont: Font family 'Courier New' not found.\n" * 1_000
    said = saying(("stream", {"name": "stderr", "text": f"first\n{warnings}last\n"}), FIGURE)
    text = text_of(replied(tmp_path, said))
    assert "[stderr]\nfirst\nfindfont: Font family 'Courier New' not found.\n" in text
    assert "\n[the line above 999 times more]\nlast\n" in text


def test_what_a_widget_showed_is_told_after_its_kernel_has_ended(tmp_path: Path) -> None:
    async def test() -> None:
        answer = saying(
            opened("bar", "LabelModel", value="2/2"),
            displayed_widget("bar", "0/2"),
        )
        async with session_in(tmp_path, FakeStarter([answer])) as session:
            execution = await ran(session, "x")
            session.recorder.begin_generation(2, {})
            shown = text_of(await execution_result(execution, session, caller(tmp_path)))
            assert shown.endswith("[widget]\n2/2")
            assert session.recorder.widgets_of(replace(execution, generation=9)).views().of("bar") is None

    run(test())
