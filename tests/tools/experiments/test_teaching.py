"""Rows that learn from other rows: which from which, in which order, from which weights; failures and kills."""

import os
import random
import threading
from dataclasses import replace

import pytest
import torch

from tests.faults import kills
from tests.tools.experiments import small
from tests.tools.experiments.test_running import contents
from tinylab import data, models, training
from tinylab.course import results
from tinylab.support.device import pick
from tinylab.support.errors import InvalidInputError, TrainingError
from tinylab.support.files import atomic_write
from tinylab.tools import experiments
from tinylab.tools.experiments import cluster, local, material, teaching, worker
from tinylab.training import checkpoints
from tinylab.training.distillation import digest

OTHER = "conv3-3 - relu - max pool - max pool - max pool - fc(5) - relu - softmax"


def text(*, student: str = 'teacher = "big"\nteacher_weight = 0.8', big: str = "", seeds: str = "[0]") -> str:
    """A student, written before the row that teaches it."""
    return f"""
data = "small"
networks = ["{small.LINE}"]
seeds = {seeds}
final = true
watched = 1
[base]
batch = 6
epochs = 3
[[rows]]
name = "told"
{student}
[[rows]]
name = "big"
networks = ["{OTHER}"]
epochs = 2
average = 0.9
{big}
"""


def plan(**changes: str) -> experiments.Plan:
    return experiments.parse(text(**changes), "taught")


@pytest.fixture(scope="module")
def chosen():
    return plan()


# ---------------------------------------------------------------- in a plan


def rows(listed: str, *, top: str = 'networks = ["model_1"]') -> tuple[experiments.Row, ...]:
    return experiments.parse(f"{top}\n{listed}", "p").rows


def row(name: str, teacher: str = "", more: str = "", weight: str = "teacher_weight = 0.5\n") -> str:
    """A listed row; the name makes its training differ from all others'."""
    learns = f'teacher = "{teacher}"\n{weight}' if teacher else ""
    return f'[[rows]]\nname = "{name}"\nepochs = {100 + sum(map(ord, name))}\n{learns}{more}\n'


def test_teachers_come_before_their_students_and_seeds_stay_together():
    found = rows(row("c", "b") + row("b", "a") + row("x") + row("a"), top='networks = ["model_1"]\nseeds = [3, 1]')
    assert [(r.recipe.seed, r.title) for r in found] == [(seed, title) for seed in (3, 1) for title in "xabc"]
    assert [r.teaches for r in found] == [False, True, True, False] * 2
    for r in found:
        teachers = []
        while r.teacher is not None:
            teachers.append((r.recipe.seed, r.teacher.title))
            assert r.teacher.identifier in {other.identifier for other in found}  # the very row, its own teacher too
            assert r.teacher.recipe.seed == r.recipe.seed
            r = r.teacher
        assert [title for _, title in teachers] in ([], ["a"], ["b", "a"])


def test_of_several_networks_the_student_s_own_or_the_named_one_teaches():
    two = 'networks = ["model_1", "model_2"]'
    own = rows(row("a") + row("b", "a"), top=two)
    assert {r.network: r.teacher.network for r in own if r.teacher} == {"model_1": "model_1", "model_2": "model_2"}
    named = rows(row("a") + row("b", "model_2, a"), top=two)
    assert {r.network: r.teacher.network for r in named if r.teacher} == {"model_1": "model_2", "model_2": "model_2"}
    only = rows(row("a", more='networks = ["modern"]') + row("b", "a"), top=two)
    assert {r.network: r.teacher.network for r in only if r.teacher} == {"model_1": "modern", "model_2": "modern"}
    titled = rows(row("model_2, a") + row("a") + row("b", "model_2, a"), top=two)  # a title goes before its parts
    assert {r.teacher.title for r in titled if r.teacher} == {"model_2, a"}


def test_a_grid_may_teach():
    found = rows("[axes]\nl2 = [0.0, 0.1]\n" + row("b", "l2 0.1"))
    assert found[-1].teacher == found[1]


