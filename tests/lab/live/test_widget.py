"""The widgets around a session: headless and live the same run, callbacks from any thread, errors, cells."""

import json
import re
import threading
import time
from types import SimpleNamespace

import pytest

from tests.lab.live.made import DATA, LINE, PATIENCE, RECIPE, Gate, facts, same, session
from tinylab import figures, lab
from tinylab.figures import Picture
from tinylab.figures.laboratory import _alt
from tinylab.lab.live import LiveLab, drawer, registry
from tinylab.lab.live.drawer import Drawer
from tinylab.lab.live.frames import Frame
from tinylab.support.errors import InvalidInputError, TrainingError

WIDGET = "application/vnd.jupyter.widget-view+json"


@pytest.fixture
def headless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(lab.VARIABLE, "1")


def quick(self: LiveLab, frame: Frame) -> Picture:
    """A picture that says what the real one says; drawing each in full would take a minute."""
    picture = Picture(1, 1, figures.look())
    picture.alt = _alt(frame.scene)
    return picture


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch):
    """Makes laboratories as in a notebook that somebody sits at; all closed at the end."""
    monkeypatch.setattr(LiveLab, "_picture", quick)
    monkeypatch.setattr(drawer, "EVERY", 0.0)
    monkeypatch.setenv(lab.VARIABLE, "0")
    made = []

    def make(**options: object) -> LiveLab:
        made.append(LiveLab(DATA, LINE, RECIPE, **options))
        return made[-1]

    yield make
    for each in made:
        each.close(PATIENCE)
        assert not each.session._thread.is_alive()


def until(of: LiveLab, status: str, step: int | None = None) -> None:
    """Wait for a moment, and until it is drawn."""
    assert of.session.wait(lambda m: m.status == status and step in (None, m.step), PATIENCE), of.session.moment
    assert of.settle(PATIENCE)


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
    assert "Future A: from the beginning: best development loss" in said
    assert "Future B: learning rate 0.01 → 0.1 at step 7: best development loss" in said
    assert "images/s" not in said  # differs from run to run
    plain = session()
    plain.run_for(4)
    plain.ask("knobs", {"l2": 0.01})
    plain.run_for(3)
    plain.ask("knobs", {"learning_rate": 0.1})
    plain.run_for(5)
    assert same(facts(still.session), facts(plain))
    again = LiveLab.replay(still.story(), DATA)
    assert same(facts(again.session), facts(plain))
    assert again.picture.alt.count("Future") == 1


@pytest.mark.usefixtures("headless")
def test_headless_whatever_goes_wrong_is_raised() -> None:
    with pytest.raises(TrainingError, match="the update was not applied"):
        LiveLab(DATA, LINE, RECIPE, steps=20, changes={3: {"optimizer": "sgd", "learning_rate": 1e30}})
    with pytest.raises(InvalidInputError, match="did you mean 'dropout'"):
        LiveLab(DATA, LINE, RECIPE, steps=5, changes={3: {"droput": 0.1}})
    with pytest.raises(InvalidInputError, match="a step of changes and what_if 9"):
        LiveLab(DATA, LINE, RECIPE, steps=5, what_if={9: {"dropout": 0.1}})
    with pytest.raises(InvalidInputError, match="network 'model_9' is unknown"):
        LiveLab(DATA, "model_9")
    with pytest.raises(InvalidInputError, match="other images"):
        LiveLab.replay(json.dumps(json.loads(LiveLab(DATA, LINE, RECIPE, steps=0).story()) | {
            "data": {"name": "tiny", "classes": 3, "training images": 90, "digest": "0"}}), DATA)  # fmt: skip
    with pytest.raises(InvalidInputError, match="this is not a story"):
        LiveLab.replay("exit()", DATA)


# ---------------------------------------------------------------- live


