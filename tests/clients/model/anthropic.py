"""Anthropic's Messages, as Claude Code speaks it."""

from __future__ import annotations

import json
from collections.abc import Iterable

from tests.clients.model.turns import Answer, Asked, Json, Seen, Turn, own_name

_USAGE = {
    "input_tokens": 10,
    "output_tokens": 5,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
}


class Anthropic:
    """POST .../v1/messages."""

    def asked(self, body: Json) -> Asked | None:
        schemas = {tool["name"]: tool.get("input_schema", {}) for tool in body.get("tools") or []}
        tools = {own: name for name in schemas if (own := own_name(name))}
        if not tools:
            return None
        results = {
            block["tool_use_id"]: _seen(block)
            for message in body["messages"]
            for block in _blocks(message["content"])
            if block["type"] == "tool_result"
        }
        system = "\n".join(block["text"] for block in _blocks(body.get("system") or []))
        said = "\n".join(
            block["text"]
            for message in body["messages"]
            for block in _blocks(message["content"])
            if block["type"] == "text"
        )
        return Asked(tools, {own: schemas[name] for own, name in tools.items()}, results, f"{system}\n{said}")

    def answer(self, path: str, body: Json, asked: Asked | None, turn: Turn) -> Answer:
        content: list[Json] = [{"type": "text", "text": turn.words}] if turn.words else []
        content += [
            {
                "type": "tool_use",
                "id": call.id,
                "name": (asked.tools if asked else {}).get(call.tool, call.tool),
                "input": call.arguments,
            }
            for call in turn.calls
        ]
        message = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": body.get("model"),
            "content": content,
            "stop_reason": "tool_use" if turn.calls else "end_turn",
            "stop_sequence": None,
            "usage": _USAGE,
        }
        if not body.get("stream"):
            return Answer("application/json", json.dumps(message).encode())
        lines = (f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in _events(message))
        return Answer("text/event-stream", "".join(lines).encode())


def _events(message: Json) -> Iterable[Json]:
    yield {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}}
    for index, block in enumerate(message["content"]):
        if block["type"] == "text":
            empty, delta = {**block, "text": ""}, {"type": "text_delta", "text": block["text"]}
        else:
            arguments = json.dumps(block["input"])
            empty, delta = {**block, "input": {}}, {"type": "input_json_delta", "partial_json": arguments}
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    end = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": end, "usage": {"output_tokens": 5}}
    yield {"type": "message_stop"}


def _blocks(content: str | list[Json]) -> list[Json]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _seen(result: Json) -> Seen:
    blocks = _blocks(result.get("content") or [])
    return Seen(
        "\n".join(block["text"] for block in blocks if block["type"] == "text"),
        sum(block["type"] == "image" for block in blocks),
        bool(result.get("is_error")),
    )
