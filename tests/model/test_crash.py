"""Where a crash was."""

from __future__ import annotations

from kernelexec.model.crash import crash_in_words

CODE = "x = 1\ncrash(x)"
BELOW = '  File "/env/IPython/core/interactiveshell.py", line 3826 in run_code\n' * 9
OWN, OTHER = "/tmp/ipykernel_7/123.py", "/tmp/ipykernel_7/456.py"


def report(*frames: tuple[str, int, str]) -> str:
    told = "".join(f'  File "{file}", line {line} in {name}\n' for file, line, name in frames)
    return f"Fatal Python error: Segmentation fault\n\nStack (most recent call first):\n{told}"


def test_a_crash_is_told_by_the_cells_it_was_in_without_the_frames_of_ipython() -> None:
    text = report(("/lib/ctypes/__init__.py", 5, "string_at"), (OTHER, 2, "crash"), (OWN, 2, "<module>"))
    modules = "\nExtension modules: numpy._core, zmq (total: 2)"
    assert crash_in_words(f"It ended.\n{text}{BELOW}{modules}", CODE, "s@e/3") == (
        "It ended.\nFatal Python error: Segmentation fault\n\nStack (most recent call first):\n"
        '  File "/lib/ctypes/__init__.py", line 5 in string_at\n'
        "  an earlier cell, line 2 in crash\n"
        "  s@e/3, line 2 in <module>: crash(x)"
    )


def test_of_a_deep_recursion_both_ends_are_told() -> None:
    text = report(*[(OWN, 1, "f")] * 98, (OWN, 2, "<module>"))
    told = crash_in_words(text, CODE, "s@e/3").splitlines()[3:]
    assert told[0] == "  s@e/3, line 1 in f: x = 1"
    assert told[6] == "  [... 87 more ...]"
    assert told[-1] == "  s@e/3, line 2 in <module>: crash(x)"
    assert len(told) == 13


def test_a_crash_outside_of_cells_is_told_as_it_is() -> None:
    text = report(("/lib/threading.py", 5, "run")) + "  ..."
    assert crash_in_words(text, CODE, "s@e/3") == text
    assert crash_in_words("It ended.\nterminate called", CODE, "s@e/3") == "It ended.\nterminate called"
    thread = report((OWN, 9, "work"), ("/lib/threading.py", 5, "run"))
    assert "  a cell, line 9 in work" in crash_in_words(thread, CODE, "s@e/3")
