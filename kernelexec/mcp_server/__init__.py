"""The MCP server: what assistants call and read. The only home of the MCP SDK (but for commands/mcp_client).

- `server`: one client's connection; `opening`: how it begins while the SDK is still being imported;
  `stream`: JSON-RPC lines, where each gets an answer.
- `requests`: who ended a request, and whether its result was written; `faults`: what goes wrong, as a reply;
  `given_up`: what became of a call whose reply reaches nobody.
- `call`: one call of a tool and what it can ask; `waiting` (for a run's end), `patience` (how long clients
  bear that), `person` (who can be asked).
- `recorded`: an execution by its id, also of long ago; `reading`: parts of what it has shown.
- `sdk_packages`: only what is needed of the SDK is imported, and built.
- `tools/`: one module a group, arguments to reply; `render/`: every text that a model reads;
  `resources`, `notebook_parts`; `prompts`, which a person picks.

In come requests of one caller; out go replies whose first line is the verdict. It never keeps what must
outlive the connection, and never decides what runs: hub/ and session/ do.
"""

from kernelexec.mcp_server.sdk_packages import import_when_asked

import_when_asked()
