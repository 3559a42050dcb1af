"""What is known of one training, in plain data: asked for, measured, on what, from which code; strict when read.

A record is JSON: what it is, its schema version, the SHA-256 of its body, the body. The digest is there so that an
edit by hand is noticed: figures in README and in lectures come from records, and records come from runs only.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from tinylab.support.errors import TinylabError, TrainingError, nearest
from tinylab.training import Score
from tinylab.training.history import Epoch, History
from tinylab.training.recipe import Recipe

VERSION = 2  # of the schema; 1 knew no answers, and is read, too
_KIND = "tinylab record"
DIGITS = 6  # significant ones of every measured number: a tenth of what float32 knows, and half the bytes
FLIPPED = ", flipped"  # images and their mirrors were looked at: test-time augmentation, always said
SPLITS = ("train", "development", "validation", f"development{FLIPPED}", f"validation{FLIPPED}")

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,150}")
_HEX = re.compile(r"[0-9a-f]+")
_COLUMNS = tuple(part.name for part in fields(Epoch))
_SHARES = {"running_accuracy", "train_accuracy", "validation_accuracy"}  # 0..1


@dataclass(frozen=True)
class Clocks:
    """What a training took, in seconds, on three clocks; slices of an interrupted one added up."""

    training: float = 0.0  # forward, backward, update, batches; nothing else
    with_evaluation: float = 0.0  # and the measurements and checkpoint after every epoch
    cold: float = 0.0  # and starting Python, loading data, building the network, the final scores, for every slice
    slices: int = 0  # processes it took


@dataclass(frozen=True)
class Origin:
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
    history: History  # recipe, line of the network, data, classes and every epoch
    images: int  # training images
    scores: Mapping[str, Score]  # whole splits, evaluation mode, after the last epoch; "validation" only if asked for
    clocks: Clocks = Clocks()
    origin: Origin = Origin()
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
    def teacher(self) -> str | None:
        """The name of the record whose network taught this one; None: it learned from labels alone."""
        taught = self.settings.get("teacher")
        return str(taught.get("name")) if isinstance(taught, Mapping) else None

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


def comparable(record: Record) -> dict[str, Any]:
    """What two trainings of the same row on the same kind of machine have in common: no times, no origin."""
    body = as_body(record)
    for key in ("clocks", "origin"):
        del body[key]
    for key in ("seconds", "images_per_second"):
        del body["history"]["epochs"][key]
    return body


# ---------------------------------------------------------------- writing


def rounded(record: Record) -> Record:
    """The record with its numbers as they are stored: a few significant digits."""
    return from_body(as_body(record))


def as_body(record: Record) -> dict[str, Any]:
    """Plain data: the history column by column, which takes a quarter of the bytes."""
    history = record.history
    return {
        "name": record.name,
        "plan": record.plan,
        "row": record.row,
        "title": record.title,
        "network": record.network,
        "settings": dict(record.settings),
        "images": record.images,
        "history": {
            "recipe": asdict(history.recipe),
            "line": history.line,
            "data": history.data,
            "watch": history.watch,
            "classes": list(history.classes),
            "epochs": {name: [_short(getattr(epoch, name)) for epoch in history.epochs] for name in _COLUMNS},
        },
        "scores": {name: {key: _short(value) for key, value in asdict(s).items()} for name, s in record.scores.items()},
        "clocks": {key: _short(value) for key, value in asdict(record.clocks).items()},
        "origin": {**asdict(record.origin), "versions": dict(record.origin.versions)},
        "weights": list(record.weights),
        "weights_digest": record.weights_digest,
        "answers_digest": record.answers_digest,
        "failure": record.failure,
    }


def dumps(record: Record) -> bytes:
    """The record's JSON. Raises TrainingError if it is none that `loads` would take."""
    body = as_body(record)
    from_body(body)
    parts = {"kind": _KIND, "version": VERSION, "digest": _digest(body), "body": body}
    return json.dumps(parts, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _short(value: Any) -> Any:
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _digest(body: Mapping[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


# ---------------------------------------------------------------- reading, strictly


def loads(content: bytes | str) -> Record:
    """The record that `dumps` wrote. Nothing is executed. Raises TrainingError, one line, for anything else."""
    try:
        parts = json.loads(content, parse_constant=_no_constant, object_pairs_hook=_no_twins)
    except (ValueError, RecursionError) as error:
        raise TrainingError(f"this is not JSON of a record ({_line(error)})") from None
    if not isinstance(parts, dict) or parts.get("kind") != _KIND:
        raise TrainingError("this is not a record. Name a file that `tinylab sweep` wrote")
    version = parts.get("version")
    if repr(version) not in ("1", repr(VERSION)):  # true and 1.0 equal 1
        raise TrainingError(
            f"the record has schema {version!r}, this tinylab reads 1 and {VERSION}. Use the one that wrote it"
        )
    _keys(parts, ("kind", "version", "digest", "body"), "the record")
    body = _of(parts, "body", dict)
    if parts["digest"] != _digest(body):
        raise TrainingError("the record was changed after it was written: its digest differs. Run the row again")
    return from_body({**body, "answers_digest": ""} if version == 1 else body)


def from_body(body: Mapping[str, Any]) -> Record:
    """Raises TrainingError, one line, unless every field is there, of its type, finite and in its range."""
    _keys(body, [part.name for part in fields(Record)], "the record")
    texts = {key: _of(body, key, str) for key in ("name", "plan", "row", "title", "network", "failure")}
    if not _NAME.fullmatch(texts["name"]):
        raise TrainingError(f"name {texts['name']!r} is not possible. Allowed: a-z, 0-9, '.', '_', '-'")
    if not _HEX.fullmatch(texts["row"]):
        raise TrainingError(f"row {texts['row']!r} is not an identifier. Allowed: hexadecimal digits")
    history = _history(_of(body, "history", dict), complete=not texts["failure"])
    scores = {name: _score(name, part) for name, part in _of(body, "scores", dict).items()}
    if not texts["failure"] and not {"train", "development"} <= set(scores):
        raise TrainingError("a finished record needs scores of train and development")
    weights, digest = _of(body, "weights", list), _of(body, "weights_digest", str)
    answers = _of(body, "answers_digest", str)
    if answers and not _HEX.fullmatch(answers):
        raise TrainingError(f"answers_digest {answers!r:.60} is not possible. Allowed: hexadecimal digits")
    for epoch in weights:
        _whole("an epoch of weights", epoch, 0, history.recipe.epochs)
    if weights != sorted(set(weights)) or bool(weights) != bool(_HEX.fullmatch(digest)):
        raise TrainingError("weights need ascending epochs and the digest of their file")
    return Record(
        **texts,
        settings=_settings(_of(body, "settings", dict)),
        history=history,
        images=_whole("images", body["images"], 0),
        scores=scores,
        clocks=_clocks(_of(body, "clocks", dict)),
        origin=_origin(_of(body, "origin", dict)),
        weights=tuple(weights),
        weights_digest=digest,
        answers_digest=answers,
    )


def _history(parts: dict[str, Any], *, complete: bool) -> History:
    _keys(parts, ("recipe", "line", "data", "watch", "classes", "epochs"), "the history")
    try:
        recipe = Recipe.from_dict(_of(parts, "recipe", dict))
    except (TypeError, ValueError, TinylabError) as error:
        raise TrainingError(f"the recipe is not possible ({_line(error)})") from None
    classes = _of(parts, "classes", list)
    if not all(isinstance(name, str) for name in classes) or len(set(classes)) != len(classes):
        raise TrainingError("classes have to be different names")
    columns = _of(parts, "epochs", dict)
    _keys(columns, _COLUMNS, "an epoch")
    counts = {len(_of(columns, name, list)) for name in _COLUMNS}
    count = counts.pop()
    if counts or count > recipe.epochs or (complete and count != recipe.epochs):
        raise TrainingError(f"the recipe asks for {recipe.epochs} epochs, the columns hold {sorted({count, *counts})}")
    for name, column in columns.items():
        for value in column:
            _number(name, value, 1.0 if name in _SHARES else math.inf)
    if columns["epoch"] != list(range(1, count + 1)):
        raise TrainingError("epochs have to count 1, 2, 3, …")
    epochs = [Epoch(**dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)]
    line, data, watch = (_of(parts, key, str) for key in ("line", "data", "watch"))
    return History(recipe, line, data, watch, tuple(classes), epochs)


def _score(name: str, parts: Any) -> Score:
    if name not in SPLITS:
        raise TrainingError(f"a score of {name!r} is not possible{nearest(name, SPLITS)}")
    if not isinstance(parts, dict):
        raise TrainingError(f"the score of {name} is {parts!r}. Allowed: loss, accuracy, count")
    _keys(parts, ("loss", "accuracy", "count"), f"the score of {name}")
    loss, accuracy = _number("loss", parts["loss"]), _number("accuracy", parts["accuracy"], 1.0)
    return Score(loss, accuracy, _whole("count", parts["count"], 1))


def _clocks(parts: dict[str, Any]) -> Clocks:
    _keys(parts, [part.name for part in fields(Clocks)], "the clocks")
    seconds = {name: _number(name, parts[name]) for name in ("training", "with_evaluation", "cold")}
    return Clocks(**seconds, slices=_whole("slices", parts["slices"], 0))


def _origin(parts: dict[str, Any]) -> Origin:
    _keys(parts, [part.name for part in fields(Origin)], "the origin")
    commit, versions = parts["commit"], _of(parts, "versions", dict)
    if commit is not None and not (isinstance(commit, str) and _HEX.fullmatch(commit)):
        raise TrainingError(f"commit {commit!r} is not possible. Allowed: hexadecimal digits, or null")
    if not all(isinstance(value, str) for value in versions.values()):
        raise TrainingError("versions have to be text")
    return Origin(commit, _of(parts, "dirty", bool), _of(parts, "device", str), versions, _of(parts, "finished", str))


def _settings(parts: dict[str, Any], depth: int = 0) -> dict[str, Any]:
    for key, value in parts.items():
        if isinstance(value, dict) and not depth:
            _settings(value, depth + 1)
        elif isinstance(value, float):
            _number(f"setting {key}", value)
        elif not isinstance(value, str | int | bool | None):
            raise TrainingError(f"setting {key} is {value!r}. Allowed: text, a number, true or false")
    return parts


def _keys(parts: Mapping[str, Any], wanted: Iterable[str], where: str) -> None:
    """Exactly these, no more and no fewer."""
    wanted = list(wanted)
    for key in parts:
        if key not in wanted:
            raise TrainingError(f"{where} has an unknown field {key!r}{nearest(key, wanted)}")
    if missing := [key for key in wanted if key not in parts]:
        raise TrainingError(f"{where} lacks {', '.join(missing)}")


def _of(parts: Mapping[str, Any], key: str, kind: type) -> Any:
    if not isinstance(parts[key], kind):
        raise TrainingError(f"{key} is {parts[key]!r:.60}. Allowed: {kind.__name__}")
    return parts[key]


def _number(name: str, value: Any, most: float = math.inf) -> Any:
    """From 0 to `most`, finite; nothing measured in a record can be negative."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not good or not 0 <= value <= most:
        raise TrainingError(f"{name} {value!r:.60} is not possible. Allowed: a finite number from 0 to {most:g}")
    return value


def _whole(name: str, value: Any, least: int, most: float = math.inf) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise TrainingError(f"{name} {value!r:.60} is not possible. Allowed: a whole number from {least} to {most:g}")
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a field occurs twice")
    return dict(pairs)


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
