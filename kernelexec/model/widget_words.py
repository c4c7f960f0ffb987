"""The words for one widget, by its model and state alone: a control with its value, a bar with its count.

CONTROLS is the whole choice; of a widget that is not in it nothing can be said but its name.
Pure. Models: https://ipywidgets.readthedocs.io/en/stable/reference/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from kernelexec.model.html_text import html_to_text
from kernelexec.model.outputs import JSON

State: TypeAlias = Mapping[str, JSON]
Words: TypeAlias = Callable[[State], str]

_MOST_OPTIONS = 12  # of a choice that are named
_LONGEST = 200  # characters of a name or of an option
_HIDDEN = "········"


def _one_of(kind: str, verb: str) -> Callable[[Sequence[str], State], str]:
    def words(titles: Sequence[str], state: State) -> str:
        index = state.get("selected_index")
        is_there = isinstance(index, int) and 0 <= index < len(titles)
        chosen = titles[index] if is_there else "none"  # type: ignore[index]
        return f"[{kind}: {', '.join(titles)}; {chosen} is {verb}]"

    return words


# Of these, one child is shown, under the words made of all their titles.
ONE_OF: Mapping[str, Callable[[Sequence[str], State], str]] = {
    "TabModel": _one_of("tabs", "shown"),
    "AccordionModel": _one_of("folded", "open"),
    "StackModel": lambda titles, state: "",
}


def titles_of(state: State, number: int) -> list[str]:
    titles = state.get("titles", state.get("_titles"))  # a list, or by number as text (ipywidgets 7)
    if isinstance(titles, Mapping):
        titles = [titles.get(str(index)) for index in range(number)]
    named = titles if isinstance(titles, list) else []
    return [_clipped(named[index] if index < len(named) else None) or str(index) for index in range(number)]


def _clipped(value: JSON) -> str:
    text = " ".join(_text(value).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


def _text(value: JSON) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return str(value)


def _named(state: State, words: str) -> str:
    name = _clipped(html_to_text(str(state.get("description") or "")))
    return f"{name}{'' if name.endswith(':') else ':'} {words}".rstrip() if name else words


def _html(state: State) -> str:
    return _named(state, html_to_text(str(state.get("value") or "")))


def _label(state: State) -> str:
    return _named(state, _text(state.get("value")))


def _progress(state: State) -> str:
    return _named(state, f"{_text(state.get('value')) or '?'} of {_text(state.get('max')) or '?'}")


def _slider(state: State) -> str:
    ends = f"{_text(state.get('min'))} to {_text(state.get('max'))}"
    value = state.get("value")
    words = " to ".join(map(_text, value)) if isinstance(value, list) else _text(value)
    return _named(state, f"{words} [slider, {ends}]")


def _choice(state: State) -> str:
    labels = [_clipped(label) for label in _list(state.get("_options_labels"))]
    index = state.get("index")
    chosen = [labels[at] for at in _list(index) if isinstance(at, int) and 0 <= at < len(labels)]
    words = " to " if "Range" in str(state.get("_model_name")) else ", "
    more = len(labels) - _MOST_OPTIONS
    options = ", ".join(labels[:_MOST_OPTIONS]) + (f" and {more:,} more" if more > 0 else "")
    return _named(state, f"{words.join(chosen) or 'nothing chosen'} [of {options}]")


def _list(value: JSON) -> Sequence[JSON]:
    return value if isinstance(value, list) else [value]


def _ticked(state: State) -> str:
    return f"[{'x' if state.get('value') else ' '}] {_clipped(state.get('description'))}".rstrip()


def _valid(state: State) -> str:
    return _named(state, "valid" if state.get("value") else _clipped(state.get("readout")) or "invalid")


def _field(state: State) -> str:
    return _named(state, f"{_text(state.get('value')) or '(empty)'} [field]")


def _password(state: State) -> str:
    return _named(state, f"{_HIDDEN if state.get('value') else '(empty)'} [field]")


def _date(state: State) -> str:
    value = state.get("value")
    if isinstance(value, Mapping):
        value = " ".join(filter(None, [_day(value), _time(value)]))
    return _named(state, f"{_text(value) or '(empty)'} [date]")


def _day(value: State) -> str:
    month = value.get("month")  # counted from 0
    parts = [value.get("year"), month + 1 if isinstance(month, int) else None, value.get("date")]
    return "-".join(f"{part:02d}" for part in parts if isinstance(part, int))


def _time(value: State) -> str:
    parts = [value.get("hours"), value.get("minutes"), value.get("seconds")]
    return ":".join(f"{part:02d}" for part in parts if isinstance(part, int))


def _button(state: State) -> str:
    return f"[button {_clipped(state.get('description') or state.get('tooltip') or state.get('icon'))}]"


def _upload(state: State) -> str:
    return f"[upload, {len(_list(state.get('value') or []))} files]"


def _media(kind: str) -> Words:
    return lambda state: f"[{kind}: it can be played in the notebook]"


def _nothing(state: State) -> str:
    return ""


def unknown(state: State) -> str:
    """A widget inside another; one that stands alone is told by its object's text."""
    name = _clipped(state.get("_model_name")).removesuffix("Model")
    return f"[{name} of {_clipped(state.get('_model_module'))}: it works in the notebook only]"


_TABLE: Sequence[tuple[str, Words]] = (  # names of models, without "Model"
    ("HTML HTMLMath", _html),
    ("Label", _label),
    ("FloatProgress IntProgress", _progress),
    ("IntSlider FloatSlider FloatLogSlider IntRangeSlider FloatRangeSlider Play", _slider),
    (
        "Dropdown Select SelectMultiple RadioButtons ToggleButtons SelectionSlider SelectionRangeSlider",
        _choice,
    ),
    ("Checkbox ToggleButton", _ticked),
    ("Valid", _valid),
    ("Text Textarea Combobox IntText FloatText BoundedIntText BoundedFloatText", _field),
    ("TagsInput ColorsInput IntsInput FloatsInput ColorPicker", _field),
    ("Password", _password),
    ("DatePicker DatetimePicker NaiveDatetimePicker TimePicker", _date),
    ("Button", _button),
    ("FileUpload", _upload),
    ("Video", _media("a video")),
    ("Audio", _media("sound")),
    ("Link DirectionalLink Controller Layout", _nothing),
)
CONTROLS: Mapping[str, Words] = {f"{name}Model": words for names, words in _TABLE for name in names.split()}
