"""`LiveLab`: a session, and the one widget that shows it and steers it.

The browser draws (`face.js`): the training thread sends numbers between two batches, and what somebody does there comes
back as a command, which asks the session for something and returns.
"""

import operator
import shlex
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets
from IPython import get_ipython
from IPython.display import HTML, DisplayHandle, display
from torch import nn

from tinylab import figures
from tinylab.data.augment import Augment
from tinylab.figures.laboratory import Strip, laboratory
from tinylab.lab.control import ERROR_CLASS
from tinylab.lab.live import messages, registry, script
from tinylab.lab.live.batches import USUAL
from tinylab.lab.live.knobs import APART, Knobs, Planned
from tinylab.lab.live.session import Session
from tinylab.lab.live.status import Status
from tinylab.support.errors import InvalidInputError, TinylabError, check_int
from tinylab.support.files import atomic_write
from tinylab.support.notebook import headless
from tinylab.training.recipe import Recipe

if TYPE_CHECKING:
    from tinylab.data.dataset import Dataset
    from tinylab.support.device import Device

EVERY = 0.05  # seconds between two messages of steps, at least: a message costs half a millisecond
CALM = 0.25  # seconds between two states that nobody waits for, at least
LOOK = 3.0  # seconds between two looks at the images while training
_HERE = Path(__file__).parent
_GONE = (
    "This live laboratory needs the kernel that made it, and that one is gone: run the cell again. Its script, if "
    "somebody kept it, brings the same run back."
)
_HIDDEN = ".jp-OutputArea-child:has(.tinylab-gone) + .jp-OutputArea-child:not(:has(.tinylab-lab)) { display: none; }"


class Face(anywidget.AnyWidget):
    """The page's part of a laboratory. `value`: the error that is shown, for whoever scans a notebook for errors."""

    # one module, so that a page fetches nothing
    _esm = "\n".join((_HERE / name).read_text("utf-8") for name in ("chart.js", "store.js", "face.js"))
    _css = _HERE / "face.css"
    value = traitlets.Unicode("").tag(sync=True)
    _key = traitlets.Unicode().tag(sync=True)  # tells this laboratory from the others on a page

    @traitlets.default("_key")
    def _new_key(self) -> str:
        return uuid.uuid4().hex


