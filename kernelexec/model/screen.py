"""The screen of a terminal: rows of text, a cursor, and where in the raw text each row was changed. Pure."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import accumulate

_ROWS = 500  # of the screen: as far as a cursor can go up
COLUMNS = 500  # as far as a cursor can go to the right by a code: one goes 999 columns to find the end
_LONG_ROW = 4_000  # characters; a longer row that is edited is a list, else each edit would copy it
_NEVER = sys.maxsize


@dataclass(frozen=True)
class Stretch:
    """Lines, and the part of the raw text from which they are: no other part has a share in them."""

    text: str
    start: int
    end: int


class Screen:
    """A screen that is written to. `mark` divides what it shows into old and changed."""

    def __init__(self) -> None:
        self._rows: list[str | list[str]] = [""]
        # Of each row the positions in the raw text between which it was changed, since the mark.
        self._first, self._last = [_NEVER], [-1]
        self._is_line = [False]  # not a row that a cursor only jumped over
        self.row = self.column = 0
        self._saved = (0, 0)
        self._top = 0  # the first row of a screen that was cleared or addressed by row
        self._is_addressed = False
        self.region = 0  # rows that scroll; 0: all
        self.is_below_region = False
        self.at = 0  # position in the raw text
        self._mark = (0, "", 0)  # the cursor's row, its text, and the first column that was changed since

    def text(self) -> str:
        """What it shows, without the rows that nothing was written to."""
        return "\n".join(
            row if isinstance(row, str) else "".join(row)
            for row, is_line in zip(self._rows, self._is_line, strict=True)
            if is_line
        )

    def rows(self) -> list[str]:
        return ["".join(row) for row in self._rows]

    def mark(self) -> None:
        """What is changed from now on is what `changed` tells."""
        row = "".join(self._rows[self.row])
        self._mark = (self.row, row, self.column)
        self._first, self._last = [_NEVER] * len(self._rows), [-1] * len(self._rows)

    def changed(self) -> list[Stretch]:
        """The rows that were changed since the mark; of the row to which text was only added, that text."""
        found: list[Stretch] = []
        group: list[str] = []
        start = end = self.at
        for index, (first, last) in enumerate(zip(self._first, self._last, strict=True)):
            if last < 0 or not self._is_line[index]:
                continue
            if group and first >= end:
                found.append(Stretch("\n".join(group), start, end))
                group, start = [], end
            start = start if group or found else first
            end = max(end, last) if group else last
            group.append(self._changed_text(index))
        if group:
            found.append(Stretch("\n".join(group), start, max(end, self.at)))
        return found

    def _changed_text(self, index: int) -> str:
        text = "".join(self._rows[index])
        row, before, column = self._mark
        return text[column:] if index == row and column == len(before) and text.startswith(before) else text

    # --- text ----------------------------------------------------------------------------------------

    def print_text(self, text: str) -> None:
        """Text that has no special character but newlines; it is at `_at` in the raw text."""
        if self.is_below_region:
            self.at += len(text)
            return
        if "\n" not in text:
            self.put(text)
            return
        lines = text.split("\n")
        if self.row + 1 < len(self._rows):
            for line in lines[:-1]:
                self.put(line)
                self.at += 1
                self.new_line()
            self.put(lines[-1])
            return
        self.put(lines[0])
        self.at += 1
        self._touch()
        if len(lines) > 2:
            middle = lines[1:-1]
            ends = list(accumulate(map(len, middle), lambda at, length: at + length + 1, initial=self.at))
            self._rows += middle
            self._first += ends[:-1]
            self._last += ends[1:]
            self._is_line += [True] * len(middle)
            self.at = ends[-1]
        self._add_row(is_line=True)
        self.row, self.column = len(self._rows) - 1, 0
        self.put(lines[-1])

    def put(self, text: str) -> None:
        if not text:
            return
        index, column = self.row, self.column
        row = self._rows[index]
        end = self.column = column + len(text)
        before = self.at
        self.at += len(text)
        if len(row) > _LONG_ROW:
            self._rows[index] = row = list(row) if isinstance(row, str) else row
            row.extend(" " * (column - len(row)))
            row[column:end] = text
        elif column < len(row):
            new = f"{row[:column]}{text}{row[end:]}"
            self._rows[index] = new.rstrip(" ") if end >= len(row) else new
        else:
            self._rows[index] = f"{row:<{column}}{text}" if column > len(row) else f"{row}{text}"
        self._touch(column, before)

    def _touch(self, column: int = _NEVER, before: int | None = None) -> None:
        """The cursor's row was changed, from this column on, by what ends at `_at`."""
        index = self.row
        if self._first[index] == _NEVER:
            self._first[index] = self.at if before is None else before
        self._last[index] = self.at
        self._is_line[index] = True
        if index == self._mark[0] and column < self._mark[2]:
            self._mark = (*self._mark[:2], column)

    def new_line(self) -> None:
        if self.row + 1 == len(self._rows):
            self._touch()
            self._add_row(is_line=True)
        elif not self._is_line[self.row]:
            self._touch()
        self.row, self.column = self.row + 1, 0
        self._is_line[self.row] = True

    def _add_row(self, *, is_line: bool) -> None:
        self._rows.append("")
        self._first.append(_NEVER)
        self._last.append(-1)
        self._is_line.append(is_line)

    # --- cursor and erasing --------------------------------------------------------------------------

    def _base(self) -> int:
        """The screen's first row."""
        return max(self._top, len(self._rows) - _ROWS)

    def to_row(self, index: int) -> None:
        index = min(index, self._base() + _ROWS - 1)
        while len(self._rows) <= index:
            self._add_row(is_line=False)
        self.row = index

    def up(self, count: int) -> None:
        self.row = min(self.row, max(self._base(), self.row - count))

    def down(self) -> None:
        """To the next row, in the same column; on the last one the screen scrolls."""
        if self.row + 1 == len(self._rows):
            self._add_row(is_line=True)
        self.row += 1

    def to_column(self, column: int) -> None:
        self.column = max(0, min(column, max(COLUMNS - 1, self.column)))

    def _address(self) -> None:
        """The screen is one that is addressed by rows: what was there before has scrolled away."""
        if not self._is_addressed:
            self._is_addressed = True
            self._top = len(self._rows) - 1 + bool(self._rows[-1])

    def position(self, row: int, column: int | None) -> None:
        self._address()
        self.is_below_region = 0 < self.region < row
        if not self.is_below_region:
            self.to_row(self._base() + max(row, 1) - 1)
        if column is not None:
            self.to_column(max(column, 1) - 1)

    def save(self) -> None:
        self._saved = (self.row, self.column)

    def restore(self) -> None:
        self.row, self.column = self._saved
        self.is_below_region = False

    def reset(self) -> None:
        self.erase_display(2)
        self.position(1, 1)

    def back_up(self) -> None:
        if self.row == self._base():
            column = self.column
            self.insert_rows(self.row, 1)
            self.column = column
        else:
            self.up(1)

    def splice(self, begin: int, end: int, text: str) -> None:
        """In the cursor's row, put text in place of what is between these columns."""
        row = self._rows[self.row]
        if begin >= len(row):
            return
        if len(row) > _LONG_ROW:
            self._rows[self.row] = row = list(row) if isinstance(row, str) else row
            row[begin:end] = text
        else:
            self._rows[self.row] = f"{row[:begin]}{text}{row[end:]}".rstrip(" ")
        self._touch(begin)

    def _clear(self, index: int) -> None:
        if self._rows[index]:
            cursor, self.row = self.row, index
            self._rows[index] = ""
            self._touch(0)
            self.row = cursor

    def erase_line(self, how: int) -> None:
        if how == 0:
            self.splice(self.column, _NEVER, "")
        elif how == 1:
            end = self.column + 1
            self.splice(0, end, " " * min(end, len(self._rows[self.row])))
        elif how == 2:
            self._clear(self.row)

    def erase_display(self, how: int) -> None:
        if how == 2:
            self._address()
            erased = range(self._base(), len(self._rows))
        elif how == 0:
            self.erase_line(0)
            erased = range(self.row + 1, len(self._rows))
        elif how == 1:
            self.erase_line(1)
            erased = range(self._base(), self.row)
        else:
            return  # 3: what has scrolled away, which stays
        for index in erased:
            self._clear(index)
            self._is_line[index] = how != 2 and self._is_line[index]

    def insert_rows(self, index: int, count: int) -> None:
        count = min(count, _ROWS)
        self._rows[index:index] = [""] * count
        self._first[index:index] = [self.at] * count
        self._last[index:index] = [self.at] * count
        self._is_line[index:index] = [True] * count
        self.column = 0

    def delete_rows(self, index: int, count: int) -> None:
        for column in (self._rows, self._first, self._last, self._is_line):
            del column[index : index + count]
        if index == len(self._rows):
            self._add_row(is_line=True)
        self.column = 0

    def blank(self, count: int) -> None:
        """Spaces in place of so many characters."""
        count = min(count, len(self._rows[self.row]) - self.column)
        self.splice(self.column, self.column + count, " " * count)
