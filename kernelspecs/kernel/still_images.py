"""Pictures of interactive charts, for who sees no interaction: an assistant, a preview, a printout.

A chart of Altair or Plotly is shown as before, and its MIME bundle gets an `image/png` too, if the environment has
what the library itself makes pictures with: vl-convert-python, kaleido.
"""

from __future__ import annotations

import base64
import importlib
import importlib.util
import json
import logging
import os
import threading
import time
from contextlib import contextmanager

PLOTLY = "application/vnd.plotly.v1+json"
PICTURES_A_RUN = 4  # as many as a reply has
# The run waits for its pictures so long and no longer: kaleido starts a browser, which may take for ever.
SECONDS_A_RUN = 3.0
# What makes the pictures tells its log of it, which would be output of the user's cell.
_LOGS = ("kaleido", "choreographer", "logistro", "vl_convert")


def is_wanted(environ=os.environ) -> bool:
    """Whether the person has not switched them off."""
    return environ.get("KERNELEXEC_STILL_IMAGES", "").strip() != "0"


@contextmanager
def _quiet_logs():
    """Levels that the user has chosen stay."""
    changed = [log for log in map(logging.getLogger, _LOGS) if log.level == logging.NOTSET]
    for log in changed:
        log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for log in changed:
            log.setLevel(logging.NOTSET)


class StillImages:
    """Adds the pictures to what a kernel's shell shows."""

    def __init__(self, shell) -> None:
        self.shell = shell
        self.begin_run()
        self.given_up = set()  # libraries
        self.workers = {}  # by library: who makes its picture, perhaps still
        self.publish = shell.display_pub.publish
        # By name: IPython looks at it when such an object is shown, and imports nothing for it.
        png = shell.display_formatter.formatters["image/png"]
        for version in ("v5", "v6"):
            png.for_type_by_name("altair.vegalite.%s.api" % version, "TopLevelMixin", self.of_altair)
        # Plotly makes its bundle itself and hands it on ready.
        shell.display_pub.publish = self.publish_with_picture
        shell.events.register("pre_run_cell", self.begin_run)

    def begin_run(self, *_) -> None:
        self.pictures = PICTURES_A_RUN
        self.seconds = SECONDS_A_RUN

    def of_altair(self, chart):
        """What the formatter for image/png says of a chart: the picture, or None."""
        if not self.is_possible("vl_convert"):
            return None
        try:
            spec = json.dumps(chart.to_dict())
        except Exception:  # noqa: BLE001 - Altair has shown it where it made the chart itself
            return None
        if '"url":' in spec:  # what it would fetch could take for ever, in code that no interrupt reaches
            return None
        return self.made("vl_convert", lambda vl_convert: vl_convert.vegalite_to_png(spec))

    def publish_with_picture(self, data, *arguments, **options):
        if isinstance(data, dict) and PLOTLY in data and not any(mime.startswith("image/") for mime in data):
            try:
                picture = self.of_plotly(data[PLOTLY])
            except BaseException:
                self.publish(data, *arguments, **options)  # an interrupt costs the picture, not the chart
                raise
            if picture is not None:
                data = {**data, "image/png": base64.b64encode(picture).decode("ascii")}
        return self.publish(data, *arguments, **options)

    def of_plotly(self, figure):
        if not self.is_possible("kaleido"):
            return None
        return self.made(
            "kaleido",
            lambda _: importlib.import_module("plotly.io").to_image(figure, "png", validate=False),
        )

    def is_possible(self, library) -> bool:
        if self.pictures <= 0 or self.seconds <= 0 or library in self.given_up:
            return False
        if library in self.workers and self.workers[library].is_alive():
            return False
        try:
            return importlib.util.find_spec(library) is not None
        except ValueError:  # a module that somebody made by hand
            return False

    def made(self, library, make):
        self.pictures -= 1
        began = time.monotonic()
        pictures = []

        def work():
            with _quiet_logs():
                try:
                    pictures.append(make(importlib.import_module(library)))
                except Exception:  # noqa: BLE001 - whatever a library raises
                    self.given_up.add(library)  # no browser for kaleido, say: the chart is whole without it

        worker = self.workers[library] = threading.Thread(target=work, name="kernelexec-picture", daemon=True)
        worker.start()
        worker.join(self.seconds)
        self.seconds -= time.monotonic() - began
        # What comes later is of no use: the chart has been shown. The next one may find the browser started.
        return pictures[0] if pictures and not worker.is_alive() else None
