"""The official SDK, 1.x or 2.x, whichever is installed."""

import asyncio
import os

from lines import COMMAND, ENVIRON, PERSON, Client, content, serve
from mcp import ClientSession, StdioServerParameters, types
from mcp.client.stdio import stdio_client


class Official(Client):
    def __init__(self, session):
        self._session = session

    async def tools(self):
        tools = (await self._session.list_tools()).tools
        return {tool.name: tool.model_dump(by_alias=True)["inputSchema"] for tool in tools}

    async def call(self, tool, arguments, progress):
        result = await self._session.call_tool(tool, arguments, progress_callback=progress)
        fields = result.model_dump(by_alias=True)
        return content(result.content, fields["isError"])

    async def resources(self):
        return [str(each.uri) for each in (await self._session.list_resources()).resources]

    async def read(self, uri):
        return (await self._session.read_resource(uri)).contents[0].text


async def asked(context, params):
    return types.ElicitResult(action="accept", content={name: PERSON for name in _fields(params)})


def _fields(params):
    return params.model_dump(by_alias=True)["requestedSchema"]["properties"]


async def main():
    server = StdioServerParameters(command=COMMAND, env=ENVIRON, cwd=os.getcwd())
    async with (
        stdio_client(server) as streams,
        ClientSession(*streams[:2], elicitation_callback=asked) as session,
    ):
        await session.initialize()
        await serve(Official(session))


asyncio.run(main())
