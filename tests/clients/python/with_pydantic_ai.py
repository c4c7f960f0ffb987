"""An agent of pydantic-ai."""

import asyncio

from fastmcp.client.transports import StdioTransport
from lines import COMMAND, ENVIRON, PERSON
from prompts import MODEL, serve, tell
from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.models.openai import OpenAIResponsesModel


async def asked(message, response_type, params, context):
    return response_type(**dict.fromkeys(response_type.__annotations__, PERSON))


async def progress(done, total, message):
    tell(progress=message)


async def main():
    transport = StdioTransport(COMMAND, [], env=ENVIRON, keep_alive=False)
    tools = MCPToolset(transport, elicitation_handler=asked, progress_handler=progress)
    agent = Agent(OpenAIResponsesModel(MODEL), toolsets=[tools])
    async with agent:
        await serve(agent.run)


asyncio.run(main())
