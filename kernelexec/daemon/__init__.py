"""The hub's process and its doors.

- `process`: from its start by a bridge to its end: lock, socket, log, connections, idleness.
- `in_process`: hub and bridge in one process, as in a container (`kernelexec --in-process`).
- `door`: its lock and socket, made anew where they are deleted.
- `admin`: what the person's commands ask (`kernelexec ps`, `stop`, `input`, `gc`).
- `pages`: what a JupyterLab says of the notebooks that are open in it (kernelspecs/jupyter_extension).
- `frontends`: what a Jupyter frontend on a session's kernel asks, through the relay in kernelspecs/.

In come connections of this user's processes; each is handed to who serves it: MCP clients to mcp_server/,
the others to the modules here. All of them share one hub/. It never decides anything about a session.
"""
