"""HTML and JavaScript that are programs: which library's, and what they show, in a sentence. Pure.

Of such a page nothing can be read but what it is made from: maps, plots, networks, animations.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from html import unescape
from typing import Any

from kernelexec.model.charts import Chart, named, plotly_in_html, title_of, vega_in_html, word
from kernelexec.model.html_text import html_to_text
from kernelexec.model.pictures import is_mark

_LARGEST = 5_000_000  # characters that are looked at
_MOST_VALUES = 100_000  # objects of a Bokeh document that are looked at
_NUMBER = r"-?\d+(?:\.\d+)?"
_CENTER = re.compile(rf"center: ?\[({_NUMBER}), ?({_NUMBER})\]")
_ZOOM = re.compile(rf'"?zoom"?: ?({_NUMBER})\b')
_LAYER = re.compile(r"\bL\.(marker|circleMarker|circle|polyline|polygon|rectangle|geoJson|heatLayer)\(")
_DATA_SET = re.compile(r"\b(nodes|edges) ?= ?new vis\.DataSet\(")
_DOCS_JSON = re.compile(r"\bdocs_json ?= ?(?=\{)")
_PICTURE = re.compile(r"<img\b[^>]*>")
_FRAME = re.compile(r'frames\[0\] ?= ?"(?P<mark>.)"')


# Of pages that a library shows when it gets ready: its logo, and what it asks of the browser.
_GETS_READY = ('class="logo-block"', "bk-logo-notebook")
_SERVANTS = frozenset({"panel.models.browser.BrowserInfo", "panel.models.comm_manager.CommManager"})
_LONGEST_NOTE = 40  # characters beside a logo: "Loading BokehJS ..."
_NOT_SHOWN = re.compile(
    r"<!--.*?-->|<style\b.*?</style>|<(?:link|meta)\b[^>]*>"
    r"|<script\b[^>]*\btype=['\"](?![^'\"]*(?:javascript|module))[^>]*>.*?</script>",
    re.DOTALL | re.IGNORECASE,
)


def gets_ready(source: str) -> bool:
    """Whether HTML only makes things ready for what is shown later."""
    if len(source) > _LARGEST:
        return False
    if any(sign in source for sign in _GETS_READY):
        return len(html_to_text(_PICTURE.sub("", source)).strip()) <= _LONGEST_NOTE
    if any(sign in source for sign in _SERVANTS):
        found = _DOCS_JSON.search(source)
        roots = list(_roots(_json_at(source, found.end()) if found else None))
        return bool(roots) and all(root.get("name") in _SERVANTS for root in roots)
    return not _NOT_SHOWN.sub("", source).strip()


def describe_page(source: str) -> Chart | None:
    """What a page or a script shows, if it is one of these programs."""
    if len(source) > _LARGEST:
        return None
    if "srcdoc=" in source:  # a page in a frame, escaped
        source = unescape(source)
    if "</" in source and "<script" not in source:  # HTML, in which such words are only words
        return None
    for sign, describe in _PROGRAMS:
        if sign in source:
            return describe(source)
    return None


def _called(name: str) -> Callable[[str], Chart]:
    """A program of which no more is known than whose it is."""
    return lambda _: Chart(name, "")


def _map(source: str) -> Chart:
    """Of Leaflet, as folium makes it."""
    said = ["Leaflet map (folium)" if "folium" in source else "Leaflet map"]
    center, zoom = _CENTER.search(source), _ZOOM.search(source)
    if center is not None:
        said.append(f"center {center[1]}, {center[2]}{f', zoom {zoom[1]}' if zoom else ''}")
    counts: dict[str, int] = {}
    for found in _LAYER.finditer(source):
        counts[found[1]] = counts.get(found[1], 0) + 1
    said += [f"{count:,} x {layer}" for layer, count in counts.items()]
    return Chart("; ".join(said), "")


def _network(source: str) -> Chart:
    """Of vis.js, as pyvis makes it."""
    parts = []
    for found in _DATA_SET.finditer(source):
        members = _json_at(source, found.end())
        if isinstance(members, list):
            labels = [each.get("label") for each in members if isinstance(each, Mapping)]
            words = [word(label) for label in labels if label not in (None, "")]
            what = found[1].removesuffix("s") if len(members) == 1 else found[1]
            parts.append(f"{len(members):,} {what}{f': {named(iter(words))}' if words else ''}")
    return Chart("; ".join(["Network (vis.js, pyvis)", *parts]), "")


# What Panel puts into a Bokeh document that is another library's.
_IN_PANEL = {
    "PlotlyPlot": "Plotly figure (in Panel)",
    "VegaPlot": "Vega chart (in Panel)",
    "DeckGLPlot": "deck.gl map (in Panel)",
    "panel.models.echarts": "ECharts chart (in Panel)",
}


def _bokeh(source: str) -> Chart:
    found = _DOCS_JSON.search(source)
    document = _json_at(source, found.end()) if found else None
    titles: list[str] = []
    glyphs: list[str] = []
    labels: list[str] = []
    columns: list[str] = []
    others: list[str] = []
    for each in _models(document):
        others += [said for name, said in _IN_PANEL.items() if name in str(each.get("name"))]
        attributes = each.get("attributes")
        attributes = attributes if isinstance(attributes, Mapping) else {}
        if each.get("name") == "Title":
            titles.append(title_of(attributes.get("text")))
        elif each.get("name") == "GlyphRenderer" and isinstance(attributes.get("glyph"), Mapping):
            glyphs.append(word(attributes["glyph"].get("name")))
        elif each.get("name") == "TableColumn":
            columns.append(word(attributes.get("title") or attributes.get("field")))
        elif attributes.get("axis_label"):
            labels.append(word(attributes["axis_label"]))
    what = next(iter(others), "Bokeh table" if columns and not glyphs else "Bokeh plot")
    said = [f"{what}{''.join(titles[:1])}"]
    said += [f"glyphs: {named(iter(glyphs))}"] if glyphs else []
    said += [f"axes: {named(iter(dict.fromkeys(labels)))}"] if labels else []
    said += [f"columns: {named(iter(columns))}"] if columns else []
    return Chart("; ".join(said), "")


def _roots(document: object) -> Iterator[Mapping[str, Any]]:
    """What a Bokeh document shows."""
    for each in document.values() if isinstance(document, Mapping) else ():
        roots = each.get("roots") if isinstance(each, Mapping) else None
        yield from (root for root in roots or () if isinstance(root, Mapping))


def _models(document: object) -> Iterator[Mapping[str, Any]]:
    """The objects of a Bokeh document that have a name, from the outside inwards."""
    waiting = [document]
    for _ in range(_MOST_VALUES):
        if not waiting:
            return
        value = waiting.pop(0)
        if isinstance(value, Mapping):
            if isinstance(value.get("name"), str):
                yield value
            waiting += [inner for inner in value.values() if isinstance(inner, Mapping | list)]
        elif isinstance(value, list):
            waiting += [
                inner for inner in value if isinstance(inner, Mapping | list)
            ]  # a grid's: [[plot, 0, 1]]


def _animation(source: str) -> Chart:
    """Of Matplotlib: to_jshtml. Its first frame is a picture."""
    frames = len(set(re.findall(r"\bframes\[(\d+)\] ?=", source)))
    first = _FRAME.search(source)
    picture = first["mark"] if first is not None and is_mark(first["mark"]) else ""
    said = f"Matplotlib animation, {frames:,} frames" if frames else "Matplotlib animation"
    return Chart(said, "", picture)


def _json_at(source: str, position: int) -> object:
    try:
        value, _ = json.JSONDecoder().raw_decode(source, position)
    except (ValueError, RecursionError):
        return None
    return value


# What such a program can be told by, and what can be said of it; the first that is found counts.
_PROGRAMS: tuple[tuple[str, Callable[[str], Chart | None]], ...] = (
    ("vegaEmbed", vega_in_html),
    ("Plotly.newPlot(", plotly_in_html),
    ("docs_json", _bokeh),
    ("L.map(", _map),
    ("vis.Network(", _network),
    ("new Animation(", _animation),
    ("createDeck(", _called("deck.gl map (pydeck)")),
    ("keplergl", _called("kepler.gl map")),
    ("echarts.init(", _called("ECharts chart (pyecharts)")),
    ("mpld3.draw_figure(", _called("Matplotlib figure (mpld3)")),
    ("Highcharts.", _called("Highcharts chart")),
    ("new Chart(", _called("Chart.js chart")),
    ("google.visualization", _called("Google chart")),
    ("3Dmol", _called("3Dmol view of a molecule")),
    ("LDAvis(", _called("pyLDAvis view of topics")),
    ("cytoscape(", _called("Cytoscape network")),
    ("mermaid.init", _called("Mermaid diagram")),
    ("d3.select", _called("D3 drawing")),
)
