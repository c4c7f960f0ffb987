"""What MCP clients start: a process that finds the hub, or starts it, and passes bytes both ways.

- `stdio`: the process itself. Clients start and kill it all the time; nothing depends on it.
- `open_requests`: what the client has asked and no hub has answered yet, and what a next hub gets first.
- `way`: this host's hub, or the one that KERNELEXEC_HOST leads to, over a link that is made again.
- `far_link`: such a link, of any command with stdin and stdout; `far_end`: what runs at its other end;
  `far_lab`, `channels`: a JupyterLab there, and its port here.
- `rendezvous`: how any process finds the hub: one socket at one place, one hub behind it, and the hello
  line that says who asks.

In come a client's bytes and environment variables; out goes a connection to the hub. Its start is what a
user waits for, so it needs the standard library only, and of that as little as possible. Of a message it
reads the id and the method; it keeps what is open, for the next hub, and starts no kernel.
"""
