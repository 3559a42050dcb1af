"""A run that is interrupted anywhere goes on exactly where it was, or says that it cannot."""

import os
import signal
import threading
from dataclasses import replace

import pytest
import torch

from tests import tiny
from tests.training.made import BUSY, CPU, DATA, NORMED, copied, same, untimed
from tinylab.support.errors import TrainingError
from tinylab.support.interrupts import uninterrupted
from tinylab.training import train

RECIPES = {"plain": BUSY, "averaged": replace(BUSY, ema_decay=0.6)}


def undisturbed(recipe):
    run = train(tiny.network(line=NORMED), DATA, recipe, device=CPU)
    run.finish()
    return run


def raising(thing, name, error, when):
    """Replaces a method so that call number `when` (from 1) raises, before it does anything."""
    original, calls = getattr(thing, name), []

    def method(*args, **kwargs):
        calls.append(1)
        if len(calls) == when:
            raise error
        return original(*args, **kwargs)

    setattr(thing, name, method)


def after(thing, name, error, when):
    """Likewise, after the method has done its work."""
    original, calls = getattr(thing, name), []

    def method(*args, **kwargs):
        result = original(*args, **kwargs)
        calls.append(1)
        if len(calls) == when:
            raise error
        return result

    setattr(thing, name, method)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("error", [KeyboardInterrupt(), torch.OutOfMemoryError("out of memory"), ZeroDivisionError()])
@pytest.mark.parametrize("place", ["before forward", "after forward", "after backward", "while measuring"])
def test_wherever_it_stops_the_next_call_goes_on(recipe, error, place):
    straight = undisturbed(recipe)
    run = train(tiny.network(line=NORMED), DATA, recipe, device=CPU)
    match place:
        case "before forward":
            raising(run, "_dropout_seeded", error, 5)
        case "after forward":  # the statistics of batch normalisation have moved
            after(run.model[-1], "forward", error, 5)
        case "after backward":
            raising(run, "_check_finite", error, 5)
        case "while measuring":
            raising(run._watched, "epoch", error, 2)
    with pytest.raises((type(error), TrainingError)):
        run.finish()
    run.finish()
    assert untimed(run.history) == untimed(straight.history)
    assert same(copied(run.model), copied(straight.model))
    assert same(copied(run.measured), copied(straight.measured))


def test_an_error_of_the_caller_leaves_the_run_as_it_was():
    straight, run = undisturbed(BUSY), train(tiny.network(line=NORMED), DATA, BUSY, device=CPU)
    seen = []
    for stop in (2, 4, 7, 1000):
        try:
            for step in run.steps():
                seen.append((step.epoch, step.step))
                if len(seen) == stop:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            pass
    assert seen == [(epoch, step) for epoch in range(1, BUSY.epochs + 1) for step in range(1, len(run.batches) + 1)]
    assert same(copied(run.model), copied(straight.model))


def test_a_non_finite_loss_moves_no_statistics():
    run = train(tiny.network(line=NORMED), DATA, BUSY, device=CPU)
    next(run.steps())
    with torch.no_grad():
        run.model[-1].bias[0] = float("nan")
    before = copied(run.model)
    with pytest.raises(TrainingError, match="loss is nan"):
        run.finish()
    after = copied(run.model)
    assert all(torch.equal(before[name], after[name]) for name in before if "running" in name or "tracked" in name)


def test_a_half_done_update_is_refused_and_resume_named():
    run = train(tiny.network(), DATA, BUSY, device=CPU)
    raising(run.optimizer, "step", RuntimeError("out of memory"), 3)
    with pytest.raises(RuntimeError):
        run.finish()
    with pytest.raises(TrainingError, match=r"left half done.*resume=True"):
        run.finish()


def test_ctrl_c_during_an_update_waits_for_its_end():
    """A real signal, in the middle of the update: the step counts, and the run goes on after it."""
    straight, run = undisturbed(BUSY), train(tiny.network(line=NORMED), DATA, BUSY, device=CPU)
    step, calls = run.optimizer.step, []

    def interrupted():
        calls.append(1)
        if len(calls) == 4:
            os.kill(os.getpid(), signal.SIGINT)
        step()

    run.optimizer.step = interrupted
    with pytest.raises(KeyboardInterrupt):
        run.finish()
    assert run.position.batches + len(run.history.epochs) * len(run.batches) == 4
    run.finish()
    assert untimed(run.history) == untimed(straight.history)
    assert same(copied(run.model), copied(straight.model))


def test_ctrl_c_while_an_epoch_is_recorded_neither_loses_nor_repeats_it(tmp_path):
    straight, path = undisturbed(BUSY), tmp_path / "run.pt"
    run = train(tiny.network(line=NORMED), DATA, BUSY, device=CPU, checkpoint=path)
    save, calls = run._save, []

    def interrupted():
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        save()

    run._save = interrupted
    with pytest.raises(KeyboardInterrupt):
        run.finish()
    assert [epoch.epoch for epoch in run.history.epochs] == [1, 2]
    run.finish()
    assert untimed(run.history) == untimed(straight.history)


def test_two_runs_in_two_threads_do_not_take_each_other_s_random_numbers():
    straight = undisturbed(BUSY)
    runs = [train(tiny.network(line=NORMED), DATA, BUSY, device=CPU) for _ in range(2)]
    threads = [threading.Thread(target=run.finish) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(same(copied(run.model), copied(straight.model)) for run in runs)


def test_settings_of_the_caller_s_torch_change_nothing():
    straight = undisturbed(BUSY)
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    try:
        run = train(tiny.network(line=NORMED), DATA, BUSY, device=CPU)
        run.finish()
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)
    assert [epoch.eval_loss for epoch in run.history.epochs] != []
    assert all(w.dtype == torch.float32 for w in run.model.parameters())
    assert run.history.last.running_loss == pytest.approx(straight.history.last.running_loss, rel=0.2)


def test_outside_the_main_thread_nothing_is_held_back():
    seen = []
    thread = threading.Thread(target=lambda: seen.extend([1 for _ in range(1) if uninterrupted().__enter__() is None]))
    thread.start()
    thread.join()
    assert seen == [1]


def test_the_handler_is_put_back_and_gets_what_came():
    before, came = signal.getsignal(signal.SIGINT), []
    signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
            assert came == []
        assert came == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, before)
