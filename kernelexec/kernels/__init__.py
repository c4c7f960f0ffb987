"""A kernel, wherever it runs: `kernel.Kernel` is what a session needs of one. The only home of zmq and of
websockets.

- `kernel`: the Protocol, and what a kernel says: Reply, Death, Findings.
- `link` (the channels: send, messages in) and `life` (how it was started, is watched, ends), of which a
  kernel is made; `linked_kernel` is that kernel: execute, interrupt, look, rejoin, variables.
- `host`: the Protocol of where kernels run: started there, and found again by the next hub; `hosts` chooses.
- `zmq_link` (`returning_link`, where a process stands for the kernel) and `wire` (Jupyter's messages),
  `large_messages` and `large_message_program` (those that take long to read, in a process), `reservoir` (what
  a foreign kernel publishes faster than it is read), `exchange` (what all links do alike), `replies` (what a
  link owes), `readiness` (when a kernel answers); `local` and `local_life` (a process of this machine, under
  its keeper; `provisioned_life`, one that only stands for the kernel); `joined` (one that somebody else has
  started).
- `servers`: kernels on Jupyter servers, with `server_access` (tokens, in memory only), `server_api` (REST),
  `server_life`, `websocket_link` and `websocket_frames`, `retries` (of links that are down),
  `server_troubles` (what goes wrong there, in words), `moving_in` (how such a kernel becomes one of ours),
  `recall` (what was lost on the way is had again).
- `far_kernels`: kernels at the end of a command (`ssh -T gpu`), with `far_command` (what begins there),
  `far_life`, `stdio_link` and `far_frames`, `turns` (who tries a command when), `owed_stops` (made up for
  when it leads there again), and `slurm` (a job in which one runs); `programs`: what is copied to where
  kernels run.
- `inspection` and `findings` (questions beside a run), `dropped` (messages that a foreign kernel has) and
  `dialects` (how some of these speak), `printed` (what a dead kernel could not send),
  `registry` (the running kernels, on disk), `strays` (those that live, whatever is on disk), `process` (pids
  that cannot be mistaken), `here` (which machine and container they mean something in).

In come code and questions; out come messages, replies and deaths. It never knows sessions, executions or
notebooks, and never signals a process whose identity it has not checked.
"""
