"""Which global names Python code makes and which it needs, as far as its text tells. Pure."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator
from dataclasses import dataclass

# A line that is IPython's and not Python's; what it makes cannot be told, but for `name = !...` and %time.
_IPYTHON = re.compile(r"^(?P<indent>\s*)(?P<name>\w+\s*=\s*)?(?P<what>[%!?].*|.*\?)$")
_KNOWN = frozenset(dir(builtins)) | {
    "get_ipython",
    "display",
    "In",
    "Out",
    "_",
    "__",
    "___",
    "__file__",
    "exit",
}


@dataclass(frozen=True)
class Names:
    """Of one cell."""

    made: frozenset[str] = frozenset()
    needed: frozenset[str] = frozenset()  # when it runs, from before it
    needed_later: frozenset[str] = frozenset()  # by functions that it makes, when they are called
    takes_all: bool = False  # `from x import *`: it may make any name


def names_in(code: str) -> Names:
    """The names of a cell; empty where it is no Python."""
    if code.lstrip().startswith("%%"):
        return Names()
    lines = [_IPYTHON.sub(_as_python, line) for line in code.splitlines()]
    try:
        tree = ast.parse("\n".join(lines))
    except (SyntaxError, ValueError, RecursionError):
        return Names()
    scope = _Scope()
    for statement in tree.body:
        scope.visit(statement)
    return Names(
        frozenset(scope.made),
        frozenset(scope.needed - _KNOWN),
        frozenset(scope.later - scope.made - scope.needed - _KNOWN),
        scope.takes_all,
    )


def _as_python(line: re.Match[str]) -> str:
    return f"{line['indent']}{line['name'] or ''}{'None' if line['name'] else 'pass'}"


class _Scope(ast.NodeVisitor):
    """The global scope, statement by statement: what is needed before it is made."""

    def __init__(self) -> None:
        self.made: set[str] = set()
        self.needed: set[str] = set()
        self.later: set[str] = set()
        self.takes_all = False

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load) and node.id not in self.made:
            self.needed.add(node.id)
        elif isinstance(node.ctx, ast.Store):
            self.made.add(node.id)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)  # before its targets, which it may need
        for target in node.targets:
            self.visit(target)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.visit(node.value)
        if isinstance(node.target, ast.Name) and node.target.id not in self.made:
            self.needed.add(node.target.id)
        self.visit(node.target)

    def visit_For(self, node: ast.For) -> None:
        for part in (node.iter, node.target, *node.body, *node.orelse):
            self.visit(part)

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            self.takes_all = self.takes_all or alias.name == "*"
            self.made.add(alias.asname or alias.name.partition(".")[0])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.visit_Import(node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.name:
            self.made.add(node.name)
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for part in (*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(part)
        self.made.add(node.name)
        self.later |= set(_free_in(node))

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.later |= set(_free_in(node))

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for part in (*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords)):
            self.visit(part)
        inner = _Scope()
        for statement in node.body:
            inner.visit(statement)
        self.needed |= inner.needed - self.made
        self.later |= inner.later
        self.made.add(node.name)

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> None:
        inner = _Scope()
        for generator in node.generators:
            inner.visit(generator.iter)
            inner.visit(generator.target)
            for condition in generator.ifs:
                inner.visit(condition)
        for part in (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,):
            inner.visit(part)
        self.needed |= inner.needed - self.made
        self.later |= inner.later

    def visit_ListComp(self, node: ast.ListComp) -> None:
        self._comprehension(node)

    def visit_SetComp(self, node: ast.SetComp) -> None:
        self._comprehension(node)

    def visit_DictComp(self, node: ast.DictComp) -> None:
        self._comprehension(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:
        self._comprehension(node)


def _free_in(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> Iterator[str]:
    """The names that a function takes from outside; what any part of it makes counts as its own."""
    own = {each.arg for each in ast.walk(function) if isinstance(each, ast.arg)}
    used: set[str] = set()
    for each in ast.walk(function):
        if isinstance(each, ast.Name):
            (used if isinstance(each.ctx, ast.Load) else own).add(each.id)
        elif isinstance(each, ast.Import | ast.ImportFrom):
            own |= {alias.asname or alias.name.partition(".")[0] for alias in each.names}
        elif isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.ExceptHandler):
            own.add(each.name or "")
        elif isinstance(each, ast.Global):
            used |= set(each.names)
    return iter(used - own)
