"""A short training with sliders and a Restart button (lectures 03 to 05): the widgets around `runs`."""

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import ipywidgets as widgets

from tinylab import figures, models, training
from tinylab.figures import Picture
from tinylab.lab.control import Control, headless
from tinylab.lab.runs import Knobs, ShortRun, Worker
from tinylab.training import History, Recipe, Run

if TYPE_CHECKING:
    from tinylab.data import Dataset

REDRAW = 0.5  # seconds between two redraws, at least
USUAL_DROPOUT = 0.25  # where the slider starts if the recipe leaves it to the network's line
SHARE = 0.2  # of the time, at most, goes into redrawing


class ShortTraining(Control):
    """Sliders, a Restart button, and the curves of the present run over those of earlier ones."""

    def __init__(self, data: "Dataset", model: str, recipe: Recipe, style: str | None) -> None:
        self.data, self.model, self.recipe, self.style = data, model, recipe, style
        self.worker, self.run = Worker(), ShortRun(self._build, self._report)
        self._drawn, self._cost = 0.0, 0.0  # when the last drawing ended; what it took (s)
        wide, layout = {"description_width": "7em"}, widgets.Layout(width="28em")
        self.learning_rate = widgets.FloatLogSlider(
            value=recipe.learning_rate, base=10, min=-5, max=0, step=0.1, description="learning rate",
            readout_format=".2g", style=wide, layout=layout, continuous_update=False,
        )  # fmt: skip
        self.dropout = widgets.FloatSlider(
            value=USUAL_DROPOUT if recipe.dropout is None else recipe.dropout, min=0.0, max=0.9, step=0.05,
            description="dropout", style=wide, layout=layout, continuous_update=False,
        )  # fmt: skip
        self.restart_button = widgets.Button(
            description="Restart training", icon="refresh", button_style="primary",
            tooltip="Train anew with these values; the present run stays as a grey line",
        )  # fmt: skip
        self.stop_button = widgets.Button(description="Stop", icon="stop", tooltip="Stop after this batch")
        super().__init__(
            self.learning_rate, self.dropout, widgets.HBox([self.restart_button, self.stop_button]),
            picture=self._draw(),
        )  # fmt: skip
        self.restart_button.on_click(self.guarded(self.restart))
        self.stop_button.on_click(self.guarded(self.worker.stop))

    def knobs(self) -> Knobs:
        return Knobs(float(self.learning_rate.value), float(self.dropout.value))

    def restart(self) -> None:
        """Begin anew with the present values, in the background; returns when the old run has ended."""
        self.fail(None)
        knobs = self.knobs()
        self.worker.start(lambda stop: self._train(knobs, stop))

    def train_now(self) -> History:
        """The same, here and now, to the end (headless). Raises what goes wrong."""
        self._train(self.knobs(), threading.Event())
        assert self.run.progress.history is not None
        return self.run.progress.history

    def join(self, timeout: float | None = None) -> None:
        """Wait for the background run. Raises what it raised."""
        self.worker.join(timeout)

    def _train(self, knobs: Knobs, stop: threading.Event) -> None:
        try:
            self.run(knobs, stop)
        except BaseException as error:
            self.fail(error)
            raise

    def _build(self, knobs: Knobs) -> Run:
        recipe = replace(self.recipe, learning_rate=knobs.learning_rate, dropout=knobs.dropout)
        model = models.build(self.model, classes=len(self.data.classes), seed=recipe.seed)
        return training.train(model, self.data, recipe)

    def _draw(self) -> Picture:
        now, epochs = self.run, self.recipe.epochs
        done = len(now.progress.history.epochs) if now.progress.history else 0
        title = "Set the sliders, then press Restart training"
        if now.knobs is not None:
            title = f"{now.status.capitalize()}: {done} of {epochs} epochs at {now.knobs}"
        return figures.live(
            now.progress, epochs=epochs, classes=len(self.data.classes), earlier=now.earlier, title=title,
            style=self.style,
        )  # fmt: skip

    def _report(self, run: ShortRun, due: bool) -> None:
        """Draw, if it is due or the last drawing is long enough ago for training to go on at its pace."""
        if headless() and run.status == "running":
            return
        now = time.monotonic()
        if due or now - self._drawn >= max(REDRAW, self._cost / SHARE):
            self.show(self._draw())
            self._drawn = time.monotonic()
            self._cost = self._drawn - now


def short_training(
    data: "Dataset",
    model: str = "model_1",
    recipe: Recipe | None = None,
    *,
    epochs: int | None = None,
    per_class: int | None = 20,
    style: str | None = None,
) -> ShortTraining:
    """A training of well under a minute, to be restarted with other values; lectures 03 to 05.

    model     a name, or a line of notation
    recipe    everything but what the sliders set, and where these start; default: 8 epochs in batches of 32
    epochs    in place of the recipe's
    per_class training and, at most, development images of each class; None: all of `data`

    Headless, the run is made at once and whatever goes wrong is raised. Raises InvalidInputError for an unknown
    model or an impossible recipe.
    """
    recipe = recipe or Recipe(epochs=8, batch=32)
    recipe = replace(recipe, epochs=recipe.epochs if epochs is None else epochs)
    models.build(model, classes=len(data.classes))  # a wrong name shall fail here, not when the button is pressed
    if per_class is not None:
        few = min(per_class, data.development.fewest, data.validation.fewest)
        data = data.part(min(per_class, data.train.fewest), watched=few)
    control = ShortTraining(data, model, recipe, style)
    if headless():
        control.train_now()
    return control
