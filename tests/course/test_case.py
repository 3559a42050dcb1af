"""The case: what is said follows the records, and a later record changes numbers and verdicts only."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tinylab import course, models
from tinylab.course import evidence, results
from tinylab.support.errors import InvalidInputError
from tinylab.training import RECIPES, Score

STORED = [r for r in results.load_all() if r.classes == 10]


def _scored(record, accuracy, count=10_000, **changes):
    """The record as if it had been scored so."""
    scores = {split: Score(1.0, accuracy, count) for split in record.scores}
    return replace(record, scores=scores, weights=(), **changes)


def _of(title, network="model_1"):
    return next(r for r in STORED if (r.title, r.network) == (title, network))


def _full(record, accuracy):
    """The record as if it had had 200 classes."""
    history = replace(record.history, classes=tuple(map(str, range(200))))
    return _scored(record, accuracy, history=history)


def test_only_trainings_that_differ_in_one_factor_are_compared():
    found = evidence.penalty(STORED)
    assert [(c.network, c.classes) for c in found] == [(f"Model {n}", 10) for n in (1, 2, 3)]
    dropped = _of("without L2 and dropout")  # differs from "as described" in two things
    assert evidence.penalty([_of("as described"), dropped]) == []


def test_trainings_of_one_length_are_set_side_by_side():
    """Model 1 went on to 24 epochs with and without L2: beside the others stand its first twelve."""

    def on(record):
        recipe = replace(record.recipe, epochs=24)
        return replace(record, history=replace(record.history, recipe=recipe, epochs=record.history.epochs * 2))

    pairs = [_of(title, name) for title in ("as described", "without L2") for name in models.ARCHITECTURES]
    longer = [on(_of("as described")), on(_of("without L2"))]
    assert evidence.penalty([*longer, *pairs]) == evidence.penalty(pairs)
    assert [c.epochs for c in evidence.penalty([*longer, *pairs[:1], *pairs[3:4]])] == [24]
    assert list(evidence.courses("model_1", 10, [*pairs, *longer]).values()) == [one.history for one in longer]


def test_the_error_is_that_of_two_separate_sets_of_images():
    (change,) = evidence.penalty([_scored(_of("as described"), 0.3, 400), _scored(_of("without L2"), 0.4, 400)])
    assert change.gain == pytest.approx(10)
    assert change.error == pytest.approx(100 * math.sqrt(0.3 * 0.7 / 400 + 0.4 * 0.6 / 400))
    assert change.clear == (change.gain > 2 * change.error)
    (worse,) = evidence.penalty([_scored(_of("as described"), 0.4, 400), _scored(_of("without L2"), 0.3, 400)])
    assert "(−10.0 ± 3.4 points)" in str(worse)  # 100 · √(0.24/400 + 0.21/400), behind a minus, not a hyphen


def test_a_difference_has_the_error_of_both_sides():
    """20 and 40 % of 100 images: the square root of (0.16 + 0.24) / 100 is 6.3 points."""
    found = course.difference(0.2, 0.4, 100)
    assert (found.gain, found.error) == (pytest.approx(20), pytest.approx(6.3246, rel=1e-4))
    assert str(found) == "+20.0 ± 6.3 points: clear"
    assert str(course.difference(0.4, 0.35, 100)) == "−5.0 ± 6.8 points: cannot tell"
    for bad in ((-0.1, 0.5, 10), (0.5, float("nan"), 10), (0.5, 0.5, 0), (0.5, 0.5, True)):
        with pytest.raises(InvalidInputError, match="Allowed"):
            course.difference(*bad)


def test_a_later_record_of_200_classes_decides():
    before = dict((row[0], row[1:]) for row in course.tribunal(STORED).rows)["the penalty"]
    assert before[2] == "moderate"
    assert evidence.MISSING in before[1]
    pair = [_full(_of("as described"), 0.20), _full(_of("without L2"), 0.30)]
    after = dict((row[0], row[1:]) for row in course.tribunal([*STORED, *pair]).rows)["the penalty"]
    assert (after[0], after[2]) == ("holds back Model 1", "high")
    assert evidence.MISSING not in after[1]
    assert "On 200 classes" in after[1]
    even = [_full(_of("as described"), 0.30), _full(_of("without L2"), 0.301)]
    assert course.tribunal([*STORED, *even]).rows[0][1] == "cannot tell"


def test_a_row_that_the_recipe_as_described_stops_short_of_is_out_of_reach():
    described = _full(_of("as described"), 0.03)
    told = replace(described.history, recipe=replace(RECIPES["report"], epochs=12))
    flat = [replace(epoch, running_accuracy=0.025) for epoch in told.epochs]
    stuck = replace(described, history=replace(told, epochs=flat))
    said = evidence.out_of_reach([*STORED, stuck])
    assert "comes to 2.5% in Model 1 after 12 epochs (reported 56.9%), with at most +0.0 points in the last" in said
    assert said in dict((row[0], row[2]) for row in course.tribunal([*STORED, stuck]).rows)["the penalty"]
    longer = replace(told, recipe=replace(told.recipe, epochs=24), epochs=[*flat, *flat])
    said = evidence.out_of_reach([replace(stuck, history=longer), stuck])
    assert "after 24 epochs" in said
    assert said.count("Model 1") == 1
    assert evidence.out_of_reach([*STORED, replace(described, history=told)]) == ""  # it still learns


@pytest.mark.parametrize("other", [{"l2": 0.0}, {"learning_rate": 1e-4}, {"dropout": 0.0}, {"optimizer": "sgd"}])
def test_what_is_not_the_recipe_as_described_puts_nothing_out_of_reach(other):
    described = _full(_of("as described"), 0.03)
    flat = [replace(epoch, running_accuracy=0.025) for epoch in described.history.epochs]
    told = replace(described.history, recipe=replace(RECIPES["report"], epochs=12), epochs=flat)
    assert evidence.out_of_reach([replace(described, history=told)])
    changed = replace(told, recipe=replace(told.recipe, **other))
    assert evidence.out_of_reach([replace(described, history=changed)]) == ""
    for name, value in (("l2_on", "fully connected"), ("normalisation", "variance")):
        settings = {**described.settings, name: value}
        assert evidence.out_of_reach([replace(described, history=told, settings=settings)]) == ""


def test_what_is_done_well_is_told_by_length():
    """8 and 30 epochs, the longer with smoothed labels; a training by another recipe is none of them."""
    assert evidence.done_well([]) == ""
    assert evidence.done_well(STORED) == ""  # ten classes
    base = _full(_of("without L2"), 0.3)

    def well(epochs, accuracy, **changes):
        recipe = replace(RECIPES["well"], epochs=epochs, **changes)
        scores = {"validation": Score(3.0, accuracy, 10_000)}
        return replace(base, history=replace(base.history, recipe=recipe), scores=scores)

    said = evidence.done_well([well(30, 0.375, label_smoothing=0.1), well(8, 0.294), well(8, 0.5, crop=0)])
    assert "29.4% after 8 epochs and 37.5% after 30 epochs with smoothed labels, a training each" in said


def test_table_1_is_met_row_by_row():
    """The report's rows: 56.9 / 24.3, 18.7 / 18.0, 62.4 / 15.6 percent."""

    def at(network, running, evaluated, held_out):
        record = _full(_of("without L2", network), held_out)
        ways = {"running_accuracy": running, "train_accuracy": evaluated, "eval_accuracy": held_out}
        epochs = [replace(epoch, **ways) for epoch in record.history.epochs]
        return replace(record, history=replace(record.history, epochs=epochs))

    assert evidence.table_1([]) == evidence.MISSING
    found = [at("model_1", 0.40, 0.57, 0.24), at("model_2", 0.187, 0.3, 0.18), at("model_3", 0.3, 0.3, 0.2)]
    assert evidence.table_1(found) == (
        "Of the trainings recorded on 200 classes without augmentation: 'without L2' passes Model 1's row if that was "
        "scored in evaluation mode; one ends at Model 2's row; none comes near Model 3's row."
    )


