"""What a run leaves to a front end to do: the pager's text, the next cell's code, a file to edit. Pure.

`len?`, `%prun`, `%load`, `%recall` and `%edit` print nothing: they leave it to the front end, in payloads.
JupyterLab shows a page below the cell and puts code into a cell; here both are displays of the run.
https://jupyter-client.readthedocs.io/en/stable/messaging.html#payloads-deprecated
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kernelexec.model.text import clip_line

_LONGEST_PATH = 4_096  # characters
_NEXT = "[what the front end is asked to put into a new cell; it has not run]"
_INSTEAD = "[what the front end is asked to put in the place of this cell's code; it has not run]"


@dataclass(frozen=True)
class Payloads:
    """The payloads of one reply, in their order."""

    items: tuple[Mapping[str, Any], ...]

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Payloads:
        """Those of an execute_reply; a kernel need not send any."""
        said = content.get("payload")
        items = said if isinstance(said, Sequence) else ()
        return cls(tuple(item for item in items if isinstance(item, Mapping)))

    @property
    def is_leaving(self) -> bool:
        """Whether the code called exit() or quit()."""
        return any(not item.get("keepkernel") for item in self._from("ask_exit"))

    def displays(self, shown: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """What is to be shown below the code, as the content of display_data.

        `shown` are the run's outputs: a hub that ended may have kept these and not the run's end.
        """
        if any(_is_ours(output) for output in shown):
            return []
        pages = [data for item in self._from("page") if (data := _page(item))]
        code = [{"text/plain": text} for item in self._from("set_next_input") if (text := _next_input(item))]
        return [
            {"data": data, "metadata": {"kernelexec": {"payload": True}}, "transient": {}}
            for data in [*pages, *code]
        ]

    def remarks(self) -> list[str]:
        """What is to be said of the others."""
        said = []
        if any(item.get("keepkernel") for item in self._from("ask_exit")):  # IPython's exit(3)
            said.append(
                "exit(3) and the like end nothing here: the kernel goes on, and so did the code after it."
            )
        for item in self._from("edit_magic"):
            path = clip_line(str(item.get("filename")), _LONGEST_PATH)
            said.append(f"No editor was opened: change {path} yourself, and run it with `%run`.")
        return said

    def _from(self, source: str) -> Iterator[Mapping[str, Any]]:
        return (item for item in self.items if item.get("source") == source)


def _page(item: Mapping[str, Any]) -> Mapping[str, Any]:
    data, text = item.get("data"), item.get("text")  # `text`: of kernels older than Jupyter 4
    if isinstance(data, Mapping):
        return data
    return {"text/plain": text} if isinstance(text, str) else {}


def _next_input(item: Mapping[str, Any]) -> str:
    text = item.get("text")
    if not isinstance(text, str) or not text.strip():
        return ""
    return f"{_INSTEAD if item.get('replace') else _NEXT}\n{text}"


def _is_ours(output: Mapping[str, Any]) -> bool:
    metadata = output.get("metadata")
    ours = metadata.get("kernelexec") if isinstance(metadata, Mapping) else None
    return isinstance(ours, Mapping) and ours.get("payload") is True
