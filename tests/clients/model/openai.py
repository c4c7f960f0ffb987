"""OpenAI's Responses, as Codex and the libraries for agents speak it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tests.clients.model.turns import SERVER, Answer, Asked, Json, Seen, Turn, own_name

_USAGE = {
    "input_tokens": 10,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 15,
}


class OpenAI:
    """POST .../responses.

    Codex puts a server's tools into a namespace; the libraries give them their own names, and no others.
    """

    def asked(self, body: Json) -> Asked | None:
        given = list(_functions(body.get("tools") or []))
        tools = {own: wire for own, wire, _ in given}
        if not tools:
            return None
        items = body["input"] if isinstance(body["input"], list) else []
        results = {
            item["call_id"]: _seen(item["output"])
            for item in items
            if item.get("type") in ("function_call_output", "custom_tool_call_output")
        }
        said = json.dumps([item for item in items if item.get("type", "message") == "message"])
        return Asked(
            tools,
            {own: schema for own, _, schema in given},
            results,
            f"{body.get('instructions') or ''}\n{said}",
        )

    def answer(self, path: str, body: Json, asked: Asked | None, turn: Turn) -> Answer:
        items: list[Json] = []
        if turn.words:
            text = {"type": "output_text", "text": turn.words, "annotations": []}
            items.append({"type": "message", "id": "msg_1", "role": "assistant", "content": [text]})
        for call in turn.calls:
            space, _, name = (asked.tools if asked else {}).get(call.tool, call.tool).rpartition("/")
            named = {"name": name, "namespace": space} if space else {"name": name}
            arguments = json.dumps(call.arguments)
            items.append(
                {
                    "type": "function_call",
                    "id": f"fc_{call.id}",
                    "call_id": call.id,
                    "arguments": arguments,
                    **named,
                }
            )
        items = [{**item, "status": "completed"} for item in items]
        response = {
            "id": "resp_1",
            "object": "response",
            "created_at": 1,
            "model": body.get("model"),
            "status": "completed",
            "output": items,
            "usage": _USAGE,
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
        }
        if not body.get("stream"):
            return Answer("application/json", json.dumps(response).encode())
        lines = (
            f"event: {event['type']}\ndata: {json.dumps({**event, 'sequence_number': number})}\n\n"
            for number, event in enumerate(_events(response))
        )
        return Answer("text/event-stream", "".join(lines).encode())


def _functions(tools: list[Json]) -> Iterable[tuple[str, str, Json]]:
    """Own name, `NAMESPACE/NAME` or name as the client wants it, and schema, of the server's tools."""
    flat = [tool for tool in tools if tool["type"] == "function"]
    spaces = [tool for tool in tools if tool["type"] == "namespace"]
    for tool in flat:
        own = own_name(tool["name"]) or (None if spaces else tool["name"])
        if own is not None:
            yield own, tool["name"], tool.get("parameters", {})
    for space in spaces:
        if SERVER in space["name"]:
            for tool in space["tools"]:
                yield tool["name"], f"{space['name']}/{tool['name']}", tool.get("parameters", {})


def _events(response: Json) -> Iterable[Json]:
    yield {"type": "response.created", "response": {**response, "status": "in_progress", "output": []}}
    for index, item in enumerate(response["output"]):
        where = {"output_index": index}
        empty = {**item, "status": "in_progress"}
        if item["type"] == "message":
            text = item["content"][0]["text"]
            yield {"type": "response.output_item.added", **where, "item": {**empty, "content": []}}
            inside = {**where, "content_index": 0, "item_id": item["id"]}
            part = {"type": "output_text", "text": "", "annotations": []}
            yield {"type": "response.content_part.added", **inside, "part": part}
            yield {"type": "response.output_text.delta", **inside, "delta": text}
            yield {"type": "response.output_text.done", **inside, "text": text}
        else:
            yield {"type": "response.output_item.added", **where, "item": {**empty, "arguments": ""}}
        yield {"type": "response.output_item.done", **where, "item": item}
    yield {"type": "response.completed", "response": response}


def _seen(output: Any) -> Seen:
    """A result; the protocol has no mark for errors. Codex says first how long the call took,
    and pydantic-ai makes an object of an error."""
    blocks = [{"type": "input_text", "text": output}] if isinstance(output, str) else output
    text = "\n".join(block["text"] for block in blocks if block["type"] == "input_text")
    if text.startswith("Wall time: "):
        text = text.partition("\nOutput:\n")[2]
    elif text.startswith('{"error":'):
        text = json.loads(text)["error"]
    return Seen(
        text,
        sum(block["type"] == "input_image" for block in blocks),
    )
