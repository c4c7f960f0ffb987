"""Programs in HTML, in the form in which real libraries write them, in a sentence."""

from __future__ import annotations

import json
from html import escape

import pytest

from kernelexec.model.display import in_words
from kernelexec.model.pages import describe_page
from kernelexec.model.pictures import numbered

FOLIUM = """<!DOCTYPE html><html><head><script src="https://cdn/leaflet.js"></script></head>
<body><div class="folium-map" id="map_1"></div></body><script>
  var map_1 = L.map("map_1", {center: [45.5, -122.6], crs: L.CRS.EPSG3857, ...{
  "zoom": 9,
  "zoomControl": true, }});
  var marker_1 = L.marker([45.5, -122.6], {}).addTo(map_1);
  var marker_2 = L.marker([45.5, -122.6], {}).addTo(map_1);
  var layer = L.circle([1, 2], {}).addTo(map_1);
</script></html>"""
FRAME = (
    '<div><span style="color:#565656">Make this Notebook Trusted to load map: File -> Trust Notebook</span>'
    f'<iframe srcdoc="{escape(FOLIUM)}"></iframe></div>'
)
BOKEH = {
    "doc": {
        "roots": [
            {
                "name": "Figure",
                "attributes": {
                    "title": {"name": "Title", "attributes": {"text": "Sales"}},
                    "renderers": [
                        {"name": "GlyphRenderer", "attributes": {"glyph": {"name": "Line"}}},
                        {"name": "GlyphRenderer", "attributes": {"glyph": {"name": "Scatter"}}},
                    ],
                    "below": [{"name": "LinearAxis", "attributes": {"axis_label": "year"}}],
                },
            }
        ]
    }
}
TABLE = {
    "name": "DataTable",
    "attributes": {"columns": [{"name": "TableColumn", "attributes": {"field": "x"}}]},
}
GRID = {
    "doc": {"roots": [{"name": "GridPlot", "attributes": {"children": [[*BOKEH["doc"]["roots"], 0, 1]]}}]}
}
NODES = json.dumps([{"id": 1, "label": "a"}, {"id": 2, "label": "b"}])
PYVIS = (
    f"<script>nodes = new vis.DataSet({NODES}); edges = new vis.DataSet([{{}}]);"
    "new vis.Network(c, d, o);</script>"
)
SAID = "Network (vis.js, pyvis); 2 nodes: a, b; 1 edge"
PLOTLY = """<div id="x"></div><script>Plotly.newPlot(
 "x",
 [{"type": "bar"}],
 {"title": {"text": "T"}}, {})</script>"""


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (FRAME, "Leaflet map (folium); center 45.5, -122.6, zoom 9; 2 x marker; 1 x circle"),
        (
            f"<script>const docs_json = {json.dumps(BOKEH)};\n</script>",
            "Bokeh plot 'Sales'; glyphs: Line, Scatter; axes: year",
        ),
        (
            f"<script>const docs_json = {json.dumps(GRID)};\n</script>",
            "Bokeh plot 'Sales'; glyphs: Line, Scatter; axes: year",
        ),
        (
            f"<script>docs_json = {json.dumps({'doc': {'roots': [TABLE]}})};\n</script>",
            "Bokeh table; columns: x",
        ),
        (
            f"<script>docs_json = {json.dumps({'d': [{'name': 'panel.models.plotly.PlotlyPlot'}]})};\n",
            "Plotly figure (in Panel)",
        ),
        (PYVIS, SAID),
        (PLOTLY, "Plotly figure 'T'; 1 trace: bar"),
        ("<script>Plotly.newPlot(x, y)</script>", "Plotly figure"),
        ("<script>docs_json = {broken</script>", "Bokeh plot"),
        ("<script>new vis.DataSet(x); new vis.Network(1)</script>", "Network (vis.js, pyvis)"),
        ("<script>L.map('m')</script>", "Leaflet map"),
        ("<script>var chart = echarts.init(document.body)</script>", "ECharts chart (pyecharts)"),
    ],
)
def test_a_program_is_named_for_what_it_shows(page: str, said: str) -> None:
    chart = describe_page(page)
    assert chart is not None
    assert chart.text == said
    text = in_words({"text/plain": "<folium.folium.Map at 0x7f1>", "text/html": page}).text
    assert text.startswith(f"[{chart.text}. It can be seen in the notebook")
    assert "Trust Notebook" not in text


def test_words_about_programs_are_no_program() -> None:
    assert describe_page("<table><tr><td>docs_json</td><td>L.map(</td></tr></table>") is None
    assert describe_page("<p>new Animation(</p>") is None


def test_what_is_beside_a_program_is_said_too() -> None:
    text = in_words({"text/plain": ":Curve   [x]   (y)", "text/html": PYVIS}).text
    assert text == f":Curve   [x]   (y)\n[{SAID}. It can be seen in the notebook.]"
    report = in_words({"text/html": f"<p>{'long report ' * 40}</p>{PYVIS}"}).text
    assert report.startswith("long report")
    assert "[Network" in report


def test_an_animation_shows_its_first_frame() -> None:
    picture = "iVBORw0KGgo" + "A" * 40
    page = (
        "<img id='a'><button>Once</button><script>new Animation(frames, 1);"
        f'frames[0] = "data:image/png;base64,{picture}\\\n"\n'
        f'frames[1] = "data:image/png;base64,{picture}"</script>'
    )
    shown = in_words({"text/plain": "<IPython.core.display.HTML object>", "text/html": page})
    assert [each.encoded for each in shown.pictures] == [picture]
    assert numbered(shown.text, shown.pictures, 3) == (
        "[Matplotlib animation, 2 frames. It can be seen in the notebook.]\n[image 3: image/png]"
    )