TWO = 'networks = ["model_1", "model_2"]'
CHAIN = row("r00") + "".join(row(f"r{k:02}", f"r{k - 1:02}") for k in range(1, 12))


@pytest.mark.parametrize(
    ("top", "listed", "said"),
    [
        ("", row("a") + row("b", "A"), "b: teacher 'A' is no row of the plan. Allowed: 'a'$"),
        ("", row("a") + row("c") + row("b", "model_2, a"), "teacher 'model_2, a' is no row .* Allowed: 'a', 'c'$"),
        ("", row("b", "a"), "b: teacher 'a' is no row of the plan. Allowed: the name of another row"),
        ("", row("b", "x" * 999), "b: teacher 'x{79} is no row"),
        ("", row("a", "a"), "'model_1, a' learns from 'model_1, a': a circle, in which nobody can begin"),
        ("", row("a", "b") + row("b", "a"), "'model_1, a' learns from 'model_1, b' learns from 'model_1, a': a circle"),
        ("", row("o", "a") + row("a", "b") + row("b", "a"), "'model_1, a' learns from 'model_1, b'"),
        (TWO, row("a", "model_1, a"), "'model_1, a' learns from 'model_1, a': a circle"),
        ("", CHAIN, "r11: 11 teachers one above the other. Allowed: 10"),
        ("", row("a") + row("b", "a", weight=""), "teacher 'a' without teacher_weight. Give one above 0, such as 0.9"),
        ("", row("a") + row("b", "a", weight="teacher_weight = 0"), "b: teacher 'a' without teacher_weight"),
        ("", row("a") + row("b", "a", weight="teacher_weight = 1.0"), "teacher_weight 1.0 is not possible"),
        (
            TWO,
            row("a") + row("b", "a", 'networks = ["model_3"]'),
            "b: teacher 'a' has several networks, and model_3 is none .* Allowed: 'model_1, a', 'model_2, a'$",
        ),
        (
            "",
            row("a", more="per_class = 9") + row("b", "a"),
            "b: per_class all differs from 9 of its teacher 'a', whose .* Allowed: the same$",
        ),
        (
            "",
            row("a") + row("b", "a", 'normalisation = "channel"'),
            "b: normalisation 'channel' differs from 'pixel' of its teacher 'a'",
        ),
    ],
)  # fmt: skip
def test_bad_teachers_are_one_line(top, listed, said):
    with pytest.raises(InvalidInputError, match=said) as caught:
        rows(listed, top=top or 'networks = ["model_1"]')
    assert "\n" not in str(caught.value)
    assert "'p'" in str(caught.value)


def test_ten_teachers_one_above_the_other_are_a_plan():
    assert len(rows(CHAIN.rpartition("[[rows]]")[0])) == 11


def test_a_divided_plan_s_rows_may_differ_in_images():
    """Their mean image is that of the classes to pre-train on."""
    top = 'networks = ["model_1"]\n[transfer]\nsource = 3\ntarget = 2\nepochs = 1\n'
    found = rows(row("a", more="per_class = 9") + row("b", "a", "per_class = 2"), top=top)
    assert found[-1].teacher.per_class == 9


# ---------------------------------------------------------------- whose turn it is


def test_a_student_s_turn_comes_when_its_teacher_has_ended(tmp_path):
    found = rows(row("c", "b") + row("b", "a") + row("a") + row("x") + row("y"))
    jobs = {job.row.title: job for job in small.jobs(experiments.Plan("p", "", found), tmp_path)}
    turns = teaching.Turns(list(jobs.values()))
    assert [turns.next() for _ in range(4)] == [jobs["a"], jobs["x"], jobs["y"], None]
    turns.ended(jobs["x"])
    assert turns.next() is None
    turns.ended(jobs["a"])
    assert [turns.next(), turns.next()] == [jobs["b"], None]
    assert turns.left == [jobs["c"]]
    assert teaching.Turns([jobs["c"]]).next() == jobs["c"]  # its teacher ended in an earlier call