def test_the_error_of_deeper_is_that_of_the_two_accuracies():
    """Of 10,000 images each, 23.77 % and 26.47 % right: the square root of 0.1812 + 0.1946, in points."""
    known = [r for r in results.load_all() if r.plan == "penalty" and r.network in ("model_1", "model_2")]
    pairs = [r for r in known if r.title in ("as described", "without L2")]
    said = course.verdict("04", records=pairs).answer
    assert "Model 2 minus Model 1 is +2.7 ± 0.6 points: Model 2 did better, in one training each" in said


def test_without_records_everything_says_so():
    for lecture in course.TITLES:
        assert course.verdict(lecture, records=[]).question == course.TITLES[lecture]
    assert evidence.MISSING in str(course.tribunal([]))
    assert "✓" not in " ".join(str(row[2:4]) for row in course.board(10, []).rows)


def test_the_board_opens_empty_and_fills():
    first = course.board(1).rows
    assert {row[-1] for row in first} == {"open"}
    counts = [sum("✓" in str(cell) for row in course.board(n).rows for cell in row) for n in course.TITLES]
    assert counts == sorted(counts)
    assert counts[0] == 0 < counts[-1]
    assert "open" not in {row[-1] for row in course.board("10_beyond").rows}


def test_what_the_lecture_just_ran_is_called_the_sample():
    text = str(course.verdict("04", live="Model 2 wins."))
    assert text.startswith("Does deeper help?\nLive, just now: Model 2 wins.")


