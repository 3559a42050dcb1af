"""The weights of the best epoch: kept in memory and beside the checkpoint, and named when a run breaks."""

from dataclasses import replace

import pytest
import torch

from tests import tiny
from tests.training.made import BUSY, CPU, DATA, by_hand, copied, same
from tinylab.support.errors import TrainingError
from tinylab.training import Recipe, best_path, checkpoints, train
from tinylab.training.history import Epoch, History

WILD = Recipe(epochs=8, batch=32, learning_rate=0.05, dropout=0.0)  # its validation loss goes up and down


def broken(run, epoch: int) -> None:
    """Train until after `epoch`, then put a NaN into a weight."""
    for ended in run:
        if ended.epoch == epoch:
            break
    with torch.no_grad():
        run.model[-1].bias[0] = float("nan")


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_best_is_the_epoch_with_the_lowest_watched_loss(tmp_path, decay):
    path = tmp_path / "run.pt"
    run = train(tiny.network(), DATA, Recipe(epochs=6, batch=32, ema_decay=decay), device=CPU, checkpoint=path)
    kept = []
    for epoch in run:
        kept.append(copied(run.measured))
        if epoch.epoch == 4:  # from here on it can only get worse
            for group in run.optimizer.param_groups:
                group["initial_lr"] = 3.0
    losses = run.history.column("eval_loss")
    best = losses.index(min(losses))
    assert 0 < best < 4  # otherwise this test shows nothing
    assert (run.best.epoch, run.best.eval_loss) == (best + 1, losses[best])
    assert same(run.best.model, kept[best])
    assert path.exists()
    file = checkpoints.load(tmp_path / "run.best.pt")
    assert best_path(path) == tmp_path / "run.best.pt"
    assert file.epoch == best + 1
    assert same(dict(file.model), kept[best])
    assert len(History.from_dict(file.history).epochs) == best + 1
    assert by_hand(file.network(), DATA.development, DATA.normalisation)[0] == pytest.approx(losses[best], rel=1e-5)


def test_the_file_is_written_only_when_it_improved(tmp_path, monkeypatch):
    written = []
    save = checkpoints.save
    monkeypatch.setattr(checkpoints, "save", lambda path, state: (written.append(path.name), save(path, state)))
    run = train(tiny.network(), DATA, WILD, device=CPU, checkpoint=tmp_path / "run.pt")
    losses = run.finish().column("eval_loss")
    improved = sum(loss < min(losses[:i], default=float("inf")) for i, loss in enumerate(losses))
    assert written.count("run.best.pt") == improved < 8
    assert written.count("run.pt") == 8


def test_best_is_a_copy_that_training_leaves_alone():
    run = train(tiny.network(), DATA, replace(BUSY, epochs=2), device=CPU)
    next(iter(run))
    before = {name: value.clone() for name, value in run.best.model.items()}
    next(run.steps())
    assert same(run.best.model, before)


@pytest.mark.parametrize("at", ["memory", "file"])
def test_after_a_nan_the_line_says_where_the_best_weights_are(tmp_path, at):
    path = tmp_path / "run.pt" if at == "file" else None
    run = train(tiny.network(), DATA, BUSY, device=CPU, checkpoint=path)
    broken(run, 2)
    where = str(tmp_path / "run.best.pt") if path else "the run's `best`"
    with pytest.raises(TrainingError, match="loss is nan in epoch 3, step 1") as caught:
        run.finish()
    said = str(caught.value)
    assert f"The weights of the best epoch, {run.best.epoch}, are kept in {where}." in said
    assert "not applied" in said
    assert "\n" not in said
    run.model.load_state_dict(run.best.model)
    loss = by_hand(run.model, DATA.development, DATA.normalisation)[0]
    assert loss == pytest.approx(run.history.best.eval_loss, rel=1e-5)


def test_without_an_epoch_there_is_nothing_to_name():
    run = train(tiny.network(), DATA, BUSY, device=CPU)
    with torch.no_grad():
        run.model[-1].bias[0] = float("nan")
    with pytest.raises(TrainingError) as caught:
        run.finish()
    assert "best" not in str(caught.value)


def test_a_loss_that_is_no_number_after_the_last_update_spares_the_checkpoint(tmp_path):
    """The update itself broke the weights: the epoch is not recorded, what was written before stays."""
    path = tmp_path / "run.pt"
    run = train(tiny.network(), DATA, BUSY, device=CPU, checkpoint=path)
    next(iter(run))
    steps = run.steps()
    for _ in range(3):
        next(steps)
    with torch.no_grad():
        run.model[-1].bias[0] = float("nan")
    with pytest.raises(TrainingError, match=r"development loss is nan in epoch 2, step 3, .* had been applied"):
        next(steps)
    assert len(run.history.epochs) == 1
    assert checkpoints.load(path).epoch == 1


def test_a_resumed_run_knows_the_best_of_before(tmp_path):
    path = tmp_path / "run.pt"
    straight = train(tiny.network(), DATA, WILD, device=CPU)
    straight.finish()
    for epoch in train(tiny.network(), DATA, WILD, device=CPU, checkpoint=path):
        if epoch.epoch == straight.best.epoch + 1:
            break
    run = train(tiny.network(seed=8), DATA, WILD, device=CPU, checkpoint=path, resume=True)
    assert (run.best.epoch, run.best.eval_loss) == (straight.best.epoch, straight.best.eval_loss)
    run.finish()
    assert same(dict(run.best.model), straight.best.model)


def test_best_weights_alone_are_no_run_to_resume(tmp_path):
    path = tmp_path / "run.pt"
    train(tiny.network(), DATA, BUSY, device=CPU, checkpoint=path).finish()
    with pytest.raises(TrainingError, match=r"run\.best\.pt: holds no run to go on with .* best weights alone"):
        train(tiny.network(), DATA, BUSY, device=CPU, checkpoint=tmp_path / "run.best.pt", resume=True)


def test_history_s_best_passes_over_what_is_no_number():
    def epoch(number: int, loss: float) -> Epoch:
        return Epoch(number, 0.1, 1, 0, 1, 0, loss, 0, 0, 1, 1)

    nan, inf = float("nan"), float("inf")
    epochs = [epoch(number, loss) for number, loss in enumerate((nan, inf, 2.0, nan, 1.0, 1.0), start=1)]
    assert History(Recipe(), "", "", "", (), epochs).best.epoch == 5
    assert History(Recipe(), "", "", "", (), epochs[:1]).best.epoch == 1