def test_with_two_at_a_time_a_student_waits_and_the_others_go_on(tmp_path, monkeypatch):
    """The teacher ends only once the last of the others has begun."""
    found = rows(row("told", "big") + row("big") + row("x") + row("y"))
    begun, last = [], threading.Event()

    def process(job, environment, running, lock):
        begun.append(job.row.title)
        if job.row.title == "y":
            last.set()
        assert job.row.title != "big" or last.wait(small.PATIENCE)
        return 0

    monkeypatch.setattr(local, "_process", process)
    monkeypatch.setattr(worker, "untaught", lambda job: "")
    ended = []
    jobs = small.jobs(experiments.Plan("p", "", found), tmp_path)
    local.run(jobs, pick("cpu"), 2, lambda job, outcome: ended.append((job.row.title, outcome)))
    assert begun == ["big", "x", "y", "told"]
    assert sorted(ended) == [(title, "done") for title in ("big", "told", "x", "y")]


def test_a_student_of_a_teacher_that_paused_is_left_for_the_next_slice(tmp_path, monkeypatch):
    found = rows(row("told", "big") + row("big"))
    monkeypatch.setattr(local, "_process", lambda *_: 11)
    ended = []
    jobs = small.jobs(experiments.Plan("p", "", found), tmp_path)
    local.run(jobs, pick("cpu"), 2, lambda job, outcome: ended.append((job.row.title, outcome)))
    assert ended == [("big", "paused"), ("told", "paused")]
    assert not list(tmp_path.glob("*.json"))


# ---------------------------------------------------------------- what is taught


def test_the_record_says_who_taught_and_it_is_what_a_plain_training_gives(chosen, undisturbed):
    """The teacher: its last epoch's weights, which are their running mean here. The student: train(…, teacher=…)."""
    big, told = chosen.rows
    everything = data.load("small")
    teacher = models.build(OTHER, 3, seed=0)
    training.train(teacher, everything, big.recipe, device=pick("cpu")).finish()
    found = results.load(told.name, undisturbed[0])
    assert found.settings["teacher"] == {"name": big.name, "row": big.identifier, "weights": digest(teacher)}
    assert found.teacher == big.name
    assert "teacher" not in results.load(big.name, undisturbed[0]).settings
    assert results.load(big.name, undisturbed[0]).teacher is None
    model = models.build(small.LINE, 3, seed=0)
    plain = training.train(model, everything, told.recipe, device=pick("cpu"), teacher=teacher).finish()
    assert [epoch.running_loss for epoch in found.history.epochs] == pytest.approx(
        plain.column("running_loss"), rel=1e-5
    )
    without = training.train(
        models.build(small.LINE, 3, seed=0), everything, replace(told.recipe, teacher_weight=0.0), device=pick("cpu")
    )
    assert without.finish().column("running_loss") != pytest.approx(plain.column("running_loss"), rel=1e-3)


def test_only_networks_that_teach_stay(chosen, undisturbed):
    out, _ = undisturbed
    assert [path.name for path in (out / "teachers").iterdir()] == [f"{chosen.rows[0].identifier}.pt"]
    kept = checkpoints.load(out / "teachers" / f"{chosen.rows[0].identifier}.pt")
    assert (kept.optimizer, kept.raw, kept.epoch) == ({}, None, 2)
    assert not [path for path in (out / "rows").iterdir() if path.is_dir()]


@pytest.mark.parametrize("changes", [{"start": "frozen"}, {"recipe": replace(plan().rows[0].recipe, dropout=0.3)}])
def test_any_row_s_network_comes_back(tmp_path, changes):
    """A probe of frozen layers, and a network whose recipe has other dropout than its line."""
    big = replace(plan().rows[0], network=small.LINE, **changes)
    everything = material.images(big)
    donor = models.build(small.LINE, 7, seed=5) if big.start == "frozen" else None
    run = material.start(big, everything, pick("cpu"), tmp_path / "c.pt", donor)
    run.finish()
    material.keep(run, tmp_path / "t.pt")
    back = material.teacher(replace(plan().rows[1], teacher=big), everything, tmp_path / "t.pt")
    assert digest(back) == digest(run.model)
    assert not back.training


