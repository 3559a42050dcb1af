"""A plan: which networks are trained how, read from a small TOML file; strict, and nothing in it is executed.

    question = "Does L2 explain Model 2's row?"   # what the plan answers
    data = "tiny-imagenet"                        # as `tinylab train --data`, a path from this file's folder;
                                                  # classes, per_class, watched: parts of it
    networks = ["model_1", "model_2"]             # names or lines of notation
    seeds = [0, 1, 2]
    weights = [0, 1, "last"]                      # epochs whose convolution weights are kept, of the first seed
    ship = true                                   # keep its whole network for `tinylab predict --network`, if <= 3 MB

    [base]                                        # of every row: a recipe by name, and what is different
    recipe = "report"
    epochs = 12

    [axes]                                        # a grid: every combination, × networks × seeds
    l2 = [0.0, 0.01]

    [[rows]]                                      # settings listed one by one, beside the grid or instead of it
    name = "as described"
    networks = ["model_1"]                        # only these

    [transfer]                                    # only where rows have start = "fine-tuned": classes are divided
    source = 160                                  # at random; so many to pre-train on, with the recipe of base
    target = 40                                   # for so many epochs; all rows learn the target's
    epochs = 60

    [[rows]]                                      # goes on from the end of another row's training, which has the same
    name = "on to 30 epochs"                      # network, seed and settings, a constant learning rate, no start_size,
                                                  # fewer epochs
    epochs = 30
    continues = "as described"

What may stand in base, axes and rows: every field of `Recipe` but the seed, and `SETTINGS` below. dropout = "line"
takes the probabilities that the network's line has.
"""

import itertools
import math
import re
import tomllib
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, create_model

from tinylab import models
from tinylab.data import resolve
from tinylab.support.errors import InvalidInputError, TinylabError, check_int, nearest
from tinylab.support.validation import Strict, one_of, validated
from tinylab.tools.experiments.rows import L2_ON, NORMALISATIONS, STARTS, Row
from tinylab.training.recipe import RECIPES, Recipe

FOLDER = Path(__file__).parent / "plans"  # the plans that come with tinylab
SETTINGS: dict[str, Any] = {  # outside the recipe; name and type
    "initialisation": Annotated[str, one_of(models.INITIALISATIONS)],
    "normalisation": Annotated[str, one_of(NORMALISATIONS)],
    "l2_on": Annotated[str, one_of(L2_ON)],
    "start": Annotated[str, one_of(STARTS)],
    "per_class": Annotated[int, Field(ge=1)],
}
MOST_ROWS = 10_000  # more is a slip of the pen: at a minute each it is a week
_COUNT = Annotated[int, Field(ge=1)]
_CLASSES = Annotated[int, Field(ge=2)]


class _Transfer(Strict):
    source: _CLASSES
    target: _CLASSES
    epochs: _COUNT


_KEYS: dict[str, Any] = {
    "question": str, "data": str, "classes": _CLASSES, "per_class": _COUNT, "watched": _COUNT, "networks": list[str],
    "seeds": list[Annotated[int, Field(ge=0)]], "final": bool, "test_flip": bool, "answers": bool, "ship": bool,
    "seconds": int, "weights": list, "transfer": _Transfer, "base": dict, "axes": dict[str, list], "rows": list[dict],
}  # fmt: skip
_SHARED = ("classes", "per_class", "watched", "final", "test_flip", "answers")  # by all rows
_FIELDS_OF_PLAN: dict[str, Any] = {key: (hint, None) for key, hint in _KEYS.items()}
_PLAN = create_model("Plan", __base__=Strict, **_FIELDS_OF_PLAN)


class _Own(Strict):
    """What a listed row may say beside its setting."""

    name: Annotated[str, Field(max_length=60, pattern="[A-Za-z0-9]")]
    networks: list[str] | None = None
    weights: list[Any] | None = None
    continues: str | None = None


@dataclass(frozen=True)
class Plan:
    """What a plan asks, and its rows: first seeds first, so that every setting has a result before any has two."""

    name: str
    question: str
    rows: tuple[Row, ...]
    seconds: float | None = None  # no epoch is begun that would end later; None: no limit


