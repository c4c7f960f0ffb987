"""What is kept: the only writer of CODE_STORAGE_DIR.

- `recorder`: one session's; `journal` is the truth (`journal_lines`, read; `journal_fields`; `journal_index`;
  `execution_lines`; `kept_lines` wait for room in it, `last_updates` to be replaced), `script` the `.py`
  files, `notebooks` follow behind; `sittings`: which kernels share one.
- `book`, `notebook`, `notebook_format`, `cells`, `ledger`, `shared_file`, `replaced_file`: a notebook that
  a person edits, too.
- `trust` with `signing_program`: whether JupyterLab may show all of a notebook.
- `pages`, `live_notebook`: a notebook that is open in JupyterLab, which shows what happens as it happens.
- `notebook_text`, `notebook_reading`, `json_spans`: a notebook of the person's own, byte for byte;
  `notebook_operations`, `looks`: what is done to it, and what somebody has seen of it, `kept_looks` for
  the next hub;
  `opened_notebook`, `notebook_place`: its file; `opened_page`: where it is open; `opened_place`: either;
  `opened_writer`: what is run, brought into its cells; `cell_place`: which cell a run is of;
  `opened_records`: what journals say of it.
- `widget_messages`: what kernels say of their widgets.
- `spill`, `overflow`, `large`, `spooled`, `output_folder`, `output_file`, `search`: output that is too
  much for a cell.
- `history`, `summaries`, `records`, `replayable`: reading it again.
- `rebuild`, `export` (with `other_runs` and `completion`, what a copy lacks), `housekeeping`: the person's
  commands.
- `room`: how much of the disk a session takes.
- `validity`: what nbformat says of a notebook.
- `code_files`, `inside`, `whole_file`: files that stay in their folder.

In come executions, outputs and notes; they are on disk, or an error says that they are not, before the next
step. It never decides what an execution becomes, and never follows a link out of its folder.
"""
