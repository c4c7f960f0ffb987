"""Google's generateContent, as Gemini CLI speaks it."""

from __future__ import annotations

import json

from tests.clients.model.turns import Answer, Asked, Json, Seen, Turn, own_name

_USAGE = {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}
_OF_AN_ERROR = " with response: "


class Gemini:
    """POST .../models/NAME:generateContent or :streamGenerateContent."""

    def asked(self, body: Json) -> Asked | None:
        declared = [each for tool in body.get("tools") or [] for each in tool.get("functionDeclarations", [])]
        schemas = {
            each["name"]: each.get("parametersJsonSchema") or each.get("parameters") for each in declared
        }
        tools = {own: name for name in schemas if (own := own_name(name))}
        if not tools:
            return None
        parts = [part for content in body["contents"] for part in content.get("parts", [])]
        results: dict[str, Seen] = {}
        last = ""
        for part in parts:
            if "functionResponse" in part:
                response = part["functionResponse"]
                last = response["id"]
                results[last] = _seen(response)
            elif "inlineData" in part and last:  # a picture stands beside the response that it belongs to
                results[last] = Seen(results[last].text, results[last].images + 1, results[last].is_error)
        system = "\n".join(
            part.get("text", "") for part in (body.get("systemInstruction") or {}).get("parts", [])
        )
        said = "\n".join(part.get("text", "") for part in parts)
        return Asked(tools, {own: schemas[name] for own, name in tools.items()}, results, f"{system}\n{said}")

    def answer(self, path: str, body: Json, asked: Asked | None, turn: Turn) -> Answer:
        parts: list[Json] = [{"text": turn.words}] if turn.words else []
        for call in turn.calls:
            name = (asked.tools if asked else {}).get(call.tool, call.tool)
            parts.append({"functionCall": {"id": call.id, "name": name, "args": call.arguments}})
        candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}
        data = json.dumps({"candidates": [candidate], "usageMetadata": _USAGE, "modelVersion": "gemini"})
        if "stream" in path:
            return Answer("text/event-stream", f"data: {data}\n\n".encode())
        return Answer("application/json", data.encode())


def _seen(function_response: Json) -> Seen:
    response = function_response["response"]
    text = response.get("output", response.get("error", ""))
    if _OF_AN_ERROR in text:  # the whole result as JSON, behind the call
        (failed,) = json.loads(text.partition(_OF_AN_ERROR)[2])
        blocks = failed["functionResponse"]["response"]["content"]
        text = "\n".join(block["text"] for block in blocks if block["type"] == "text")
    images = sum("inlineData" in part for part in function_response.get("parts", []))
    return Seen(text if isinstance(text, str) else json.dumps(text), images, "error" in response)
