"""Arguments of tools as models read them, and as clients and converters spell them.

Converters for a strict mode make every argument required, so that a model has to send something for "left
out": null, "", 0. Clients add arguments of their own. Neither is a reason to refuse a call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from kernelexec.model.text import one_line

_LONGEST_NAME = 60  # characters of an argument's that a client made up
_MOST_NAMES = 10  # of such arguments in a reply


class Arguments(BaseModel):
    """The arguments of one tool. What they do not know is ignored: see `unknown`."""

    # Built when they are first used: a hub's first client would wait for those of all tools.
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False, defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _without_what_is_left_out(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        return {name: value for name, value in given.items() if not cls._is_left_out(name, value)}

    @classmethod
    def _is_left_out(cls, name: str, value: object) -> bool:
        field = cls.model_fields.get(name)
        if field is None or field.is_required():
            return False
        return value is None or value == "" or (Limit() in field.metadata and _is_zero(value))

    @classmethod
    def unknown(cls, given: Mapping[str, object]) -> list[str]:
        """What was given and is no argument, each with the one that may be meant."""
        names = [name for name in given if name not in cls.model_fields]
        said = [_with_what_is_meant(name, list(cls.model_fields)) for name in names[:_MOST_NAMES]]
        return said + ([f"{len(names) - _MOST_NAMES:,} more"] if len(names) > _MOST_NAMES else [])

    @classmethod
    def schema_for_models(cls) -> dict[str, Any]:
        """The JSON schema in the few words that every converter takes: type, description, enum, items.

        google-genai's fails at `additionalProperties: false` and at `exclusiveMinimum`; ranges are ours to
        check, and cost a model more than they tell it.
        """
        schema = cls.model_json_schema()
        definitions = schema.get("$defs", {})
        properties = {
            name: _plain(given, definitions) for name, given in schema.get("properties", {}).items()
        }
        required = schema.get("required", [])
        return {"type": "object", "properties": properties, **({"required": required} if required else {})}


def _with_what_is_meant(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, 1)
    return one_line(name)[:_LONGEST_NAME] + (f" (is {near[0]} meant?)" if near else "")


def _plain(given: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    field = dict(given)
    for option in given.get("anyOf", ()):
        if option.get("type") != "null":
            field |= option
    plain: dict[str, Any] = {key: field[key] for key in ("type", "description", "enum") if key in field}
    if "items" in field:
        plain["items"] = _plain_items(field["items"], definitions)
    return plain


def _plain_items(items: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Of an object with the types of its members, as some converters refuse one without."""
    named = definitions.get(str(items.get("$ref", "")).rpartition("/")[2])
    if named is None:
        return {"type": items["type"]}
    members = {name: _plain(given, definitions) for name, given in named["properties"].items()}
    return {"type": "object", "properties": members, "required": named.get("required", [])}


@dataclass(frozen=True)
class Limit:
    """Marks an argument that limits something: 0 is none."""


def _is_zero(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return False
    try:
        return float(value) == 0
    except ValueError:
        return False


def _no_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a number, not true or false")  # pydantic takes true for 1
    return value


Number = Annotated[float, BeforeValidator(_no_boolean)]
Whole = Annotated[int, BeforeValidator(_no_boolean)]


def at_most(limit: int) -> AfterValidator:
    """Who asks for more gets so much: the reply says what it has, and what comes next."""
    return AfterValidator(lambda value: min(value, limit))


# {default} and {longest} are those of the client: see `Tool.definition`.
WAIT_DESCRIPTION = "Reply after so long, while the run goes on: default {default:g}, at most {longest:g}."

WaitSeconds = Annotated[
    Annotated[Number, Field(ge=0)] | None,
    Field(description=WAIT_DESCRIPTION),
]
MaxSeconds = Annotated[
    Annotated[Number, Field(gt=0)] | None,
    Limit(),
    Field(description="Interrupt the run after this time; default never."),
]
SessionName = Annotated[
    str | None,
    Field(
        max_length=200,
        description="Another session, made on first use: 'name' or 'name@environment'. Default: your "
        "project's.",
    ),
]
ExistingSession = Annotated[
    str | None, Field(max_length=200, description="Its name or id. Default: your project's.")
]