def test_live_it_is_the_same_run_and_the_widgets_say_so(live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv(lab.VARIABLE, "0")  # drawn in full
    monkeypatch.setattr("tinylab.lab.live.widget.TICK", 0.0)
    shown = live()
    assert shown.ticker.value == ""
    assert WIDGET in shown._repr_mimebundle_()[0]
    assert "Press Start: step 0" in shown.text.value
    first = shown.image.value
    gate = Gate(shown.session, 3)
    shown.start_button.click()
    assert gate.arrived.wait(PATIENCE)
    assert re.search(r"Now: step [23], loss \d\.\d{3}<", shown.ticker.value)
    shown.dials["learning_rate"].slider.value = 0.1
    assert shown.dials["learning_rate"].number.value == 0.1
    shown.dials["dropout"].number.value = 0.33
    assert shown.dials["dropout"].slider.value == pytest.approx(0.33)
    gate.go.set()
    until(shown, "finished", 30)
    assert shown.image.value != first
    said = shown.picture.alt
    assert "At step 3: learning rate 0.01 → 0.1, dropout as built → 0.33." in said
    assert "epoch 6.0 of 6" in shown.status.value
    assert 'role="status"' in shown.status.value
    assert shown.ticker.value == ""  # nothing moves any more
    assert "of 5 checks fired" in shown.cards.value
    assert shown.image.tooltip == said
    plain = session()
    plain.run_for(3)
    plain.ask("knobs", {"learning_rate": 0.1, "dropout": 0.33})
    plain.run_for(27)
    assert same(facts(shown.session), facts(plain))


def test_going_back_moves_the_sliders_and_keeps_both_futures(live) -> None:
    shown = live()
    shown.session.ask("start", 5)
    until(shown, "paused", 5)
    shown.dials["l2"].number.value = 0.03
    shown.optimizer.value = "sgd"
    shown.session.ask("start", 8)
    until(shown, "paused", 8)
    assert shown.place.max == 8
    shown.place.value = 3
    assert "arrives at step 0" in shown.kept.value
    shown.back_button.click()
    until(shown, "paused", 0)
    assert (shown.dials["l2"].value, shown.dials["l2"].number.value, shown.optimizer.value) == (0.0, 0.0, "adam")
    assert shown.future.options == ("A", "B")
    shown.step_button.click()
    until(shown, "paused", 1)
    assert "Future B: unchanged from step 0" in shown.picture.alt
    shown.future.value = "A"
    shown.drop_button.click()
    assert shown.session.wait(lambda m: len(m.futures) == 1, PATIENCE)
    shown.reset_button.click()
    until(shown, "waiting", 0)
    assert shown.session.moment.futures == (("A", "from the beginning"),)


def test_a_story_is_written_pasted_and_replayed(live) -> None:
    shown, other = live(), live()
    shown.session.ask("start", 4)
    until(shown, "paused", 4)
    shown.dials["momentum"].number.value = 0.5
    shown.session.ask("start", 9)
    until(shown, "paused", 9)
    shown.write_button.click()
    assert shown.story_text.value == shown.story()
    other.story_text.value = shown.story_text.value
    other.replay_button.click()
    until(other, "paused", 9)
    assert "bit for bit" in other.status.value
    assert other.dials["momentum"].value == 0.5
    assert same(facts(other.session), facts(shown.session))
    other.story_text.value = "rm -rf"
    other.replay_button.click()
    assert "this is not a story" in other.message.value
    other.start_button.click()
    until(other, "finished")
    assert other.message.value == ""


def test_a_slip_of_the_pen_is_explained_and_the_last_good_value_stays(live) -> None:
    shown = live()
    dial = shown.dials["momentum"]
    dial.number.value = 1.5
    assert "momentum 1.5 is not possible. Allowed: a number 0 or more, and below 1" in shown.message.value
    assert (dial.value, dial.number.value, dial.slider.value) == (0.9, 0.9, 0.9)
    dial.number.value = 0.8
    assert shown.message.value == ""
    assert shown.session.wait(lambda m: m.knobs.momentum == 0.8, PATIENCE)


def test_an_error_in_the_thread_is_shown_as_an_alert(live) -> None:
    shown = live()

    def broken() -> None:
        raise RuntimeError("a <cosmic> ray")

    shown.session.run.advance = broken
    shown.start_button.click()
    until(shown, "failed")
    assert "RuntimeError: a &lt;cosmic&gt; ray" in shown.message.value
    assert 'role="alert"' in shown.message.value
    assert lab.ERROR_CLASS in shown.message._dom_classes
    assert "Failed: step 0" in shown.picture.alt


def test_an_error_in_a_callback_is_shown_and_raised(live, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = live()

    def broken(command: str, value: object) -> bool:
        raise KeyError("lost")

    monkeypatch.setattr(shown.session, "ask", broken)
    shown.start_button.click()  # ipywidgets logs what is raised on
    assert "KeyError" in shown.message.value
    shown.fail(None)
    with pytest.raises(KeyError):
        shown.dials["l2"].number.value = 0.1
    assert "KeyError" in shown.message.value


def test_an_error_in_drawing_is_shown_and_training_goes_on(live, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = live()
    assert shown.settle(PATIENCE)
    monkeypatch.setattr(shown, "_picture", lambda frame: 1 / 0)
    shown.start_button.click()
    until(shown, "finished", 30)
    assert "ZeroDivisionError" in shown.message.value


def test_widgets_moved_from_many_threads_and_after_the_end(live) -> None:
    shown = live()
    shown.start_button.click()
    rates = [10 ** -(1 + number / 4) for number in range(8)]
    threads = [
        threading.Thread(target=setattr, args=(shown.dials["learning_rate"].number, "value", rate)) for rate in rates
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    shown.pause_button.click()
    assert shown.session.wait(lambda m: m.status in ("paused", "finished"), PATIENCE)
    assert shown.session.moment.knobs.learning_rate in rates
    shown.close(PATIENCE)
    assert "Closed" in shown.picture.alt
    assert shown.start_button.disabled
    shown.dials["dropout"].number.value = 0.7
    assert "this laboratory is closed" in shown.message.value
    shown.close(PATIENCE)


# ---------------------------------------------------------------- cells


def test_running_a_cell_again_closes_what_it_made(live, monkeypatch: pytest.MonkeyPatch) -> None:
    parent: dict[str, dict[str, str]] = {}

    def execute(cell: str, message: str, code: str = "") -> None:
        metadata = {"cellId": cell} if cell else {}
        parent.update(metadata=metadata, header={"msg_id": message}, content={"code": code})

    kernel = SimpleNamespace(get_parent=lambda: parent)
    monkeypatch.setattr(registry, "get_ipython", lambda: SimpleNamespace(kernel=kernel))
    execute("one", "1")
    first, beside = live(), live()
    execute("two", "2")
    other = live()
    first.start_button.click()
    status = [each.session.moment.status for each in (first, beside, other)]
    assert "closed" not in status
    execute("one", "3")
    again = live()
    status = [each.session.moment.status for each in (first, beside, other, again)]
    assert status == ["closed", "closed", "waiting", "waiting"]
    execute("", "4", "LiveLab(data)")  # a frontend that does not name its cells
    last = live()
    execute("", "5", "LiveLab(data)")
    live()
    assert last.session.moment.status == "closed"
    named = live(name="mine")
    live(name="mine")
    assert named.session.moment.status == "closed"
    assert again.session.moment.status == "waiting"


# ---------------------------------------------------------------- drawing


def test_the_drawer_draws_the_newest_and_always_the_last() -> None:
    drawn, arrived, go, failed = [], threading.Event(), threading.Event(), []

    def draw(frame: int) -> None:
        drawn.append(frame)
        arrived.set()
        assert go.wait(PATIENCE)
        if frame == 4:
            raise ValueError("no ink")

    drawing = Drawer(draw, failed.append)
    drawing.put(1, urgent=True)
    assert arrived.wait(PATIENCE)
    assert not drawing.wants()
    for frame in (2, 3, 4):
        drawing.put(frame, urgent=True)
    go.set()
    assert drawing.settle(PATIENCE)
    assert drawn == [1, 4]
    assert [str(error) for error in failed] == ["no ink"]
    drawing.put(5)
    drawing.close(PATIENCE)
    drawing.put(6)
    assert drawn == [1, 4, 5]


def test_where_no_core_is_spare_a_picture_is_drawn_between_two_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawer, "EVERY", 0.0)
    drawn, failed, arrived, go = [], [], threading.Event(), threading.Event()

    def draw(frame: int) -> None:
        arrived.set()
        assert go.wait(PATIENCE)
        if frame == 1:
            raise ValueError("no ink")
        drawn.append(frame)

    drawing = Drawer(draw, failed.append, spare=False)
    drawing.give_way(True)  # nothing to wait for; a batch begins
    drawing.put(1, urgent=True)
    assert not drawing._ready()  # none is begun beside it
    training = threading.Thread(target=lambda: (drawing.give_way(True), drawn.append("next batch")))
    training.start()
    assert arrived.wait(PATIENCE)
    drawing.put(2, urgent=True)  # a newer one, which is due as well
    assert training.is_alive()
    go.set()
    training.join(PATIENCE)
    assert drawn == [2, "next batch"]
    assert [str(error) for error in failed] == ["no ink"]
    drawing.put(3, urgent=True)
    drawing.give_way(False)  # no batch follows
    drawing.put(4, urgent=True)
    assert drawing.settle(PATIENCE)
    drawing.give_way(True)
    drawing.put(5, urgent=True)
    drawing.close(PATIENCE)  # in the middle of a batch: the last is drawn all the same
    assert drawn == [2, "next batch", 3, 4, 5]


def test_the_training_gives_way_after_each_batch(live, monkeypatch: pytest.MonkeyPatch) -> None:
    followed = []
    monkeypatch.setattr(Drawer, "give_way", lambda self, going: followed.append((self, going)))
    made = live()
    made.session.ask("start", 2)
    assert made.session.wait(lambda m: m.status == "paused", PATIENCE)
    assert made.settle(PATIENCE)
    assert {each for each, _ in followed} == {made._drawer}
    going = [going for _, going in followed]
    assert going[:3] == [True, True, False]  # pressed Start, update 1, update 2


def went_on(drawing: Drawer) -> bool:
    """Whether a training that gives way goes on before anything else happens."""
    training = threading.Thread(target=drawing.give_way, args=(True,), daemon=True)
    training.start()
    training.join(PATIENCE)
    return not training.is_alive()


def test_a_picture_that_must_not_come_yet_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawer, "STUCK", 10 * PATIENCE)
    drawn = []
    drawing = Drawer(drawn.append, lambda error: None, spare=False)
    drawing._last = time.monotonic() + 10 * PATIENCE
    drawing.put(1, urgent=True)
    assert went_on(drawing)
    assert drawn == []
    drawing.close(PATIENCE)
    assert drawn == [1]


def test_a_picture_that_gets_stuck_holds_up_no_training_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawer, "STUCK", 0.01)
    go = threading.Event()
    drawing = Drawer(lambda frame: go.wait(), lambda error: None, spare=False)
    drawing.put(1, urgent=True)
    try:
        assert went_on(drawing)
    finally:
        go.set()
    drawing.close(PATIENCE)


@pytest.mark.parametrize(("spare", "calm", "lively"), [(True, 1.2, 0.6), (False, 6.0, 1.2)])  # 10 and 20 %, 2 and 10 %
def test_how_often_may_be_drawn(monkeypatch: pytest.MonkeyPatch, spare: bool, calm: float, lively: float) -> None:
    now = [100.0]
    clock = SimpleNamespace(monotonic=lambda: now[0], thread_time=lambda: 0)
    monkeypatch.setattr("tinylab.lab.live.drawer.time", clock)
    drawing = Drawer(lambda frame: None, lambda error: None, spare=spare)
    drawing._last, drawing._cost, drawing._looked = 100.0, 0.12, 0.0
    assert drawing._wait() == pytest.approx(calm)
    drawing._looked = 99.0  # somebody did something
    assert drawing._wait() == pytest.approx(lively)
    drawing._urgent = True
    assert drawing._wait() == pytest.approx(0.5)
    drawing._urgent, drawing._looked, drawing._cost = False, 0.0, 9.0
    assert drawing._wait() == pytest.approx(10.0)
    drawing.close(PATIENCE)
