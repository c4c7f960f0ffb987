"""All sessions of one user, whoever asks for them.

- `hub`: sessions by storage directory and name; what outlives every connection.
- `kernels`: starts, tries, registers and adopts the kernels of sessions, wherever those are; `lost_kernels`:
  those that live and could not be adopted.
- `admission`: whether a session may take one more submission.
- `environment_limits`: what the person lets the kernels and sessions of an environment take.
- `adoption`: which kernels of an earlier hub come first, and who waits for them.
- `caller`: one connected client, as its hello line describes it.
- `unheard`: what became of calls that their clients gave up.
- `chosen_environments`: which environment a caller's calls are for.
- `storage_dirs`: where there have been sessions.
- `opened_notebooks`: which session a notebook of the person's is opened in; `notebook_openers`: which one
  each caller has opened last.
- `examination`: the doctor; `server_examination`: what it finds out about a Jupyter server.

In come callers and what they wish, in terms of the project: a session's name, an environment. Out come
sessions (session/), prepared environments (environments/) and running kernels (kernels/). It never sees MCP
or a zmq socket, and never runs anything in a kernel.
"""
