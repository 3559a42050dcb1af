"""A run's script as one line of JSON: seed, network, recipe, every change with its step. Replayed, it is the same run.

Reading one executes nothing and trusts nothing: every field is checked, and what is wrong is said in one line.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, create_model
from torch import nn

from tinylab.lab.live.knobs import NAMES, Change, Knobs
from tinylab.lab.live.steered import MODULE, named
from tinylab.support.errors import InvalidInputError, check_int
from tinylab.support.validation import Strict, one_of, read_json, validated
from tinylab.training.history import RECIPE
from tinylab.training.recipe import Recipe

if TYPE_CHECKING:
    from tinylab.data.dataset import Dataset

_KIND, _OLDER, _VERSION = "tinylab script", "tinylab story", 2  # what it was called; 1: before weight decay was a knob
_LONGEST, _MOST = 200_000, 5_000  # characters; changes
_REMEDY = "Paste the whole line that a laboratory wrote"


@dataclass(frozen=True)
class Script:
    """What has to be known to train the same network again."""

    model: str  # a name or a line of notation
    data: dict[str, Any]  # see `fingerprint`
    eval_split: str
    recipe: Recipe  # as it was at the beginning
    changes: tuple[Change, ...]
    steps: int  # how far the run has come
    loss: float | None = None  # of the last batch: the replay of the same machine ends on it, bit for bit

    def line(self) -> str:
        """As one line of JSON."""
        changes = [[change.step, change.knob, change.new] for change in self.changes]
        parts = {"kind": _KIND, "version": _VERSION} | asdict(self) | {"changes": changes}
        return json.dumps(parts, ensure_ascii=False)

    def fits(self, data: "Dataset", own: nn.Module | None = None) -> None:
        """Raises InvalidInputError if the script was not told on these images, or of another network than `own`."""
        here = fingerprint(data)
        for name, value in self.data.items():
            if here[name] != value:
                raise InvalidInputError(
                    f"the script was recorded on other images: its {name} is {value!r}, here it is {here[name]!r}. "
                    "Load the same data set, classes and number of images"
                )
        if self.model.startswith(MODULE) and (own is None or named(own) != self.model):
            raise InvalidInputError(
                f"the script tells of a network of somebody's own, {self.model}. "
                "Replay it with that one: LiveLab.replay(text, data, model=…)"
            )


def fingerprint(data: "Dataset") -> dict[str, Any]:
    """What tells one set of training images from another; the digest is of mean image, scale and labels."""
    norm, targets = data.normalisation, data.train.targets
    assert targets is not None
    whole = hashlib.sha256(norm.mean.tobytes() + norm.scale.tobytes() + targets.tobytes())
    return {
        "name": data.name,
        "classes": len(data.classes),
        "training images": len(data.train),
        "digest": whole.hexdigest()[:12],
    }


def _entry(listed: Any) -> tuple[Any, ...]:
    if not isinstance(listed, list) or len(listed) != 3:
        raise ValueError("is not possible. Allowed: [step, knob, value]")
    return tuple(listed)


def _plain(value: Any) -> Any:
    if isinstance(value, list | dict):
        raise ValueError(f"{value!r:.60} is not possible. Allowed: a number or a name")
    return value


_CHANGE = Annotated[
    tuple[int, Annotated[str, one_of(NAMES)], Annotated[Any, AfterValidator(_plain)]], BeforeValidator(_entry)
]
_FINGERPRINT: dict[str, Any] = {"name": str, "classes": int, "training images": int, "digest": str}
_FIELDS: dict[str, Any] = {name: (kind, ...) for name, kind in _FINGERPRINT.items()}
_DATA: Any = create_model("_DATA", __base__=Strict, **_FIELDS)  # type: ignore[call-overload]


class _Line(Strict):
    """A script as it is written."""

    kind: Annotated[str, one_of((_KIND, _OLDER))]
    version: Annotated[int, Field(ge=_VERSION, le=_VERSION)]
    model: str
    data: _DATA
    eval_split: str
    recipe: RECIPE  # may be older than the newest of its fields, which then have their defaults
    changes: Annotated[list[_CHANGE], Field(max_length=_MOST)]
    steps: Annotated[int, Field(ge=0)]
    loss: float | None


def read(text: str) -> Script:
    """The script that a line of JSON tells. Raises InvalidInputError, on one line, for anything else."""
    if not isinstance(text, str) or not text.strip():
        raise InvalidInputError(f"there is no script here. {_REMEDY}")
    if len(text) > _LONGEST:
        raise InvalidInputError(f"a script of {len(text):,} characters is too long. Allowed: {_LONGEST:,}")
    try:
        parts = read_json(text)
    except ValueError as error:
        raise InvalidInputError(f"this is not a script: {' '.join(str(error).split())}. {_REMEDY}") from None
    told = validated(_Line, parts, lambda wrong: InvalidInputError(f"this is not a script: {wrong}"), "it")
    changes = _changes(told.changes, Knobs.of(told.recipe), told.steps)
    return Script(told.model, parts["data"], told.eval_split, told.recipe, changes, told.steps, told.loss)


def _changes(listed: list[tuple[int, str, Any]], knobs: Knobs, steps: int) -> tuple[Change, ...]:
    """The changes in order, each one possible after those before it."""
    found: list[Change] = []
    for place, (step, name, value) in enumerate(listed):
        check_int(f"the script's changes[{place}][0]", step, found[-1].step if found else 0, steps)
        turned = knobs.turned({name: value})
        found.append(Change(step, name, getattr(knobs, name), getattr(turned, name)))
        knobs = turned
    return tuple(found)
