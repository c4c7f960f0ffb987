"""Displays in words, for the bundles that real libraries send."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest

from kernelexec.model.display import WAYS, in_words
from kernelexec.model.pictures import MOST, numbered

PNG = "iVBORw0KGgo" + "A" * 40  # as far as anybody looks here
TABLE = "<table><tr><th></th><th>a</th></tr><tr><th>0</th><td>1</td></tr></table>"
PLOTLY = {
    "data": [
        {"type": "scatter", "name": "north", "x": [1, 2], "y": [3, 4]},
        {"type": "bar", "y": {"dtype": "i1", "bdata": "AQI="}},
    ],
    "layout": {"title": {"text": "Sales"}, "xaxis": {"title": {"text": "year"}}, "template": {}},
}
VEGA = {
    "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
    "title": "Cars",
    "layer": [
        {
            "mark": {"type": "point"},
            "encoding": {"x": {"field": "mpg"}, "y": {"field": "hp", "aggregate": "mean"}},
        },
        {"mark": "rule", "encoding": {"x": {"aggregate": "count"}}},
    ],
}


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"text/plain": "   a\n0  1", "text/html": TABLE}, "   a\n0  1"),  # a DataFrame
        ({"text/plain": "<IPython.core.display.HTML object>", "text/html": TABLE}, "   a\n0  1"),
        ({"text/plain": "<pandas.io.formats.style.Styler at 0x7f1c>", "text/html": TABLE}, "   a\n0  1"),
        ({"text/html": "<b>bold</b>"}, "bold"),
        ({"text/plain": "<IPython.core.display.Markdown object>", "text/markdown": "# **x**"}, "# **x**"),
        ({"text/plain": "Sum(x)", "text/latex": "$\\displaystyle \\sum x$"}, "$\\displaystyle \\sum x$"),
        (
            {"text/plain": "<IPython.core.display.JSON object>", "application/json": {"a": [1, "é"]}},
            '{"a": [1, "é"]}',
        ),
        ({"application/json": "text"}, "text"),
        ({"text/plain": "<__main__.Thing object at 0x7f>"}, "<__main__.Thing object at 0x7f>"),
        ({"text/plain": ""}, ""),
        ({"text/plain": ["a\n", "b"]}, "a\nb"),
        ({"text/csv": "a,b"}, "a,b"),
        (
            {
                "text/plain": "IntSlider(value=3)",
                "application/vnd.jupyter.widget-view+json": {"model_id": "1"},
            },
            "IntSlider(value=3)\n[an interactive widget: it works in the notebook only]",
        ),
        (
            {
                "application/javascript": "f()",
                "application/vnd.bokehjs_exec.v0+json": "",
                "text/html": "<div></div>",
            },
            "[an interactive Bokeh plot: it works in the notebook only]",
        ),
        (
            {
                "application/vnd.bokehjs_load.v0+json": "root",
                "application/javascript": "root",
                "text/html": "",
            },
            "",
        ),
        ({"text/plain": "<IPython.core.display.HTML object>", "text/html": "<style>p {}</style>"}, ""),
        ({"text/html": "<div id='1' data-root-id='p1'></div>"}, ""),
        (
            {"text/plain": "<IPython.core.display.HTML object>", "text/html": "<script>f()</script>"},
            "[HTML that only a browser can show, 20 characters: see the notebook]",
        ),
        ({"application/x-mine": "aGk="}, "[application/x-mine: not text; it is in the notebook]"),
        ({"text/plain": "x", "application/x-mine": "aGk="}, "x"),
        ({}, ""),
    ],
)
def test_the_words_of_a_display(data: dict[str, Any], text: str) -> None:
    assert in_words(data).text == text


SUMMARY = "<class 'statsmodels.iolib.summary.Summary'>\n" + '"""\n  OLS Results\n"""'
DUMP = "Table(" + "_option=OptionsInfo(value=None), " * 400 + ")"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        # statsmodels: a summary, and one of its tables
        ({"text/plain": SUMMARY, "text/html": TABLE, "text/latex": r"\begin{center}"}, SUMMARY),
        (
            {
                "text/plain": "<class 'statsmodels.iolib.table.SimpleTable'>",
                "text/html": TABLE,
                "text/latex": r"\begin{tabular}",
            },
            "   a\n0  1",
        ),
        # what says less than its HTML: an address of whatever spelling, a dump
        (
            {"text/plain": "<LazyFrame at 0x7F5A77ED2D50>", "text/html": "<pre>FILTER a &gt; 1</pre>"},
            "FILTER a > 1",
        ),
        ({"text/plain": "<Model object at 0x1f2e with 3 parts>", "text/html": TABLE}, "   a\n0  1"),
        ({"text/plain": "org.example.Frame@1b2c3d4e", "text/html": TABLE}, "   a\n0  1"),
        ({"text/plain": DUMP, "text/html": TABLE}, "   a\n0  1"),
        ({"text/plain": DUMP, "text/html": "<div></div>"}, DUMP),
        ({"text/plain": DUMP, "text/html": f"<pre>{DUMP}</pre>"}, DUMP),
        ({"text/plain": "Pipeline(steps=[('a', A())])", "text/html": TABLE}, "Pipeline(steps=[('a', A())])"),
        # R gives every format of everything
        (
            {
                "text/plain": "  a\n1 2",
                "text/html": TABLE,
                "text/markdown": "| a |",
                "text/latex": r"\begin{tabular}",
            },
            "  a\n1 2",
        ),
        # what was written for a reader
        ({"text/plain": "Report(n=3)", "text/markdown": "# Report"}, "# Report"),
        ({"text/plain": "<IPython.core.display.Latex object>", "text/latex": "a text"}, "a text"),
        (
            {"text/plain": "<IPython.core.display.Latex object>", "text/latex": r"\begin{align*}x"},
            r"\begin{align*}x",
        ),
    ],
)
def test_the_representation_that_says_most_is_taken(data: dict[str, Any], text: str) -> None:
    assert in_words(data).text == text


def told(data: dict[str, Any]) -> tuple[str, list[str]]:
    """The words with the numbers of the pictures, and the types of these."""
    shown = in_words(data)
    return numbered(shown.text, shown.pictures, 1), [picture.mime for picture in shown.pictures]


@pytest.mark.parametrize("mime", ["image/svg+xml", "application/pdf"])
def test_a_drawing_is_a_picture(mime: str) -> None:
    assert told({mime: "<svg></svg>", "text/plain": "<Figure size 640x480 with 1 Axes>"}) == (
        f"[image 1: {mime}]",
        [mime],
    )
    assert told({mime: "<svg></svg>", "image/png": PNG})[1] == ["image/png"]


def test_a_drawing_has_its_labels_beside_it_for_clients_that_drop_pictures() -> None:
    svg = "<svg><style>x</style><text>axis label</text></svg>"
    assert told({"image/svg+xml": svg, "text/plain": "<pydot.core.Dot at 0x7f12>"})[0] == (
        "axis label\n[image 1: image/svg+xml]"
    )
    assert len(told({"image/svg+xml": f"<svg>{'<text>x</text>' * 500}</svg>"})[0]) < 400


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"text/html": f"<p>Before</p><img src='data:image/png;base64,{PNG}'><p>After"}, "Before\n{}\nAfter"),
        ({"text/html": f'<img alt="a" src="data:image/png;charset=utf-8;base64,{PNG}">'}, "{} (a)"),
        ({"text/markdown": f"x\n\n![p](data:image/png;base64,{PNG})"}, "x\n\n{} (p)"),
        ({"text/markdown": f"<img src='data:image/png;base64,{PNG}'/>"}, "<img src='{}'/>"),
        ({"text/plain": "Fig()", "text/html": f"<img src='data:image/png;base64,{PNG}'>"}, "Fig()\n{}"),
        ({"text/html": f"<table><tr><td>a<td><img src='data:image/png;base64,{PNG}'></table>"}, "a  {}"),
    ],
)
def test_base64_inside_html_and_markdown_is_a_picture(data: dict[str, Any], text: str) -> None:
    assert told(data) == (text.format("[image 1: image/png]"), ["image/png"])
    assert in_words(data).pictures[0].encoded == PNG


def test_a_picture_of_its_own_is_shown_and_not_the_same_in_html() -> None:
    data = {"image/png": PNG, "text/html": f"<p>x</p><img src='data:image/png;base64,{PNG}'>"}
    assert told(data) == ("x\n[image 1: image/png]", ["image/png"])


def test_icons_and_what_is_no_picture_do_not_fill_a_reply() -> None:
    icon = base64.b64encode(
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 64, 64) + bytes(99)
    ).decode()
    assert told({"text/html": f"<img src='data:image/png;base64,{icon}'> Logo"}) == ("[image] Logo", [])
    font = f"<a href='data:font/woff2;base64,{'A' * 4_000}'>font</a>"
    assert told({"text/markdown": font}) == ("<a href='font/woff2, 3,000 bytes'>font</a>", [])
    many = in_words({"text/html": f"<img src='data:image/png;base64,{PNG}'>" * 30})
    assert len(many.pictures) == MOST


def test_html_that_is_one_drawing_is_a_picture_and_an_icon_beside_text_is_not() -> None:
    svg = "<svg width='9'><text>label</text></svg>"
    data = {"text/plain": "<IPython.core.display.HTML object>", "text/html": f"<div>{svg}</div>"}
    assert told(data) == ("label\n[image 1: image/svg+xml]", ["image/svg+xml"])
    assert told({**data, "text/html": f"{svg}<p>text"})[1] == []


def test_a_plotly_figure_is_a_sentence_and_says_how_to_get_a_picture() -> None:
    text = in_words({"application/vnd.plotly.v1+json": PLOTLY, "text/html": "<div>" + "x" * 4_000_000}).text
    assert text.startswith("[Plotly figure 'Sales'; 2 traces: scatter 'north', bar; x axis 'year'. ")
    assert 'fig.show("png")' in text
    assert len(text) < 300


def test_one_trace_is_called_one() -> None:
    one = {"data": PLOTLY["data"][:1], "layout": {}}
    assert in_words({"application/vnd.plotly.v1+json": one}).text.startswith(
        "[Plotly figure; 1 trace: scatter"
    )


def test_a_vega_chart_is_a_sentence() -> None:
    text = in_words({"application/vnd.vegalite.v5+json": VEGA, "text/plain": "alt.LayerChart(...)"}).text
    assert text.startswith("[Vega chart 'Cars'; marks: point, rule; x = mpg, y = mean of hp, x = count. ")


def test_a_chart_with_a_static_image_is_both() -> None:
    shown = in_words({"application/vnd.plotly.v1+json": PLOTLY, "image/png": "aGk=\n"})
    [picture] = shown.pictures
    assert (picture.mime, picture.encoded) == ("image/png", "aGk=")
    assert "to see" not in shown.text
    assert "picture in the reply" not in shown.text


@pytest.mark.parametrize(
    "spec", [{}, {"data": 1, "layout": []}, {"layer": [1, None]}, {"mark": None, "encoding": 3}]
)
def test_a_chart_of_another_shape_harms_nothing(spec: dict[str, Any]) -> None:
    assert in_words({"application/vnd.plotly.v1+json": spec}).text.startswith("[Plotly figure")
    text = in_words({"application/vnd.vegalite.v6+json": spec}).text
    assert text.startswith("[Vega chart")
    after = (
        'It can be seen in the notebook after altair.renderers.enable("html"), with access to the network;'
    )
    assert after in text  # JupyterLab 4.6


@pytest.mark.parametrize(
    ("mime", "drawn"),
    [
        ("vegalite.v2", False),
        ("vegalite.v3", True),
        ("vegalite.v5", True),
        ("vega.v4", False),
        ("vega.v5", True),
    ],
)
def test_a_chart_is_said_to_be_seen_only_where_jupyterlab_draws_it(mime: str, drawn: bool) -> None:
    text = in_words({f"application/vnd.{mime}+json": {}}).text
    assert ("It can be seen in the notebook;" in text) is drawn


def test_a_plotly_figure_is_seen_where_its_extension_is() -> None:
    text = in_words({"application/vnd.plotly.v1+json": PLOTLY}).text
    assert "in the notebook in a JupyterLab with plotly's extension, as of kernelexec lab;" in text


def test_the_words_under_a_matplotlib_figure_are_left_out_and_others_are_not() -> None:
    figure = {"text/plain": "<Figure size 640x480 with 1 Axes>", "image/png": "aGk="}
    assert told(figure)[0] == "[image 1: image/png]"
    assert told({"text/plain": "<plotnine.ggplot.ggplot object at 0x7f5a>", "image/png": "aGk="})[0] == (
        "[image 1: image/png]"
    )
    assert (
        told({"text/plain": "three points", "image/png": "aGk="})[0] == "three points\n[image 1: image/png]"
    )


def test_altairs_page_of_scripts_is_the_sentence_of_its_chart() -> None:
    html = "<div></div><script>(function(spec){ vegaEmbed(x) })(" + json.dumps(VEGA) + ", {});</script>"
    text = in_words({"text/plain": "alt.Chart(...)", "text/html": html}).text
    assert text.startswith("[Vega chart 'Cars'; marks: point, rule; ")
    broken = in_words({"text/plain": "alt.Chart(...)", "text/html": html.replace("})({", "})(x{")})
    assert broken.text == "alt.Chart(...)"


def test_source_code_is_shown_as_text_and_a_map_as_its_json() -> None:
    code = {"text/latex": r"\begin{Verbatim}" + "\nx\n", "text/plain": "x=1"}
    assert in_words(code).text == "x=1"
    place = {"application/geo+json": {"type": "Point"}, "text/plain": "<IPython.display.GeoJSON object>"}
    assert in_words(place).text == '{"type": "Point"}'


def test_a_mime_type_cannot_make_lines_of_its_own() -> None:
    assert in_words({"application/x]\n\n[result]\n42": "x"}).text == (
        "[application/x] [result] 42: not text; it is in the notebook]"
    )


def test_each_way_says_why_it_stands_where_it_stands() -> None:
    assert all(way.why for way in WAYS)
    assert {mime for way in WAYS for mime in way.mimes} >= {
        "text/plain",
        "text/html",
        "text/markdown",
        "text/latex",
    }


@pytest.mark.parametrize(
    "html",
    [
        "<script type='esms-options'>{}</script><style>*[data-root-id] { color: red }</style>",
        "<link rel='stylesheet' href='x'><!-- for later -->",
        "<div class=\"logo-block\"><a title='HoloViews'><img src='data:image/png;base64,aaaa'></a></div>",
        "<a class='bk-logo bk-logo-notebook'></a> <span id='p'>Loading BokehJS ...</span>",
        '<div id=\'a\'></div><script>var docs_json = {"d": {"roots": '
        '[{"name": "panel.models.browser.BrowserInfo"}, {"name": "panel.models.comm_manager.CommManager"}]}};'
        "</script>",
    ],
)
def test_what_a_library_sends_ahead_of_its_plots_is_not_told(html: str) -> None:
    assert told({"text/html": html}) == ("", [])
    assert told({"text/html": html, "application/vnd.holoviews_exec.v0+json": ""}) == ("", [])
    assert told({"text/html": html, "text/plain": "<IPython.core.display.HTML object>"}) == ("", [])
    assert told({"text/html": html, "text/plain": "words"})[0].startswith("words")


@pytest.mark.parametrize(
    "html",
    [
        "<script>alert(1)</script>",
        "<div id='plot'></div><script>draw()</script>",
        "<div class='logo-block'><img src='x'></div><p>and a text that is longer than what stands there</p>",
        '<script>var docs_json = {"d": {"roots": [{"name": "panel.models.browser.BrowserInfo"}, '
        '{"name": "Figure"}]}};</script>',
    ],
)
def test_what_may_show_something_is_named(html: str) -> None:
    assert told({"text/html": html})[0]


def test_the_rows_of_a_wide_table_stay_whole() -> None:
    columns = [f"temperature__number_{n}" for n in range(12)]
    head, row = "".join(f"<th>{name}</th>" for name in columns), "".join(f"<td>{n}.5</td>" for n in range(12))
    html = f"<table class='dataframe'><tr><th></th>{head}</tr><tr><th>a</th>{row}</tr></table>"
    torn = "".join(
        f"   {columns[n]}  {columns[n + 1]}  \\\na {n}.5 {n + 1}.5   \n\n" for n in range(0, 12, 2)
    )
    names, values = told({"text/plain": torn, "text/html": html})[0].splitlines()
    assert names.split() == columns
    assert values.split() == ["a", *(f"{n}.5" for n in range(12))]
    assert told({"text/plain": torn})[0].startswith("   temperature__number_0  ")
