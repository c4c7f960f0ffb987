"""Hands the tools on stdin to the converters that are installed here, as their libraries do; prints what each
made of each tool, or what it failed with: {converter: {tool: {"made": "..."} or {"failed": "..."}}}.
"""

from __future__ import annotations

import copy
import importlib.util
import json
import sys
import warnings

from mcp import types


def google_genai(tool):
    """As `generate_content(tools=[session])` does."""
    from google.genai._mcp_utils import mcp_to_gemini_tool

    return mcp_to_gemini_tool(types.Tool.model_validate(tool)).model_dump_json()


def google_genai_schema(tool):
    """As who declares functions by hand does."""
    from google.genai.types import JSONSchema, Schema

    Schema.model_validate(tool["inputSchema"])
    return Schema.from_json_schema(
        json_schema=JSONSchema.model_validate(tool["inputSchema"])
    ).model_dump_json()


def langchain_google_genai(tool):
    from langchain_google_genai._function_utils import convert_to_genai_function_declarations

    made = convert_to_genai_function_declarations([_langchain(tool)])
    return "".join(each.model_dump_json() for each in made)


def langchain_openai_strict(tool):
    from langchain_core.utils.function_calling import convert_to_openai_tool

    return json.dumps(convert_to_openai_tool(_langchain(tool), strict=True))


def _langchain(tool):
    from langchain_mcp_adapters.tools import convert_mcp_tool_to_langchain_tool

    connection = {"transport": "stdio", "command": "kernelexec", "args": []}
    return convert_mcp_tool_to_langchain_tool(None, types.Tool.model_validate(tool), connection=connection)


def openai_agents_strict(tool):
    from agents.mcp import MCPServerStdio
    from agents.mcp.util import MCPUtil

    server = MCPServerStdio(params={"command": "kernelexec"})  # is not started
    made = MCPUtil.to_function_tool(types.Tool.model_validate(tool), server, True)
    # It leaves a tool without arguments as it is, because google-genai's takes no `additionalProperties`.
    assert made.strict_json_schema or not tool["inputSchema"]["properties"], "not strict"
    return json.dumps(made.params_json_schema)


def pydantic_ai_strict(tool):
    from pydantic_ai.profiles.openai import OpenAIJsonSchemaTransformer

    return json.dumps(OpenAIJsonSchemaTransformer(copy.deepcopy(tool["inputSchema"]), strict=True).walk())


def pydantic_ai_google(tool):
    from pydantic_ai.profiles.google import GoogleJsonSchemaTransformer

    return json.dumps(GoogleJsonSchemaTransformer(copy.deepcopy(tool["inputSchema"]), strict=True).walk())


def fastmcp(tool):
    from fastmcp.utilities.json_schema_type import json_schema_to_type

    made = json_schema_to_type(tool["inputSchema"])
    return " ".join(getattr(made, "__annotations__", {}))  # a plain dict, where there are no arguments


# By the module that has to be there.
CONVERTERS = {
    google_genai: "google.genai",
    google_genai_schema: "google.genai",
    langchain_google_genai: "langchain_google_genai",
    langchain_openai_strict: "langchain_mcp_adapters",
    openai_agents_strict: "agents",
    pydantic_ai_strict: "pydantic_ai",
    pydantic_ai_google: "pydantic_ai",
    fastmcp: "fastmcp",
}


def _is_there(module):
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _outcome(convert, tool):
    try:
        return {"made": convert(tool)}
    except Exception as error:  # whatever a library raises is what is asked for
        return {"failed": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    tools = json.load(sys.stdin)
    outcomes = {
        convert.__name__: {tool["name"]: _outcome(convert, tool) for tool in tools}
        for convert, module in CONVERTERS.items()
        if _is_there(module)
    }
    print(json.dumps(outcomes))
