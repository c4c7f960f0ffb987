"""HTML outputs as text."""

from __future__ import annotations

import time

import pytest

from kernelexec.model.html_text import HTML_LIMIT, html_to_text

FRAME = """<div><style scoped>.dataframe {color: red}</style><table border="1" class="dataframe">
  <thead><tr style="text-align: right;"><th></th><th>species</th><th>mass</th></tr></thead>
  <tbody><tr><th>0</th><td>Adelie</td><td>3750.0</td></tr>
  <tr><th>1</th><td>Gentoo &amp; co</td><td>12.5</td></tr></tbody>
</table><p>2 rows × 2 columns</p></div>"""


def test_a_table_has_aligned_columns_with_numbers_to_the_right() -> None:
    assert html_to_text(FRAME).split("\n") == [
        "   species        mass",
        "0  Adelie       3750.0",
        "1  Gentoo & co    12.5",
        "",
        "2 rows × 2 columns",
    ]


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<h1>Title</h1><p>a <b>b</b>\n c<br>d</p>", "Title\na b c\nd"),
        ("<ul><li>x<li>y</ul>", "- x\n- y"),
        ("<pre>a\n  b</pre>c", "a\n  b\nc"),
        ("<p>x</p><script>alert('&lt;')</script><style>p {}</style>", "x"),
        ('<img src="data:..." alt="a plot">', "[image: a plot]"),
        ("&lt;b&gt; &eacute; &#8364;", "<b> é €"),
        ("<!-- <p>hidden</p> -->shown<!-- and no end", "shown"),
        ("<table><tr><th rowspan=2>a</th><td>1</td></tr><tr><td>2</td></tr></table>", "a  1\n   2"),
        (
            "<table><tr><th colspan=2>wide</th><th>c</th></tr><tr><td>1<td>2<td>3</table>",
            "wide     c\n   1  2  3",
        ),
        ("<table><tr><td>x<table><tr><td>in</td></tr></table></td></tr></table>", "x in"),
        ("<table><tr><td>never closed", "never closed"),
        ("<canvas></canvas><script>draw()</script>", ""),
        ("a<video src='x'>Your browser does not support it.</video>", "a[video: x]"),
        (
            "<audio controls><source src='data:audio/wav,1 bytes' type='audio/wav'></audio>",
            "[audio: data:audio/wav,1 bytes]",
        ),
        ("<video>never closed", "[video]"),
        ("<iframe srcdoc='&lt;p&gt;x'></iframe>", "[embedded page]\nx"),
        ("<iframe src='n.html' width=5></iframe>", "[embedded page: n.html]"),
        ('<img src="https://example.org/a.png">', "[image: https://example.org/a.png]"),
        ('<img src="a.png" alt="a plot">', "[image: a plot, a.png]"),
        ("<iframe srcdoc='<iframe srcdoc=\"x\"></iframe>'></iframe>", "[embedded page]\n[embedded page]"),
        ("no tags", "no tags"),
        ("", ""),
    ],
)
def test_what_a_person_would_see_is_what_is_read(html: str, text: str) -> None:
    assert html_to_text(html) == text


def test_a_long_table_has_its_first_and_last_rows_and_says_how_many_there_are_more() -> None:
    rows = "".join(f"<tr><td>{n}</td></tr>" for n in range(1_000))
    lines = html_to_text(f"<table>{rows}</table>").split("\n")
    assert lines[0].strip() == "0"
    assert lines[-1].strip() == "999"
    assert "[... 940 rows more ...]" in lines


def test_html_longer_than_the_limit_says_so() -> None:
    assert "characters of HTML more" in html_to_text("<p>word</p>" * HTML_LIMIT)


@pytest.mark.parametrize(
    "part",
    [
        "<table>",
        "<td>",
        "<b>",
        "<",
        "<!--",
        "&#",
        "<![CDATA[",
        "</",
        "<tr><td colspan=50>",
        "<table><tr><td>x",
    ],
)
def test_broken_html_takes_bounded_time(part: str) -> None:
    began = time.process_time()
    html_to_text(part * 1_000_000)
    assert time.process_time() - began < 5


def test_who_made_a_drawing_and_when_is_not_its_text() -> None:
    source = (
        "<svg><metadata><rdf:RDF><dc:date>2026-11-29</dc:date></rdf:RDF></metadata><text>label</text></svg>"
    )
    assert html_to_text(source) == "label"
