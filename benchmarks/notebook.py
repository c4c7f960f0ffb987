"""What it costs to add one cell to a notebook: our splice against nbformat's read and write.

    python benchmarks/notebook.py [--quick]

Median of some appends to notebooks of so many cells, or of so many megabytes of output. `first` is the first
append after somebody else has saved the file, which is read and checked whole.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat

from kernelexec.recording.notebook import Notebook, code_cell
from kernelexec.recording.notebook_format import Change

SIZES = (("10 cells", 10, 200), ("1,000 cells", 1_000, 200), ("10,000 cells", 10_000, 200))
LARGE = (("1 MB", 100, 10_000), ("100 MB", 100, 1_000_000))


def cell(number: int, size: int) -> dict[str, Any]:
    outputs = [{"output_type": "stream", "name": "stdout", "text": ("x" * 99 + "\n") * max(1, size // 100)}]
    return code_cell(f"kernelexec-{number}", f"x = {number}\nprint(x)", outputs, number)


def seconds(action: Callable[[], object], times: int) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def with_nbformat(path: Path, number: int) -> None:
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.from_dict(cell(number, 200)))
    nbformat.write(notebook, path)


def row(name: str, cells: int, size: int, folder: Path, quick: bool) -> tuple[str, ...]:
    path = folder / "a.ipynb"
    path.unlink(missing_ok=True)
    Notebook(path, {}).append([cell(number, size) for number in range(cells)])
    os.utime(path, (1, 1))
    numbers = iter(range(cells, 10**9))
    ours = Notebook(path, {})

    def append() -> None:
        number = next(numbers)
        marks = {"kernelexec": {"revision": number}}
        ours.write(lambda _: Change([cell(number, 200)], metadata=marks))

    first = seconds(append, 1)
    spliced = seconds(append, 5 if quick else 30)
    theirs = seconds(lambda: with_nbformat(path, next(numbers)), 1 if quick else 3)
    return name, *(f"{1000 * value:,.2f}" for value in (spliced, first, theirs)), f"{theirs / spliced:,.0f}"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--quick", action="store_true", help="fewer rounds")
    quick = options.parse_args().quick
    print(f"{'notebook':14}{'append ms':>12}{'first ms':>12}{'nbformat ms':>14}{'times':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for name, cells, size in (*SIZES, *LARGE):
            values = row(name, cells, size, Path(folder), quick)
            print(f"{values[0]:14}{values[1]:>12}{values[2]:>12}{values[3]:>14}{values[4]:>8}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
