// Requests on stdin and answers on stdout, for a client that is a Node library (see tests/clients/libraries).
const readline = require("node:readline");

const COMMAND = process.env.KERNELEXEC_COMMAND;
const ENVIRON = JSON.parse(process.env.KERNELEXEC_ENVIRON);
const PERSON = "Ada"; // what the person types into every form

function seen(text, images = 0, isError = false) {
  return { text, images, is_error: isError };
}

function content(result) {
  const texts = result.content.filter((block) => block.type === "text").map((block) => block.text);
  return seen(texts.join("\n"), result.content.filter((block) => block.type === "image").length, !!result.isError);
}

function accepted(request) {
  const names = Object.keys(request.params.requestedSchema.properties);
  return { action: "accept", content: Object.fromEntries(names.map((name) => [name, PERSON])) };
}

function say(id, answer) {
  process.stdout.write(JSON.stringify({ id, ...answer }) + "\n");
}

// `client`: the SDK's, connected; `callTool(params, options)`: 1.x has a parameter more
async function serve(client, callTool) {
  const cancels = new Map();

  async function answer(request) {
    if (request.do === "tools") {
      const { tools } = await client.listTools();
      return { tools: Object.fromEntries(tools.map((tool) => [tool.name, tool.inputSchema])) };
    }
    if (request.do === "resources") {
      return { resources: (await client.listResources()).resources.map((each) => each.uri) };
    }
    if (request.do === "read") {
      return seen((await client.readResource({ uri: request.uri })).contents[0].text);
    }
    const cancel = new AbortController();
    cancels.set(request.id, cancel);
    const onprogress = (told) => say(request.id, { progress: told.message });
    const params = { name: request.tool, arguments: request.arguments };
    return content(await callTool(params, { onprogress, signal: cancel.signal }));
  }

  for await (const line of readline.createInterface({ input: process.stdin })) {
    const request = JSON.parse(line);
    if (request.do === "cancel") {
      cancels.get(request.call).abort("the user cancelled");
      say(request.id, seen(""));
    } else {
      answer(request).then(
        (told) => say(request.id, told),
        (error) => say(request.id, seen(String(error), 0, true)),
      );
    }
  }
  await client.close();
}

module.exports = { COMMAND, ENVIRON, accepted, serve };
