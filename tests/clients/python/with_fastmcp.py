"""fastmcp's client."""

import asyncio
import os

from fastmcp import Client as FastClient
from fastmcp.client.transports import StdioTransport
from lines import COMMAND, ENVIRON, PERSON, Client, content, serve


class Fast(Client):
    def __init__(self, client):
        self._client = client

    async def tools(self):
        return {
            tool.name: tool.model_dump(by_alias=True)["inputSchema"]
            for tool in await self._client.list_tools()
        }

    async def call(self, tool, arguments, progress):
        result = await self._client.call_tool(
            tool, arguments, progress_handler=progress, raise_on_error=False
        )
        return content(result.content, result.is_error)

    async def resources(self):
        return [str(each.uri) for each in await self._client.list_resources()]

    async def read(self, uri):
        return (await self._client.read_resource(uri))[0].text


async def asked(message, response_type, params, context):
    return response_type(**dict.fromkeys(response_type.__annotations__, PERSON))


async def main():
    transport = StdioTransport(COMMAND, [], env=ENVIRON, cwd=os.getcwd(), keep_alive=False)
    async with FastClient(transport, elicitation_handler=asked) as client:
        await serve(Fast(client))


asyncio.run(main())
