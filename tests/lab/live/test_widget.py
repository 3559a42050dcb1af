"""The widget around a session: headless and live the same run, commands from any thread, what the page is sent."""

import json
import threading
from dataclasses import replace
from html import escape
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from IPython.display import HTML
from torch import nn

from tests import tiny
from tests.lab.live.made import DATA, LINE, PATIENCE, RECIPE, facts, same, session
from tinylab import training
from tinylab.lab.control import ERROR_CLASS
from tinylab.lab.live import LiveLab, registry, script, steered, widget
from tinylab.lab.live.widget import Face
from tinylab.support.errors import InvalidInputError, TrainingError
from tinylab.support.notebook import VARIABLE

WIDGET = "application/vnd.jupyter.widget-view+json"


@pytest.fixture
def headless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "1")


class Page:
    """What a page does with what it is sent (`face.js`), as far as the numbers go."""

    def __init__(self, shown: LiveLab) -> None:
        self.lab, self.settings, self.state, self.taken, self.epochs, self.kinds = shown, {}, {}, {}, {}, []
        self.script = ""

    def hear(self, content: dict, buffers: list[bytes] | None = None) -> None:
        json.dumps(content)  # nothing that JSON cannot hold
        kind, rows = content["kind"], [np.frombuffer(each, np.float32).reshape(-1, 4) for each in (buffers or [])[-4:]]
        self.kinds.append(kind)
        if kind == "all":
            self.settings, self.epochs = content["settings"], {}
            rows = [np.frombuffer(each, np.float32).reshape(-1, 4) for each in buffers[1:]]
            self.taken = {each["letter"]: list(taken) for each, taken in zip(content["branches"], rows, strict=True)}
            assert len(buffers[0]) == 3 * np.prod(self.settings["size"]) * len(self.settings["names"])
        elif kind == "steps":
            assert rows[0][0][0] == len(self.taken[content["branch"]]) + 1  # none is missing, none comes twice
            self.taken[content["branch"]] += list(rows[0])
        elif kind == "script":
            self.script = content["text"]
        if "branches" in content:
            self.state = content
            for each in content["branches"]:
                self.epochs[each["letter"]] = self.epochs.get(each["letter"], [])[: each["since"]] + each["epochs"]

    def ask(self, command: str, value: object = None, number: int = 0) -> None:
        self.lab._receive({"command": command, "value": value, "number": number})

    def until(self, phase: str, step: int | None = None) -> None:
        wanted = lambda m: m.phase == phase and step in (None, m.step)  # noqa: E731
        assert self.lab.session.wait(wanted, PATIENCE), self.lab.session.status
        assert self.lab.settle(PATIENCE)


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch):
    """Makes laboratories as in a notebook that somebody sits at, with their pages; all closed at the end."""
    monkeypatch.setenv(VARIABLE, "0")
    pages: dict[Face, Page] = {}
    monkeypatch.setattr(Face, "send", lambda self, content, buffers=None: pages[self].hear(content, buffers))

    def make(line: object = LINE, recipe: object = RECIPE, **options: object) -> Page:
        made = LiveLab(DATA, line, recipe, **options)
        page = pages[made.face] = Page(made)
        page.ask("hello")
        assert made.settle(PATIENCE)
        return page

    yield make
    for each in pages.values():
        each.lab.close(PATIENCE)
        assert not each.lab.session._thread.is_alive()


# ---------------------------------------------------------------- headless


@pytest.mark.usefixtures("headless")
def test_headless_the_steps_are_made_at_once_and_a_still_is_shown() -> None:
    still = LiveLab(DATA, LINE, RECIPE, steps=12, changes={4: {"l2": 0.01}}, what_if={0.6: {"learning_rate": 0.1}})
    assert still.picture.axes[0].get_xlim() == (0, pytest.approx(3 * 1.02))  # as far as it was trained
    assert set(still._repr_mimebundle_()[0]) == {"image/png", "text/plain"}
    assert still.session._thread is None
    said = still.picture.alt
    assert "At step 4: L2 0 → 0.01." in said
    assert "At step 7: learning rate 0.01 → 0.1." in said
    assert "Branch A: from the beginning: best development loss" in said
    assert "Branch B: learning rate 0.01 → 0.1 at step 7: best development loss" in said
    assert "images/s" not in said  # differs from run to run
    plain = session()
    plain.run_for(4)
    plain.ask("knobs", {"l2": 0.01})
    plain.run_for(3)
    plain.ask("knobs", {"learning_rate": 0.1})
    plain.run_for(5)
    assert same(facts(still.session), facts(plain))
    again = LiveLab.replay(still.script(), DATA)
    assert same(facts(again.session), facts(plain))
    assert again.picture.alt.count("Branch") == 1


