"""Interactive charts in a sentence: Plotly figures and Vega (Altair) specifications. Pure.

Programs of other libraries: pages.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_VEGA = re.compile(r"application/vnd\.vega(?P<lite>lite)?\.v(?P<version>\d+)(?:\.\d+)*\+json\Z")
_PLOTLY = "application/vnd.plotly.v1+json"
_ALTAIR = (
    '; for a picture in the reply, with vl-convert-python in the environment: altair.renderers.enable("png")'
)
# What JupyterLab 4.6 draws by itself. Altair 6 writes 6; its page with scripts loads them from the network.
_DRAWN_VEGA = {"lite": range(3, 6), None: range(5, 6)}
_ONLINE = ", with access to the network"
_WITH_EXTENSION = " in a JupyterLab with plotly's extension, as of kernelexec lab"
_AFTER_HTML = f' after altair.renderers.enable("html"){_ONLINE}'
_KALEIDO = '; for a picture in the reply, with kaleido in the environment: fig.show("png")'
_NEW_PLOT = re.compile(r"Plotly\.newPlot\(\s*(?P<quote>[\"'])[^\"']*(?P=quote),\s*(?=\[)")
_EMBEDDING = "})("  # what the specification follows in Altair's HTML
_LARGEST_HTML = 5_000_000  # characters of HTML that are looked at
_NAMED = 8  # traces and encodings that are named
_WORD = 80  # characters of a title


@dataclass(frozen=True)
class Chart:
    text: str
    how_to_see_it: str  # follows "in the notebook"
    picture: str = ""  # the mark of one that is among the pictures of the page


def describe_chart(mime: str, value: object) -> Chart | None:
    """What a chart shows; None if this is none."""
    if not isinstance(value, Mapping):
        return None
    if mime == _PLOTLY:
        return Chart(_plotly(value), _WITH_EXTENSION + _KALEIDO)
    vega = _VEGA.match(mime)
    if vega is None:
        return None
    is_drawn = int(vega["version"][:3]) in _DRAWN_VEGA[vega["lite"]]
    return Chart(_vega(value), _ALTAIR if is_drawn else _AFTER_HTML + _ALTAIR)


def vega_in_html(html: str) -> Chart | None:
    """What the chart shows that Altair writes as a page with scripts; None if this is none."""
    call = html.rfind(_EMBEDDING) if "vegaEmbed" in html[:_LARGEST_HTML] else -1
    if call < 0 or len(html) > _LARGEST_HTML:
        return None
    try:
        spec, _ = json.JSONDecoder().raw_decode(html, call + len(_EMBEDDING))
    except (ValueError, RecursionError):
        return None
    return Chart(_vega(spec), _ONLINE + _ALTAIR) if isinstance(spec, Mapping) else None


def plotly_in_html(html: str) -> Chart | None:
    """What the figure shows that Plotly writes as a page with scripts."""
    call = _NEW_PLOT.search(html)
    if call is None:
        return Chart("Plotly figure", "")
    read = json.JSONDecoder().raw_decode
    try:
        data, end = read(html, call.end())
        layout, _ = read(html, html.index("{", end))
    except (ValueError, RecursionError):
        return Chart("Plotly figure", "")
    return Chart(_plotly({"data": data, "layout": layout}), _KALEIDO)


def _plotly(figure: Mapping[str, Any]) -> str:
    traces = [trace for trace in _list(figure.get("data")) if isinstance(trace, Mapping)]
    layout = _mapping(figure.get("layout"))
    said = [
        f"Plotly figure{title_of(layout.get('title'))}",
        f"{len(traces)} trace{'' if len(traces) == 1 else 's'}: {named(_trace_names(traces))}",
    ]
    for axis in ("xaxis", "yaxis"):
        label = title_of(_mapping(layout.get(axis)).get("title"))
        if label:
            said.append(f"{axis[0]} axis{label}")
    return "; ".join(said)


def _trace_names(traces: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for trace in traces:
        name = trace.get("name")
        yield f"{word(trace.get('type', 'scatter'))}{f' {word(name)!r}' if name else ''}"


def _vega(spec: Mapping[str, Any]) -> str:
    views = list(_views(spec))
    marks = [word(_mapping(view["mark"]).get("type") or view["mark"]) for view in views if view.get("mark")]
    encodings = dict.fromkeys(each for view in views for each in _encodings(view))
    said = [f"Vega chart{title_of(spec.get('title'))}"]
    if marks:
        said.append(f"marks: {named(iter(marks))}")
    if encodings:
        said.append(named(iter(encodings)))
    return "; ".join(said)


def _views(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The single views of a chart that may be layered, concatenated or repeated."""
    waiting = [spec]
    while waiting:
        view = waiting.pop(0)
        yield view
        parts = [
            *(_list(view.get(word)) for word in ("layer", "hconcat", "vconcat", "concat")),
            [view.get("spec")],
        ]
        waiting += [part for group in parts for part in group if isinstance(part, Mapping)]


def _encodings(view: Mapping[str, Any]) -> Iterator[str]:
    for channel, given in _mapping(view.get("encoding")).items():
        encoding = _mapping(given)
        field = encoding.get("field") or encoding.get("aggregate")
        if field:
            how = encoding.get("aggregate") if encoding.get("field") else None
            yield f"{word(channel)} = {f'{word(how)} of ' if how else ''}{word(field)}"


def named(names: Iterator[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - _NAMED} more" if len(listed) > _NAMED else ""
    return ", ".join(listed[:_NAMED]) + more if listed else "none"


def title_of(title: object) -> str:
    text = _mapping(title).get("text") if isinstance(title, Mapping) else title
    if isinstance(text, list):
        text = " ".join(map(str, text))
    return f" {word(text)!r}" if text else ""


def word(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _WORD else f"{text[:_WORD]}..."


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else []