def names() -> tuple[str, ...]:
    """The plans that come with tinylab."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def load(name_or_path: str | Path, *, data: str | None = None) -> Plan:
    """A plan by name or from a file; `data` replaces the plan's own data set.

    Raises InvalidInputError, one line with the nearest allowed name, for anything in it that is not possible.
    """
    text, path = str(name_or_path), Path(name_or_path)
    base: Path | None = path.parent.absolute()
    if text in names():
        path, base = FOLDER / f"{text}.toml", None
    elif path.suffix != ".toml":
        raise InvalidInputError(f"plan {text!r} is unknown{nearest(text, names())}, or the path of a .toml file")
    try:
        return parse(path.read_bytes().decode(), path.stem, data=data, base=base)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"plan {path} cannot be read ({' '.join(str(error).split())}). Check it") from None


def parse(text: str, name: str, *, data: str | None = None, base: Path | None = None) -> Plan:
    """The plan in a TOML text; `name` is what its records are called after, `base` where its paths begin."""
    try:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,40}", name):
            raise InvalidInputError("its name is not possible. Allowed: letters, digits, '-', '_', at most 41")
        parts = tomllib.loads(text)
        rows = _rows(parts, name, data, base)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInputError(f"plan {name!r} is not TOML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise InvalidInputError(f"plan {name!r} is nested too deeply") from None
    except TinylabError as error:
        raise InvalidInputError(f"plan {name!r}: {' '.join(str(error).split())}") from None
    return Plan(name, parts.get("question", ""), tuple(rows), parts.get("seconds"))


# ---------------------------------------------------------------- from TOML to rows


def _rows(parts: dict[str, Any], name: str, data: str | None, folder: Path | None) -> list[Row]:
    validated(_PLAN, parts, InvalidInputError, "it")
    data = data or resolve(parts.get("data", "sample"), base=folder)  # once: rows may be trained from another folder
    networks = _several("networks", parts.get("networks", []))
    seeds = _several("seeds", parts.get("seeds", [0]))
    base = dict(parts.get("base", {}))
    recipe_name = base.pop("recipe", None)
    if recipe_name is not None and (not isinstance(recipe_name, str) or recipe_name not in RECIPES):
        raise InvalidInputError(f"recipe {recipe_name!r} is unknown{nearest(str(recipe_name), RECIPES)}")
    common = _values(base, "base")
    shared = {key: parts[key] for key in _SHARED if key in parts}
    divided = dict(parts.get("transfer", {}))
    first_epochs = divided.pop("epochs", None)
    rows: list[Row] = []
    before: list[str | None] = []  # the title of the row that each row continues
    for title, setting, own in _settings(parts, recipe_name):
        recipe, others = _recipe(recipe_name, {**common, **setting}, title)
        own_weights, own_networks = (own.weights, own.networks) if own else (None, None)
        kept = _epochs(parts.get("weights", []) if own_weights is None else own_weights, recipe.epochs, title)
        mine = networks if own_networks is None else _several("networks", own_networks)
        row = Row(
            plan=name,
            title=title,
            network="",
            recipe=recipe,
            data=data,
            **(shared | others | divided),
        )
        pretraining = None
        if row.start != "scratch":
            if first_epochs is None:
                raise InvalidInputError(f"{title}: start {row.start!r} needs pre-training. Give the table [transfer]")
            pretraining = _recipe(recipe_name, {**common, "epochs": first_epochs}, "transfer")[0]
        rows += [
            replace(
                row,
                network=network,
                recipe=replace(recipe, seed=seed),
                pretraining=pretraining and replace(pretraining, seed=seed),
                weights=kept if seed == seeds[0] else (),
                ship=parts.get("ship", False) and seed == seeds[0],
            )
            for network in mine
            for seed in seeds
        ]
        before += [own.continues if own else None] * (len(rows) - len(before))
    for network in {row.network: None for row in rows}:
        models.build(network, parts.get("classes", 200))  # an unknown name or a bad line is said here
    _different(rows)
    return sorted(_continued(rows, before), key=lambda row: seeds.index(row.recipe.seed))


def _settings(parts: dict[str, Any], recipe_name: str | None) -> Iterator[tuple[str, dict[str, Any], _Own | None]]:
    """(title, setting, what is the row's own) of the grid, then of the listed rows."""
    axes = {key: _several(f"axis {key}", values) for key, values in parts.get("axes", {}).items()}
    if "axes" in parts and not axes:
        raise InvalidInputError("axes has no axis, so its grid is empty. Give one, such as l2 = [0.0, 0.01]")
    listed = parts.get("rows", [])
    if "rows" in parts and not listed:
        raise InvalidInputError("rows is empty. Give one ([[rows]]), or leave it out")
    settings = math.prod(map(len, axes.values())) * bool(axes) + len(listed)
    count = (settings or 1) * len(parts.get("networks", [])) * len(parts.get("seeds", [0]))
    if count > MOST_ROWS:
        raise InvalidInputError(f"it has {count:,} rows. Allowed: {MOST_ROWS:,}")
    if axes:
        for choice in itertools.product(*axes.values()):
            setting = _values(dict(zip(axes, choice, strict=True)), "axes")
            yield ", ".join(f"{key.replace('_', ' ')} {_text(value)}" for key, value in setting.items()), setting, None
    for number, row in enumerate(listed, start=1):
        own = {key: row[key] for key in _Own.model_fields if key in row}
        read = validated(_Own, own, lambda wrong, n=number: InvalidInputError(f"row {n}: {wrong}"), "it")  # type: ignore[misc]
        yield read.name, _values({k: v for k, v in row.items() if k not in own}, f"row {read.name!r}"), read
    if not axes and not listed:
        yield recipe_name or "default", {}, None


def _recipe(name: str | None, setting: dict[str, Any], title: str) -> tuple[Recipe, dict[str, Any]]:
    """The recipe, and what of the setting is outside it."""
    changes = {key: value for key, value in setting.items() if key not in SETTINGS}
    others = {key: value for key, value in setting.items() if key in SETTINGS}
    try:
        recipe = replace(RECIPES[name] if name else Recipe(), **changes)
    except TinylabError as error:
        raise InvalidInputError(f"{title}: {error}") from None
    if others.get("l2_on", "all") != "all" and not recipe.l2:
        raise InvalidInputError(f"{title}: l2_on {others['l2_on']!r} without l2. Give l2, or leave l2_on out")
    return recipe, others


def _continued(rows: Sequence[Row], titles: Sequence[str | None]) -> list[Row]:
    """The rows with the identifier of the shorter row that each continues; titles: of that row, or None."""
    found = list(rows)
    for place, title in enumerate(titles):
        if title is None:
            continue
        row = found[place]
        wanted = (row.network, row.recipe.seed)
        shorter = [k for k, r in enumerate(found) if r.title == title and (r.network, r.recipe.seed) == wanted]
        if not shorter:
            hint = nearest(title, dict.fromkeys(known.title for known in found))
            raise InvalidInputError(f"{row.title}: continues {title!r:.80}, which is no row of {row.short}{hint}")
        (start,) = shorter  # no two rows of a network and seed have one title
        same = replace(found[start], title=row.title, weights=row.weights, recipe=row.recipe)
        same = replace(same, continues=row.continues, continued=row.continued)
        recipe = replace(found[start].recipe, epochs=row.recipe.epochs)
        if start == place or same != row or recipe != row.recipe or not recipe.open_ended:
            raise InvalidInputError(
                f"{row.title}: continues {title!r}, but differs from it in more than name, weights and epochs, or its "
                "learning rate or image size is not constant. Allowed: a row that begins exactly like this one"
            )
        if row.recipe.epochs <= found[start].recipe.epochs:
            raise InvalidInputError(f"{row.title}: continues {title!r}, which has as many epochs. Allowed: fewer")
        found[start] = replace(found[start], continued=True)
        found[place] = replace(row, continues=found[start].identifier)
    return found


def _values(setting: dict[str, Any], where: str) -> dict[str, Any]:
    """The setting with its values in the types that Recipe has; 1 and 1.0 are the same learning rate."""
    if "seed" in setting:
        raise InvalidInputError(f"seed in {where}. Give seeds = [0, 1, 2] at the top of the plan")
    read = validated(_SETTING, setting, lambda wrong: InvalidInputError(f"{where}: {wrong}"), "it")
    return {key: getattr(read, key) for key in setting}


def _line(value: Any) -> Any:
    """None, as Recipe has it, for what is as in the network's line."""
    return None if value == "line" else value


_HINTS = {name: hint for name, hint in typing.get_type_hints(Recipe).items() if name != "seed"} | SETTINGS
_FIELDS: dict[str, Any] = {
    name: (Annotated[hint, BeforeValidator(_line)] if type(None) in typing.get_args(hint) else hint, None)
    for name, hint in _HINTS.items()
}
_SETTING = create_model("Setting", __base__=Strict, **_FIELDS)


def _epochs(asked: list[Any], epochs: int, title: str) -> tuple[int, ...]:
    found: set[int] = set()
    for epoch in asked:
        if epoch == "last":
            epoch = epochs
        try:
            check_int("an epoch of weights", epoch, 0, epochs)
        except InvalidInputError as error:
            raise InvalidInputError(f'{title}: {error}, or "last"') from None
        found.add(epoch)
    return tuple(sorted(found))


def _several(name: str, values: list[Any]) -> list[Any]:
    """At least one, all different."""
    if not values:
        raise InvalidInputError(f"{name} is empty, so there is nothing to train. Give at least one")
    for place, value in enumerate(values):
        if value in values[:place] and type(value) is type(values[values.index(value)]):
            raise InvalidInputError(f"{name} has {value!r} twice. Give each once")
    return values


def _different(rows: Sequence[Row]) -> None:
    seen: dict[str, Row] = {}
    for row in rows:
        for key in (row.identifier, row.name):
            if key in seen:
                raise InvalidInputError(f"'{seen[key]}' and '{row}' are the same training. Leave one out")
        seen |= {row.identifier: row, row.name: row}


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "as the line", True: "on", False: "off"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)
