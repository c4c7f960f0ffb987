"""What a kernel with our launcher answers about a run (kernelspecs/kernel/recollection.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kernelexec.kernels.kernel import Findings, Reply, Usage
from kernelexec.kernels.wire import Message
from kernelexec.model.execution import Question
from kernelexec.model.variable_names import NO_NAMES, VariableNames


def read_findings(msg_id: str, content: Mapping[str, Any]) -> Findings:
    """The findings in the content of a `kernelexec_reply`; what is missing counts as not told."""
    reply, question = content.get("reply"), content.get("question")
    return Findings(
        answered=True,
        tells=True,
        running=content.get("running"),
        begun=bool(content.get("begun")),
        line=content.get("line"),
        ending=bool(content.get("ending")),
        reply=_reply(reply) if reply else None,
        question=Question(question["prompt"], question["password"]) if question else None,
        messages=tuple(_message(msg_id, said) for said in content.get("messages", ())),
        complete=bool(content.get("complete")),
        names=VariableNames.told_by(content) or NO_NAMES,
        usage=_usage(content),
    )


def read_usage(message: Message) -> Usage | None:
    """What a message of a kernel says that it uses, if it does."""
    if message.type == "kernelexec_reply":
        return _usage(message.content)
    return _usage(message.metadata.get("kernelexec")) if message.type == "execute_reply" else None


def _usage(said: Any) -> Usage | None:
    try:
        return Usage(int(said["usage"]["memory"]), float(said["usage"]["cpu"]))
    except (KeyError, TypeError, ValueError):
        return None


def _reply(said: Mapping[str, Any]) -> Reply:
    return Reply(said["content"]["status"], said["content"], said["date"], said["metadata"])


def _message(parent: str, said: Mapping[str, Any]) -> Message:
    return Message(
        channel="iopub",
        type=said["type"],
        content=said["content"],
        msg_id=said["msg_id"],
        parent_id=parent,
        parent_session=None,
        date=said["date"],
        metadata={},
    )
