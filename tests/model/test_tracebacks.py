"""Tracebacks as a reply shows them; the long ones are what IPython 9 makes of real errors."""

from __future__ import annotations

from kernelexec.model.tracebacks import short_traceback

RULE = "\x1b[31m" + "-" * 75 + "\x1b[39m"
TITLE = "\x1b[31mValueError\x1b[39m                                Traceback (most recent call last)"
CELL = "Cell In[7], line 2\n      1 import json\n----> 2 json.loads('{')\n"
LIBRARY = (
    "File ~/env/lib/python3.12/json/decoder.py:{}, in JSONDecoder.decode(self, s, _w)\n"
    "    332 def decode(self, s):\n--> 337     obj, end = self.raw_decode(s)\n    338     end = 1\n"
)
MACHINERY = (
    "File ~/env/lib/python3.12/site-packages/IPython/core/magics/execution.py:1, in time()\n----> 1 exec(x)\n"
)
OWN = (
    "File ~/project/helpers.py:3, in load(name)\n"
    "      1 def load(name):\n      2     # the reason\n----> 3     return open(name)\n"
)
MESSAGE = "\x1b[31mValueError\x1b[39m: bad"


def test_the_users_line_is_shown_with_its_file_and_a_library_only_with_the_line_that_was_called() -> None:
    shown = short_traceback([RULE, TITLE, CELL, OWN, LIBRARY.format(337), MESSAGE], {7: "0007-load.py"})
    assert shown.split("\n") == [
        "ValueError: Traceback (most recent call last)",
        "0007-load.py, line 2",
        "      1 import json",
        "----> 2 json.loads('{')",
        "File ~/project/helpers.py:3, in load(name)",
        "      1 def load(name):",
        "      2     # the reason",
        "----> 3     return open(name)",
        "File ~/env/lib/python3.12/json/decoder.py:337, in JSONDecoder.decode(self, s, _w)",
        "--> 337     obj, end = self.raw_decode(s)",
        "ValueError: bad",
    ]


def test_frames_of_ipython_are_left_out() -> None:
    assert "IPython" not in short_traceback([RULE, TITLE, CELL, MACHINERY, MESSAGE], {})


def test_frames_of_our_own_are_left_out_and_those_of_a_file_of_the_same_name_are_not() -> None:
    frame = "File ~/{}kernel_app.py:3, in f(name)\n----> 3     return g(name)\n"
    launcher = ".local/share/kernelexec/launcher/0123456789ab/kernel/"
    assert "kernel_app" not in short_traceback([RULE, TITLE, CELL, frame.format(launcher), MESSAGE], {})
    assert "kernel_app" in short_traceback([RULE, TITLE, CELL, frame.format("project/"), MESSAGE], {})


def test_many_frames_of_libraries_are_the_first_and_the_last_two() -> None:
    frames = [LIBRARY.format(line) for line in range(20)]
    shown = short_traceback([RULE, TITLE, CELL, *frames, MESSAGE], {})
    assert "[... 17 more frames in libraries ...]" in shown
    assert [line for line in (0, 1, 17, 18, 19) if f"decoder.py:{line}," in shown] == [0, 18, 19]


def test_a_recursion_is_told_once() -> None:
    frame = "Cell In[5], line 1, in f(n)\n----> 1 def f(n): return f(n+1)\n"
    shown = short_traceback([RULE, TITLE, CELL, *[frame] * 975, MESSAGE], {5: "0005.py"})
    assert shown.count("def f(n)") == 1
    assert "[... the same 974 times more ...]" in shown
    assert "0005.py, line 1, in f(n)" in shown


def test_a_recursion_through_two_functions_is_shown_at_both_ends() -> None:
    frames = [f"Cell In[5], line {n % 2 + 1}, in f{n % 2}(n)\n" for n in range(900)]
    shown = short_traceback([RULE, TITLE, CELL, *frames, MESSAGE], {})
    assert "more frames ...]" in shown
    assert len(shown) < 3_000
    assert shown.endswith("ValueError: bad")


def test_the_exceptions_of_a_chain_are_all_told() -> None:
    between = "\nDuring handling of the above exception, another exception occurred:\n"
    shown = short_traceback([RULE, TITLE, CELL, "KeyError: 'a'", between, TITLE, CELL, MESSAGE], {})
    assert shown.index("KeyError: 'a'") < shown.index("During handling") < shown.index("ValueError: bad")


def test_a_syntax_error_keeps_its_mark_and_names_the_file() -> None:
    error = (
        "  \x1b[36mCell\x1b[39m\x1b[36m \x1b[39m\x1b[32mIn[4]\x1b[39m\x1b[32m, line 1\x1b[39m\n"
        "    x = = 1\n        ^\nSyntaxError: invalid syntax\n"
    )
    assert short_traceback([error], {4: "0004.py"}).split("\n") == [
        "  0004.py, line 1",
        "    x = = 1",
        "        ^",
        "SyntaxError: invalid syntax",
    ]


def test_an_older_ipython_is_understood() -> None:
    frame = "Input \x1b[0;32mIn [7]\x1b[0m, in \x1b[0;36m<cell line: 1>\x1b[0;34m()\x1b[0m\n----> 1 f()\n"
    shown = short_traceback([RULE, TITLE, frame, MESSAGE], {7: "0007.py"})
    assert "0007.py, in <cell line: 1>()" in shown


def test_what_other_kernels_send_stays_as_it_is() -> None:
    assert short_traceback(["Error in f(): object 'x' not found\nTraceback:\n"], {}) == (
        "Error in f(): object 'x' not found\nTraceback:"
    )
    assert short_traceback([], {}) == ""
