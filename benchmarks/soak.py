"""Use without end: many calls, starts and clients, and processes that are killed at any moment.

    .venv/bin/python -m benchmarks.soak [--scale 1.0] [--seed 0]

Scale 1 is 10,000 calls, 500 kernels started and stopped, 50 clients at 20 kernels, and 1,000 times SIGKILL to
the hub, a kernel, a keeper or a bridge: hours. After each part: what the hub holds, which must be what it
held before, and temporary files, of which there must be none. After the kills: whether journal, scripts,
notebooks, what ran and what was replied agree (`disagreements`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.latency import COUNT, KERNELEXEC, Place
from benchmarks.neighbours import hub_of
from kernelexec.model.execution import State
from kernelexec.recording.journal_lines import read
from tests.journals import replayed

CALLS, STARTS, CLIENTS, KERNELS, KILLS = 10_000, 500, 50, 20, 1_000
_PATIENCE_SECONDS = 120.0
_SETTLING_SECONDS = 120
_VERDICT = re.compile(r"(?P<state>[A-Z ]+): (?:nobody saw how )?(?P<id>\S+@\S+/(?P<n>\d+))")
# What a hub may hold more after a part than before it.
_MORE_BYTES, _MORE_DESCRIPTORS, _MORE_THREADS = 30_000_000, 8, 4


class Gone(Exception):
    """The bridge has ended, so no answer comes."""


class Bridge:
    """A client's connection: one bridge, and calls whose answers may come in any order."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._answers: dict[int, asyncio.Future[Mapping[str, Any]]] = {}
        self._last = 0
        self._reading = asyncio.create_task(self._read())

    async def request(self, method: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Its result.

        Raises:
            Gone
        """
        if self._reading.done():  # killed when it had just answered the request before
            raise Gone
        self._last += 1
        answer = self._answers[self._last] = asyncio.get_running_loop().create_future()
        self._write({"jsonrpc": "2.0", "id": self._last, "method": method, "params": params})
        message = await asyncio.wait_for(answer, _PATIENCE_SECONDS)
        assert "result" in message, message
        result: Mapping[str, Any] = message["result"]
        return result

    async def call(self, tool: str, **arguments: Any) -> str:
        result = await self.request("tools/call", {"name": tool, "arguments": arguments})
        return "\n".join(block["text"] for block in result["content"] if block["type"] == "text")

    async def begin(self) -> None:
        client = {"name": "soak", "version": "1"}
        params = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client}
        await self.request("initialize", params)
        self._write({"jsonrpc": "2.0", "method": "notifications/initialized"})

    async def end(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()
        await self._reading

    def _write(self, message: Mapping[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            message = json.loads(line)
            answer = self._answers.pop(message.get("id"), None)
            if answer is not None and not answer.done():
                answer.set_result(message)
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(Gone())


async def bridge_in(place: Place, cwd: Path) -> Bridge:
    process = await asyncio.create_subprocess_exec(
        *KERNELEXEC,
        env=place.environ,
        cwd=cwd,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=1 << 24,
    )
    bridge = Bridge(process)
    await bridge.begin()
    return bridge


@asynccontextmanager
async def bridge(place: Place, cwd: Path) -> AsyncIterator[Bridge]:
    made = await bridge_in(place, cwd)
    try:
        yield made
    finally:
        await made.end()


# --- what is held ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Held:
    """What a hub has of the system, and what lies about."""

    memory: int
    descriptors: int
    threads: int
    temporary: int  # files
    sessions: int  # each of which has its journal open

    def __str__(self) -> str:
        return (
            f"{self.memory / 1e6:6.1f} MB  {self.descriptors:3} descriptors  {self.threads:2} threads  "
            f"{self.temporary} temporary files"
        )

    def more_than(self, before: Held) -> list[str]:
        """What has grown by more than it may."""
        grown = {
            "memory": (self.memory - before.memory, _MORE_BYTES),
            "descriptors": (
                self.descriptors - self.sessions - (before.descriptors - before.sessions),
                _MORE_DESCRIPTORS,
            ),
            "threads": (self.threads - before.threads, _MORE_THREADS),
            "temporary files": (self.temporary, 0),
        }
        return [f"{name}: {by:+,}" for name, (by, most) in grown.items() if by > most]


async def held_again(place: Place, before: Held) -> Held:
    """Once what follows behind has ended, too: notebooks are written, and then signed one after the other."""
    for _ in range(_SETTLING_SECONDS // 4):
        now = await held(place)
        if not now.more_than(before):
            break
    return now


async def held(place: Place) -> Held:
    """Once what follows behind is written."""
    await asyncio.sleep(4)
    hub = hub_of(place)
    temporary = [path for path in place.root.rglob("*") if ".tmp" in path.name]
    sessions = len(list(Path(place.environ["CODE_STORAGE_DIR"]).glob(".kernelexec/*.jsonl")))
    return Held(hub.memory_info().rss, hub.num_fds(), hub.num_threads(), len(temporary), sessions)


def ours(place: Place) -> Iterator[tuple[str, psutil.Process]]:
    """The processes of this place that may be killed, each with what it is."""
    runtime = place.environ["KERNELEXEC_RUNTIME_DIR"]
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            line = " ".join(process.cmdline())
            if "kernelexec.daemon.process" in line:
                if process.environ().get("KERNELEXEC_RUNTIME_DIR") == runtime:
                    yield "hub", process
            elif f"{runtime}/k/" in line:
                parent = process.parent()
                is_kernel = parent is not None and f"{runtime}/k/" in " ".join(parent.cmdline())
                yield "kernel" if is_kernel else "keeper", process


async def stop(client: Bridge, reply: str) -> None:
    """End the kernel that has run this."""
    found = _VERDICT.match(reply)
    assert found is not None, reply
    text = await client.call("stop_kernel", session=found["id"].rpartition("/")[0])
    assert text.startswith("STOPPED"), text


# --- the parts ------------------------------------------------------------------------------


async def calls(place: Place, scale: float) -> None:
    async with bridge(place, place.project()) as client:
        for _ in range(max(1, round(CALLS * scale))):
            text = await client.call("execute_code", code="x = globals().get('x', 0)\n" + COUNT)
            assert text.startswith("OK"), text
        await stop(client, text)


async def starts(place: Place, scale: float) -> None:
    async with bridge(place, place.project()) as client:
        for _ in range(max(1, round(STARTS * scale))):
            text = await client.call("execute_code", code="1 + 1")
            assert text.startswith("OK"), text
            await stop(client, text)


async def crowd(place: Place, scale: float) -> None:
    """Many clients at fewer kernels, each of which counts all that was asked of it."""
    clients, kernels = max(2, round(CLIENTS * scale)), max(1, round(KERNELS * scale))
    each, cwd = 10, place.project()
    bridges = await asyncio.gather(*(bridge_in(place, cwd) for _ in range(clients)))

    async def ask(number: int) -> None:
        for _ in range(each):
            code = "count = globals().get('count', 0) + 1"
            text = await bridges[number].call("execute_code", code=code, session=f"crowd{number % kernels}")
            assert text.startswith("OK"), text

    try:
        await asyncio.gather(*(ask(number) for number in range(clients)))
        for number in range(kernels):
            session = f"crowd{number}"
            text = await bridges[number].call("execute_code", code="count", session=session)
            asked = each * len(range(number, clients, kernels))
            assert re.search(rf"^{asked}$", text, re.MULTILINE), text
            await bridges[number].call("stop_kernel", session=session)
    finally:
        await asyncio.gather(*(each.end() for each in bridges))


async def kills(place: Place, rounds: int, chance: random.Random) -> list[str]:
    """Calls in one session while something is killed in each; what disagrees afterwards."""
    cwd, ran = place.project(), place.root / "ran"
    ran.touch()
    said: dict[int, str] = {}  # by execution number: the state that was replied
    client = await bridge_in(place, cwd)
    for mark in range(rounds):
        code = (
            f"# mark {mark}\nimport os, time\nfd = os.open({str(ran)!r}, os.O_WRONLY | os.O_APPEND)\n"
            f"os.write(fd, b'{mark}\\n'); os.close(fd); print('m' * 2000)\n"
            f"time.sleep({chance.random() * 0.2:.3f})"
        )
        answer = asyncio.ensure_future(client.call("execute_code", code=code))
        await asyncio.sleep(chance.random() * chance.choice((0.02, 0.3, 1.5)))
        _kill_one(place, client, chance)
        try:
            found = _VERDICT.match(await answer)
            if found is not None:
                said[int(found["n"])] = found["state"]
        except Gone:
            await client.end()
            client = await bridge_in(place, cwd)
    text = ""
    while not text.startswith("OK"):
        try:
            text = await client.call("execute_code", code="'the end'")
        except Gone:  # killed in the last round, when it had just answered
            await client.end()
            client = await bridge_in(place, cwd)
    await asyncio.sleep(4)
    await client.end()
    place.stop()
    await asyncio.sleep(2)
    left = [f"{what} {process.pid} was left running" for what, process in ours(place)]
    for _, process in ours(place):
        process.kill()
    return left + disagreements(place, cwd.name, Counter(map(int, ran.read_text().split())), said)


def _kill_one(place: Place, client: Bridge, chance: random.Random) -> None:
    found: list[int] = [process.pid for _, process in ours(place)]
    victim = chance.choice([*found, client.process.pid])
    with suppress(ProcessLookupError):
        os.kill(victim, signal.SIGKILL)


def disagreements(place: Place, project: str, ran: Counter[int], said: Mapping[int, str]) -> list[str]:
    """What of a session's journal, scripts, notebooks, effects and replies is not as the others say."""
    storage = Path(place.environ["CODE_STORAGE_DIR"])
    (journal,) = (storage / ".kernelexec").glob(f"{project}@*.jsonl")
    wrong: list[str] = []
    try:
        replayed(journal)
    except AssertionError as error:
        wrong.append(str(error))
    records = list(read(journal))
    ends: dict[int, list[str]] = {record["n"]: [] for record in records if record["event"] == "submitted"}
    for record in records:
        if record["event"] == "finished":
            ends[record["n"]].append(record["state"])
    wrong += [f"{number}: it ended {len(end)} times" for number, end in ends.items() if len(end) != 1]
    cells = "".join(path.read_text() for path in storage.glob(f"{project}@*.ipynb"))
    finals: dict[int, list[str]] = {}  # by mark: of a request that never began the next hub makes another
    for record in (record for record in records if record["event"] == "submitted"):
        script = storage / str(record["script"])
        if not script.is_file() or script.read_text() != record["code"]:
            wrong.append(f"{record['n']}: {script.name} is not the code")
        found = re.match(r"# mark (\d+)\n", record["code"])
        if found is not None:
            finals.setdefault(int(found[1]), []).extend(ends[record["n"]])
    for mark, states in finals.items():
        wrong += [f"mark {mark} ended as {states}: {what}" for what in _wrong(mark, states, ran[mark], cells)]
    return [*wrong, *_other_than_said(said, ends)]


def _other_than_said(said: Mapping[int, str], ends: Mapping[int, list[str]]) -> Iterator[str]:
    for number, state in said.items():
        final = [end.replace("_", " ").upper() for end in ends.get(number, [])]
        if state not in ("RUNNING", "QUEUED") and final != [state]:
            yield f"{number}: the reply said {state}, the journal {final}"


def _wrong(mark: int, states: list[str], ran: int, cells: str) -> Iterator[str]:
    begun = [state for state in states if state != State.NOT_RUN.value]
    if ran > 1 or len(begun) > 1:
        yield f"it ran {ran} times"
    if ran and not begun:
        yield "it is said not to have run, and has"
    if State.OK.value in states and not ran:
        yield "it is said to have run, and has not"
    if bool(begun) != (f"# mark {mark}\\n" in cells):
        yield "the notebooks say otherwise"


# --- the table ------------------------------------------------------------------------------


async def soak(scale: float, seed: int, say: Callable[[str], None]) -> list[str]:
    """Everything, so many times; what was wrong."""
    wrong: list[str] = []
    place = Place()
    try:
        async with bridge(place, place.project()) as first:
            await first.call("execute_code", code="1")
            await starts(place, 0)  # what is imported and kept once
            before = await held(place)
            say(f"{'before':10} {'':9} {before}")
            for part in (calls, starts, crowd):
                began = time.perf_counter()
                await part(place, scale)
                now = await held_again(place, before)
                say(f"{part.__name__:10} {time.perf_counter() - began:7.1f} s {now}")
                wrong += [f"{part.__name__}: {what}" for what in now.more_than(before)]
        began, rounds = time.perf_counter(), max(1, round(KILLS * scale))
        found = await kills(place, rounds, random.Random(seed))
        say(f"{'kills':10} {time.perf_counter() - began:7.1f} s {rounds} rounds, {len(found)} disagreements")
        wrong += found
    finally:
        place.remove()
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description="Use without end.")
    parser.add_argument("--scale", type=float, default=1.0, help="1: 10,000 calls, 500 starts, 1,000 kills")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    wrong = asyncio.run(soak(options.scale, options.seed, lambda line: print(line, flush=True)))
    print("\n".join(wrong) or "Nothing has grown, and all agree.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
