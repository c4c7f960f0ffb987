"""Displays in words, for the bundles that real libraries send."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kernelexec.model.display import in_words

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
        ({"application/pdf": "aGk=", "text/plain": "a plot"}, "a plot"),
        ({"application/pdf": "aGk="}, "[application/pdf: not text; it is in the notebook]"),
        ({}, "[an empty display: not text; it is in the notebook]"),
    ],
)
def test_the_words_of_a_display(data: dict[str, Any], text: str) -> None:
    assert in_words(data).text == text


def test_html_without_words_is_not_shown_raw() -> None:
    data = {"text/plain": "<folium.folium.Map at 0x7f>", "text/html": "<iframe srcdoc='...'></iframe>"}
    assert in_words(data).text == "[HTML without text, 30 characters: see the notebook]"


def test_an_svg_is_named_with_its_words() -> None:
    svg = "<svg><style>x</style><text>axis label</text></svg>"
    assert in_words({"image/svg+xml": svg, "text/plain": "<Figure object at 0x7f>"}).text == (
        "[SVG image, 50 characters: see the notebook]\naxis label"
    )


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
    assert shown.picture is not None
    assert (shown.picture.mime, shown.picture.encoded) == ("image/png", "aGk=")
    assert "to see" not in shown.text
    assert "picture in the reply" not in shown.text


@pytest.mark.parametrize(
    "spec", [{}, {"data": 1, "layout": []}, {"layer": [1, None]}, {"mark": None, "encoding": 3}]
)
def test_a_chart_of_another_shape_harms_nothing(spec: dict[str, Any]) -> None:
    assert in_words({"application/vnd.plotly.v1+json": spec}).text.startswith("[Plotly figure")
    assert in_words({"application/vnd.vegalite.v6+json": spec}).text.startswith("[Vega chart")


def test_the_words_under_a_matplotlib_figure_are_left_out_and_others_are_not() -> None:
    figure = {"text/plain": "<Figure size 640x480 with 1 Axes>", "image/png": "aGk="}
    assert in_words(figure).text == ""
    assert in_words({"text/plain": "three points", "image/png": "aGk="}).text == "three points"


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
