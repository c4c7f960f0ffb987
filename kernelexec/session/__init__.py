"""One session: a queue of submissions, one kernel at a time, one journal.

The heart is pure; the rest brings it what happens and carries out what follows:

- `events`: what can happen, and what may follow from it. `heart`: which follows from which; turns and
  states. `acquaintances`: which caller is told what. `notices`: the words for it,
  `telling`: what one reply says. `journal_events`: a
  journal as events.
- `session`: what hub/ and mcp_server/ use; `submission`: what a caller wants to be run; `surroundings`: what
  a kernel gets of whoever has it started.
- `engine`: the heart and the parts around it, put together; it carries out what the heart says. The parts
  bring what they see as `happenings`.
- `queue` (the tasks of what has its turn), `runs` (a submission in the kernel), `rejoin` (a run that outlived
  its hub), `generations` (kernels, one after the other), `executions` (found, waited for, finished;
  `sent_requests`: by what the kernel calls them; `cell_files`: by what tracebacks do; `change`: what they
  wait for).
- `wholes`: executions that are made of others, a `replay` or `cell_runs`. `opened`: a notebook of the
  person's, and what each caller has seen of it.
- `listener` (what the kernel says), `kernel_remarks` (what it adds to its reply), `answers` (to what it
  asks), `late_output` (what came into cells that had ended), `foreign_runs` (what others ran on it),
  `interrupts`, `obstacles` (why one does not end a run), `stillness` (of one that waits) and `outcomes`
  (what a run's end is called, and what an interrupt became).
- `jobs` and `installation` (what is done beside the kernel), `idleness`, `troubles`; `steps` (when one
  submission reached what, for the log).

In come submissions, a caller's wishes and a kernel's messages; out come executions with their states and
outputs, on disk before anybody is told. It never starts a kernel itself (hub/ does), never writes a file
itself (recording/ does), and knows no protocol.
"""
