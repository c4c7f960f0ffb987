"""What a test's kernel says, however its messages travel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.fakes import KERNEL_INFO


class ScriptedKernel:
    """Answers each request at once, between a busy and an idle, unless it is told otherwise."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str]] = []  # channel, type
        self.contents: dict[str, Mapping[str, Any]] = {}  # of the last request of each type
        self.on_execute: Callable[[dict[str, Any]], None] = lambda request: None
        self.silent: set[str] = set()  # types of requests that get no answer
        self.mute: set[str] = set()  # execution states that are never published
        self.answers: dict[str, Mapping[str, Any]] = {"kernel_info_request": KERNEL_INFO}  # by request's type

    def publish(self, message_type: str, content: dict[str, Any], parent: dict[str, Any] | None) -> None:
        """Say something on iopub; `parent` is the header of the request that it belongs to."""
        raise NotImplementedError

    def answered(self, channel: str, request: dict[str, Any]) -> dict[str, Any] | None:
        """Do what a request says; the content of the reply, if there is one."""
        kind = request["msg_type"]
        self.requests.append((channel, kind))
        self.contents[kind] = request["content"]
        if kind in self.silent:
            return None
        self._status("busy", request)
        if kind == "execute_request":
            self.on_execute(request)
        self._status("idle", request)
        return {"status": "ok", **self.answers.get(kind, {})}

    def _status(self, state: str, request: dict[str, Any]) -> None:
        if state not in self.mute:
            self.publish("status", {"execution_state": state}, request["header"])
