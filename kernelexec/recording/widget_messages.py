"""What a session's kernels say of their widgets: kept within the limits that all output has, or counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from kernelexec.model.execution import Execution
from kernelexec.model.limits import Limits
from kernelexec.model.outputs import size_of
from kernelexec.model.widgets import (
    CAPTURED_TYPES,
    COMM_CLOSE,
    COMM_TYPES,
    WidgetStates,
    encoded,
    says_state,
)
from kernelexec.recording.journal import Journal
from kernelexec.recording.last_updates import LastUpdates

_MOST_RUNS = 1_000  # whose sums are known


class Taken(Enum):
    """What became of a message."""

    NOT_A_WIDGETS = "not a widget's"  # it says nothing of one
    UNCHANGED = "unchanged"  # it is a widget's, and there is nothing to keep
    KEPT = "kept"
    LEFT_OUT = "left out"  # there is no room for it; it is counted


class WidgetMessages:
    """Of one session."""

    def __init__(self, journal: Journal, updates: LastUpdates) -> None:
        self.limits = Limits()  # the last caller's
        self._journal = journal
        self._updates = updates
        self._present = WidgetStates()  # of the present kernel
        self._all: dict[int, WidgetStates] = {}  # by generation
        self._sizes: dict[str | None, int] = {}  # by request: characters of its messages that were kept
        self._left_out: dict[int, list[int]] = {}  # by execution: how many, and characters
        self._told: set[int] = set()  # the executions that ended, and say that something was left out

    def begin(self, generation: int) -> WidgetStates:
        """A new kernel, without widgets."""
        self._present = self._all[generation] = WidgetStates()
        self._sizes.clear()
        return self._present

    def restore(self, widgets: Mapping[int, WidgetStates], generation: int) -> None:
        """What earlier hubs had; the present generation."""
        self._all.update(widgets)
        self._present = widgets.get(generation, self._present)

    def of(self, execution: Execution) -> WidgetStates:
        """Those of the execution's kernel."""
        return self._all.get(execution.generation, WidgetStates())

    def take(
        self,
        message_type: str,
        content: Mapping[str, Any],
        buffers: Sequence[bytes],
        parent: str | None,
        serial: int | None = None,
    ) -> Taken:
        """Keep what a message says of a widget. `serial`: see Recorder.output.

        Raises:
            StorageFailed: it is kept in memory only.
        """
        heard = {"parent": parent, **({} if serial is None else {"s": serial})}
        if message_type in CAPTURED_TYPES:
            return self._capture(message_type, content, parent, heard)
        if message_type in COMM_TYPES:
            return self._take_state(content, buffers, parent, heard)
        if message_type == COMM_CLOSE and self._present.close(content):
            self._updates.write(content["comm_id"])
            self._journal.keep("comm", content=content, buffers=[], closed=True, **heard)
            return Taken.KEPT
        return Taken.NOT_A_WIDGETS

    def _capture(
        self, message_type: str, content: Mapping[str, Any], parent: str | None, heard: Mapping[str, Any]
    ) -> Taken:
        """Output that an Output widget shows, not the cell. Where the widget is full the cell has it."""
        capturer = self._present.capturer(parent)
        if capturer is None:
            return Taken.NOT_A_WIDGETS
        size = size_of(content)
        is_full = self._present.size(capturer) + size > self.limits.cell or not self._present.has_room(size)
        if is_full or not self._has_room(parent, size):
            return Taken.NOT_A_WIDGETS
        self._count(parent, size)
        self._present.capture(capturer, message_type, content, parent)
        self._journal.keep("captured", comm=capturer, type=message_type, content=content, **heard)
        return Taken.KEPT

    def _take_state(
        self,
        content: Mapping[str, Any],
        buffers: Sequence[bytes],
        parent: str | None,
        heard: Mapping[str, Any],
    ) -> Taken:
        if not says_state(content):
            return Taken.UNCHANGED
        kept = encoded(buffers)
        size = size_of(content) + size_of(kept)
        has_room = size <= self.limits.cell and self._has_room(parent, size)
        if not has_room or not self._present.take(content, kept):
            return Taken.LEFT_OUT
        self._count(parent, size)
        self._updates.keep_comm({"content": content, "buffers": kept, **heard}, size)
        return Taken.KEPT

    def _has_room(self, parent: str | None, size: int) -> bool:
        """Whether the run of this request may keep so much more."""
        return self._sizes.get(parent, 0) + size <= self.limits.run

    def _count(self, parent: str | None, size: int) -> None:
        self._sizes[parent] = self._sizes.pop(parent, 0) + size
        if len(self._sizes) > _MOST_RUNS:
            del self._sizes[next(iter(self._sizes))]

    def leave_out(self, execution: Execution, size: int) -> None:
        """A message of this execution was left out."""
        counted = self._left_out.setdefault(execution.number, [0, 0])
        counted[0] += 1
        counted[1] += size

    def notice(self, execution: Execution) -> str | None:
        """What the cell is to say of what was left out, at the run's end, and once of what came after."""
        if execution.number in self._told or execution.number not in self._left_out:
            return None
        number, size = self._left_out.pop(execution.number)
        if execution.is_final:
            self._told.add(execution.number)
        messages = "1 message" if number == 1 else f"{number:,} messages"
        return (
            f"\n[{messages} to widgets, {size:,} characters, not kept: too much for a notebook. "
            "What the widgets show here may be out of date.]\n"
        )
