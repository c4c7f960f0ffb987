"""What widgets show, in words, as a person would see it."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from kernelexec.model import widget_views
from kernelexec.model import widgets as widgets_module
from kernelexec.model.outputs import WIDGET_VIEW
from kernelexec.model.widgets import WidgetStates, encoded
from tests.model.test_widgets import opened, printed, updated


def states(**models: tuple[str, dict[str, Any]]) -> WidgetStates:
    """Widgets by their id: the model's name, and its state."""
    made = WidgetStates()
    for identity, (model, state) in models.items():
        made.take(opened(identity, f"{model}Model", **state)[1], [])
    return made


def words_of(widgets: WidgetStates, identity: str = "w") -> str | None:
    view = widgets.views().of(identity)
    return None if view is None else "\n".join(str(output["text"]) for output in view)


def children(*identities: str, **more: Any) -> dict[str, Any]:
    return {"children": [f"IPY_MODEL_{identity}" for identity in identities], **more}


@pytest.mark.parametrize(
    ("model", "state", "said"),
    [
        ("IntSlider", {"value": 3, "min": 0, "max": 9, "description": "n"}, "n: 3 [slider, 0 to 9]"),
        ("FloatRangeSlider", {"value": [1.0, 2.5], "min": 0.0, "max": 9.0}, "1 to 2.5 [slider, 0 to 9]"),
        (
            "Dropdown",
            {"_options_labels": ["q", "r"], "index": 1, "description": "pick:"},
            "pick: r [of q, r]",
        ),
        ("SelectMultiple", {"_options_labels": ["x", "y", "z"], "index": [0, 2]}, "x, z [of x, y, z]"),
        ("SelectionRangeSlider", {"_options_labels": ["x", "y"], "index": [0, 1]}, "x to y [of x, y]"),
        ("RadioButtons", {"_options_labels": ["a"], "index": None}, "nothing chosen [of a]"),
        (
            "Select",
            {"_options_labels": [str(n) for n in range(100)], "index": 5},
            "5 [of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 88 more]",
        ),
        ("Checkbox", {"value": True, "description": "ok?"}, "[x] ok?"),
        ("ToggleButton", {"value": False, "description": "on"}, "[ ] on"),
        ("Valid", {"value": False, "readout": "Invalid", "description": "v"}, "v: Invalid"),
        ("Text", {"value": "hello", "description": "<i>name</i>"}, "name: hello [field]"),
        ("BoundedIntText", {"value": 0}, "0 [field]"),
        ("TagsInput", {"value": ["a", "b"]}, "a, b [field]"),
        ("Password", {"value": "geheim"}, "········ [field]"),
        ("DatePicker", {"value": {"year": 2024, "month": 0, "date": 9}}, "2024-01-09 [date]"),
        ("TimePicker", {"value": {"hours": 7, "minutes": 5, "seconds": 0}}, "07:05:00 [date]"),
        ("DatePicker", {"value": None, "description": "day"}, "day: (empty) [date]"),
        ("Button", {"description": "Go"}, "[button Go]"),
        ("FileUpload", {"value": []}, "[upload, 0 files]"),
        ("HTML", {"value": "<b>45%</b>"}, "45%"),
        ("Label", {"value": "a <b>"}, "a <b>"),
        ("FloatProgress", {"value": 9.0, "max": 20.0, "description": "All"}, "All: 9 of 20"),
    ],
)
def test_a_control_is_told_with_its_name_and_value(model: str, state: dict[str, Any], said: str) -> None:
    assert words_of(states(w=(model, state))) == said


@pytest.mark.parametrize(
    ("layout", "state"),
    [({"visibility": "hidden"}, {}), ({"display": "none"}, {}), ({}, {"visible": False})],
)
def test_what_is_hidden_is_not_shown_nor_what_is_inside(
    layout: dict[str, Any], state: dict[str, Any]
) -> None:
    hidden = states(
        l=("Layout", layout),
        t=("Label", {"value": "inside"}),
        w=("VBox", children("t", layout="IPY_MODEL_l", **state)),
    )
    views = hidden.views()
    assert views.of("w") == []
    assert views.met == {"w", "t"}


def test_what_was_closed_is_not_shown_until_it_is_opened_anew() -> None:
    widgets = states(w=("Label", {"value": "here"}))
    assert widgets.close({"comm_id": "w", "data": {}})
    assert words_of(widgets) == ""
    assert "w" in str(widgets.models()), "the notebook keeps it, as nbclient does"
    widgets.take(opened("w", "LabelModel", value="again")[1], [])
    assert words_of(widgets) == "again"
    assert not widgets.close({"comm_id": "none of ours"})


def test_of_tabs_folds_and_a_stack_the_chosen_child_is_shown() -> None:
    inside = {"a": ("Label", {"value": "first"}), "b": ("Label", {"value": "second"})}
    titled = children("a", "b", titles=["A", "B"])
    assert words_of(states(**inside, w=("Tab", {**titled, "selected_index": 1}))) == (
        "[tabs: A, B; B is shown]\nsecond"
    )
    old = children("a", "b", _titles={"0": "A"}, selected_index=0)  # ipywidgets 7
    assert words_of(states(**inside, w=("Tab", old))) == "[tabs: A, 1; A is shown]\nfirst"
    folded = {**titled, "selected_index": None}
    assert words_of(states(**inside, w=("Accordion", folded))) == "[folded: A, B; none is open]"
    assert words_of(states(**inside, w=("Accordion", {**titled, "selected_index": 0}))) == (
        "[folded: A, B; A is open]\nfirst"
    )
    assert words_of(states(**inside, w=("Stack", {**titled, "selected_index": 1}))) == "second"
    views = states(**inside, w=("Stack", {**titled, "selected_index": 1})).views()
    views.of("w")
    assert "a" in views.met