@pytest.mark.usefixtures("headless")
def test_headless_whatever_goes_wrong_is_raised() -> None:
    with pytest.raises(TrainingError, match="the update was not applied"):
        LiveLab(DATA, LINE, RECIPE, steps=20, changes={3: {"optimizer": "sgd", "learning_rate": 99.0, "l2": 1e30}})
    with pytest.raises(InvalidInputError, match="did you mean 'dropout'"):
        LiveLab(DATA, LINE, RECIPE, steps=5, changes={3: {"droput": 0.1}})
    with pytest.raises(InvalidInputError, match="a step of changes and what_if 9"):
        LiveLab(DATA, LINE, RECIPE, steps=5, what_if={9: {"dropout": 0.1}})
    with pytest.raises(InvalidInputError, match="network 'model_9' is unknown"):
        LiveLab(DATA, "model_9")
    with pytest.raises(InvalidInputError, match="epoch 6 is never reached: the run has 6"):
        LiveLab(DATA, LINE, RECIPE, plan={6: {"dropout": 0.1}})
    with pytest.raises(InvalidInputError, match="other images"):
        LiveLab.replay(
            json.dumps(
                json.loads(LiveLab(DATA, LINE, RECIPE, steps=0).script())
                | {"data": {"name": "tiny", "classes": 3, "training images": 90, "digest": "0"}}
            ),
            DATA,
        )
    with pytest.raises(InvalidInputError, match="this is not a script"):
        LiveLab.replay("exit()", DATA)


# ---------------------------------------------------------------- live


def test_live_it_is_the_same_run_and_the_page_has_every_batch_of_it(live) -> None:
    page = live()
    assert page.state["phase"] == "waiting"
    page.lab.session.ask("start", 3)
    page.until("paused", 3)
    page.ask("knobs", {"learning_rate": 0.1, "dropout": 0.33}, 7)
    page.ask("start")
    page.until("finished", 30)
    plain = session()
    plain.run_for(3)
    plain.ask("knobs", {"learning_rate": 0.1, "dropout": 0.33})
    plain.run_for(27)
    assert same(facts(page.lab.session), facts(plain))
    branch = plain.branches.current
    expected = [[step, images / 90, loss, right] for step, (loss, right, images) in enumerate(branch.taken, start=1)]
    assert np.array_equal(np.array(page.taken["A"]), np.array(expected, dtype=np.float32))
    losses = [[epoch.train_loss, epoch.eval_loss] for epoch in plain.run.history.epochs]
    assert [[row[3], row[5]] for row in page.epochs["A"]] == losses
    state = page.state
    assert state["heard"] == 7
    assert (state["knobs"]["learning_rate"], state["knobs"]["dropout"]) == (0.1, 0.33)
    assert state["marks"] == [[pytest.approx(60 / 90), "learning rate 0.01 → 0.1\ndropout as built → 0.33"]]
    assert "At step 3: learning rate 0.01 → 0.1, dropout as built → 0.33." in state["words"]
    assert "of 5 checks fired" in state["checks"]
    assert len(state["predictions"][0]) == len(page.settings["names"]) == 8
    assert state["words"] == page.lab.picture.alt


