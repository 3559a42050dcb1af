"""Rows and whole plans: records, failures, slices of time, kills at any instant."""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from filelock import FileLock

from tests.faults import kills
from tests.tools.experiments import small
from tinylab import data, models, training
from tinylab.course import results
from tinylab.support.device import pick
from tinylab.support.errors import DataError, InvalidInputError, TrainingError
from tinylab.tools import experiments
from tinylab.tools.experiments import worker
from tinylab.training import Score, checkpoints


def contents(out):
    """What two runs of a plan have in common, byte for byte: records without times and origin, weights."""
    return {
        **{name: results.comparable(results.load(name, out)) for name in results.names(out)},
        **{path.name: path.read_bytes() for path in out.glob("*.safetensors")},
    }


@pytest.fixture(scope="module")
def chosen():
    return small.plan(seeds="[0, 1]", epochs=4, top='weights = [0, 1, 3, "last"]\nfinal = true\nwatched = 1')


# ---------------------------------------------------------------- one row


def test_a_record_holds_what_was_asked_and_measured(chosen, undisturbed):
    out, _ = undisturbed
    assert sorted(results.names(out)) == sorted(row.name for row in chosen.rows)
    row = chosen.rows[1]
    found = results.load(row.name, out)
    assert (found.row, found.title, found.network, found.seed) == (row.identifier, "l2 0.01", small.LINE, 0)
    assert found.recipe == row.recipe
    assert found.history.architecture == small.LINE
    assert found.images == 33  # 12 a class, of which one is held out
    assert {name: score.count for name, score in found.scores.items()} == {
        "train": 33,
        "development": 3,
        "validation": 12,
    }
    assert found.settings == {"initialisation": "he", "normalisation": "pixel", "l2_on": "all", "start": "scratch"}
    assert 0 < found.clocks.training < found.clocks.with_evaluation < found.clocks.cold
    assert found.clocks.slices == 1
    assert found.origin.device.startswith("CPU (1 thread)")
    assert set(found.origin.versions) == {"python", "torch", "numpy", "tinylab"}
    assert found.weights == (0, 1, 3, 4)
    assert isinstance(found.scores["train"], Score)
    before, after = (results.weights(row.name, epoch, out) for epoch in (0, 4))
    assert not (before["conv3-2.weight"] == after["conv3-2.weight"]).all()
    assert results.load(chosen.rows[2].name, out).weights == ()  # the second seed keeps none
    assert not [path for path in (out / "rows").iterdir() if path.is_dir()]


def test_the_end_is_what_a_plain_training_gives(chosen, undisturbed):
    from tinylab import data, models, training
    from tinylab.data.batches import Batches
    from tinylab.support.device import pick

    row, everything = chosen.rows[0], data.load("small")
    model = models.build(small.LINE, 3, seed=0)
    training.train(model, everything, row.recipe, device=pick("cpu")).finish()
    batches = Batches(everything.validation, everything.normalisation, device=pick("cpu"))
    measured = results.load(row.name, undisturbed[0]).scores["validation"]
    plain = training.score(model, batches)
    assert measured.accuracy == pytest.approx(plain.accuracy, rel=1e-5)
    assert measured.loss == pytest.approx(plain.loss, rel=1e-5)


def test_slices_that_are_over_at_once_still_get_on(chosen, undisturbed, tmp_path):
    """An epoch a slice: the deadline has passed before any begins."""
    jobs = small.jobs(chosen, tmp_path, deadline=time.time() - 1)
    for job in jobs:
        assert [worker.work(job) for _ in range(4)] == ["paused"] * 3 + ["done"]
        assert results.load(job.row.name, tmp_path).clocks.slices == 4
    assert contents(tmp_path) == contents(undisturbed[0])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_sigkill_at_random_instants_costs_an_epoch_at_most(chosen, undisturbed, tmp_path):
    reference, seconds = undisturbed
    jobs, dice, killed = small.jobs(chosen, tmp_path), random.Random(), 0
    for attempt in range(8):
        before = _epochs(jobs)
        after = dice.uniform(0, seconds / 4 if attempt else seconds / 8)
        killed += kills.killed(lambda: [worker.work(job, lambda line: None) for job in jobs], after)
        for name in results.names(tmp_path):
            assert results.load(name, tmp_path).finished  # whole, whatever happened
        assert all(now >= then for now, then in zip(_epochs(jobs), before, strict=True))
    assert killed
    assert [worker.work(job) for job in jobs] == ["done"] * 4
    assert contents(tmp_path) == contents(reference)


