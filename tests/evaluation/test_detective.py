"""The right mistake in at least 95 of 100 trials at 30 % accuracy, silence on honest predictions as often."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation import simulated, trained
from tinylab.evaluation import (
    SUSPECTS,
    Predictions,
    dependence,
    dropout_left_on,
    investigate,
    mix_classes,
    mix_files,
    perfect,
    predict,
    wrong_pixels,
)
from tinylab.support.errors import InvalidInputError

TRIALS, ENOUGH = 100, 95
SIZES = ((10, 15), (20, 25), (10, 50))  # classes × images a class

ON_PAPER = {
    "honest": (None, lambda p, wnids, seed: p),
    "files sorted": ("files", lambda p, wnids, seed: mix_files(p)),
    "files shuffled": ("files", lambda p, wnids, seed: mix_files(p, "shuffled", seed)),
    "classes sorted": ("classes", lambda p, wnids, seed: mix_classes(p, wnids)),
    "classes shuffled": ("classes", lambda p, wnids, seed: mix_classes(p, wnids, "shuffled", seed)),
}


def _verdicts(how, sizes, trials):
    found = Counter()
    for seed in range(trials):
        classes, per_class = sizes[seed % len(sizes)]
        wnids = simulated.wnids(classes, seed)
        mixed = ON_PAPER[how][1](simulated.predictions(classes, per_class, seed=seed), wnids, seed)
        found[investigate(mixed, wnids).suspect] += 1
    return found


@pytest.mark.parametrize("how", ON_PAPER)
def test_predictions_alone_are_enough_for_an_order(how):
    verdicts = _verdicts(how, SIZES, TRIALS)
    assert verdicts[ON_PAPER[how][0]] >= ENOUGH, verdicts


def test_as_many_images_as_the_real_validation_set():
    for how, (suspect, _) in ON_PAPER.items():
        assert _verdicts(how, [(200, 50)], 1) == {suspect: 1}


def test_the_undoing_that_restores_the_hits_is_the_evidence():
    honest, wnids = simulated.predictions(10, 50), simulated.wnids(10)
    back = np.argsort(np.argsort(honest.files))  # the names were sorted as text, the predictions were not
    cases = {
        "names sorted as text:": mix_files(honest),
        "names sorted as text, the other way round:": replace(honest, probabilities=honest.probabilities[back]),
        "names backwards:": replace(honest, probabilities=honest.probabilities[::-1]),
        "wnids sorted:": mix_classes(honest, wnids),
        "wnids sorted, the other way round:": replace(honest, probabilities=honest.probabilities[:, np.argsort(wnids)]),
        "the best permutation of classes": mix_classes(honest, wnids, "shuffled"),
        "no connection with the labels": mix_files(honest, "shuffled"),
    }
    for words, mixed in cases.items():
        reason = investigate(mixed, wnids).reason
        assert reason.startswith(words), (words, reason)
        if "sorted" in words or "backwards" in words:
            assert "becomes 30.0%" in reason


def test_classes_surely_wrong_are_not_blamed_on_the_files():
    """Shuffled files make labels more probable than answers that are wrong for sure; only hits count."""
    honest, reversed_names = simulated.predictions(10, 50), [f"n{9 - c}" for c in range(10)]  # none keeps its place
    sure = perfect(honest.files, honest.labels, 10)
    finding = investigate(mix_classes(sure, reversed_names), reversed_names)
    assert finding.suspect == "classes"
    files = [clue for clue in finding.clues if clue.suspect == "files"]
    assert any(clue.p is not None and clue.p < 0.001 for clue in files)
    assert not any(clue.convicts for clue in files)


# ---- a really trained network, for what needs a witness


@pytest.fixture(scope="module")
def passes():
    """Every pass over all held-out images, made once: in evaluation mode an image's row depends on no other."""
    known = trained.network()
    data, network = known.data, known.network
    careful = predict(network, data.validation, data.normalisation)
    assert 0.25 < careful.accuracy < 0.4
    drops = [dropout_left_on(network, data.validation, data.normalisation, seed=seed) for seed in range(8)]
    hows = ("raw", "0 to 1", "no mean")  # a wrong scale alone does this network no harm
    pixels = [wrong_pixels(network, data.validation, data.normalisation, how) for how in hows]
    return data, careful, drops, pixels


def _part(predictions, per_class, seed):
    rng = np.random.default_rng(seed)
    of_class = [np.flatnonzero(predictions.labels == c) for c in range(trained.CLASSES)]
    rows = np.concatenate([rng.choice(rows, per_class, replace=False) for rows in of_class])
    return Predictions(predictions.files[rows], predictions.probabilities[rows], predictions.labels[rows])