class LiveLab:
    """A training that is steered while it runs; rewind, branch, compare up to four branches, replay.

    data        what is trained on and watched
    model       a name, a line of notation, or a network of your own, which is copied
    recipe      how it begins; default: 20 epochs in batches of 32
    epochs      in place of the recipe's
    eval_split       the split that is measured after every epoch
    plan        {epoch: {"learning_rate": 1e-4}}, changes that wait for their epoch
    neighbours  accuracy (0..1) of a k-nearest-neighbour classifier on the same images: a line to compare with
    steps       headless (nobody can move a slider): how many updates are made before the still is shown
    changes     headless: {step: {"learning_rate": 1e-4}}, knobs turned on the way
    what_if     headless: {step: {"dropout": 0.5}}, a branch for each, branched off at that step. A step may be given
                as a share of `steps`: 0.5
    memory      bytes for the states to go back to; None: 1 GiB, or less, and it says so, where memory is short

    Nothing trains before Start is pressed. Headless, the run is made at once and whatever goes wrong is raised.
    Raises InvalidInputError for an unknown model or an impossible value.
    """

    def __init__(
        self,
        data: "Dataset",
        model: str | nn.Module = "model_1",
        recipe: Recipe | None = None,
        *,
        epochs: int | None = None,
        eval_split: str = "development",
        plan: Mapping[float, Mapping[str, Any]] | None = None,
        neighbours: float | None = None,
        steps: int = 40,
        changes: Mapping[float, Mapping[str, Any]] | None = None,
        what_if: Mapping[float, Mapping[str, Any]] | None = None,
        memory: int | None = None,
        device: "Device | None" = None,
    ) -> None:
        recipe = recipe or Recipe(epochs=20, batch=32)
        recipe = replace(recipe, epochs=recipe.epochs if epochs is None else epochs)
        check_int("steps", steps, 0)
        figures.look()  # an unknown style shall be said here, not on the thread that trains
        self.data, self._still = data, headless()
        self._more = messages.Shown(neighbours=neighbours)
        self._images = messages.WatchedImages(data)
        self._strip: Strip | None = None
        self._sent_at, self._told_at, self._looked = 0.0, 0.0, 0.0  # when steps, a state, predictions were made
        self._sent: tuple[str, int] = ("A", 0)  # branch and step that the page has
        self._epochs: dict[str, int] = {}  # how many epochs of each branch it has
        self._before: Status | None = None
        self._beside: list[DisplayHandle] = []  # the outputs with what stays when this kernel is gone
        self.session = Session(
            data, model, recipe, eval_split=eval_split, device=device, memory=memory, report=self._report
        )
        self.session.plan(_planned(plan or {}))
        if self._still:
            self._run_still(steps, _at(changes or {}, steps), _at(what_if or {}, steps))
            return
        self.face = Face()  # only now: what a page says may be heard on another thread, and needs a session
        self.face.add_class(ERROR_CLASS)
        if self.face.comm is not None:
            self.face.comm._reply_subshell_for = _shell  # type: ignore[attr-defined]
        self.face.on_msg(lambda _, content, __: self._receive(content))
        registry.claim(self)
        self.session.open()

    # ------------------------------------------------------------ for notebooks

    def script(self) -> str:
        """The run so far as one line of JSON: seed, network, recipe, every change with its step."""
        return self.session.status.script.line()

    def save(self, path: str | Path) -> str:
        """Write the script to a file; returns the command that trains it again and leaves a network to predict with."""
        atomic_write(Path(path), self.script().encode())
        return shlex.join(["tinylab", "train", "--script", str(path), "--out", str(Path(path).with_suffix(""))])

    def recipe(self) -> Recipe:
        """The knobs as they are now, for `training.train`: what a run is that begins with them.

        Raises InvalidInputError for a knob that no recipe has: a frozen layer, gradient clipping.
        """
        knobs = self.session.status.knobs
        if apart := [knobs.said(name) for name in APART if name != "augment" and getattr(knobs, name)]:
            raise InvalidInputError(f"a recipe has no {' and no '.join(apart)}. Keep the run as a script: save(path)")
        recipe = knobs.on(self.session.status.script.recipe)
        if knobs.augment == Knobs.of(recipe).augment:
            return recipe
        given = USUAL if knobs.augment else Augment()
        return replace(recipe, flip=given.flip, crop=given.crop)

    @classmethod
    def replay(cls, text: str, data: "Dataset", model: nn.Module | None = None, **options: Any) -> "LiveLab":
        """A laboratory that trains what a script tells: on the CPU the same network, bit for bit.

        model: the network, if the script is of one of your own; options: memory and device of `LiveLab`.
        Raises InvalidInputError for what is no script, or one of other images.
        """
        told = script.read(text)
        told.fits(data, model)
        lab = cls(data, model or told.model, told.recipe, eval_split=told.eval_split, steps=0, **options)
        lab.session.ask("replay", told)
        if lab._still:
            lab._end_at(told.steps)
            lab.session.run_for(told.steps)
        return lab

    def close(self, timeout: float = 30.0) -> None:
        """Stop training after this batch, for good. What is shown stays."""
        self.session.close(timeout)
        registry.release(self)

    def settle(self, timeout: float) -> bool:
        """Wait until what was asked is done; False if that took too long."""
        return self.session.settle(timeout)

    @property
    def picture(self) -> figures.Picture:
        """A still of this moment."""
        strip = self._images.strip(self.session) if self._still else self._strip
        return laboratory(messages.scene(self.session, self.session.status, strip, self._more))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict, dict]:
        return self.picture._repr_mimebundle_() if self._still else self.face._repr_mimebundle_() or ({}, {})

    def _ipython_display_(self) -> None:
        if self._still:
            raise NotImplementedError  # IPython then asks for the bundle: the cell's result is the still
        self._beside.append(display(_gone(), display_id=True))
        display(self.face)

    def _run_still(self, steps: int, changes: Mapping[int, Mapping], what_if: Mapping[int, Mapping]) -> None:
        session, done = self.session, 0
        self._end_at(steps)
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

    def _end_at(self, steps: int) -> None:
        """Let the axis of a still end with the epoch of this step."""
        last = max(1, -(-steps // self.session.steps_per_epoch))
        self._more = replace(self._more, end=min(last, self.session.recipe.epochs))

    # ------------------------------------------------------------ from the page: on any thread

    def _receive(self, asked: Any) -> None:
        """A command of the page: {"command", "value", "number"}. What it raises is shown."""
        try:
            self._obey(asked["command"], asked.get("value"))
            self.session.ask("heard", asked.get("number", 0))
        except InvalidInputError as error:  # a slip of the pen, not a failure of the notebook
            self.fail(error)
            self.session.ask("heard", asked.get("number", 0))
        except Exception as error:
            self.fail(error)
            raise

    def _obey(self, command: str, value: Any) -> None:
        if command == "hello":
            self.session.ask("show")
            return
        self.fail(None)
        if command == "script":
            self.face.send({"kind": "script", "text": self.script()})
            return
        if command == "knobs":
            self.session.status.knobs.turned(value)  # an impossible value is refused here, where it was typed
        elif command == "replay":
            value = script.read(value)
        elif command == "plan":
            value = tuple(Planned(**each) for each in value)
        elif command == "back":
            value = (value[0], value[1])
        elif command not in ("start", "pause", "step", "reset", "drop"):
            raise InvalidInputError(f"a laboratory has no command {command!r}")
        if not self.session.ask(command, value):
            raise InvalidInputError("this laboratory is closed: its cell was run again. Use the new one")

    def fail(self, error: BaseException | None) -> None:
        """Show an error on the page; None removes it."""
        name = "" if error is None or isinstance(error, TinylabError) else f"{type(error).__name__}: "
        said = "" if error is None else name + str(error)
        if self.face.value != said:
            self.face.value = said

    # ------------------------------------------------------------ to the page: on the thread that trains

    def _report(self, status: Status, due: bool) -> None:
        if self._still:
            return
        try:
            stopped = self._before is not None and self._before.going and not status.going
            self._send(status, due)
            for output in self._beside if stopped else ():
                output.update(_gone(self.picture))
        except Exception as error:  # what cannot be shown is no reason to stop training
            self.fail(error)

    def _send(self, status: Status, due: bool) -> None:
        now, before = time.monotonic(), self._before
        waited = before is None or _told(before) != _told(status)
        if status.error is not None and (before is None or before.error is not status.error):
            self.fail(status.error)
        self._before = status
        if before is None or before.turned != status.turned or before.shown != status.shown:
            self._send_all(status)
            return
        letter, since = self._sent
        if letter != status.branch or since > status.step:
            self._send_all(status)
            return
        if since < status.step and (waited or not status.going or now - self._sent_at > EVERY):
            rows = messages.steps(self.session, letter, since)
            self._sent, self._sent_at = (letter, status.step), now
            self.face.send({"kind": "steps", "branch": letter, "speed": status.speed}, [rows.tobytes()])
        calm = now - self._told_at
        if waited or not status.going or (due and calm > CALM) or calm > LOOK:
            self._told_at = now
            self.face.send({"kind": "state", **self._state(status, waited)})

    def _send_all(self, status: Status) -> None:
        session, watched = self.session, self._images.watched
        self._epochs.clear()
        self._sent, self._told_at = (status.branch, status.step), time.monotonic()
        state = self._state(status, True)
        content = {"kind": "all", "settings": messages.settings(session, self._more, watched), **state}
        rows = [messages.steps(session, letter, 0).tobytes() for letter in session.branches.all]
        self.face.send(content, [watched.images.tobytes(), *rows])

    def _state(self, status: Status, waited: bool) -> dict[str, Any]:
        now = time.monotonic()
        if (waited and not status.going) or now - self._looked > LOOK:
            self._strip, self._looked = self._images.strip(self.session), now
        return messages.state(self.session, status, self._strip, self._more, self._epochs)


def _shell(_: Any, named: str | None) -> str | None:
    """The shell that a page's message goes to: the one it names, if the kernel has that still; None: the main one.

    JupyterLab names one beside a running cell. ipykernel 7.4 would go by the shell that used the comm last: the cell's,
    where a turned knob would wait for the cell to end.
    """
    manager = getattr(getattr(getattr(get_ipython(), "kernel", None), "shell_channel_thread", None), "manager", None)
    return named if manager is not None and named in manager.list_subshell() else None


def _gone(picture: figures.Picture | None = None) -> HTML:
    """What is left of a laboratory in an output whose widget cannot be shown; face.css hides it beside one that can.

    JupyterLab's own line on a widget that it does not find is hidden, too.
    """
    still = ""
    if picture is not None:
        data, _ = picture._repr_mimebundle_()
        source, width = f"data:image/png;base64,{data['image/png']}", picture.css_size()[0]
        still = f'<img src="{source}" width="{width}" alt="{escape(picture.alt)}">'
    return HTML(f'<div class="tinylab-gone">{still}<p>{_GONE}</p></div><style>{_HIDDEN}</style>')


_told = operator.attrgetter(  # what somebody waits to see of a status; all else can be sent at leisure
    "phase", "knobs", "changes", "branches", "branch", "planned", "heard", "note", "error"
)


def _planned(plan: Mapping[float, Mapping[str, Any]]) -> tuple[Planned, ...]:
    return tuple(Planned(epoch, knob, value) for epoch, values in plan.items() for knob, value in values.items())


def _at(planned: Mapping[float, Mapping[str, Any]], steps: int) -> dict[int, Mapping[str, Any]]:
    """Steps in place of shares of them."""
    found: dict[int, Mapping[str, Any]] = {}
    for at, values in planned.items():
        step = round(at * steps) if isinstance(at, float) and 0 < at < 1 else at
        check_int("a step of changes and what_if", step, 0, steps)
        found[int(step)] = values
    return found