def _epochs(jobs):
    """Finished epochs of every row."""
    found = []
    for job in jobs:
        path = job.out / "rows" / job.row.identifier / "checkpoint.pt"
        if (record := worker.result(job.row, job.out)) is not None:
            found.append(len(record.history.epochs))
        else:
            found.append(checkpoints.load(path).epoch if path.exists() else 0)
    return found


# ---------------------------------------------------------------- failures


def test_a_failure_is_recorded_with_its_epochs_and_no_path(tmp_path):
    (row,) = small.plan(epochs=3, axes="learning_rate = [1e30]").rows
    job = small.jobs(experiments.Plan("p", "", (row,)), tmp_path)[0]
    assert worker.work(job) == "failed"
    found = results.load(row.name, tmp_path)
    assert "loss is nan" in found.failure or "loss is inf" in found.failure
    assert str(tmp_path) not in found.failure
    assert found.scores == {}
    assert found.clocks.training == 0


def test_an_epoch_before_the_failure_is_in_the_record(chosen, tmp_path, monkeypatch):
    job = small.jobs(chosen, tmp_path)[0]
    monkeypatch.setattr(results, "save", _raises_first(results.save))
    assert worker.work(job) == "failed"
    found = results.load(job.row.name, tmp_path)
    assert (found.failure, len(found.history.epochs)) == ("OSError: no room", 4)


def _raises_first(function):
    calls = []

    def first(*arguments, **options):
        calls.append(1)
        if len(calls) == 1:
            raise OSError("no room")
        return function(*arguments, **options)

    return first


# ---------------------------------------------------------------- a whole plan


def test_a_plan_skips_what_is_done_and_goes_on_after_a_failure(tmp_path):
    chosen = small.plan(epochs=2, axes="learning_rate = [0.001, 1e30]")
    said = []
    assert experiments.run(chosen, tmp_path, say=said.append) == experiments.Report(1, 1, 0)
    assert said[0] == "a-plan: 2 rows, 0 finished; 2 to do, on CPU (1 thread)"
    assert any("learning rate 0.001, seed 0: train " in line for line in said)
    assert any("learning rate 1e+30, seed 0: failed: the " in line for line in said)
    names = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.json")}
    said.clear()
    assert experiments.run(chosen, tmp_path, say=said.append) == experiments.Report(1, 1, 0)
    assert "1 finished, 1 failed before (--retry tries again); 0 to do" in said[0]
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.json")} == names
    assert experiments.run(chosen, tmp_path, retry=True, seconds=0.001, say=said.append) == experiments.Report(1, 1, 0)
    changed = {path.name for path in tmp_path.glob("*.json") if path.stat().st_mtime_ns != names[path.name]}
    assert changed == {"a-plan_line-" + chosen.rows[1].short[5:] + "_learning-rate-1e-30_seed-0.json"}
    listed = experiments.listing(chosen, tmp_path, pace=lambda network, batch, device: 33 / 3600)  # an epoch an hour
    assert [row[6] for row in listed.rows] == ["finished", "failed"]
    assert [row[4:6] for row in listed.rows] == [["66", "2.0"]] * 2  # 33 images, twice
    assert "132 training images in all epochs together, 4.0 hours at the pace of CPU (1 thread)" in listed.caption


def test_a_sweep_killed_with_sigkill_goes_on(tmp_path, prepared):
    plan, out = tmp_path / "long.toml", tmp_path / "out"
    plan.write_text(small.text(epochs=100_000, axes="l2 = [0.0]"))
    (row,) = experiments.load(plan).rows
    command = [sys.executable, "-m", "tinylab", "sweep", str(plan), "--out", str(out)]
    environment = {**os.environ, **small.surroundings(prepared)}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment) as sweep:
        small.wait_for(lambda: (out / "rows" / row.identifier / "clocks.json").exists(), "a first epoch")
        sweep.kill()
    lock = FileLock(out / "rows" / f"{row.identifier}.lock")
    lock.acquire(timeout=small.PATIENCE)  # the system has released that of the killed process
    lock.release()
    assert worker.result(row, out) is None
    assert experiments.listing(experiments.load(plan), out).rows[0][6] == "begun"
    job = small.jobs(experiments.load(plan), out, deadline=0.0)[0]
    before = _epochs([job])
    assert worker.work(job) == "paused"
    assert _epochs([job]) == [before[0] + 1]


