"""An agent of openai-agents."""

import asyncio

from agents import Agent, Runner, set_tracing_disabled
from agents.mcp import MCPServerStdio
from prompts import MODEL, SECONDS, SERVER, serve


async def main():
    set_tracing_disabled(True)
    async with MCPServerStdio(SERVER, client_session_timeout_seconds=SECONDS) as server:
        agent = Agent("tests", model=MODEL, mcp_servers=[server])
        await serve(lambda prompt: Runner.run(agent, prompt))


asyncio.run(main())
