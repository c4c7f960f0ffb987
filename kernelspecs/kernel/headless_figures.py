"""Matplotlib's figures where nothing shows them: with a backend that draws into files (Agg, where MPLBACKEND or the code
has chosen it), plt.show() does nothing, and who waits for a picture is told nothing.

A figure that is displayed has a picture all the same. Of those that are not, the reply of the run after which there are
some first says so, once for each backend.
"""

from __future__ import annotations

import io
import sys
import weakref

BACKENDS = frozenset(["agg", "cairo", "pdf", "pgf", "ps", "svg", "template"])


class HeadlessFigures:
    def __init__(self, shell) -> None:
        self.told = set()  # backends
        self.displayed = weakref.WeakSet()
        # By name: nothing is imported for it, and the inline backend puts its own in its place.
        png = shell.display_formatter.formatters["image/png"]
        png.for_type_by_name("matplotlib.figure", "Figure", self.of_figure)

    def of_figure(self, figure):
        """What the formatter for image/png says of a figure: the picture."""
        self.displayed.add(figure)
        picture = io.BytesIO()
        figure.savefig(picture, format="png", bbox_inches="tight")
        return picture.getvalue()

    def news(self):
        """For the reply's metadata: {"backend": NAME, "figures": how many nobody has seen}, once; else None."""
        pyplot = sys.modules.get("matplotlib.pyplot")
        try:
            managers = pyplot._pylab_helpers.Gcf.get_all_fig_managers() if pyplot is not None else ()
            if not managers:
                return None
            backend = str(pyplot.get_backend())
            if backend.lower() not in BACKENDS or backend.lower() in self.told:
                return None
            unseen = [each for each in managers if each.canvas.figure not in self.displayed]
        except Exception:  # noqa: BLE001 - half imported, or something else of that name
            return None
        if not unseen:
            return None
        self.told.add(backend.lower())
        return {"backend": backend, "figures": len(unseen)}
