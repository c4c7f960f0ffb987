"""Which figures a kernel tells that nothing shows. Without a kernel, and without Matplotlib."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from tests.kernelspecs.test_live_kernel import load


class Figure:
    def savefig(self, file: Any, **options: Any) -> None:
        file.write(b"PNG")


class Pyplot(SimpleNamespace):
    """Matplotlib's pyplot, with a figure that nothing has shown."""

    def __init__(self, backend: str = "agg") -> None:
        self.backend = backend
        self.figures = [Figure()]
        self._pylab_helpers = SimpleNamespace(Gcf=self)

    def get_all_fig_managers(self) -> list[Any]:
        return [SimpleNamespace(canvas=SimpleNamespace(figure=figure)) for figure in self.figures]

    def get_backend(self) -> str:
        return self.backend


@pytest.fixture
def figures() -> Any:
    registered = SimpleNamespace(for_type_by_name=lambda *names: None)
    shell = SimpleNamespace(display_formatter=SimpleNamespace(formatters={"image/png": registered}))
    return load("kernel", "headless_figures").HeadlessFigures(shell)


def test_figures_that_nothing_shows_are_told_once_for_each_backend(
    figures: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert figures.news() is None
    pyplot = Pyplot("Agg")
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", pyplot)
    assert figures.news() == {"backend": "Agg", "figures": 1}
    assert figures.news() is None
    pyplot.backend = "svg"
    assert figures.news() == {"backend": "svg", "figures": 1}


def test_a_figure_that_was_displayed_or_closed_is_not_told(
    figures: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pyplot = Pyplot()
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", pyplot)
    assert figures.of_figure(pyplot.figures[0]) == b"PNG"
    assert figures.news() is None
    pyplot.figures = []
    assert figures.news() is None


@pytest.mark.parametrize(
    "backend", ["module://matplotlib_inline.backend_inline", "inline", "widget", "TkAgg"]
)
def test_a_backend_that_shows_figures_is_not_told(
    figures: Any, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", Pyplot(backend))
    assert figures.news() is None


def test_another_module_of_that_name_harms_nothing(figures: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", SimpleNamespace())
    assert figures.news() is None
