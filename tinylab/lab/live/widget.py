"""`LiveLab`: the widgets around a session. What they show is made on two threads that are not the notebook's.

The training thread makes a frame of plain data between two batches; the drawing thread turns it into a picture and
writes it to the widgets. Callbacks ask the session for something and return.
"""

import html
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from tinylab import diagnosis, figures, models, optimizers
from tinylab.figures.laboratory import Strip, laboratory
from tinylab.lab.control import Control, headless
from tinylab.lab.live import dials, registry, story
from tinylab.lab.live.drawer import Drawer
from tinylab.lab.live.frames import Frame, WatchedImages, frame, told
from tinylab.lab.live.knobs import Knobs
from tinylab.lab.live.moment import Moment
from tinylab.lab.live.session import Session
from tinylab.support.errors import InvalidInputError, TinylabError, whole
from tinylab.support.threads import spare_core
from tinylab.training.recipe import Recipe

if TYPE_CHECKING:
    from tinylab.data.dataset import Dataset
    from tinylab.support.device import Device

LOOK = 3.0  # seconds between two looks at the images while training
SPEAK = 6.0  # seconds between two announcements of the status line while training: a screen reader reads them out
TICK = 1.0  # seconds between two changes of step and loss beside it: pictures may be ten seconds apart
_CSS = """<style>
.tinylab-number .widget-label {position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%)}
.tinylab-projector, .tinylab-projector :is(button, .widget-label, input, select, textarea, .widget-html-content) {
  font-size: 20px !important; line-height: 1.4 !important}
.tinylab-projector :is(button, input, select, .widget-dropdown, .widget-text) {height: 36px !important}
.tinylab-projector button {width: auto !important}
</style>"""