def _passes(how, passes, seed):
    """What was scored, the same again, and the careful pass, for a random part of the images."""
    data, careful, drops, pixels = passes
    right = _part(careful, 15 + seed % 36, seed)
    if how == "dropout":
        one, two = np.random.default_rng(seed).choice(len(drops), 2, replace=False)
        return *(_part(drops[i], 15 + seed % 36, seed) for i in (one, two)), right
    if how == "preprocessing":
        wrong = _part(pixels[seed % 3], 15 + seed % 36, seed)
    elif how == "files":
        wrong = mix_files(right, ("sorted", "shuffled")[seed % 2], seed)
    elif how == "classes":
        wrong = mix_classes(right, data.classes, ("sorted", "shuffled")[seed % 2], seed)
    else:
        wrong = right
    return wrong, wrong, right


@pytest.mark.parametrize("how", ["honest", *SUSPECTS])
def test_witnesses_settle_all_four_for_a_trained_network(how, passes):
    verdicts = Counter()
    for seed in range(TRIALS):
        wrong, again, careful = _passes(how, passes, seed)
        verdicts[investigate(wrong, passes[0].classes, again=again, careful=careful).suspect] += 1
    assert verdicts[None if how == "honest" else how] >= ENOUGH, verdicts


def test_without_witnesses_nobody_is_accused_of_an_order(passes):
    for how in ("honest", "dropout", "preprocessing"):
        verdicts = Counter(investigate(_passes(how, passes, seed)[0], passes[0].classes).suspect for seed in range(30))
        assert verdicts["files"] + verdicts["classes"] <= 1, (how, verdicts)


def test_only_dropout_is_called_dropout_with_one_witness(passes):
    for how in ("honest", "files", "classes", "preprocessing"):
        wrong, again, _ = _passes(how, passes, 0)
        assert investigate(wrong, passes[0].classes, again=again).suspect != "dropout", how


def test_one_witness_short_it_says_which(passes):
    wrong, _, careful = _passes("dropout", passes, 3)
    finding = investigate(wrong, passes[0].classes, careful=careful)
    assert finding.suspect is None
    assert "preprocessing or dropout. Run the program once more (again=…)" in str(finding)
    assert "Without again=… and careful=…" in str(investigate(careful, passes[0].classes))


def test_a_confident_network_that_names_few_classes_has_seen_other_pixels():
    honest = simulated.predictions(10, 50, accuracy=0.8)
    blind = np.tile(honest.probabilities[:1], (500, 1))  # whatever it sees, it says the same
    finding = investigate(replace(honest, probabilities=blind), simulated.wnids(10), expected=0.8)
    assert finding.suspect == "preprocessing"
    assert "80.0% was to be expected" in str(finding)


def test_an_unsure_network_at_chance_is_no_mistake():
    honest = simulated.predictions(10, 50)
    flat = np.random.default_rng(0).uniform(0.095, 0.105, (500, 10)).astype(np.float32)
    assert investigate(replace(honest, probabilities=flat), simulated.wnids(10)).suspect is None


def test_a_score_below_expectation_is_no_mistake_while_hits_are_no_luck():
    """From so few images no connection can be shown, and yet 30 % is not guessing."""
    for seed in range(20):
        honest, wnids = simulated.predictions(10, 8, seed=seed), simulated.wnids(10)
        assert investigate(honest, wnids, expected=0.95).suspect is None, seed


def test_answers_without_hits_but_with_a_connection_are_no_order_of_files():
    """Wrong in a way that depends on the label: 4 of 10 answers come from the other half of the classes."""
    files, connected = simulated.predictions(10, 50).files, 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        labels = rng.permutation(np.repeat(np.arange(10), 50))
        other_half = (rng.integers(0, 5, 500) + 5 * (labels < 5)) % 10
        answers = np.where(rng.random(500) < 0.4, other_half, rng.integers(0, 10, 500))
        unsure = 0.8 * np.eye(10, dtype=np.float32)[answers] + 0.02
        if dependence(labels, answers, 10).p <= 0.005:
            connected += 1
            assert investigate(Predictions(files, unsure, labels), simulated.wnids(10)).suspect != "files", seed
    assert connected >= 4


def test_findings_show_their_evidence():
    wnids = simulated.wnids(10)
    finding = investigate(mix_classes(simulated.predictions(10, 50), wnids), wnids)
    assert str(finding).startswith("classes: classes in another order. wnids sorted")
    assert "accuracy" in str(finding)
    rows = finding.table().rows
    assert {row[0] for row in rows} == {"files", "classes"}
    assert [row[4] for row in rows if row[1].startswith("wnids sorted: ") or row[1] == "names backwards"] == ["–"]
    assert "<table>" in finding._repr_html_()


def test_what_cannot_be_investigated_is_refused(passes):
    data, careful, _, _ = passes
    with pytest.raises(InvalidInputError, match="without labels"):
        investigate(replace(careful, labels=None), data.classes)
    with pytest.raises(InvalidInputError, match="3 classes do not fit predictions for 10"):
        investigate(careful, ["a", "b", "c"])
    with pytest.raises(InvalidInputError, match="again is about other images"):
        investigate(careful, data.classes, again=_part(careful, 15, 0))