def test_a_bar_whose_count_stands_beside_it_says_it_once() -> None:
    bar = {
        "l": ("HTML", {"value": "outer: 100%"}),
        "p": ("FloatProgress", {"value": 3.0, "max": 3.0}),
        "r": ("HTML", {"value": " 3/3 [00:00&lt;00:00, 25.04it/s]"}),
        "w": ("HBox", children("l", "p", "r")),
    }
    assert words_of(states(**bar)) == "outer: 100% 3/3 [00:00<00:00, 25.04it/s]"
    ahead = {**bar, "p": ("FloatProgress", {"value": 2.0, "max": 3.0})}  # of its text, until that is renewed
    assert words_of(states(**ahead)) == "outer: 100% 2 of 3 3/3 [00:00<00:00, 25.04it/s]"


def test_an_output_widget_shows_what_it_holds_also_widgets_and_pictures() -> None:
    widgets = states(
        t=("Label", {"value": "inner"}),
        o=("Output", {"msg_id": "1", "outputs": []}),
        w=("VBox", children("t", "o")),
    )
    picture = {"data": {"image/png": "iVBO"}, "metadata": {}}
    widgets.capture("o", "display_data", {"data": {WIDGET_VIEW: {"model_id": "t"}}, "metadata": {}}, "1")
    widgets.capture("o", "display_data", picture, "1")
    view = widgets.views().of("w") or []
    assert [output.get("text", output.get("data")) for output in view] == [
        "inner",
        "inner",
        {"image/png": "iVBO"},
    ]


def test_a_picture_is_one() -> None:
    widgets = WidgetStates()
    for identity, format, data in (("p", "png", b"PNG"), ("s", "svg+xml", b"<svg/>"), ("u", "url", b"http")):
        widgets.take(opened(identity, "ImageModel", (data,), format=format)[1], encoded([data]))
    widgets.take(opened("h", "HTMLModel", value="<img src='data:x'>")[1], [])
    [png], [svg], [url], [html] = (widgets.views().of(each) or [] for each in "psuh")
    assert png["data"] == {"image/png": base64.b64encode(b"PNG").decode()}
    assert svg["data"] == {"image/svg+xml": "<svg/>"}
    assert url["text"] == "[a picture]"
    assert html["data"] == {"text/html": "<img src='data:x'>"}


def test_a_widget_that_has_no_words_is_named_inside_others_and_left_to_its_text_alone() -> None:
    widgets = states(m=("LeafletMap", {}), w=("VBox", children("m", "gone")))
    assert widgets.views().of("m") is None
    assert words_of(widgets) == "[LeafletMap of @jupyter-widgets/controls: it works in the notebook only]"


def test_widgets_inside_themselves_come_to_an_end() -> None:
    selfish = states(w=("VBox", children(*["w"] * 50)), o=("Output", {"msg_id": "1", "outputs": []}))
    selfish.capture("o", "display_data", {"data": {WIDGET_VIEW: {"model_id": "o"}}, "metadata": {}}, "1")
    assert words_of(selfish) == ""
    assert words_of(selfish, "o") == ""


def test_many_widgets_are_told_and_of_very_many_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    many = states(**{f"w{number}": ("Label", {"value": str(number)}) for number in range(6_000)})
    views = many.views()
    assert all(views.of(f"w{number}") for number in range(6_000))
    monkeypatch.setattr(widget_views, "_MOST_OF_ALL", 10)
    views = many.views()
    assert [number for number in range(12) if views.of(f"w{number}") is None] == [10, 11]


def bar(number: int) -> list[Any]:
    """As tqdm makes them."""
    return [
        opened(f"layout{number}", "LayoutModel"),
        opened(f"text{number}", "HTMLModel", value="x" * 1_000),
        opened(f"bar{number}", "HBoxModel", **children(f"text{number}", layout=f"IPY_MODEL_layout{number}")),
    ]


def test_of_too_many_widgets_those_that_were_closed_are_forgotten_with_what_is_in_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(widgets_module, "MOST", 20_000)
    widgets = WidgetStates()
    for _, content, _ in (opened("shared", "LabelModel", value="kept"), *bar(-1)):
        widgets.take(content, [])
    for number in range(1_000):
        for _, content, _ in bar(number):
            assert widgets.take(content, [])
        widgets.close({"comm_id": f"bar{number}"})
        assert len(str(widgets.models())) < 40_000
        assert words_of(widgets, f"bar{number}") == ""
    assert words_of(widgets, "bar-1") == "x" * 1_000
    assert words_of(widgets, "shared") == "kept"
    assert words_of(widgets, "bar3") == "", "it stays known that it was closed"


def test_of_too_many_widgets_that_are_open_the_last_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(widgets_module, "MOST", 20_000)
    widgets = WidgetStates()
    taken = [widgets.take(content, []) for number in range(30) for _, content, _ in bar(number)]
    assert taken[0]
    assert not taken[-1]
    assert widgets.take(updated("text0", value="y")[1], []), "what says less is taken"
    assert words_of(widgets, "bar0") == "y"
    assert not widgets.take(updated("text0", value="z" * 20_000)[1], [])
    assert widgets.views().of("bar29") is None


def test_what_output_widgets_take_counts_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(widgets_module, "MOST", 2_000)
    widgets = states(o=("Output", {"msg_id": "1", "outputs": []}))
    widgets.capture("o", *printed("x" * 1_500)[:2], "1")
    assert not widgets.has_room(1_000)
    widgets.capture("o", "clear_output", {"wait": False}, "1")
    assert widgets.has_room(1_000)