class LiveLab(Control):
    """A training that sliders steer while it runs; rewind, branch, compare up to four futures, tell the story.

    data      what is trained on and watched
    model     a name, or a line of notation
    recipe    how it begins; default: 20 epochs in batches of 32
    epochs    in place of the recipe's: where the axis ends
    watch     the split that is measured after every epoch
    steps     headless (nobody can move a slider): how many updates are made before the still is shown
    changes   headless: {step: {"learning_rate": 1e-4}}, knobs turned on the way
    what_if   headless: {step: {"dropout": 0.5}}, a future for each, branched off at that step. A step may be given
              as a share of `steps`: 0.5
    name      a laboratory of the same name is closed; None: one that an earlier run of this cell made
    memory    bytes for the states that one can go back to; None: 1 GiB, or less, and it says so, where memory is short
    style     "page" or "projector"

    Nothing trains before Start is pressed. Headless, the run is made at once and whatever goes wrong is raised.
    Raises InvalidInputError for an unknown model or an impossible value.
    """

    def __init__(
        self,
        data: "Dataset",
        model: str = "model_1",
        recipe: Recipe | None = None,
        *,
        epochs: int | None = None,
        watch: str = "development",
        steps: int = 40,
        changes: Mapping[float, Mapping[str, Any]] | None = None,
        what_if: Mapping[float, Mapping[str, Any]] | None = None,
        name: str | None = None,
        memory: int | None = None,
        device: "Device | None" = None,
        style: str | None = None,
    ) -> None:
        recipe = recipe or Recipe(epochs=20, batch=32)
        recipe = replace(recipe, epochs=recipe.epochs if epochs is None else epochs)
        whole("steps", steps, 0)
        self.data, self.style, self._still = data, style, headless()
        self._watched_images = WatchedImages(data)
        self._strip: Strip | None = None
        self._end: int | None = None  # epochs on the axis of a still, which shows no more than was trained
        self._looked, self._spoke, self._ticked, self._turned = 0.0, 0.0, 0.0, 0
        self._before: Moment | None = None
        self._drawer: Drawer[Frame] | None = None
        self.session = Session(data, model, recipe, watch=watch, device=device, memory=memory, report=self._report)
        self._widgets(self.session.moment)
        if self._still:
            self._run_still(steps, _at(changes or {}, steps), _at(what_if or {}, steps))
        first = self._frame(self.session.moment, True)
        super().__init__(picture=self._picture(first))
        self._arrange()
        self._tell(first)
        if self._still:
            return
        registry.claim(self, name)
        self._drawer = Drawer(self._draw, self.fail, spare=spare_core(self.session.device.target))
        self.session.open()

    # ------------------------------------------------------------ for notebooks

    def story(self) -> str:
        """The run so far as one line of JSON: seed, network, recipe, every change with its step."""
        return self.session.moment.story.line()

    @classmethod
    def replay(cls, text: str, data: "Dataset", **options: Any) -> "LiveLab":
        """A laboratory that trains what a story tells: on the CPU the same network, bit for bit.

        options: name, memory, device and style of `LiveLab`. Raises InvalidInputError for what is no story, or one of
        other images.
        """
        told = story.read(text)
        told.fits(data)
        lab = cls(data, told.model, told.recipe, watch=told.watch, steps=0, **options)
        lab.session.ask("tell", told)
        if lab._still:
            lab._end = max(1, -(-told.steps // lab.session.steps_per_epoch))
            lab.session.run_for(told.steps)
            lab.show(lab._picture(lab._frame(lab.session.moment, True)))
        return lab

    def close(self, timeout: float = 30.0) -> None:
        """Stop training after this batch, for good. What is shown stays."""
        self.session.close(timeout)
        if self._drawer is not None:
            self._drawer.close(timeout)
        registry.release(self)

    def settle(self, timeout: float) -> bool:
        """Wait until what has happened is drawn; False if that took too long."""
        return self.session.settle(timeout) and (self._drawer is None or self._drawer.settle(timeout))

    def _run_still(self, steps: int, changes: Mapping[int, Mapping], what_if: Mapping[int, Mapping]) -> None:
        session, done = self.session, 0
        self._end = max(1, min(-(-steps // session.steps_per_epoch), session.recipe.epochs))
        for step in sorted({*changes, *what_if, steps}):
            session.run_for(step - done)  # ends in a pause, which keeps a snapshot
            done = step
            if step in changes:
                session.ask("knobs", dict(changes[step]))
        for step, values in what_if.items():
            session.ask("back", ("A", step))
            session.ask("knobs", dict(values))
            session.run_for(steps - step)
        session.run_for(0)

    # ------------------------------------------------------------ widgets

    def _widgets(self, now: Moment) -> None:
        def button(text: str, icon: str, what: str, command: str, style: str = "") -> widgets.Button:
            made = widgets.Button(description=text, icon=icon, tooltip=what, button_style=style)
            made.on_click(self.guarded(lambda: self._ask(command, None)))
            return made

        self.start_button = button("Start", "play", "Train, or train on", "start", "primary")
        self.pause_button = button("Pause", "pause", "Stop after this batch; Start goes on", "pause")
        self.step_button = button("One step", "step-forward", "Train a single batch", "step")
        self.reset_button = widgets.Button(
            description="Reset", icon="refresh", tooltip="A fresh network with these values; all futures are dropped"
        )
        self.reset_button.on_click(self.guarded(lambda: self._ask("reset", self.model.value)))
        line = now.story.model
        self.model = _choice(
            "model", [*models.LINES, *([] if line in models.LINES else [line])], line, "counts from the next Reset"
        )
        self.optimizer = _choice("optimizer", optimizers.OPTIMIZERS, now.knobs.optimizer, "counts from the next batch")
        self.schedule = _choice("schedule", optimizers.SCHEDULES, now.knobs.schedule, "counts from the next batch")
        for part, knob in ((self.optimizer, "optimizer"), (self.schedule, "schedule")):
            part.observe(self._chosen(knob), "value")
        self.dials = {
            "learning_rate": self._dial("learning_rate", dials.rate(now.knobs.learning_rate), now.knobs),
            "dropout": self._dial("dropout", dials.linear("dropout", 0.0, 0.9, 0.05), now.knobs),
            "l2": self._dial("l2", dials.penalty(), now.knobs),
            "momentum": self._dial("momentum", dials.linear("momentum", 0.0, 0.99, 0.01), now.knobs),
        }
        self.place = widgets.IntSlider(
            value=0, min=0, max=0, description="back to step", style={"description_width": "7em"},
            tooltip="back to step: arrow keys; the latest kept state at or before it is taken",
            layout=widgets.Layout(width="24em"), continuous_update=False,
        )  # fmt: skip
        self.future = _choice("future", ["A"], "A", "which one to go back in, or to drop")
        self.back_button = widgets.Button(
            description="Go back", icon="history", tooltip="Then turn a knob and press Start: both futures stay"
        )
        self.back_button.on_click(self.guarded(lambda: self._ask("back", (self.future.value, self.place.value))))
        self.drop_button = widgets.Button(
            description="Drop", icon="trash", tooltip="Take this future out of the picture"
        )
        self.drop_button.on_click(self.guarded(lambda: self._ask("drop", self.future.value)))
        self.kept = widgets.HTML(layout=widgets.Layout(height="2em"))
        self.place.observe(lambda _: self._tell_kept(), "value")
        self.future.observe(lambda _: self._tell_kept(), "value")
        self.story_text = widgets.Textarea(
            description="story", placeholder="paste a story here", rows=2, continuous_update=False,
            tooltip="story: one line of JSON", style={"description_width": "7em"}, layout=widgets.Layout(width="40em"),
        )  # fmt: skip
        self.write_button = widgets.Button(
            description="Write story", icon="pencil", tooltip="The run so far, to be copied and sent to the class"
        )
        self.write_button.on_click(self.guarded(self._write))
        self.replay_button = widgets.Button(
            description="Replay", icon="repeat", tooltip="Train what the story tells, from its beginning"
        )
        self.replay_button.on_click(self.guarded(self._replay))
        self.status, self.ticker = (widgets.HTML(layout=widgets.Layout(height="2em")) for _ in range(2))
        self.cards = widgets.HTML(layout=widgets.Layout(height="11em", overflow="auto"))

    def _dial(self, knob: str, slider: widgets.Widget, knobs: Knobs) -> dials.Dial:
        def turn(value: float) -> None:
            knobs.turned({knob: value})  # an impossible value is refused here, where it was typed
            self._ask("knobs", {knob: value})

        return dials.Dial(slider.description, slider, _value(knobs, knob), turn, self.fail)

    def _arrange(self) -> None:
        width = self.image.layout.width
        wrap = widgets.Layout(flex_flow="row wrap", max_width=width)
        self.text.layout = widgets.Layout(height="8em", max_width=width, overflow="auto")
        self.message.layout = widgets.Layout(height="3.5em", max_width=width, overflow="auto")
        self.cards.layout.max_width = width
        boxes = [self.dials[name].box for name in ("learning_rate", "dropout", "l2", "momentum")]
        self.box.children = [
            widgets.HTML(_CSS, layout=widgets.Layout(display="none")),
            widgets.HBox([self.start_button, self.pause_button, self.step_button, self.reset_button], layout=wrap),
            widgets.HBox([self.model, self.optimizer, self.schedule], layout=wrap),
            widgets.HBox(boxes, layout=wrap),
            self.message,
            widgets.HBox([self.status, self.ticker], layout=widgets.Layout(max_width=width)),
            self.image,
            widgets.HBox([self.place, self.future, self.back_button, self.drop_button, self.kept], layout=wrap),
            self.cards,
            widgets.HBox([self.story_text, self.write_button, self.replay_button], layout=wrap),
            self.text,
        ]  # fmt: skip
        if figures.look(self.style) is figures.STYLES["projector"]:
            self.box.add_class("tinylab-projector")

    # ------------------------------------------------------------ callbacks: on any thread

    def _ask(self, command: str, value: Any) -> None:
        self.fail(None)
        if not self.session.ask(command, value):
            self.fail(InvalidInputError("this laboratory is closed: its cell was run again. Use the new one"))

    def _chosen(self, knob: str) -> Any:
        def callback(change: Any) -> None:
            if change["new"] != getattr(self.session.moment.knobs, knob):
                self._ask("knobs", {knob: change["new"]})

        return callback

    def _write(self) -> None:
        self.fail(None)
        self.story_text.value = self.story()

    def _replay(self) -> None:
        try:
            told = story.read(self.story_text.value)
        except InvalidInputError as error:  # a slip of the pen, not a failure of the notebook
            self.fail(error)
            return
        self._ask("tell", told)

    # ------------------------------------------------------------ on the training thread

    def _report(self, moment: Moment, due: bool) -> None:
        if self._drawer is None:
            return
        before, self._before = self._before, moment
        urgent = due and (before is None or told(before) != told(moment))
        if urgent or self._drawer.wants():
            try:
                self._drawer.put(self._frame(moment, urgent), urgent)
            except Exception as error:  # a picture that cannot be made is no reason to stop training
                self.fail(error)
        self._tick(moment)
        self._drawer.give_way(moment.going)

    def _tick(self, moment: Moment) -> None:
        """A sign of life between two pictures, which costs a line of text; for the eye only."""
        now = time.monotonic()
        if moment.going and now - self._ticked < TICK:
            return
        self._ticked, text = now, ""
        if moment.going and moment.loss is not None:
            text = f'<span aria-hidden="true">Now: step {moment.step}, loss {moment.loss:.3f}</span>'
        if self.ticker.value != text:
            self.ticker.value = text

    def _frame(self, moment: Moment, urgent: bool) -> Frame:
        now = time.monotonic()
        if urgent or now - self._looked > LOOK:
            self._strip, self._looked = self._watched_images.strip(self.session), now
        return frame(self.session, moment, urgent, self._strip, self._end)

    # ------------------------------------------------------------ on the drawing thread

    def _picture(self, frame: Frame) -> figures.Picture:
        return laboratory(frame.scene, style=self.style)

    def show(self, picture: figures.Picture) -> None:
        """As a control does, but the text twin is not read out at every picture: the status line is, now and then."""
        super().show(picture)
        group = '<div role="group" tabindex="0" aria-label="The picture in words" style="line-height:1.5">'
        self.text.value = f"{group}{html.escape(picture.alt)}</div>"

    def fail(self, error: BaseException | None) -> None:
        """Show an error, on a background of its own, whatever the theme; None removes it."""
        name = "" if isinstance(error, TinylabError) else f"{type(error).__name__}: "
        style = "color:#B00020;background:#FFFFFF;border-left:5px solid #B00020;padding:0.2em 0.6em;line-height:1.4"
        self.message.value = (
            "" if error is None else f'<div role="alert" style="{style}">{html.escape(name + str(error))}</div>'
        )

    def _draw(self, frame: Frame) -> None:
        self.show(self._picture(frame))
        self._tell(frame)

    def _tell(self, frame: Frame) -> None:
        """All that stands beside the picture."""
        moment = frame.moment
        if moment.error is not None:
            self.fail(moment.error)
        now = time.monotonic()
        if frame.urgent or now - self._spoke > SPEAK:
            self._spoke = now
            speed = f", {moment.speed:,.0f} images/s" if moment.speed else ""
            note = f" {html.escape(moment.note)}." if moment.note else ""
            self.status.value = (
                f'<div role="status" aria-live="polite">{html.escape(frame.scene.title)}{speed}.{note}</div>'
            )
        letters = [future.letter for future in frame.scene.futures]
        if list(self.future.options) != letters:
            chosen = self.future.value
            self.future.options = letters
            self.future.value = moment.future if chosen not in letters else chosen
        history = next(future.history for future in frame.scene.futures if future.letter == moment.future)
        ended = moment.status == "finished"  # before that, nothing has stopped too early
        cards = [card for card in diagnosis.after(history) if ended or not card.check.startswith("stopped too early")]
        found = diagnosis.show(cards)._repr_html_()
        if self.cards.value != found:
            self.cards.value = found
        self._tell_kept()
        if self._turned != moment.turned:  # by going back, a reset or a story: the sliders follow
            self._turned = moment.turned
            self._follow(self.session.moment)
        if moment.status == "closed":
            for part in (self.start_button, self.step_button, self.back_button, self.reset_button, self.replay_button):
                part.disabled = True

    def _follow(self, now: Moment) -> None:
        for knob, dial in self.dials.items():
            dial.show(_value(now.knobs, knob))
        self.optimizer.value, self.schedule.value = now.knobs.optimizer, now.knobs.schedule
        if now.story.model not in self.model.options:
            self.model.options = [*self.model.options, now.story.model]
        self.model.value = now.story.model
        self.future.value = now.future

    def _tell_kept(self) -> None:
        """How far one can go back, and where one would arrive."""
        kept = self.session.shelf.of(self.future.value)
        if not kept:
            self.kept.value = "nothing is kept yet"
            return
        self.place.max = max(kept[-1].step, self.place.value)
        there = self.session.shelf.nearest(self.future.value, self.place.value)
        step = kept[0].step if there is None else there.step
        self.kept.value = f"arrives at step {step} (epoch {step / self.session.steps_per_epoch:.1f}); {len(kept)} kept"


def _at(planned: Mapping[float, Mapping[str, Any]], steps: int) -> dict[int, Mapping[str, Any]]:
    """Steps in place of shares of them."""
    found: dict[int, Mapping[str, Any]] = {}
    for at, values in planned.items():
        step = round(at * steps) if isinstance(at, float) and 0 < at < 1 else at
        whole("a step of changes and what_if", step, 0, steps)
        found[int(step)] = values
    return found


def _choice(name: str, options: Any, value: str, what: str) -> widgets.Dropdown:
    return widgets.Dropdown(
        options=list(options), value=value, description=name, tooltip=f"{name}: {what}; Space opens the list",
        style={"description_width": "7em"}, layout=widgets.Layout(width="17em"),
    )  # fmt: skip


def _value(knobs: Knobs, knob: str) -> float:
    value = getattr(knobs, knob)
    return dials.USUAL_DROPOUT if value is None else float(value)
