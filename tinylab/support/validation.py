"""What is read from a file, held against types by pydantic: strict, nothing unknown, one line for what is wrong.

A type is a `Strict` model, or `like` a dataclass. For single values: `Annotated[str, one_of(names)]`, and
`Annotated[float, AS_GIVEN]`.
"""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from typing import Annotated, Any, get_type_hints

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    TypeAdapter,
    ValidationError,
    WrapValidator,
    create_model,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from tinylab.support.errors import nearest

_ALLOWED = {  # where pydantic's words are a programmer's
    "bool_type": "true or false",
    "dict_type": "a table",
    "float_type": "a number",
    "greater_than_equal": "{ge:g} or more",
    "int_type": "a whole number",
    "less_than_equal": "at most {le:g}",
    "list_type": "a list",
    "model_type": "a table",
    "string_pattern_mismatch": "text that matches {pattern}",
    "string_too_long": "at most {max_length} characters",
    "string_type": "text",
    "too_short": "at least {min_length}",
}


class Strict(BaseModel):
    """Fields by name: no other ones, no value of another type made to fit."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known(cls, parts: Any) -> Any:
        """Before pydantic's own refusal, which does not name the nearest."""
        for name in parts if isinstance(parts, dict) else ():
            if name not in cls.model_fields:
                raise ValueError(f"has an unknown field {name!r}{nearest(name, cls.model_fields)}")
        return parts


def like(kind: type, types: Mapping[Any, Any], base: type[Strict] = Strict, **of_fields: Any) -> Any:
    """The type of a dataclass's fields by name, all of them needed; what is validated becomes the dataclass.

    types      in place of those in the dataclass: {float: a finite number}
    base       with fields that are read beside them, and go
    of_fields  the types of single fields
    """
    hints = {name: types.get(hint, hint) for name, hint in get_type_hints(kind).items()} | of_fields
    names = [part.name for part in fields(kind)]
    wanted: dict[str, Any] = {name: (hints[name], ...) for name in names}
    model = create_model(kind.__name__, __base__=base, **wanted)
    return Annotated[model, AfterValidator(lambda read: kind(**{name: getattr(read, name) for name in names}))]


# a float for which a whole number is taken as it is, so that what is read is written again as it was
AS_GIVEN = WrapValidator(lambda value, check: (check(value), value)[1])


def one_of(names: Collection[str]) -> AfterValidator:
    """For a text that is one of `names`."""

    def known(value: str) -> str:
        if value not in names:
            raise PydanticCustomError("unknown", "is unknown{hint}", {"hint": nearest(value, names)})
        return value

    return AfterValidator(known)


def validated(kind: Any, parts: Any, error: Callable[[str], Exception], what: str) -> Any:
    """`parts` as `kind`. Raises `error`, one line about the first thing that is wrong, with its place in `what`."""
    try:
        return kind.validate_python(parts) if isinstance(kind, TypeAdapter) else kind.model_validate(parts)
    except ValidationError as refused:
        raise error(" ".join(_line(refused.errors(include_url=False)[0], what).split())) from None


def read_json(content: bytes | str) -> Any:
    """The value of a JSON text. Raises ValueError for any other text; NaN and a field that occurs twice are none."""
    try:
        return json.loads(content, parse_constant=_no_constant, object_pairs_hook=_no_twins)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a field occurs twice")
    return dict(pairs)


def _line(first: ErrorDetails, what: str) -> str:
    kind, value, context, places = first["type"], first["input"], first.get("ctx", {}), list(first["loc"])
    if kind == "missing":
        return f"{_path(places[:-1]) or what} lacks {places[-1]}"
    if places[-1:] == ["[key]"]:  # of a dictionary: the value is the name
        del places[-2:]
    where = _path(places) or what
    if kind == "value_error":
        return f"{where} {context['error']}"
    if kind == "unknown":
        return f"{where} {value!r:.60} {first['msg']}"
    allowed = _ALLOWED.get(kind, first["msg"].removeprefix("Input should be ")).format(**context)
    return f"{where} {value!r:.60} is not possible. Allowed: {allowed}"


def _path(places: list[int | str]) -> str:
    """`epochs[2].loss`"""
    return "".join(f"[{place}]" if isinstance(place, int) else f".{place}" for place in places).removeprefix(".")
