"""One row of a plan: everything that decides what a training gives, and an identifier that names it."""

import hashlib
import json
import re
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

from tinylab.training.recipe import Recipe

STARTS = ("scratch", "fine-tuned")  # fresh weights; pre-trained ones, all of which learn on
# "pixel": the mean image subtracted, divided by σ. "variance": the mean image subtracted from pixels 0 to 255, divided
# by σ²: the report's "normalizing by the variance", taken literally
NORMALISATIONS = ("pixel", "variance")
L2_ON = ("all", "fully connected")  # which weights the penalty is on
_NO_MATTER = ("plan", "title", "answers", "ship", "continues", "continued")  # to what a training gives
_RECORDED = ("initialisation", "normalisation", "l2_on", "start", "per_class", "source", "target")


@dataclass(frozen=True)
class Row:
    """One training of a plan."""

    plan: str
    title: str  # the setting in words, without network and seed
    network: str
    recipe: Recipe  # its seed also draws the weights
    data: str = "sample"
    classes: int | None = None  # None: all
    per_class: int | None = None  # training images; None: all
    watched: int | None = None  # development images per class that are measured after each epoch; None: all
    final: bool = False  # score the official validation images, once, at the end
    test_flip: bool = False  # score images and their mirrors, too: test-time augmentation, in scores of its own
    initialisation: str = "he"
    normalisation: str = "pixel"
    l2_on: str = "all"
    source: int | None = None  # classes to pre-train on; None: the classes are not divided
    target: int | None = None  # classes to learn
    start: str = "scratch"
    pretraining: Recipe | None = None  # how to pre-train
    weights: tuple[int, ...] = ()  # epochs, 0: before training
    answers: bool = False  # keep what the network answers to the official validation images, with `final`
    ship: bool = False  # keep the whole network, small enough to come with tinylab
    continues: str | None = None  # identifier of a shorter row that began exactly like this one: go on from its end
    continued: bool = False  # whether another row does: then the checkpoint stays

    @property
    def identifier(self) -> str:
        """Twelve hexadecimal digits that name all that decides what the training gives.

        What has its default value does not count: a field that Recipe gets later leaves old identifiers as they are.
        """
        # "donor": the field's earlier name, under which rows were recorded
        earlier = {"pretraining": "donor"}
        parts = {earlier.get(key, key): value for key, value in chosen(self).items() if key not in _NO_MATTER}
        parts |= {key: chosen(value) for key, value in parts.items() if isinstance(value, Recipe)}
        return digest(json.dumps(parts, sort_keys=True))

    @property
    def name(self) -> str:
        """Of its record's file."""
        return "_".join(_slug(part) for part in (self.plan, self.short, self.title, f"seed {self.recipe.seed}"))

    @property
    def short(self) -> str:
        """The network's name; a line of notation has a digest for a name."""
        return self.network if re.fullmatch(r"[\w-]+", self.network) else f"line-{digest(self.network)[:6]}"

    @property
    def settings(self) -> dict[str, Any]:
        """What a record keeps beside recipe and data."""
        parts = {key: value for key in _RECORDED if (value := getattr(self, key)) is not None}
        parts |= {"pretraining": asdict(self.pretraining)} if self.pretraining else {}
        return parts

    def __str__(self) -> str:
        return f"{self.short}, {self.title}, seed {self.recipe.seed}"


def chosen(thing: Any) -> dict[str, Any]:
    """The fields of a dataclass that differ from their defaults."""
    return {
        part.name: getattr(thing, part.name)
        for part in fields(thing)
        if part.default is MISSING or getattr(thing, part.name) != part.default
    }


def digest(text: str) -> str:
    """Twelve hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9._]+", "-", text.lower()).strip("-._")