# ---------------------------------------------------------------- what is said before anything is trained


@pytest.mark.parametrize(
    ("changes", "options", "error", "said"),
    [
        ({"top": 'data = "smal"'}, {}, DataError, "did you mean 'small'"),
        ({"top": "per_class = 99"}, {}, InvalidInputError, "per_class=99"),
        ({"top": "watched = 99"}, {}, InvalidInputError, "per_class=99"),
        ({"top": "classes = 9"}, {}, InvalidInputError, "classes=9"),
        ({}, {"seconds": 0}, InvalidInputError, "time 0"),
        ({}, {"seconds": float("nan")}, InvalidInputError, "time nan"),
        ({}, {"device": "gpu"}, InvalidInputError, "device 'gpu'"),
    ],
)
def test_bad_input_before_anything_is_trained(tmp_path, changes, options, error, said):
    written = small.text(**changes)
    if "data =" in changes.get("top", ""):
        written = written.replace('data = "small"\n', "", 1)
    with pytest.raises(error, match=said) as caught:
        experiments.run(experiments.parse(written, "p"), tmp_path / "out", **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_folder_with_other_or_damaged_records_is_refused(tmp_path):
    chosen = small.plan(epochs=1)
    name = chosen.rows[0].name
    worker.fail(small.jobs(chosen, tmp_path)[0], "made")
    with pytest.raises(TrainingError, match="is of another row"):
        experiments.run(small.plan(epochs=2), tmp_path)
    (tmp_path / f"{name}.json").write_text("{}")
    with pytest.raises(TrainingError, match=f"{name}.json: this is not a record"):
        experiments.run(chosen, tmp_path)


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TrainingError, match="Choose another --out"):
        experiments.run(small.plan(epochs=1), tmp_path / "file", say=lambda line: None)


# ---------------------------------------------------------------- answers, and rows that go on from others


def test_the_answers_to_the_official_images_are_kept(prepared, tmp_path):
    (row,) = small.plan(epochs=1, axes="l2 = [0.0]", top="final = true\nanswers = true").rows
    assert worker.work(small.jobs(experiments.Plan("p", "", (row,)), tmp_path)[0]) == "done"
    kept, everything = results.answers(row.name, tmp_path), data.load("small")
    model = models.build(small.LINE, 3, seed=0)
    training.train(model, everything, row.recipe, device=pick("cpu")).finish()
    x = everything.normalisation.apply(everything.validation.take(slice(None))[0])
    p = model.eval()(x).softmax(dim=1).detach().numpy()
    order = np.argsort([int(name[4:-5]) for name in everything.validation.names])  # val_7.JPEG
    np.testing.assert_array_equal(kept.labels, everything.validation.targets[order])
    np.testing.assert_array_equal(kept.classes, np.argsort(-p, axis=1)[order])
    np.testing.assert_allclose(kept.probabilities, -np.sort(-p, axis=1)[order], atol=1e-3)  # float16
    np.testing.assert_allclose(kept.right, p[order, kept.labels], atol=1e-3)
    accuracy = (kept.classes[:, 0] == kept.labels).mean()
    assert accuracy == pytest.approx(results.load(row.name, tmp_path).scores["validation"].accuracy, rel=1e-5)
    path = tmp_path / f"{row.name}.answers.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    with pytest.raises(TrainingError, match="not the answers of the record"):
        results.answers(row.name, tmp_path)


def test_the_whole_network_of_the_first_seed_is_kept(prepared, tmp_path):
    chosen = small.plan(seeds="[0, 1]", epochs=1, axes="l2 = [0.0]", top="final = true\nship = true")
    assert [row.ship for row in chosen.rows] == [True, False]
    assert chosen.rows[0].identifier == replace(chosen.rows[0], ship=False).identifier
    for job in small.jobs(chosen, tmp_path):
        assert worker.work(job) == "done"
    assert len(list(tmp_path.glob("*.network.safetensors"))) == 1
    network, everything = results.network("a-plan", tmp_path), data.load("small")
    assert network.words == everything.words
    x = everything.normalisation.apply(everything.validation.take(slice(None))[0])
    right = network.network()(x).argmax(1).numpy() == everything.validation.targets
    assert network.accuracy == pytest.approx(right.mean())