@pytest.mark.parametrize("lecture", [0, 99, "x", ""])
def test_an_unknown_lecture_is_refused(lecture):
    with pytest.raises(InvalidInputError, match="lecture"):
        course.board(lecture)


def test_courses_are_those_of_one_network_on_so_many_classes():
    found = evidence.courses("model_1", 10, STORED)
    assert set(found) == {r.title for r in STORED if r.network == "model_1"}
    assert evidence.courses("model_1", 200, STORED) == {}
    assert all(history.classes for history in found.values())


def test_the_race_is_between_the_optimizers_alone():
    assert list(evidence.race(STORED)) == ["sgd at 0.01", "adam at 0.001"]
    sgd, adam = evidence.race(STORED).values()
    assert (sgd, adam) == (_of("SGD, without L2").history, _of("without L2").history)
    assert evidence.race([_of("as described"), _of("without L2")]) == {}


def test_the_filters_that_are_looked_into_are_those_of_most_classes():
    few, more = replace(_of("without L2"), weights=(0, 12)), _full(_of("without L2"), 0.2)
    only_the_end = replace(_full(_of("as described"), 0.9), weights=(12,))
    assert evidence.looked_into([few, more, only_the_end]) is few
    more, better = replace(more, weights=(0, 1, 12)), replace(_full(_of("as described"), 0.3), weights=(0, 12))
    assert evidence.looked_into([few, more, better, only_the_end]) is better
    assert evidence.looked_into([]) is None


def test_how_far_filters_have_moved_is_told_for_each_recipe(tmp_path):
    """One filter a layer, by hand: the first turned round, the seventh halved; a penalty that leaves nothing."""
    assert evidence.moved(folder=tmp_path) == {}
    one = torch.tensor([1.0, -1.0, 2.0, 0.0]).reshape(1, 1, 2, 2)
    start = {"conv3-32.weight": one, "conv3-64.weight": one.clone()}
    turned = {"conv3-32.weight": -one, "conv3-64.weight": one / 2}
    results.save(_of("without L2"), tmp_path, weights={0: start, 12: turned})
    results.save(_of("as described"), tmp_path, weights={0: start, 12: {name: 0 * one for name in start}})
    results.save(_of("without L2 and dropout"), tmp_path, weights={12: turned})  # its start is not kept
    found = evidence.moved(folder=tmp_path)
    assert set(found) == {"without L2, 12 epochs", "as described, 12 epochs"}
    assert found["without L2, 12 epochs"]["layer 1"] == pytest.approx((-1.0, 2.0, 0.0))
    assert found["without L2, 12 epochs"]["layer 7"] == pytest.approx((1.0, 0.5, 0.0))
    assert found["as described, 12 epochs"] == {"layer 1": (0.0, 1.0, 1.0), "layer 7": (0.0, 1.0, 1.0)}


def test_certainty_of_records_is_read_from_their_answers(tmp_path):
    assert evidence.right_classes(folder=tmp_path) == {}
    right = torch.tensor([0.9, 0.05], dtype=torch.float16)
    kept = {
        "classes": torch.tensor([[0, 1], [0, 1]]).short(),
        "probabilities": torch.tensor([[0.9, 0.1]] * 2).half(),
        "right": right,
        "labels": torch.tensor([0, 1]).short(),
    }
    for record in (_of("as described"), _of("without L2")):
        scored = replace(record, scores={**record.scores, "validation": Score(2.0, 0.5, 2)})
        results.save(scored, tmp_path, answered=kept)
    results.save(_of("without L2 and dropout"), tmp_path)  # keeps no answers
    found = evidence.right_classes(folder=tmp_path)
    assert list(found) == ["as described, 12 epochs", "without L2, 12 epochs"]
    for p, loss, accuracy in found.values():
        np.testing.assert_array_equal(p, right.numpy().astype(np.float32))
        assert (loss, accuracy) == (2.0, 0.5)