def test_a_teacher_of_other_classes_or_images_is_refused(chosen, undisturbed):
    told, path = chosen.rows[1], undisturbed[0] / teaching.kept(chosen.rows[0])
    everything = data.load("small")
    material.teacher(told, everything, path)
    turned = data.load("small", everything.classes[::-1])
    with pytest.raises(
        TrainingError, match="the teacher knows 3 classes, the first n02; the data has 3, the first n03"
    ):
        material.teacher(told, turned, path)
    with pytest.raises(TrainingError, match="the teacher was trained on images of another mean"):
        material.teacher(told, material.images(replace(told, normalisation="channel")), path)


# ---------------------------------------------------------------- interrupted


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_killed_at_random_instants_teacher_and_student_end_as_undisturbed(chosen, undisturbed, tmp_path):
    reference, seconds = undisturbed
    jobs, dice, killed = small.jobs(chosen, tmp_path), random.Random(), 0
    for _ in range(8):
        after = dice.uniform(0, seconds / 10)  # of which most went into importing packages
        killed += kills.killed(lambda: [worker.work(job, lambda line: None) for job in jobs], after)
        assert all(results.load(name, tmp_path).finished for name in results.names(tmp_path))
    assert killed
    assert [worker.work(job) for job in jobs] == ["done"] * 2
    assert contents(tmp_path) == contents(reference)


class Killed(BaseException):
    """Stands for the process being killed: nothing may catch it."""