def test_a_row_that_goes_on_from_another_ends_as_if_trained_at_once(tmp_path):
    rows = '[[rows]]\nname = "short"\n[[rows]]\nname = "long"\nepochs = 4\ncontinues = "short"\nweights = [0, 1, 4]\n'
    text = small.text(epochs=2).split("[axes]")[0] + rows
    chosen = experiments.parse(text, "a-plan")
    assert [row.continues for row in chosen.rows] == [None, chosen.rows[0].identifier]
    said: list[str] = []
    assert experiments.run(chosen, tmp_path / "on", say=said.append) == experiments.Report(2, 0, 0), said
    alone = experiments.parse(text.replace('continues = "short"\n', ""), "a-plan")
    assert alone.rows[1].identifier == chosen.rows[1].identifier
    assert worker.work(small.jobs(alone, tmp_path / "at once")[1]) == "done"
    name = chosen.rows[1].name
    went_on, at_once = (results.comparable(results.load(name, tmp_path / way)) for way in ("on", "at once"))
    assert went_on == {**at_once, "weights": [4], "weights_digest": went_on["weights_digest"]}
    with pytest.raises(InvalidInputError, match="which is no row of"):
        experiments.parse(text.replace('continues = "short"', 'continues = "shorter"'), "a-plan")
    with pytest.raises(InvalidInputError, match="differs from it in more than"):
        experiments.parse(text + "l2 = 0.1\n", "a-plan")
    with pytest.raises(InvalidInputError, match="image size is not constant"):
        experiments.parse(text.replace("batch = 6", "batch = 6\nstart_size = 8"), "a-plan")
    with pytest.raises(InvalidInputError, match="as many epochs"):
        experiments.parse(text.replace("epochs = 4", "epochs = 2").replace("1, 4]", "1]"), "a-plan")


@pytest.fixture
def going_on():
    """A plan whose second row goes on from the end of its first."""
    rows = '[[rows]]\nname = "short"\n[[rows]]\nname = "long"\nepochs = 4\ncontinues = "short"\n'
    return experiments.parse(small.text(epochs=2).split("[axes]")[0] + rows, "a-plan")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_kill_right_after_a_record_leaves_the_end_to_go_on_from(going_on, tmp_path, monkeypatch):
    save = results.save

    def dies(*arguments):
        save(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    with monkeypatch.context() as patch:
        patch.setattr(results, "save", dies)
        code = kills.ended(*kills.start(lambda: experiments.run(going_on, tmp_path, say=lambda line: None)))
    assert code == -signal.SIGKILL
    assert results.load(going_on.rows[0].name, tmp_path).finished
    assert experiments.run(going_on, tmp_path, say=lambda line: None) == experiments.Report(2, 0, 0)


def test_a_folder_of_an_earlier_version_is_refused_in_one_line_that_tells_the_remedy(going_on, tmp_path):
    """That moved the end of a row that is continued out of rows/."""
    short, long = small.jobs(going_on, tmp_path)
    assert worker.work(short) == "done"
    end, moved = tmp_path / "rows" / short.row.identifier, tmp_path / "continued" / short.row.identifier
    moved.parent.mkdir()
    end.rename(moved)
    said = []
    assert experiments.run(going_on, tmp_path, say=said.append) == experiments.Report(1, 1, 0)
    assert f"{end.name}, has not ended in rows. Train that one first; if it ended in continued/" in said[-2]
    assert "\n" not in said[-2]
    moved.rename(end)
    assert experiments.run(going_on, tmp_path, retry=True, say=said.append) == experiments.Report(2, 0, 0)
    assert results.load(long.row.name, tmp_path).finished


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_kill_while_an_end_is_taken_over_leaves_no_half_checkpoint(going_on, tmp_path):
    import resource

    short, long = small.jobs(going_on, tmp_path)
    assert worker.work(short) == "done"
    size = (tmp_path / "rows" / short.row.identifier / "checkpoint.pt").stat().st_size

    def dies() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (size - 1, size - 1))
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # the system kills whoever writes the checkpoint's last byte
        worker.work(long)

    assert kills.ended(*kills.start(dies)) == -signal.SIGXFSZ
    assert experiments.run(going_on, tmp_path, say=lambda line: None) == experiments.Report(2, 0, 0)


def test_the_pace_is_that_of_a_few_real_steps():
    from tinylab.support.device import pick
    from tinylab.tools.experiments.pace import images_per_second

    assert 1 < images_per_second(small.LINE, 6, pick("cpu")) < 1e6
