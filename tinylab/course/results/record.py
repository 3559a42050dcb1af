"""What is known of one training, in plain data: asked for, measured, on what, from which code; strict when read.

A record is JSON: what it is, its schema version, the SHA-256 of its body, the body. The digest is there so that an
edit by hand is noticed: figures in README and in lectures come from records, and records come from runs only.
"""

import hashlib
import json
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Annotated, Any

from pydantic import AfterValidator, Field, TypeAdapter, create_model
from pydantic_core import PydanticCustomError

from tinylab.support.errors import TrainingError
from tinylab.support.validation import AS_GIVEN, Strict, like, one_of, read_json, validated
from tinylab.training import Score
from tinylab.training.history import RECIPE, Epoch, History, numbered, renamed
from tinylab.training.recipe import Recipe

VERSION = 4  # of the schema; 1 knew no answers, 1 to 3 had other names for some fields: all are read
_KIND = "tinylab record"
FULL = 200  # classes: the report's, and those of every figure of others
DIGITS = 6  # significant ones of every measured number: a tenth of what float32 knows, and half the bytes
FLIPPED = ", flipped"  # images and their mirrors were looked at: test-time augmentation, always said
SPLITS = ("train", "development", "validation", f"development{FLIPPED}", f"validation{FLIPPED}")


@dataclass(frozen=True)
class Timings:
    """What a training took, in seconds, on three clocks; slices of an interrupted one added up."""

    training: float = 0.0  # forward, backward, update, batches; nothing else
    with_evaluation: float = 0.0  # and the measurements and checkpoint after every epoch
    cold: float = 0.0  # and loading data, building the network, the final scores, for every slice
    slices: int = 0  # processes it took


@dataclass(frozen=True)
class Provenance:
    """What a record came from, apart from its settings."""

    commit: str | None = None  # of git; None: not run from a checkout
    dirty: bool = False  # whether files differed from that commit
    device: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)  # python, torch, numpy, tinylab
    finished: str = ""  # UTC, to the second


@dataclass(frozen=True)
class Record:
    """One training: what was asked for, what came out, what it came from."""

    name: str  # of its file: small letters, digits, '.', '_', '-'
    plan: str
    row: str  # identifier: a digest of everything that was asked for
    title: str  # the setting in words, without network and seed
    network: str  # as the plan names it
    settings: Mapping[str, Any]  # outside the recipe: initialisation, normalisation, …
    images: int  # training images
    history: History  # recipe, line of the network, data, classes and every epoch
    scores: Mapping[str, Score]  # whole splits, evaluation mode, after the last epoch; "validation" only if asked for
    clocks: Timings = Timings()
    origin: Provenance = Provenance()
    weights: tuple[int, ...] = ()  # epochs whose convolution weights lie beside it
    weights_digest: str = ""  # SHA-256 of that file
    answers_digest: str = ""  # SHA-256 of the file with the answers on the official validation images; empty: not kept
    failure: str = ""  # why it did not finish; empty: it did

    @property
    def recipe(self) -> Recipe:
        return self.history.recipe

    @property
    def seed(self) -> int:
        return self.recipe.seed

    @property
    def classes(self) -> int:
        return len(self.history.classes)

    @property
    def finished(self) -> bool:
        return not self.failure

    def __str__(self) -> str:
        head = f"{self.name}: {self.network}, {self.title}, {self.classes} classes of {self.history.data}"
        if self.failure:
            return f"{head}: failed after {len(self.history.epochs)} epochs: {self.failure}"
        scores = ", ".join(f"{name} {s.accuracy:.1%} ({s.count:,})" for name, s in self.scores.items())
        return f"{head}, {self.recipe.epochs} epochs: {scores}; {self.clocks.training:.0f} s on {self.origin.device}"

    __repr__ = __str__


def longest(records: Iterable[Record]) -> list[Record]:
    """All but those that are the beginning of a longer one among them: alike but for the epochs, at a constant rate."""
    known = list(records)
    return [one for one in known if not any(begins(one, other) for other in known)]


def begins(one: Record, other: Record) -> bool:
    """Whether `other` is what `one` becomes when it is trained for longer."""
    longer = one.recipe.open_ended and one.recipe.epochs < other.recipe.epochs
    return longer and asked(one, ["epochs"]) == asked(other, ["epochs"])


def asked(record: Record, aside: Collection[str] = ()) -> dict[str, Any]:
    """What was asked for, apart from the fields of the recipe that are named."""
    recipe = {name: value for name, value in asdict(record.recipe).items() if name not in aside}
    own = {"network": record.network, "classes": record.history.classes, "images": record.images}
    return recipe | own | {"settings": dict(record.settings)}


def comparable(record: Record) -> dict[str, Any]:
    """What two trainings of the same row on the same kind of machine have in common: no times, no origin."""
    body = as_body(record)
    for key in ("clocks", "origin"):
        del body[key]
    for key in ("seconds", "images_per_second"):
        del body["history"]["epochs"][key]
    return body


# ---------------------------------------------------------------- writing


def as_body(record: Record) -> dict[str, Any]:
    """Plain data: the history column by column, which takes a quarter of the bytes."""
    body = asdict(record)
    epochs = {name: record.history.column(name) for name in _COLUMNS}
    body["history"] |= {"classes": list(record.history.classes), "epochs": _short(epochs)}
    return body | {key: _short(body[key]) for key in ("scores", "clocks")} | {"weights": list(record.weights)}


