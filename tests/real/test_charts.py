"""Interactive charts: in the notebook as they are, for the assistant also as a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.real.clients import Client, Reply
from tests.real.conftest import Connect
from tests.real.home import Home, eventually
from tests.real.test_foreign_kernels import uv_venv

ALTAIR = (
    "import altair\n"
    "data = altair.Data(values=[{'a': 1, 'b': 2}, {'a': 2, 'b': 5}])\n"
    "altair.Chart(data).mark_bar().encode(x='a:O', y='b:Q')"
)
PLOTLY = {"data": [{"type": "bar", "x": [1, 2], "y": [3, 4]}], "layout": {}}


@pytest.fixture(scope="module")
def charts(place: Path) -> Path:
    return uv_venv(place / "charts", "altair", "vl-convert-python", "matplotlib")


@pytest.fixture
def client(connect: Connect, shared_home: Home, charts: Path) -> Client:
    return connect(shared_home, VENV_PATH=str(charts))


def last_output(client: Client, reply: Reply) -> dict[str, Any]:
    """Of the cell of this run, once it is in the notebook."""
    path = Path(client.config()["notebook"])

    def found() -> list[dict[str, Any]]:
        cells = json.loads(path.read_text())["cells"] if path.exists() else []
        return [cell for cell in cells if cell["id"] == f"kernelexec-{reply.number}"]

    return dict(eventually(found)[0]["outputs"][-1])


def test_a_chart_has_a_picture_where_its_library_can_make_one(client: Client) -> None:
    # The first one loads the library, for which a busy machine may need more than the three seconds.
    reply = next(tried for _ in range(10) if (tried := client.execute(ALTAIR)).images)
    (image,) = reply.images
    assert image.mime_type == "image/png"
    assert "[Vega chart; marks: bar; x = a, y = b.]" in reply.text
    assert {"image/png", "text/html"} <= set(last_output(client, reply)["data"])


def test_a_run_waits_for_no_more_pictures_than_a_reply_has(client: Client) -> None:
    reply = client.execute(f"{ALTAIR}\nfor n in range(6): display(altair.Chart(data).mark_bar())")
    assert 1 <= len(reply.images) <= 4
    assert reply.text.count("[Vega chart") == 6
    assert "left out" not in reply.text


def test_without_what_makes_a_picture_a_chart_is_told_in_words(client: Client) -> None:
    elsewhere = client.execute("import altair\naltair.Chart('http://127.0.0.1:9/x.csv').mark_bar()")
    assert not elsewhere.images, "a picture must not wait for somebody else's server"
    assert "[Vega chart; marks: bar" in elsewhere.text
    client.execute("import sys, types; sys.modules['kaleido'] = types.ModuleType('kaleido')")
    plotly = client.execute(f"display({{'application/vnd.plotly.v1+json': {PLOTLY!r}}}, raw=True)")
    assert plotly.state == "OK"
    assert "Plotly figure" in plotly.text
    assert "with kaleido in the environment" in plotly.text


def test_a_chart_that_is_wrong_is_told_once(client: Client) -> None:
    reply = client.execute("import altair\naltair.Chart('data.csv', width='wide').mark_bar()")
    assert reply.text.count("[error]") == 1
    assert "SchemaValidationError" in reply.text


def test_a_figure_of_matplotlib_is_shown_or_it_is_told_once_that_nothing_shows_it(client: Client) -> None:
    plot = "plt.plot([1, 2])\nplt.show()"
    headless = client.execute(
        f"import matplotlib\nmatplotlib.use('agg')\nimport matplotlib.pyplot as plt\n{plot}"
    )
    assert "Matplotlib draws with agg here, which shows nothing: display(fig) shows a figure" in headless.text
    assert not headless.images
    assert "agg" not in client.execute(plot).text
    assert len(client.execute("display(plt.gcf())").images) == 1
    assert len(client.execute(f"%matplotlib inline\nplt.close('all')\n{plot}").images) == 1
    drawing = client.execute(f"%config InlineBackend.figure_formats = ['svg']\n{plot}")
    [image] = drawing.images
    assert image.mime_type == "image/png"
    assert "[image 1: image/svg+xml]" in drawing.text
    assert set(last_output(client, drawing)["data"]) == {"text/plain", "image/svg+xml"}, "as Jupyter saves it"


FIGURE = (
    "import plotly.graph_objects as go\n"
    "figure = go.Figure(go.Bar(x=[1, 2], y=[3, 4]))\n"
    "figure.update_layout(title='Sales')\n"
)


@pytest.fixture(scope="module")
def plotly(place: Path) -> Path:
    return uv_venv(place / "plotly", "plotly")


def test_plotly_is_shown_where_ipykernel_is_lent(connect: Connect, shared_home: Home, plotly: Path) -> None:
    client = connect(shared_home, VENV_PATH=str(plotly))
    shown = client.execute(f"{FIGURE}figure.show()")
    assert shown.state == "OK", shown.text
    assert "Plotly figure" in shown.text
    assert "Plotly figure" in client.execute("figure").text


SLOW = (
    "import sys, types, time, logging, plotly.io\n"
    "sys.modules['kaleido'] = types.ModuleType('kaleido')\n"
    "import importlib.machinery\n"
    "sys.modules['kaleido'].__spec__ = importlib.machinery.ModuleSpec('kaleido', None)\n"
    "def to_image(*arguments, **options):\n"
    "    logging.getLogger('kaleido.browser').warning('a log line')\n"
    "    time.sleep({seconds})\n"
    "    return b'picture'\n"
    "plotly.io.to_image = to_image\n"
)


def test_a_run_waits_three_seconds_for_a_picture_and_its_log_lines_stay_out(
    connect: Connect, shared_home: Home, plotly: Path
) -> None:
    client = connect(shared_home, VENV_PATH=str(plotly), KERNELEXEC_SESSION="slow")
    client.execute(SLOW.format(seconds=60))
    shown = client.execute(
        f"import time\nbegan = time.monotonic()\n{FIGURE}figure.show()\nfigure.show()\n"
        "print('took', int(time.monotonic() - began))"
    )
    assert shown.state == "OK", shown.text
    assert "a log line" not in shown.text
    assert 3 <= int(shown.text.rpartition("took ")[2]) < 20
    again = client.execute(
        "began = time.monotonic()\nfigure.show()\nprint('took', int(time.monotonic() - began))"
    )
    assert "took 0" in again.text


def test_pictures_can_be_switched_off(connect: Connect, shared_home: Home, charts: Path) -> None:
    client = connect(
        shared_home, VENV_PATH=str(charts), KERNELEXEC_STILL_IMAGES="0", KERNELEXEC_SESSION="without"
    )
    reply = client.execute(ALTAIR)
    assert not reply.images
    assert "[Vega chart" in reply.text
