"""The variables of a kernel, asked for without running anything of the user's.

A kernel with our launcher answers on its control channel, also while it runs code. Another ipykernel is
sent kernelspecs/kernel/namespace_report.py as a silent request: in a subshell where it has them
(ipykernel 7), else only while it is idle. Neither counts as a run: no history, no `_`, no name is left.
"""

from __future__ import annotations

import ast
import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from kernelexec import paths
from kernelexec.kernels.link import Link, LinkClosed
from kernelexec.kernels.wire import Message

_SECONDS = 4.0  # the report itself takes at most 1.5
_SUBSHELLS = "kernel subshells"  # as kernel_info names the feature


@dataclass(frozen=True)
class Variables:
    """What a kernel said about its variables; the fields are those of namespace_report.py."""

    total: int
    variables: Sequence[Mapping[str, Any]]
    modules: Mapping[str, str]
    callables: Sequence[str]
    cut: int  # modules and callables that are not named
    seen: datetime
    is_old: bool = False  # the kernel did not answer now: what it said the last time


class Inspection:
    """Asks one kernel for its variables, and keeps its last answer."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._last: dict[str, Variables] = {}  # by pattern
        self._info: Mapping[str, Any] | None = None

    async def variables(self, pattern: str, limit: int, *, ours: bool, busy: bool) -> Variables | None:
        """The variables whose names have this pattern; the last known where it does not answer.

        None: it does not answer, and never has.
        """
        asking = self._of_ours(pattern, limit) if ours else self._of_another(pattern, limit, busy)
        try:
            found = await asyncio.wait_for(asking, _SECONDS)
        except (asyncio.TimeoutError, TimeoutError, LinkClosed):
            found = None
        if found is None:
            last = self._last.get(pattern)
            return replace(last, is_old=True) if last else None
        told = _read(found)
        self._last = {pattern: told}
        return told

    async def _of_ours(self, pattern: str, limit: int) -> Mapping[str, Any] | None:
        asked = self._link.request("control", "variables_request", {"pattern": pattern, "limit": limit})
        # In this order: a kernel that leaves the first unanswered does not know it.
        after = self._link.request("control", "kernel_info_request", {})
        try:
            await asyncio.wait({asked, after}, return_when=asyncio.FIRST_COMPLETED)
            content = asked.result().content if asked.done() else {}
            return content if content.get("status") == "ok" else None
        finally:
            asked.cancel()
            after.cancel()

    async def _of_another(self, pattern: str, limit: int, busy: bool) -> Mapping[str, Any] | None:
        if self._info is None:
            self._info = (await self._link.request("control", "kernel_info_request", {})).content
        has_subshells = _SUBSHELLS in (self._info.get("supported_features") or ())
        if not busy:
            return await self._ask_silently(pattern, limit, None)
        if not has_subshells:
            return None
        made = await self._link.request("control", "create_subshell_request", {})
        subshell = made.content.get("subshell_id")
        try:
            return await self._ask_silently(pattern, limit, subshell)
        finally:
            self._link.request("control", "delete_subshell_request", {"subshell_id": subshell})

    async def _ask_silently(self, pattern: str, limit: int, subshell: str | None) -> Mapping[str, Any] | None:
        content = {
            "code": "",
            "silent": True,
            "store_history": False,
            "user_expressions": {"report": _expression(pattern, limit)},
            "allow_stdin": False,
            "stop_on_error": False,
        }
        msg_id, frames = self._link.pack("execute_request", content, subshell)
        reply = await self._link.send("shell", msg_id, frames)
        return _report(reply)


def _expression(pattern: str, limit: int) -> str:
    """One expression, which needs no name of the user's and leaves none."""
    source = Path(paths.kernelspec_templates(), "kernel", "namespace_report.py").read_text()
    return (
        "(lambda own, shell: (__import__('builtins').exec("
        f"{source!r}, own), __import__('json').dumps(own['variables']"
        f"(shell.user_ns, shell.user_ns_hidden, {pattern!r}, {limit})))[1])"
        "({'__name__': 'namespace_report'}, __import__('IPython').get_ipython())"
    )


def _report(reply: Message) -> Mapping[str, Any] | None:
    told = reply.content.get("user_expressions", {}).get("report", {})
    text = told.get("data", {}).get("text/plain")
    if not isinstance(text, str):
        return None
    try:
        report = json.loads(ast.literal_eval(text))
    except (ValueError, SyntaxError):
        return None
    return report if isinstance(report, dict) else None


def _read(found: Mapping[str, Any]) -> Variables:
    return Variables(
        total=int(found.get("total", 0)),
        variables=tuple(found.get("variables", ())),
        modules=dict(found.get("modules", {})),
        callables=tuple(found.get("callables", ())),
        cut=int(found.get("cut", 0)),
        seen=datetime.now(timezone.utc),
    )
