"""What dataclasses are that a hub has imported, each in an interpreter of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

MADE_AT_ONCE = sys.version_info >= (3, 13)
CLASSES = """
import copy, gc, pickle
from dataclasses import FrozenInstanceError, InitVar, asdict, dataclass, field, replace

@dataclass(frozen=True)
class Point:
    "A point."
    x: int
    y: int = 2

@dataclass(frozen=True, order=True)
class Named(Point):
    name: str = "n"
    tags: list[str] = field(default_factory=list, compare=False)

@dataclass(slots=True, frozen=True)
class Slotted:
    a: int

@dataclass
class Open:
    n: int
    twice: InitVar[int] = 2
    inner: object = None

    def __post_init__(self, twice):
        self.n *= twice

@dataclass(eq=False)
class Identity:
    n: int
"""
USE = """
def outcome(made):
    try:
        return repr(made())
    except Exception as error:
        return f"{type(error).__name__}: {error}"

point, named, node = Point(1), Named(1, name="b"), Open(1)
node.inner = node
for made in (
    lambda: (point, named, node, Slotted(3)),
    lambda: (point == Point(1), point == Point(2), point == named, Named(1, name="a") < named, named < point),
    lambda: (len({point, Point(1), Named(1, 2), Named(1, 2)}), hash(point) == hash((1, 2))),
    lambda: (setattr(point, "x", 3), "x was set"),
    lambda: (delattr(point, "x"), "x was deleted"),
    lambda: setattr(Slotted(1), "a", 2),
    lambda: Point(),
    lambda: Point(1, z=2),
    lambda: (replace(named, y=5), asdict(named), copy.deepcopy(named), pickle.loads(pickle.dumps(point))),
    lambda: Identity(1) == Identity(1),
    lambda: (Point.__init__.__qualname__, Named.__eq__.__qualname__, Slotted.__hash__.__qualname__),
    lambda: (Point.__init__.__code__.co_varnames, Named.__lt__.__code__.co_varnames),
    lambda: (Point.__doc__, Point.__match_args__),
    lambda: gc.isenabled(),
):
    for _ in range(2):
        print(outcome(made))
"""


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_their_methods_do_what_they_always_do() -> None:
    ours = run(
        "from kernelexec.daemon import quick_imports; quick_imports.begin()\n"
        f"{CLASSES}\nquick_imports.end()\n{USE}"
    )
    assert ours.splitlines() == run(CLASSES + USE).splitlines()
    assert "FrozenInstanceError" in ours


@pytest.mark.skipif(MADE_AT_ONCE, reason="this Python makes all methods of a class at once")
def test_a_method_is_made_when_it_is_called_and_once() -> None:
    code = f"""
import dataclasses
made, stock = [], dataclasses._create_fn
dataclasses._create_fn = lambda name, *text, **names: made.append(name) or stock(name, *text, **names)
from kernelexec.daemon import quick_imports
quick_imports.begin()
{CLASSES}
quick_imports.end()
print(made)
points = Point(1), Point(2), Point(3)
print(made)
print(repr(points), repr(points) == repr(points), points[0] == points[1], made)
"""
    nothing, first, rest = run(code).splitlines()
    assert (nothing, first) == ("[]", "['__init__']")
    assert rest.endswith("True False ['__init__', '__repr__', '__eq__']")


def test_classes_of_later_are_made_as_ever() -> None:
    code = "from kernelexec.daemon import quick_imports; quick_imports.begin(); quick_imports.end()"
    code += f"\n{CLASSES}\nprint(Point.__eq__.__code__.co_filename)"
    assert run(code).strip() == "<string>"
