"""What a lecture asks of the course: its settings under each profile, and key figures for the index page.

A lecture's parameters (`profile`, `data`, `seed`) become a `Settings`; the same cells then run in seconds
("smoke"), live on a laptop ("lecture") or on a GPU ("full"). Smoke and lecture load the same classes and
images and differ in training size only, so that whatever does not depend on training can be compared.
"""

import html
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tinylab.support.errors import InvalidInputError, TinylabError, check_int, nearest

if TYPE_CHECKING:
    from tinylab.data import Dataset
    from tinylab.training import Recipe

VARIABLE = "TINYLAB_PROFILE"
CLASSES_VARIABLE = "TINYLAB_CLASSES"  # so many classes instead of the profile's: what `tinylab run --classes` sets
DEFAULT_PROFILE = "lecture"
SETTINGS_MIME = "application/vnd.tinylab.settings+json"
KEY_FIGURE_MIME = "application/vnd.tinylab.key-figure+json"


@dataclass(frozen=True)
class Settings:
    """The sizes a lecture runs with; `settings(...)` makes one from a profile."""

    profile: str
    data: str  # "sample", "tiny-imagenet" or a path
    seed: int
    classes: int | None  # None: all classes of the data set
    per_class: int | None  # training images per class; None: all
    watched: int | None  # images per class that are measured after each epoch; None: all
    epochs: int
    batch: int  # small when there are few images: a network needs enough updates to learn anything
    sanity_steps: int  # updates on twenty images in the sanity ladder
    slider_epochs: int  # epochs of the short trainings that a slider restarts
    many_classes: int | None  # of a lecture that trains many times (06, 07): fewer classes, images, updates each time
    many_per_class: int | None
    many_epochs: int

    def shorten(self, recipe: "Recipe") -> "Recipe":
        """`recipe` with this profile's epochs and batch, and this lecture's seed."""
        return replace(recipe, epochs=self.epochs, batch=self.batch, seed=self.seed)

    def part(self, data: "Dataset") -> "Dataset":
        """`data` with so few training images, and so few to measure on, that this profile's time is enough."""
        return data.part(self.per_class, self.seed, watched=self.watched)

    def __str__(self) -> str:
        classes = "all classes" if self.classes is None else f"{self.classes} classes"
        images = "all training images" if self.per_class is None else f"{self.per_class} training images per class"
        return (
            f"profile {self.profile}, data {self.data} ({classes}, {images}), {self.epochs} "
            f"epoch{'s' if self.epochs > 1 else ''} of batch {self.batch}, seed {self.seed}, on {_device()}"
        )

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, object]:
        facts = {"profile": self.profile, "data": self.data, "seed": self.seed, "device": _device()}
        return {
            "text/plain": str(self),
            "text/html": f"<p>{html.escape(str(self))}</p>",
            SETTINGS_MIME: facts,
        }


# Why these sizes: smoke is for machines (seconds a lecture); lecture is about a minute of training on two CPU
# cores at 80-100 images/s; full is the report's own set-up, with as many epochs as Figure 2 needs to turn.
_PROFILES: dict[str, dict[str, Any]] = {
    "smoke": {
        "classes": 10, "per_class": 4, "watched": 2, "epochs": 2, "batch": 20,
        "sanity_steps": 4, "slider_epochs": 1,
        "many_classes": 5, "many_per_class": 4, "many_epochs": 1,
    },
    "lecture": {
        "classes": 10, "per_class": 36, "watched": 15, "epochs": 6, "batch": 16,
        "sanity_steps": 40, "slider_epochs": 3,
        "many_classes": 5, "many_per_class": 32, "many_epochs": 6,
    },
    "full": {
        "classes": None, "per_class": None, "watched": None, "epochs": 20, "batch": 128,
        "sanity_steps": 200, "slider_epochs": 3,
        "many_classes": None, "many_per_class": None, "many_epochs": 10,
    },
}  # fmt: skip
PROFILES = tuple(_PROFILES)
TIMEOUTS = {"smoke": 300.0, "lecture": 1800.0, "full": 21600.0}  # seconds for one cell, when run headlessly


def settings(profile: str | None = None, data: str = "sample", seed: int = 0) -> Settings:
    """The settings of a profile: "smoke", "lecture" or "full"; None takes $TINYLAB_PROFILE, else "lecture".

    Of another data set than the sample, no more classes and images are asked for than it has; $TINYLAB_CLASSES says how
    many classes instead of the profile.

    Raises InvalidInputError for an unknown profile (naming the variable if it came from there), a seed that
    is no integer ≥ 0, or a data set that is no name or path.
    """
    origin = ""
    if profile is None and os.environ.get(VARIABLE):
        profile, origin = os.environ[VARIABLE], f" (from the environment variable {VARIABLE})"
    profile = DEFAULT_PROFILE if profile is None else profile
    if not isinstance(profile, str) or profile not in _PROFILES:
        raise InvalidInputError(f"profile {profile!r}{origin} is unknown{nearest(str(profile), PROFILES)}")
    check_int("seed", seed, 0)
    if not isinstance(data, str | os.PathLike) or not str(data).strip():
        raise InvalidInputError(f"data {data!r} is not allowed. Allowed: 'sample', 'tiny-imagenet' or a path")
    sizes = dict(_PROFILES[profile])
    if asked := os.environ.get(CLASSES_VARIABLE):
        if not asked.isdecimal() or int(asked) < 2:
            raise InvalidInputError(f"{CLASSES_VARIABLE}={asked!r} is not possible. Allowed: a whole number from 2")
        sizes["classes"] = int(asked)
    sizes |= {} if data == "sample" else _what_there_is(str(data), seed, sizes)
    sizes["many_classes"] = _least(sizes["many_classes"], sizes["classes"])
    return Settings(profile=profile, data=str(data), seed=seed, **sizes)


def _what_there_is(data: str, seed: int, sizes: dict[str, Any]) -> dict[str, Any]:
    """No more classes and images than the data set has; nothing of one that cannot be loaded, as `load` will say."""
    from tinylab import data as room

    try:
        classes = _least(sizes["classes"], len(room.load(data, seed=seed).classes))
        found = room.load(data, classes, seed=seed)
    except TinylabError:
        return {}
    return {
        "classes": None if sizes["classes"] is None else classes,
        "per_class": _least(sizes["per_class"], found.train.fewest),
        "many_per_class": _least(sizes["many_per_class"], found.train.fewest),
        "watched": _least(sizes["watched"], min(found.development.fewest, found.validation.fewest)),
    }


def _least(wanted: int | None, there: int | None) -> int | None:
    """`wanted`, None for all, as far as it is there; `there` None: as wanted."""
    return wanted if wanted is None or there is None else min(wanted, there)


def _device() -> str:
    """The label of the device that the lecture trains on; torch is imported only when it is asked for."""
    from tinylab.support import device

    return device.pick().label


def key_figure(name: str, text: str) -> None:
    """Display one result, such as ("validation accuracy", "41 %"), that the index page collects."""
    from IPython.display import display

    name, text = str(name), str(text)
    bundle = {
        "text/plain": f"{name}: {text}",
        "text/html": f"<p><strong>{html.escape(name)}:</strong> {html.escape(text)}</p>",
        KEY_FIGURE_MIME: {"name": name, "text": text},
    }
    display(bundle, raw=True)
