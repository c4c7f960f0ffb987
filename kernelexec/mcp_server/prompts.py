"""The prompts that a person picks in a client: what they would have to type to have it done well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import mcp_types as types

from kernelexec.errors import NotFound
from kernelexec.model.text import plain


@dataclass(frozen=True)
class _Prompt:
    name: str
    title: str
    description: str
    arguments: tuple[tuple[str, str, bool], ...]  # name, description, whether it is required
    text: str  # with {name} for each argument

    def definition(self) -> types.Prompt:
        return types.Prompt(
            name=self.name,
            title=self.title,
            description=self.description,
            arguments=[
                types.PromptArgument(name=name, description=said, required=required)
                for name, said, required in self.arguments
            ],
        )


_PROMPTS = {
    prompt.name: prompt
    for prompt in (
        _Prompt(
            "analyse_dataset",
            "Analyse this dataset",
            "A first look at a dataset, step by step, in the kernel and its notebook.",
            (
                ("path", "the file, or what to load it from", True),
                ("question", "what you want to know; may be left out", False),
            ),
            "Analyse the dataset {path} with kernelexec. {question}\n"
            "Look at list_variables first: it may be loaded already. Then, one execute_code for "
            "each step, with "
            "a label and a note: load it; its size, types and missing values; what is odd in it; the "
            "distributions that matter; a chart or two. Say after each step what it shows, keep what was "
            "loaded in a variable with a clear name, and change no file. End with what you found, "
            "what you are "
            "not sure of, and where the notebook is.",
        ),
        _Prompt(
            "continue_session",
            "Continue the session",
            "Pick up earlier work: what is in the kernel, what was done, what comes next.",
            (("session", "its name; may be left out for this project's", False),),
            "Continue the earlier work in kernelexec's session {session}. Run nothing yet. Look at "
            "list_executions and list_variables, and read with read_output what you need. Then "
            "tell me in a few "
            "sentences what was done, what is in the kernel now, what failed or was left open, and what you "
            "would do next. If variables are lost, say which, and whether restart_kernel with replay would "
            "bring them back and how long that took before.",
        ),
        _Prompt(
            "notebook_report",
            "Make a report of the notebook",
            "A report for readers who do not want the code, from what was really run.",
            (
                ("session", "its name; may be left out for this project's", False),
                ("reader", "for whom it is; may be left out", False),
            ),
            "Write a report of what was done in kernelexec's session {session}, for {reader}. Use "
            "only what was "
            "run: list_executions has the steps, read_output what each printed. Question, data, method, "
            "results with their numbers and charts, what is uncertain, what was tried and failed "
            "if it matters. "
            "Name the execution that each number comes from. Write it to a Markdown file in the "
            "project after "
            "asking me for its name; `kernelexec export NOTEBOOK` makes a clean copy of the "
            "notebook to go with it.",
        ),
    )
}
_LEFT_OUT = {"session": "of this project", "reader": "somebody who was not there", "question": ""}
_LONGEST = 2_000  # characters of an argument


def list_prompts() -> list[types.Prompt]:
    return [prompt.definition() for prompt in _PROMPTS.values()]


def get_prompt(name: str, arguments: Mapping[str, str] | None) -> types.GetPromptResult:
    """The prompt with what the person filled in.

    Raises:
        NotFound: there is no such prompt, or something that it needs was left out.
    """
    prompt = _PROMPTS.get(name)
    if prompt is None:
        raise NotFound(f"There is no prompt {plain(name[:100])!r}.", f"There are: {', '.join(_PROMPTS)}.")
    given = {key: plain(value[:_LONGEST]).strip() for key, value in (arguments or {}).items()}
    filled = {}
    for key, _, required in prompt.arguments:
        value = given.get(key) or _LEFT_OUT.get(key, "")
        if required and not value:
            raise NotFound(f"{prompt.name} needs {key}.", "Give it, and ask again.")
        filled[key] = value
    message = types.PromptMessage(role="user", content=types.TextContent(text=prompt.text.format(**filled)))
    return types.GetPromptResult(description=prompt.description, messages=[message])
