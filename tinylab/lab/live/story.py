"""A run's story as one line of JSON: seed, network, recipe, every change with its step. Replayed, it is the same run.

Reading one executes nothing and trusts nothing: every field is checked, and what is wrong is said in one line.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from torch import nn

from tinylab.lab.live.knobs import NAMES, Change, Knobs
from tinylab.lab.live.steered import MODULE, build, named
from tinylab.support.errors import InvalidInputError, TinylabError, check_int, nearest
from tinylab.training.recipe import Recipe

if TYPE_CHECKING:
    from tinylab.data.dataset import Dataset

_KIND, _VERSION = "tinylab story", 2  # 1: before weight decay was a knob of its own
_LONGEST, _MOST = 200_000, 5_000  # characters; changes
_PARTS = ("kind", "version", "model", "data", "eval_split", "recipe", "changes", "steps", "loss")
_REMEDY = "Paste the whole line that a laboratory wrote"


@dataclass(frozen=True)
class Story:
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
        parts = asdict(self) | {
            "kind": _KIND, "version": _VERSION, "changes": [[c.step, c.knob, c.new] for c in self.changes]
        }  # fmt: skip
        return json.dumps({name: parts[name] for name in _PARTS}, ensure_ascii=False)

    def fits(self, data: "Dataset", own: nn.Module | None = None) -> None:
        """Raises InvalidInputError if the story was not told on these images, or of another network than `own`."""
        here = fingerprint(data)
        for name, value in self.data.items():
            if here[name] != value:
                raise InvalidInputError(
                    f"the story was recorded on other images: its {name} is {value!r}, here it is {here[name]!r}. "
                    "Load the same data set, classes and number of images"
                )
        if self.model.startswith(MODULE):
            if own is None or named(own) != self.model:
                raise InvalidInputError(
                    f"the story tells of a network of somebody's own, {self.model}. "
                    "Replay it with that one: LiveLab.replay(text, data, model=…)"
                )
            return
        build(self.model, len(data.classes), data.train.images.shape[1], self.recipe.seed)


def fingerprint(data: "Dataset") -> dict[str, Any]:
    """What tells one set of training images from another; the digest is of mean image, scale and labels."""
    norm, targets = data.normalisation, data.train.targets
    assert targets is not None
    whole_ = hashlib.sha256(norm.mean.tobytes() + norm.scale.tobytes() + targets.tobytes())
    return {
        "name": data.name, "classes": len(data.classes), "training images": len(data.train),
        "digest": whole_.hexdigest()[:12],
    }  # fmt: skip


def read(text: str) -> Story:
    """The story that a line of JSON tells. Raises InvalidInputError, on one line, for anything else."""
    if not isinstance(text, str) or not text.strip():
        raise InvalidInputError(f"there is no story here. {_REMEDY}")
    if len(text) > _LONGEST:
        raise InvalidInputError(f"a story of {len(text):,} characters is too long. Allowed: {_LONGEST:,}")
    try:
        parts = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_no_twins)
    except TinylabError:
        raise
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"this is not a story: {_one_line(error)}. {_REMEDY}") from None
    parts = _object("the story", parts, _PARTS)
    if parts["kind"] != _KIND or repr(parts["version"]) != repr(_VERSION):  # true and 1.0 equal 1
        what = f"{parts['kind']!r}, version {parts['version']!r}"
        raise InvalidInputError(f"this is {what[:80]}. Allowed: {_KIND!r}, version {_VERSION}")
    check_int("the story's steps", parts["steps"], 0)
    defaults = {part.name: part.default for part in fields(Recipe)}  # a story may be older than the newest of them
    given = parts["recipe"]
    filled = defaults | given if isinstance(given, dict) else given
    recipe = Recipe.from_dict(_object("the recipe", filled, tuple(defaults)))
    data = _object("the data", parts["data"], ("name", "classes", "training images", "digest"))
    for name in ("model", "eval_split"):
        if not isinstance(parts[name], str):
            raise InvalidInputError(f"the story's {name} {parts[name]!r} is not possible. Allowed: text")
    if parts["loss"] is not None and not isinstance(parts["loss"], float):
        raise InvalidInputError(f"the story's loss {parts['loss']!r} is not possible. Allowed: a number or null")
    changes = _changes(parts["changes"], Knobs.of(recipe), parts["steps"])
    return Story(parts["model"], data, parts["eval_split"], recipe, changes, parts["steps"], parts["loss"])


def _changes(listed: Any, knobs: Knobs, steps: int) -> tuple[Change, ...]:
    """The changes in order, each one possible after those before it."""
    if not isinstance(listed, list) or len(listed) > _MOST:
        raise InvalidInputError(f"the story's changes are no list of at most {_MOST:,}. {_REMEDY}")
    found: list[Change] = []
    for number, entry in enumerate(listed, start=1):
        where = f"change {number} of the story"
        if not isinstance(entry, list) or len(entry) != 3:
            raise InvalidInputError(f"{where} is {str(entry)[:80]!r}. Allowed: [step, knob, value]")
        step, name, value = entry
        check_int(f"the step of {where}", step, found[-1].step if found else 0, steps)
        if not isinstance(name, str) or name not in NAMES:
            raise InvalidInputError(f"{where}: knob {name!r} is unknown{nearest(str(name), NAMES)}")
        if isinstance(value, list | dict):
            raise InvalidInputError(f"{where}: {name} {str(value)[:80]!r} is not possible. Allowed: a number or a name")
        turned = knobs.turned({name: value})
        found.append(Change(step, name, getattr(knobs, name), getattr(turned, name)))
        knobs = turned
    return tuple(found)


def _object(what: str, value: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """`value` if it is an object with exactly these names."""
    if not isinstance(value, dict):
        raise InvalidInputError(f"{what} is {type(value).__name__}, not an object. {_REMEDY}")
    for name in value:
        if name not in names:
            raise InvalidInputError(f"{what} has an unknown part {name!r}{nearest(name, names)}")
    for name in names:
        if name not in value:
            raise InvalidInputError(f"{what} lacks {name!r}. {_REMEDY}")
    return value


def _no_constant(name: str) -> None:
    raise InvalidInputError(f"the story holds {name}, which is no number. {_REMEDY}")


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    parts = dict(pairs)
    if len(parts) != len(pairs):
        raise InvalidInputError(f"the story says something twice. {_REMEDY}")
    return parts


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