def test_killed_before_its_record_a_teacher_is_kept_once_more(chosen, undisturbed, tmp_path, monkeypatch):
    def kill(*_):
        raise Killed

    jobs = small.jobs(chosen, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(results, "save", kill)
        with pytest.raises(Killed):
            worker.work(jobs[0])
    assert (
        tmp_path / teaching.kept(jobs[0].row)
    ).exists()  # before the record, never after: what is finished can teach
    assert worker.result(jobs[0].row, tmp_path) is None
    assert [worker.work(job) for job in jobs] == ["done"] * 2
    assert contents(tmp_path) == contents(undisturbed[0])


def test_a_sweep_in_slices_of_an_epoch_ends_as_undisturbed(chosen, undisturbed, tmp_path):
    """What `tinylab sweep --time` does again and again: each call is over at once, yet gets on by an epoch."""
    reports = []
    while not reports or reports[-1].left:
        assert len(reports) < 5
        reports.append(experiments.run(chosen, tmp_path, seconds=0.001, say=lambda line: None))
    assert [report.left for report in reports] == [2, 1, 1, 1, 0]
    assert reports[-1] == experiments.Report(2, 0, 0)
    assert contents(tmp_path) == contents(undisturbed[0])


def test_a_student_s_checkpoint_is_no_use_with_another_teacher(chosen, undisturbed, tmp_path):
    """Its teacher was trained again, with another end: the row says so instead of mixing two teachers."""
    big, told = small.jobs(chosen, tmp_path)
    assert worker.work(big) == "done"
    assert worker.work(replace(told, deadline=0.0)) == "paused"
    path = tmp_path / teaching.kept(big.row)
    known = checkpoints.load(path)
    weights = {name: value + 0.5 for name, value in known.model.items()}
    checkpoints.save(path, replace(known, model=weights))
    assert worker.work(told) == "failed"
    failure = results.load(told.row.name, tmp_path).failure
    assert f"belongs to another run: its teacher (digest) was '{_taught_by(undisturbed[0], told.row)}', now" in failure


def _taught_by(out, row):
    return results.load(row.name, out).settings["teacher"]["weights"]


# ---------------------------------------------------------------- failures


def test_a_teacher_that_failed_fails_its_students_in_one_line_and_is_tried_again_with_them(tmp_path, monkeypatch):
    chosen = plan(big="learning_rate = 1e30")
    said = []
    assert experiments.run(chosen, tmp_path, say=said.append) == experiments.Report(0, 2, 0)
    big, told = chosen.rows
    failure = results.load(told.name, tmp_path).failure
    assert failure.startswith(f"its teacher ({big}) failed: the ")
    assert failure.endswith("With --retry both are tried again")
    assert not (tmp_path / "rows" / told.identifier / "log.txt").exists()  # no process was started for that
    assert any(line.endswith(f"failed: {failure}") for line in said)
    assert results.load(told.name, tmp_path).settings["teacher"] == {"name": big.name, "row": big.identifier}
    begun = []
    monkeypatch.setattr(local, "_process", lambda job, *_: begun.append(job.row.title) or 0)
    monkeypatch.setattr(experiments.running, "_ended", lambda row, out: "")
    experiments.run(chosen, tmp_path, say=said.append)
    assert begun == []
    monkeypatch.setattr(worker, "untaught", lambda job: "")
    experiments.run(chosen, tmp_path, retry=True, say=said.append)
    assert begun == ["big", "told"]


def test_a_retried_teacher_that_succeeds_teaches(chosen, undisturbed, tmp_path):
    big, told = small.jobs(chosen, tmp_path)
    worker.fail(big, "no memory")
    assert worker.untaught(told) == f"its teacher ({big.row}) failed: no memory. With --retry both are tried again"
    assert worker.work(told) == "failed"
    assert experiments.run(chosen, tmp_path, retry=True, say=lambda line: None) == experiments.Report(2, 0, 0)
    assert contents(tmp_path) == contents(undisturbed[0])


def test_a_network_that_is_not_there_is_said(chosen, undisturbed, tmp_path):
    big, told = small.jobs(chosen, tmp_path)
    assert worker.untaught(big) == ""
    assert (
        worker.untaught(told)
        == f"its teacher ({big.row}) is not trained yet. Train that row first: `tinylab sweep` does"
    )
    assert worker.work(big) == "done"
    assert worker.untaught(told) == ""
    path = tmp_path / teaching.kept(big.row)
    path.write_bytes(path.read_bytes()[:-9])
    assert worker.work(told) == "failed"
    assert f"{big.row.identifier}.pt: the checkpoint is damaged" in results.load(told.row.name, tmp_path).failure
    path.unlink()
    assert worker.untaught(told) == (
        f"its teacher ({big.row}) is finished, but its network is not in teachers. Delete {big.row.name}.json, "
        "then with --retry both are trained again"
    )
    (tmp_path / f"{big.row.name}.json").unlink()
    assert experiments.run(chosen, tmp_path, retry=True, say=lambda line: None) == experiments.Report(2, 0, 0)
    assert contents(tmp_path) == contents(undisturbed[0])


# ---------------------------------------------------------------- on another machine


def test_a_task_brings_its_network_along_and_a_student_s_takes_its_teacher_s(chosen, undisturbed, tmp_path):
    """Ray's tasks, called here, each in a folder of its own as machines without a shared one have it."""
    big, told = small.jobs(chosen, tmp_path / "first")
    outcome, files = cluster._task(big.dumps(), None)
    assert (outcome, list(files)) == ("done", [str(teaching.kept(big.row)), f"{big.row.name}.json"])
    there = replace(told, out=tmp_path / "second")
    stale = there.out / teaching.kept(big.row)
    atomic_write(stale, b"of an earlier attempt")
    worker.fail(replace(big, out=there.out), "no memory")  # of that machine; the caller has a newer record
    outcome, more = cluster._task(there.dumps(), files[str(teaching.kept(big.row))])
    assert (outcome, list(more)) == ("done", [f"{told.row.name}.json"])
    for name, content in {**files, **more}.items():
        atomic_write(tmp_path / "caller" / name, content)
    assert contents(tmp_path / "caller") == contents(undisturbed[0])
    assert torch.equal(
        checkpoints.load(tmp_path / "caller" / teaching.kept(big.row)).model["conv3-3.weight"],
        checkpoints.load(undisturbed[0] / teaching.kept(big.row)).model["conv3-3.weight"],
    )