def dumps(record: Record) -> bytes:
    """The record's JSON. Raises TrainingError if it is none that `loads` would take."""
    body = as_body(record)
    from_body(body)
    parts = {"kind": _KIND, "version": VERSION, "digest": _digest(body), "body": body}
    return json.dumps(parts, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _short(measured: Any) -> Any:
    """The numbers in it to a few significant digits."""
    if isinstance(measured, dict):
        return {key: _short(part) for key, part in measured.items()}
    if isinstance(measured, list):
        return [_short(part) for part in measured]
    return float(f"{measured:.{DIGITS}g}") if isinstance(measured, float) else measured


def _digest(body: Mapping[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


# ---------------------------------------------------------------- reading, strictly


def loads(content: bytes | str) -> Record:
    """The record that `dumps` wrote. Nothing is executed. Raises TrainingError, one line, for anything else."""
    try:
        parts = read_json(content)
    except ValueError as error:
        raise TrainingError(f"this is not JSON of a record ({_line(error)})") from None
    if not isinstance(parts, dict) or parts.get("kind") != _KIND:
        raise TrainingError("this is not a record. Name a file that `tinylab sweep` wrote")
    version = parts.get("version")
    if repr(version) not in ("1", "2", "3", repr(VERSION)):  # true and 1.0 equal 1
        raise TrainingError(
            f"the record has schema {version!r}, this tinylab reads 1 to {VERSION}. Use the one that wrote it"
        )
    file = validated(_File, parts, TrainingError, "the record")
    if file.digest != _digest(file.body):
        raise TrainingError("the record was changed after it was written: its digest differs. Run the row again")
    body = {"answers_digest": "", **file.body} if version == 1 else file.body
    if file.version < VERSION and isinstance(body.get("history"), dict):
        body = {**body, "history": renamed(body["history"])}
    return from_body(body)


def from_body(body: dict[str, Any]) -> Record:
    """Raises TrainingError, one line, unless every field is there, of its type, finite and in its range."""
    return validated(_RECORD, body, TrainingError, "the record")


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


# ---------------------------------------------------------------- types


def _setting(value: Any, deep: bool = True) -> Any:
    if deep and isinstance(value, dict):
        return {key: _setting(part, deep=False) for key, part in value.items()}
    if not isinstance(value, str | int | float | None) or (isinstance(value, float) and not math.isfinite(value)):
        raise PydanticCustomError("setting", "text, a finite number, true or false")
    return value


def _different(names: list[str]) -> tuple[str, ...]:
    if len(set(names)) != len(names):
        raise ValueError("have to be different names")
    return tuple(names)


def _rows(columns: Strict) -> list[Epoch]:
    """Of a table of columns."""
    read = dict(columns)
    if len(lengths := {len(column) for column in read.values()}) > 1:
        raise ValueError(f"have columns of {sorted(lengths)} epochs. Allowed: as many in each")
    return numbered([Epoch(**dict(zip(read, row, strict=True))) for row in zip(*read.values(), strict=True)])


def _fitting(record: Record) -> Record:
    """Raises ValueError unless the parts, each of them possible, are possible together."""
    asked, count, kept = record.recipe.epochs, len(record.history.epochs), record.weights
    if count > asked or (record.finished and count != asked):
        raise ValueError(f"asks for {asked} epochs and holds {count}")
    if record.finished and not {"train", "development"} <= set(record.scores):
        raise ValueError("is of a finished training and needs scores of train and development")
    if list(kept) != sorted(set(kept)) or max(kept, default=0) > asked or bool(kept) != bool(record.weights_digest):
        raise ValueError(f"has weights of epochs {kept!r:.60}. Allowed: ascending, up to {asked}, with their digest")
    return record


class _File(Strict):
    kind: str
    version: int
    digest: str
    body: dict[str, Any]


_FINITE = Field(ge=0, allow_inf_nan=False)  # nothing measured in a record can be negative
_WHOLE = Annotated[int, Field(ge=0)]
_TYPES: dict[Any, Any] = {float: Annotated[float, _FINITE, AS_GIVEN], int: _WHOLE}
_SHARE = Annotated[float, _FINITE, Field(le=1), AS_GIVEN]
_HEX = Annotated[str, Field(pattern="^[0-9a-f]+$")]
_DIGEST = Annotated[str, Field(pattern="^[0-9a-f]*$")]
_COLUMNS: dict[str, Any] = {
    part.name: (list[_SHARE if part.name.endswith("accuracy") else _TYPES[part.type]], ...)  # type: ignore[misc]
    for part in fields(Epoch)
}
_SCORE = like(Score, _TYPES, accuracy=_SHARE, count=Annotated[int, Field(ge=1)])
_HISTORY = like(
    History,
    {},
    recipe=RECIPE,
    classes=Annotated[list[str], AfterValidator(_different)],
    epochs=Annotated[create_model("Columns", __base__=Strict, **_COLUMNS), AfterValidator(_rows)],
)
_BODY = like(
    Record,
    _TYPES,
    name=Annotated[str, Field(pattern="^[a-z0-9][a-z0-9._-]{0,150}$")],
    row=_HEX,
    settings=dict[str, Annotated[Any, AfterValidator(_setting)]],
    history=_HISTORY,
    scores=dict[Annotated[str, one_of(SPLITS)], _SCORE],  # type: ignore[valid-type]
    clocks=like(Timings, _TYPES),
    origin=like(Provenance, {}, commit=_HEX | None),
    weights=Annotated[list[_WHOLE], AfterValidator(tuple)],
    weights_digest=_DIGEST,
    answers_digest=_DIGEST,
)
_RECORD: TypeAdapter[Record] = TypeAdapter(Annotated[_BODY, AfterValidator(_fitting)])  # type: ignore[arg-type]
