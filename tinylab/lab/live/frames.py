"""What is handed from the training thread to the drawing thread: plain data, copied, of one moment."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tinylab.figures.laboratory import MOST_IMAGES, Future, Scene, Strip, Watched
from tinylab.lab.live.knobs import Knobs, gathered, shown
from tinylab.lab.live.moment import Moment
from tinylab.lab.live.session import Session

if TYPE_CHECKING:
    from tinylab.data.dataset import Dataset

TOGETHER = 0.025  # of the axis: turns nearer than that share a mark


@dataclass(frozen=True)
class Frame:
    """What the drawing thread is given."""

    moment: Moment
    scene: Scene
    urgent: bool


def frame(session: Session, moment: Moment, urgent: bool, strip: Strip | None, end: int | None = None) -> Frame:
    """A frame of this moment; called on the thread that trains. end: epochs on the axis; None: the recipe's."""
    histories, per = session.histories(), session.steps_per_epoch
    total = end or moment.story.recipe.epochs
    futures = tuple(
        Future(letter, each.name, histories[letter], np.array(each.taken).reshape(-1, 2), each.start)
        for letter, each in session.futures.all.items()
    )
    scene = Scene(
        futures=futures, current=moment.future, epochs=total, classes=len(session.data.classes), steps_per_epoch=per,
        marks=tuple(gathered(moment.changes, TOGETHER * total * per)), title=_title(moment, per),
        values=_values(moment.knobs), strip=strip,
    )  # fmt: skip
    return Frame(moment, scene, urgent)


class WatchedImages:
    """Up to 8 images of development, one of each class as long as there are classes."""

    def __init__(self, data: "Dataset") -> None:
        split = data.development
        targets = split.targets
        assert targets is not None
        _, first = np.unique(targets, return_index=True)
        others = np.setdiff1d(np.arange(len(split)), first)
        images, labels = split.take(np.concatenate([first, others])[:MOST_IMAGES])
        assert labels is not None
        self.words = data.words
        self._watched = Watched(images, [data.words[label] for label in labels])

    def strip(self, session: Session) -> Strip:
        """What the network takes them for now; called on the thread that trains."""
        chosen, sure = session.run.predict(self._watched.images)
        return Strip(self._watched, [self.words[label] for label in chosen], sure.tolist())


def told(moment: Moment) -> tuple[object, ...]:
    """What somebody waits to see; all else can be drawn at leisure."""
    return (moment.status, moment.knobs, moment.turned, moment.futures, moment.future, moment.error, moment.note)


def _title(moment: Moment, per: int) -> str:
    status = "Press Start" if moment.status == "waiting" else moment.status.capitalize()
    return f"{status}: step {moment.step}, epoch {moment.step / per:.1f} of {moment.story.recipe.epochs}"


def _values(knobs: Knobs) -> str:
    return (
        f"{knobs.optimizer}, {knobs.schedule}, learning rate {shown(knobs.learning_rate)}, dropout "
        f"{shown(knobs.dropout)}, L2 {shown(knobs.l2)}, momentum {shown(knobs.momentum)}"
    )