def test_recorded_answers_are_scored_by_mistake(tmp_path):
    """Four classes, twelve images, all answers right; `val_10` and `val_11` come before `val_2` as text."""
    assert evidence.scored_wrongly(folder=tmp_path) is None
    labels = torch.arange(12) % 4
    kept = {
        "classes": torch.stack([labels, (labels + 1) % 4], 1).short(),
        "probabilities": torch.tensor([[0.9, 0.1]] * 12).half(),
        "right": torch.full((12,), 0.9).half(),
        "labels": labels.short(),
    }
    record = _of("without L2")
    history = replace(record.history, classes=("b", "a", "c", "d"))
    results.save(
        replace(record, history=history, scores={**record.scores, "validation": Score(1.0, 1.0, 12)}),
        tmp_path,
        answered=kept,
    )
    table = evidence.scored_wrongly(folder=tmp_path)
    shares = {how: share for how, share in table.rows}
    assert shares["by file name and wnid"] == "100.00 %"
    assert shares["classes in sorted order"] == "50.00 %"  # c and d keep their place
    # as text: 0 1 10 11 2 3 4 5 6 7 8 9; classes 0 1 2 3 2 3 0 1 2 3 0 1 against 0 1 2 3 0 1 2 3 0 1 2 3
    assert shares["files in sorted order"] == "33.33 %"
    assert "12 official images; guessing 25.00 %" in table.caption


def test_the_sizes_of_weights_are_those_of_the_pairs(tmp_path):
    """Two convolutions, weights of 0.5 and 0.25 at first; the penalty leaves 0.001 of the one, nothing of the other."""
    assert evidence.weight_sizes(folder=tmp_path) is None

    def state(first, second):
        return {"conv.weight": torch.full((4, 3, 3, 3), first), "deep.weight": torch.full((2, 4, 3, 3), -second)}

    start = state(0.5, 0.25)
    results.save(_of("as described"), tmp_path, weights={0: start, 1: state(0.001, 0.0)})
    results.save(_of("without L2"), tmp_path, weights={0: start, 12: state(0.5, 0.75) | {"norm.weight": torch.ones(9)}})
    results.save(_of("without L2 and dropout"), tmp_path, weights={0: start})  # differs in two things
    table = evidence.weight_sizes(folder=tmp_path)
    assert table.columns == ["network", "training", "epoch 0", "epoch 1", "epoch 12"]
    assert table.rows == [
        ["Model 1", "as described", "0.5000, 0.2500", "0.0010, 0.0000", "–"],
        ["Model 1", "without L2", "0.5000, 0.2500", "–", "0.5000, 0.7500"],
    ]
    assert "on 10 classes" in table.caption


def test_certainty_is_counted_or_said_to_be_unknown(monkeypatch):
    assert "not kept" in evidence.certainty(None)
    assert "not kept" in evidence.certainty(_of("without L2"))
    record = replace(_of("without L2"), answers_digest="ab", scores={"validation": Score(1.0, 0.25, 4)})
    right = np.array([0.0001, 0.02, 0.5, 0.99])
    monkeypatch.setattr(evidence, "answers", lambda name: SimpleNamespace(right=right))
    said = "Of its 4 answers, 25.0% give the right class less than 0.001, 25.0% more than 0.95; 25.0% are right."
    assert evidence.certainty(record) == said


def test_the_evidence_is_told_once_and_the_later_lecture_names_the_earlier():
    """The penalty is heard in 04 and again in 05."""
    told = course.tribunal(STORED).rows[0][2]
    assert told in str(course.verdict("04", records=STORED))
    later = str(course.verdict("05", records=STORED))
    assert told not in later
    assert "The penalty: " in later
    assert "Lecture 04 has the evidence." in later


def test_each_network_is_cleared_by_itself():
    def judged(*accuracies):
        known = [_full(_of("without L2", name), a) for name, a in zip(models.ARCHITECTURES, accuracies, strict=False)]
        known = [replace(r, scores=r.scores | {"validation": r.scores["development"]}) for r in known]
        return dict((row[0], row[1]) for row in course.tribunal(known).rows)["the networks themselves"]

    assert judged(0.40) == "Model 1: cleared, the same line can do more; Model 2 and Model 3: cannot tell"
    assert judged(0.40, 0.40, 0.40) == "Model 1, Model 2 and Model 3: cleared, the same line can do more"
    assert judged(0.20) == "cannot tell"
