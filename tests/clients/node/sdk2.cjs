// The official TypeScript SDK, 2.x.
const { Client } = require("@modelcontextprotocol/client");
const { StdioClientTransport } = require("@modelcontextprotocol/client/stdio");
const { COMMAND, ENVIRON, accepted, serve } = require("./lines.cjs");

async function main() {
  const client = new Client({ name: "sdk2", version: "1" }, { capabilities: { elicitation: { form: {} } } });
  client.setRequestHandler("elicitation/create", accepted);
  await client.connect(new StdioClientTransport({ command: COMMAND, env: ENVIRON, cwd: process.cwd() }));
  await serve(client, (params, options) => client.callTool(params, options));
}

main();
