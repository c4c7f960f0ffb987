"""An agent of langchain, with its adapter for MCP."""

import asyncio

from langchain.agents import create_agent
from langchain_mcp_adapters.callbacks import Callbacks
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools
from langchain_openai import ChatOpenAI
from lines import PERSON
from mcp.types import ElicitResult
from prompts import MODEL, SERVER, serve, tell


async def asked(context, params, call):
    fields = params.requestedSchema["properties"]
    return ElicitResult(action="accept", content=dict.fromkeys(fields, PERSON))


async def progress(done, total, message, call):
    tell(progress=message)


async def main():
    callbacks = Callbacks(on_progress=progress, on_elicitation=asked)
    client = MultiServerMCPClient({"kernelexec": {"transport": "stdio", **SERVER}}, callbacks=callbacks)
    async with client.session("kernelexec") as session:
        tools = await load_mcp_tools(session, callbacks=callbacks, server_name="kernelexec")
        agent = create_agent(ChatOpenAI(model=MODEL, use_responses_api=True), tools)
        await serve(lambda prompt: agent.ainvoke({"messages": [("user", prompt)]}))


asyncio.run(main())
