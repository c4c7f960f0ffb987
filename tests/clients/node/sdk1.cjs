// The official TypeScript SDK, 1.x.
const { Client } = require("@modelcontextprotocol/sdk/client/index.js");
const { StdioClientTransport } = require("@modelcontextprotocol/sdk/client/stdio.js");
const { ElicitRequestSchema } = require("@modelcontextprotocol/sdk/types.js");
const { COMMAND, ENVIRON, accepted, serve } = require("./lines.cjs");

async function main() {
  const client = new Client({ name: "sdk1", version: "1" }, { capabilities: { elicitation: {} } });
  client.setRequestHandler(ElicitRequestSchema, accepted);
  await client.connect(new StdioClientTransport({ command: COMMAND, env: ENVIRON, cwd: process.cwd() }));
  await serve(client, (params, options) => client.callTool(params, undefined, options));
}

main();
