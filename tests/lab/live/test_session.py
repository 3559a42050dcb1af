"""The controller: knobs at batch boundaries, any thread at any time, branches, errors; and two that do not disturb."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.lab.live.made import DATA, PATIENCE, RECIPE, Gate, facts, same, session
from tinylab.lab.live.knobs import Change, Planned
from tinylab.lab.live.session import Session
from tinylab.support.errors import InvalidInputError, TrainingError


@pytest.fixture
def opened() -> object:
    """Sessions with their threads running; all closed at the end."""
    made = []

    def make(**options: object) -> Session:
        made.append(session(**options))
        made[-1].open()
        return made[-1]

    yield make
    for each in made:
        each.close(PATIENCE)
        assert not each._thread.is_alive()


def until(of: Session, phase: str, step: int | None = None) -> None:
    assert of.wait(lambda m: m.phase == phase and (step is None or m.step == step), PATIENCE), of.status


# ---------------------------------------------------------------- knobs


def test_a_knob_turned_during_a_batch_counts_from_the_next(opened) -> None:
    live = opened()
    gate = Gate(live, 3)
    live.ask("start", 6)
    assert gate.arrived.wait(PATIENCE)  # update 3 is in progress
    live.ask("knobs", {"learning_rate": 0.001})
    assert live.run.optimizer.param_groups[0]["initial_lr"] == 0.01
    gate.go.set()
    until(live, "paused", 6)
    assert live.status.changes == (Change(3, "learning_rate", 0.01, 0.001),)
    plain = session()
    plain.run_for(3)
    plain.ask("knobs", {"learning_rate": 0.001})
    plain.run_for(3)
    assert same(facts(live), facts(plain))


def test_a_knob_turned_during_a_batch_is_in_force_before_anything_is_shown() -> None:
    """What is shown after a batch may take a moment: a picture."""
    shown = []
    live = session(report=lambda status, due: shown.append((status.step, status.knobs.learning_rate)))
    advance = live.run.advance

    def asked_meanwhile() -> object:
        if live.branches.current.steps == 1:
            live.ask("knobs", {"learning_rate": 0.001})
        return advance()

    live.run.advance = asked_meanwhile
    live.run_for(3)
    assert next(each for each in shown if each[0] == 2) == (2, 0.001)
    assert live.status.changes == (Change(2, "learning_rate", 0.01, 0.001),)


def asked_while_measuring(live: Session, command: str, value: object) -> list[object]:
    """Ask in the middle of the first measurement; the knobs as they are before every later batch that is measured."""
    part, seen = live.run._watched, []
    listen = part.listen

    def speak() -> None:
        if not seen:
            live.ask(command, value)
        listen()
        seen.append(live.run.knobs)

    part.listen = speak
    return seen


def test_a_knob_turned_during_a_measurement_counts_at_once() -> None:
    live, plain = session(), session()
    seen = asked_while_measuring(live, "knobs", {"learning_rate": 0.001, "l2": 0.1})
    live.run_for(7)
    assert seen[0].learning_rate == 0.001
    assert live.status.changes[0] == Change(5, "learning_rate", 0.01, 0.001)
    plain.run_for(5)
    plain.ask("knobs", {"learning_rate": 0.001, "l2": 0.1})
    plain.run_for(2)
    assert same(facts(live), facts(plain))  # the epoch's record too: its penalty is that of the L2 it was trained with
    kept = next(each for each in live.snapshots.of("A") if each.step == 5)
    assert (kept.knobs.learning_rate, kept.changes) == (0.01, ())  # what if it had not been turned?


@pytest.mark.parametrize(("command", "value"), [("knobs", {"optimizer": "sgd"}), ("back", ("A", 0)), ("drop", "B")])
def test_all_else_waits_until_the_measurement_is_done(command: str, value: object) -> None:
    live = session()
    seen = asked_while_measuring(live, command, value)
    live.run_for(5)
    assert seen[0].optimizer == "adam"
    assert (len(live._asked), len(live.run.history.epochs)) == (1, 1)


def test_a_bad_value_during_a_measurement_is_said_and_nothing_is_lost() -> None:
    live, plain = session(), session()
    asked_while_measuring(live, "knobs", {"dropout": 7})
    live.run_for(5)
    assert isinstance(live.status.error, InvalidInputError)
    plain.run_for(5)
    assert same(facts(live), facts(plain))


def test_a_measurement_that_fails_leaves_a_run_that_goes_on() -> None:
    live, plain = session(), session()
    asked_while_measuring(live, "knobs", {"learning_rate": 0.001})
    check = live.run._check_finite
    live.run._check_finite = lambda *args: (
        (_ for _ in ()).throw(TrainingError("made to fail")) if "had been" in args[-1] else check(*args)
    )
    with pytest.raises(TrainingError):
        live.run_for(5)
    assert live.status.step == 4  # the fifth batch is the next again
    assert [change.step for change in live.status.changes] == [4]
    live.run._check_finite = check
    live.ask("back", ("A", 0))
    live.ask("knobs", {"learning_rate": 0.01})
    live.run_for(5)
    plain.run_for(5)
    assert same(facts(live), facts(plain))


def test_many_turns_between_two_batches_are_one_change(opened) -> None:
    live = opened()
    gate = Gate(live, 2)
    live.ask("start", 4)
    assert gate.arrived.wait(PATIENCE)
    for rate in (0.5, 0.4, 0.3, 0.02):
        live.ask("knobs", {"learning_rate": rate})
    live.ask("knobs", {"dropout": 0.1})
    live.ask("knobs", {"dropout": None})  # turned back
    gate.go.set()
    until(live, "paused", 4)
    assert live.status.changes == (Change(2, "learning_rate", 0.01, 0.02),)


def test_before_the_first_batch_a_knob_is_how_it_begins() -> None:
    plain = session()
    plain.ask("knobs", {"learning_rate": 0.002, "l2": 0.01})
    plain.run_for(1)
    assert plain.status.changes == ()
    assert (plain.status.script.recipe.learning_rate, plain.status.script.recipe.l2) == (0.002, 0.01)
    assert plain.run.history.recipe.l2 == 0.01


def test_an_impossible_value_is_said_and_training_goes_on(opened) -> None:
    live = opened()
    gate = Gate(live, 2)
    live.ask("start", 4)
    assert gate.arrived.wait(PATIENCE)
    live.ask("knobs", {"momentum": 1.5})
    gate.go.set()
    until(live, "paused", 4)
    assert live.status.changes == ()
    assert isinstance(live.status.error, InvalidInputError)
    assert "momentum 1.5 is not possible" in str(live.status.error)


# ---------------------------------------------------------------- threads, order, the end


def test_callbacks_from_many_threads_at_once(opened) -> None:
    live = opened()
    start = threading.Barrier(8)

    def hammer(number: int) -> None:
        start.wait(PATIENCE)
        for turn in range(20):
            live.ask("knobs", {"learning_rate": 1e-4 * (1 + number), "dropout": turn / 40})
            live.ask(("start", "pause", "step", "start")[turn % 4])

    threads = [threading.Thread(target=hammer, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    live.ask("pause")
    live.ask("knobs", {"dropout": 0.5})
    assert live.wait(lambda m: m.knobs.dropout == 0.5 and m.phase in ("paused", "finished"), PATIENCE)
    assert live.status.error is None
    steps = [change.step for change in live.status.changes]
    assert steps == sorted(steps)
    again = session()  # whatever the threads did is a script, and it replays
    again.ask("replay", live.status.script)
    again.run_for(live.status.step)
    assert same(facts(again), facts(live))


def test_a_single_step_and_a_pause(opened) -> None:
    live = opened()
    for count in (1, 2, 3):
        live.ask("step")
        until(live, "paused", count)
    live.ask("knobs", {"l2": 0.1})  # during a pause it shows at once
    assert live.wait(lambda m: m.knobs.l2 == 0.1, PATIENCE)
    assert live.status.changes == (Change(3, "l2", 0.0, 0.1),)


def test_after_the_end_nothing_happens(opened) -> None:
    live = opened()
    gate = Gate(live, 2)
    live.ask("start")
    assert gate.arrived.wait(PATIENCE)
    gate.go.set()
    live.close(PATIENCE)
    assert live.status.phase == "closed"
    before = facts(live)
    assert not live.ask("start")
    assert not live.ask("knobs", {"dropout": 0.7})
    live.close(PATIENCE)
    assert same(facts(live), before)


def test_closing_on_its_own_thread_does_not_wait_for_itself() -> None:
    live: list[Session] = []
    live.append(session(report=lambda status, due: live[0].close() if status.step == 2 else None))
    live[0].open()
    live[0].ask("start")
    live[0]._thread.join(PATIENCE)
    assert live[0].status.phase == "closed"
    assert live[0].status.step == 2


def test_it_ends_after_the_recipe_s_epochs(opened) -> None:
    live = opened()
    live.ask("start")
    until(live, "finished", 30)
    assert [epoch.epoch for epoch in live.run.history.epochs] == [1, 2, 3, 4, 5, 6]
    live.ask("start")
    live.ask("step")
    live.ask("knobs", {"l2": 0.2})
    assert live.wait(lambda m: m.knobs.l2 == 0.2, PATIENCE)
    assert live.status.step == 30


def test_two_sessions_and_the_user_s_own_numbers_do_not_disturb_each_other(opened) -> None:
    alone = session()
    alone.run_for(12)
    torch.manual_seed(11)
    expected = torch.rand(2000)
    one, other = opened(), opened(recipe=replace(RECIPE, seed=5))
    torch.manual_seed(11)
    one.ask("start", 12)
    other.ask("start", 12)
    drawn = torch.cat([torch.rand(1) for _ in range(2000)])  # while both train
    until(one, "paused", 12)
    until(other, "paused", 12)
    assert torch.equal(drawn, expected)
    assert same(facts(one), facts(alone))
    assert not torch.equal(one.run.model[0].weight, other.run.model[0].weight)


# ---------------------------------------------------------------- errors


def test_an_error_in_the_thread_is_told_and_the_batch_can_be_tried_again(opened) -> None:
    live = opened()
    step = live.run._step

    def broken(*batch: object) -> object:
        if live.status.step == 2:
            live.run._step = step
            raise RuntimeError("a cosmic ray")
        return step(*batch)

    live.run._step = broken
    live.ask("start", 7)
    until(live, "failed", 2)
    assert str(live.status.error) == "a cosmic ray"
    live.ask("start", 7)
    until(live, "paused", 7)
    assert live.status.error is None
    plain = session()
    plain.run_for(7)
    assert same(facts(live), facts(plain))


def test_an_error_raises_where_nobody_looks() -> None:
    plain = session()
    plain.ask("knobs", {"optimizer": "sgd", "learning_rate": 99.0, "l2": 1e30})
    with pytest.raises(TrainingError, match="the update was not applied"):
        plain.run_for(6)
    assert plain.status.phase == "failed"


# ---------------------------------------------------------------- branches


def test_go_back_turn_a_knob_train_on_and_both_futures_stay() -> None:
    lab = session()
    lab.run_for(12)
    first = lab.run.history
    lab.ask("back", ("A", 11))  # the nearest before is the end of epoch 2
    lab.ask("knobs", {"learning_rate": 0.001})
    lab.run_for(8)
    assert lab.status.branches == (("A", "from the beginning"), ("B", "learning rate 0.01 → 0.001 at step 10"))
    assert (lab.status.branch, lab.status.step) == ("B", 18)
    assert lab.status.changes == (Change(10, "learning_rate", 0.01, 0.001),)
    histories = {letter: branch.history for letter, branch in lab.branches.all.items()}
    assert [len(histories[letter].epochs) for letter in "AB"] == [2, 3]
    assert histories["A"].epochs == first.epochs == histories["B"].epochs[:2]
    straight = session()
    straight.run_for(10)
    straight.ask("knobs", {"learning_rate": 0.001})
    straight.run_for(8)
    assert same(facts(lab), facts(straight))


def test_without_a_change_the_branch_is_the_run_that_was_never_left() -> None:
    lab, plain = session(), session()
    lab.run_for(8)
    lab.ask("back", ("A", 5))
    lab.run_for(9)
    plain.run_for(14)
    assert lab.status.branches[1] == ("B", "unchanged from step 5")
    assert same(facts(lab), facts(plain))


def test_at_its_end_an_older_future_goes_on() -> None:
    lab, plain = session(), session()
    lab.run_for(7)
    lab.ask("back", ("A", 5))
    lab.ask("knobs", {"dropout": 0.9})
    lab.run_for(3)
    lab.ask("back", ("A", 7))
    lab.run_for(4)
    plain.run_for(11)
    assert (lab.status.branch, lab.status.step) == ("A", 11)
    assert [letter for letter, _ in lab.status.branches] == ["A", "B"]
    assert same(facts(lab), facts(plain))


def test_four_futures_and_then_one_has_to_go() -> None:
    lab = session()
    lab.run_for(6)
    for number in range(3):
        lab.ask("back", ("A", 5))
        lab.ask("knobs", {"l2": 0.1 * (number + 1)})
        lab.run_for(1)
    lab.ask("back", ("A", 5))
    with pytest.raises(InvalidInputError, match=r"4 branches are shown.*Drop one"):
        lab.run_for(0)
    assert (lab.status.branch, lab.status.step) == ("D", 6)
    lab.ask("drop", "D")
    with pytest.raises(InvalidInputError, match="is the one that trains"):
        lab.run_for(0)
    lab.ask("drop", "B")
    lab.ask("back", ("D", 5))
    lab.run_for(1)
    assert [letter for letter, _ in lab.status.branches] == ["A", "B", "C", "D"]
    assert lab.branches["B"].left == "D"


def test_going_elsewhere_before_training_leaves_no_empty_future() -> None:
    lab = session()
    lab.run_for(12)
    for step in (10, 5, 0):
        lab.ask("back", (lab.status.branch, step))
        lab.ask("knobs", {"l2": 0.5})
        lab._obey()
    assert [letter for letter, _ in lab.status.branches] == ["A", "B"]
    assert lab.status.step == 0
    lab.ask("back", ("A", 12))
    lab._obey()
    assert [letter for letter, _ in lab.status.branches] == ["A"]


def test_before_a_knob_is_turned_the_state_is_kept() -> None:
    lab = session(replace(RECIPE, batch=6))  # 15 batches an epoch
    lab._do_start(None)
    for turn, steps in (({"dropout": 0.0}, 8), ({"dropout": 0.5}, 3), ({"l2": 0.1}, 2)):
        for _ in range(steps):
            lab._train()
        lab.ask("knobs", turn)
        lab._obey()
    kept = lab.snapshots.of("A")
    assert [each.step for each in kept] == [0, 8, 13]  # step 11 is too near to step 8
    assert [each.knobs.dropout for each in kept] == [None, None, 0.5]


def test_a_plan_that_lies_ahead_again_counts_again() -> None:
    lab = session()
    lab.plan((Planned(2, "learning_rate", times=0.1), Planned(4, "dropout", 0.5)))
    lab.run_for(12)
    assert [each.epoch for each in lab.status.planned] == [4]
    for step in (11, 5):  # the first arrives at 10, where the second epoch ends
        lab.ask("back", ("A", step))
        lab.run_for(0)
        assert [each.epoch for each in lab.status.planned] == [2, 4]
        assert lab.status.knobs.learning_rate == 0.01
    lab.run_for(7)
    assert lab.status.changes == (Change(10, "learning_rate", 0.01, 0.001),)
    lab.ask("back", ("A", 12))  # its end, where it goes on
    lab.run_for(0)
    assert [each.epoch for each in lab.status.planned] == [4]
    lab.ask("plan", ())  # whoever wants the branch without it says so
    lab.ask("back", ("A", 5))
    lab.run_for(7)
    assert lab.status.changes == ()


def test_a_planned_change_that_cannot_be_made_is_refused_when_it_is_planned() -> None:
    lab = session()
    for wrong, says in (
        (Planned(1, "batch", 91), "a batch of 91 images"),
        (Planned(1, "frozen", "nowhere"), "layer 'nowhere' is not there"),
        (Planned(1, "dropout", times=0.5), "dropout as built cannot be multiplied"),
    ):
        with pytest.raises(InvalidInputError, match=says):
            lab.plan((wrong,))
    assert lab.status.planned == ()


def test_a_planned_change_that_has_become_impossible_stops_no_other() -> None:
    lab = session()
    lab.plan((Planned(1, "learning_rate", times=1e3), Planned(1, "l2", 0.1)))  # 10, which is allowed
    lab.ask("knobs", {"learning_rate": 0.5})  # times 1,000 it is no longer
    with pytest.raises(InvalidInputError, match="learning rate 500"):
        lab.run_for(6)
    lab.run_for(6)
    assert lab.status.knobs.l2 == 0.1
    assert lab.status.planned == ()


def test_a_batch_size_is_multiplied_as_a_whole_number() -> None:
    lab = session()
    lab.plan((Planned(1, "batch", times=1.25), Planned(2, "batch", times=1e-3)))
    lab.run_for(6)
    assert lab.status.knobs.batch == 25
    lab.run_for(4)
    assert lab.status.knobs.batch == 1


def test_an_update_that_was_left_half_done_is_not_trained_on() -> None:
    lab = session()
    lab.run_for(7)
    step = lab.run.optimizer.step

    def half() -> None:
        next(lab.run.model.parameters()).data.add_(1)
        raise RuntimeError("out of it")

    lab.run.optimizer.step = half
    with pytest.raises(RuntimeError, match="out of it"):
        lab.run_for(1)
    lab.run.optimizer.step = step
    with pytest.raises(TrainingError, match="left half done"):
        lab.run_for(1)
    lab.ask("back", ("A", 5))
    lab.run_for(3)
    plain = session()
    plain.run_for(8)
    assert same(facts(lab), facts(plain))


def test_nowhere_to_go_back_to() -> None:
    lab = session()
    lab.ask("back", ("A", 0))
    with pytest.raises(InvalidInputError, match="nothing to go back to yet"):
        lab.run_for(0)
    lab.ask("back", ("Z", 0))
    with pytest.raises(InvalidInputError, match="branch 'Z' is not shown"):
        lab.run_for(0)


def test_reset_forgets_all_and_keeps_the_knobs() -> None:
    lab = session()
    lab.run_for(6)
    lab.ask("knobs", {"learning_rate": 0.003})
    lab.run_for(1)
    lab.ask("reset", "conv3-2 - relu - max pool - dropout - softmax")
    lab.run_for(0)
    assert (lab.status.step, lab.status.changes, lab.status.knobs.learning_rate) == (0, (), 0.003)
    assert lab.status.script.model.startswith("conv3-2")
    lab.ask("reset", "model_9")
    with pytest.raises(InvalidInputError, match="network 'model_9' is unknown"):
        lab.run_for(0)
    lab.run_for(2)
    assert lab.status.script.model.startswith("conv3-2")


def test_predictions_leave_no_trace() -> None:
    looked, plain = session(), session()
    for _ in range(3):
        looked.run_for(2)
        chosen, sure = looked.run.predict(np.asarray(DATA.development.take(slice(0, 4))[0]))
    assert chosen.shape == sure.shape == (4,)
    assert ((sure > 1 / 3 - 1e-6) & (sure <= 1)).all()
    plain.run_for(6)
    assert same(facts(looked), facts(plain))
