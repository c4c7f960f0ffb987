"""The nouns of the project, and what can be said of them without asking anything. Pure.

- `execution`, `clock` (when it ran), `outputs`, `transcript`: one submission and what it shows.
- `display` (which words, which pictures), `pictures`, `charts`, `pages`, `widgets` with `widget_views` and
  `widget_words`: what a display is.
- `output_changes`, `overwritten_text`: what a page that shows it has to change.
- `payloads`: what a run leaves to a front end, such as the pager's text.
- `terminal` with its `screen`, `text`, `excerpts`, `repeats`, `html_text`, `tracebacks`, `crash`,
  `shown_errors`: what is said for an assistant to read.
- `distributions` (which package has a module), `first_line`, `naming`, `environment`,
  `server_address`, `limits`, `quantities`, `variable_names`, `names_in_code` (which a cell makes and needs).

In come values, out come values: no clock, no file, no network, the standard library only. It never imports
anything of the project but itself.
"""