def test_a_batch_costs_sixteen_bytes(live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(widget, "EVERY", 0.0)
    page, sizes = live(), []
    monkeypatch.setattr(page, "hear", lambda content, buffers=None: sizes.append((content["kind"], buffers)))
    page.ask("start")
    page.until("finished")
    steps = [len(buffers[0]) for kind, buffers in sizes if kind == "steps"]
    assert sum(steps) == 30 * 16
    assert max(steps) == 16


def test_a_page_that_comes_later_is_told_everything(live) -> None:
    page = live()
    page.lab.session.ask("start", 7)
    page.until("paused", 7)
    before = np.array(page.taken["A"])
    page.taken, page.epochs, page.state = {}, {}, {}
    page.ask("hello")
    assert page.lab.settle(PATIENCE)
    assert np.array_equal(np.array(page.taken["A"]), before)
    assert len(page.epochs["A"]) == 1
    assert page.state["step"] == 7


def test_the_page_is_told_the_style_of_the_variable(live, monkeypatch: pytest.MonkeyPatch) -> None:
    assert live().settings["style"] == "page"
    monkeypatch.setenv("TINYLAB_STYLE", "projector")
    assert live().settings["style"] == "projector"
    monkeypatch.setenv("TINYLAB_STYLE", "poster")
    with pytest.raises(InvalidInputError, match=r"'poster' of \$TINYLAB_STYLE is unknown.* page, projector"):
        live()


def test_going_back_keeps_both_futures_on_the_page(live) -> None:
    page = live()
    page.lab.session.ask("start", 12)
    page.until("paused", 12)
    page.ask("back", ["A", 5])
    page.ask("knobs", {"dropout": 0.5})
    page.ask("start")
    page.until("finished")
    assert {letter: len(taken) for letter, taken in page.taken.items()} == {"A": 12, "B": 30}
    assert page.state["branch"] == "B"
    assert [each["name"] for each in page.state["branches"]][1] == "dropout as built → 0.5 at step 5"
    assert [row[0] for row in page.epochs["B"]] == [1, 2, 3, 4, 5, 6]
    page.ask("drop", "A")
    assert page.lab.settle(PATIENCE)
    assert [each["letter"] for each in page.state["branches"]] == ["B"]
    page.ask("reset", None)
    page.until("waiting", 0)
    assert page.taken == {"A": []}
    assert page.state["knobs"]["dropout"] == 0.5


def test_a_script_is_written_pasted_and_replayed_and_its_note_does_not_linger(live) -> None:
    page, other = live(), live()
    page.lab.session.ask("start", 4)
    page.until("paused", 4)
    page.ask("knobs", {"momentum": 0.5, "batch": 7, "clip": 0.5})
    page.lab.session.ask("start", 9)
    page.until("paused", 9)
    page.ask("script")
    assert page.script == page.lab.script()
    other.ask("replay", page.script)
    other.until("paused", 9)
    assert "bit for bit" in other.state["note"]
    assert other.state["knobs"] == page.state["knobs"]
    assert same(facts(other.lab.session), facts(page.lab.session))
    other.ask("replay", "rm -rf")
    assert "this is not a script" in other.lab.face.value
    other.ask("step")
    other.until("paused", 10)
    assert other.state["note"] == ""
    assert other.lab.face.value == ""


@pytest.mark.usefixtures("headless")
@pytest.mark.parametrize(
    ("begun", "values"),
    [
        (RECIPE, {"learning_rate": 0.02, "batch": 30, "dropout": 0.1, "optimizer": "sgd", "augment": False}),
        (replace(RECIPE, flip=False, crop=0), {"augment": True, "schedule": "cosine", "label_smoothing": 0.1}),
    ],
)
def test_its_knobs_are_a_recipe_and_its_script_a_command(tmp_path, begun, values) -> None:
    made = LiveLab(DATA, LINE, begun, steps=0, changes={0: values})
    made.session.run_for(made.session.steps_per_epoch)
    run = training.train(steered.build(LINE, 3, tiny.SIZE, begun.seed), DATA, made.recipe())
    next(iter(run))
    assert same(facts(made.session), facts(run))
    assert (
        made.save(tmp_path / "my run.json")
        == f"tinylab train --script '{tmp_path}/my run.json' --out '{tmp_path}/my run'"
    )
    assert script.read((tmp_path / "my run.json").read_text()) == made.session.status.script
    made.session.ask("knobs", {"clip": 0.5, "frozen": next(iter(made.session.run.layers))})
    made.session.run_for(0)
    with pytest.raises(InvalidInputError, match=r"no frozen layer conv3-4 and no gradient clipping 0.5.* save\(path\)"):
        made.recipe()


def test_a_slip_of_the_pen_is_explained_and_confirmed(live) -> None:
    page = live()
    for value, says in (
        ({"momentum": 1.5}, "momentum 1.5 is not possible. Allowed: a number 0 or more, and below 1"),
        ({"learning_rate": 1e9}, "learning rate 1000000000.0 is not possible"),
        ({"batch": 2.5}, "batch size 2.5 is not possible"),
        ({"batch": 91}, "a batch of 91 images is not possible. Allowed: 1 to 90"),
        ({"frozen": "9"}, "layer '9' is not there"),
    ):
        page.ask("knobs", value, 5)
        assert page.lab.settle(PATIENCE)
        assert says in page.lab.face.value
        assert page.state["heard"] == 5  # no control waits for ever
        assert page.lab.session.status.knobs == session().status.knobs
    assert ERROR_CLASS in page.lab.face._dom_classes
    page.ask("knobs", {"momentum": 0.8})
    assert page.lab.face.value == ""


def test_an_error_in_the_thread_is_shown(live) -> None:
    page = live()

    def broken() -> None:
        raise RuntimeError("a <cosmic> ray")

    page.lab.session.run.advance = broken
    page.ask("start")
    page.until("failed")
    assert page.lab.face.value == "RuntimeError: a <cosmic> ray"  # the page sets it as text
    assert page.state["phase"] == "failed"


def test_an_error_in_a_callback_is_shown_and_raised(live, monkeypatch: pytest.MonkeyPatch) -> None:
    page = live()

    def broken(command: str, value: object) -> bool:
        raise KeyError("lost")

    monkeypatch.setattr(page.lab.session, "ask", broken)
    with pytest.raises(KeyError):
        page.ask("start")
    assert "KeyError" in page.lab.face.value
    monkeypatch.undo()
    with pytest.raises(KeyError):
        page.lab._receive({})


def test_an_unknown_command_is_refused(live) -> None:
    page = live()
    page.ask("keep", None)
    assert "no command 'keep'" in page.lab.face.value


def test_what_cannot_be_shown_stops_no_training(live, monkeypatch: pytest.MonkeyPatch) -> None:
    page = live()
    monkeypatch.setattr(page.lab, "_send", lambda moment, due: 1 / 0)
    page.ask("start")
    page.until("finished", 30)
    assert "ZeroDivisionError" in page.lab.face.value


def test_commands_from_many_threads_and_after_the_end(live) -> None:
    page = live()
    page.ask("start")
    rates = [10 ** -(1 + number / 4) for number in range(8)]
    threads = [threading.Thread(target=page.ask, args=("knobs", {"learning_rate": rate})) for rate in rates]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    page.ask("pause")
    assert page.lab.session.wait(lambda m: m.phase in ("paused", "finished"), PATIENCE)
    assert page.lab.session.status.knobs.learning_rate in rates
    page.lab.close(PATIENCE)
    assert page.state["phase"] == "closed"
    page.ask("knobs", {"dropout": 0.7})
    assert "this laboratory is closed" in page.lab.face.value
    page.lab.close(PATIENCE)


def test_a_plan_waits_for_its_epoch_and_is_then_a_change(live) -> None:
    page = live(plan={2: {"learning_rate": 0.001}})
    page.ask(
        "plan",
        [
            {"epoch": 2, "knob": "learning_rate", "value": None, "times": 0.1},
            {"epoch": 4.5, "knob": "augment", "value": False},
        ],
    )
    assert page.lab.settle(PATIENCE)
    said = [each["text"] for each in page.state["planned"]]
    assert said == ["learning rate ÷ 10", "augmentation → off"]
    page.lab.session.ask("start", 12)
    page.until("paused", 12)
    assert [(change.step, str(change)) for change in page.lab.session.status.changes] == [
        (10, "learning rate 0.01 → 0.001")
    ]
    assert len(page.state["planned"]) == 1
    page.ask("plan", [{"epoch": 99, "knob": "dropout", "value": 0.1}])
    assert page.lab.settle(PATIENCE)
    assert "epoch 99 is never reached" in page.lab.face.value


# ---------------------------------------------------------------- any network


class Own(nn.Module):
    """No line of notation describes it; it has no dropout layer, but draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3, stride=4), nn.Linear(64, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(nn.functional.dropout(self.conv(x).relu().flatten(1), 0.5, self.training))


def test_a_network_of_one_s_own_has_the_knobs_that_it_has_and_replays(live) -> None:
    torch.manual_seed(0)
    own = Own()
    page = live(own)
    names = {each["name"] for each in page.settings["knobs"]}
    assert "dropout" not in names
    [frozen] = [each for each in page.settings["knobs"] if each["name"] == "frozen"]
    assert [option[0] for option in frozen["options"]] == ["", "conv", "head"]
    page.ask("knobs", {"frozen": "conv"})
    page.lab.session.ask("start", 8)
    page.until("paused", 8)
    assert torch.equal(page.lab.session.run.model.conv.weight, own.conv.weight)  # frozen; and a copy is trained
    assert not torch.equal(page.lab.session.run.model.head.weight, own.head.weight)
    page.ask("replay", page.lab.script())
    assert page.lab.session.wait(lambda m: m.note != "", PATIENCE)
    assert page.lab.settle(PATIENCE)
    assert "bit for bit" in page.state["note"]
    with pytest.raises(InvalidInputError, match="network of somebody's own"):
        LiveLab.replay(page.lab.script(), DATA)
    nn.init.zeros_(own.conv.weight)  # what becomes of it elsewhere is no matter: the laboratory has its copy
    page.ask("reset")
    page.until("waiting", 0)
    assert page.lab.session.run.model.conv.weight.any()


def test_a_modern_network_is_given_as_it_is_built() -> None:
    with pytest.raises(InvalidInputError, match=r"has no line of notation.*models\.build\('modern-small'"):
        LiveLab(DATA, "modern-small")


def test_a_still_can_be_asked_for_while_the_laboratory_goes_elsewhere(live) -> None:
    """From another thread: in between, the branch of the status may be gone already."""
    lab = live().lab
    lab.session.ask("start", 6)
    assert lab.session.wait(lambda m: m.phase == "paused", PATIENCE)
    told = lab.session.status
    lab.session.branches.remove("A")
    assert lab.session.status is told
    assert "from the beginning" in lab.picture.alt


# ---------------------------------------------------------------- cells


def test_running_a_cell_again_closes_what_it_made(live, monkeypatch: pytest.MonkeyPatch) -> None:
    parent: dict[str, dict[str, str]] = {}

    def execute(cell: str, message: str, code: str = "") -> None:
        metadata = {"cellId": cell} if cell else {}
        parent.update(metadata=metadata, header={"msg_id": message}, content={"code": code})

    kernel = SimpleNamespace(get_parent=lambda: parent)
    monkeypatch.setattr(registry, "get_ipython", lambda: SimpleNamespace(kernel=kernel))
    execute("one", "1")
    first, beside = live().lab, live().lab
    execute("two", "2")
    other = live().lab
    first.session.ask("start")
    status = [each.session.status.phase for each in (first, beside, other)]
    assert "closed" not in status
    execute("one", "3")
    again = live().lab
    status = [each.session.status.phase for each in (first, beside, other, again)]
    assert status == ["closed", "closed", "waiting", "waiting"]
    execute("", "4", "LiveLab(data)")  # a frontend that does not name its cells
    last = live().lab
    execute("", "5", "LiveLab(data)")
    live()
    assert last.session.status.phase == "closed"
    assert again.session.status.phase == "waiting"


def test_the_output_says_what_to_do_when_its_kernel_is_gone_and_keeps_a_still(live, monkeypatch) -> None:
    page, shown, kept = live(), [], []

    class Output:
        def update(self, data: HTML) -> None:
            kept.append(data.data)

    def display(data: object, display_id: bool = False) -> Output | None:
        shown.append(data)
        return Output() if display_id else None

    monkeypatch.setattr(widget, "display", display)
    page.lab._ipython_display_()
    assert "run the cell again" in shown[0].data
    assert shown[1] is page.lab.face
    assert WIDGET in page.lab._repr_mimebundle_()[0]
    page.lab.session.ask("start", 4)
    page.until("paused", 4)
    told = escape(page.lab.picture.alt)
    page.lab.close(PATIENCE)
    assert len(kept) == 1  # no picture is drawn while it trains
    assert told in kept[0]
    assert "run the cell again" in kept[0]
