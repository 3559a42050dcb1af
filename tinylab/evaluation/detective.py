"""Which scoring error lies between a good network and a bad score, with the evidence.

    investigate(predictions, classes)                       from predictions, labels and file names alone
    investigate(predictions, classes, again=…, careful=…)   with two witnesses more

One principle: a suspect is convicted when undoing *its* error, and nothing else, brings the hits back, by more than
luck explains. An order of files or of classes can be undone on paper. The other two leave nothing that could be: they
need a witness. `again` is the same program run once more, which gives dropout away; `careful` is
`predict(network, split, normalisation)`, in evaluation mode and with the training's normalisation.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinylab.evaluation.relabelling import crossfitted, log_score
from tinylab.evaluation.scores import Predictions
from tinylab.evaluation.scoring_errors import by_number
from tinylab.evaluation.significance import binomial_tail, dependence, paired_test
from tinylab.support.errors import InvalidInputError
from tinylab.support.table import Table

SUSPECTS: dict[str, str] = {
    "files": "predictions in another order than the files",
    "classes": "classes in another order",
    "preprocessing": "images not prepared as in training",
    "dropout": "dropout left on",
}

# Below: how sure is sure. Calibrated on simulated and trained networks, tests/evaluation/test_detective.py.
_LUCK = 0.001  # p-value at which an undoing convicts; six are tried, so an honest score is accused once in 170
_HELPS = 0.05  # the same where a pass is known to differ, and the only question is whether that did the harm
_INDEPENDENT = 0.005  # p-value of a connection above which predictions tell nothing about the labels
_COLLAPSED = 0.4  # effective number of predicted classes, as a share of that of the labels
_SAME = 0.01  # total variation of an image's probabilities that another machine's rounding stays below

_TWICE, _CARE, _CONNECTION = "the same program twice", "against a careful pass", "no connection with the labels"


@dataclass(frozen=True)
class Clue:
    """One test of one suspect."""

    suspect: str  # a key of SUSPECTS
    test: str  # what was done
    found: str  # what came out, in words and numbers
    convicts: bool
    p: float | None = None  # probability of so much if the suspect is innocent; None: no luck is involved


@dataclass(frozen=True)
class Finding:
    """The likeliest scoring error, or None where none fits; prints as a sentence and shows its clues as a table."""

    suspect: str | None
    reason: str
    clues: tuple[Clue, ...]

    def table(self) -> Table:
        rows = [[c.suspect, c.test, c.found, _p(c.p), "fits" if c.convicts else "–"] for c in self.clues]
        return Table(["suspect", "test", "found", "p", "verdict"], rows, str(self))

    def __str__(self) -> str:
        named = "none of the four fits" if self.suspect is None else f"{self.suspect}: {SUSPECTS[self.suspect]}"
        return f"{named}. {self.reason}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def investigate(
    predictions: Predictions,
    classes: Sequence[str],
    *,
    again: Predictions | None = None,
    careful: Predictions | None = None,
    expected: float | None = None,
) -> Finding:
    """The likeliest of the four scoring errors, with its evidence, or that none fits.

    predictions  labelled, as they were scored
    classes      wnids in the order of the labels
    again        the same images through the same program a second time
    careful      the same images through `predict`, in evaluation mode and normalised as in training
    expected     accuracy of the same network where it was surely scored rightly (its validation accuracy);
                 None: what its own confidence promises

    Raises InvalidInputError for predictions without labels, or witnesses of other images.
    """
    if predictions.labels is None:
        raise InvalidInputError("predictions without labels cannot be investigated. Take labelled held-out images")
    predictions.check_classes(classes)
    suspect = by_number(predictions)
    clues: list[Clue] = []
    if again is not None:
        again = _same_images(suspect, again, "again")
        clues.append(_two_passes(suspect, again))
    if careful is not None:
        careful = _same_images(suspect, careful, "careful")
        steady = again is not None and not clues[0].convicts  # the same numbers twice: no dropout
        clues += _with_care(suspect, careful, steady=steady)
    clues += [*_files(suspect), *_classes(suspect, classes)]
    if careful is None and not any(clue.convicts for clue in clues):
        clues.append(_no_connection(suspect, expected))
    fitting = [clue for clue in clues if clue.convicts]
    if not fitting:
        return Finding(None, _nothing(suspect, again, careful), tuple(clues))
    # what a witness has seen comes before what luck must be asked about; then whatever luck explains least
    best = min(fitting, key=lambda clue: (clue.test != _TWICE, clue.test != _CARE, clue.p or 0.0))
    return Finding(best.suspect, f"{best.test}: {best.found}.", tuple(clues))


# ---------------------------------------------------------------- what can be undone on paper


def _files(predictions: Predictions) -> Iterator[Clue]:
    """Give the k-th prediction to the k-th file of another listing."""
    N = len(predictions.files)
    by_text = np.argsort(predictions.files, kind="stable")
    orders = {
        "names sorted as text": np.argsort(by_text),  # row k was the k-th of sorted()
        "names sorted as text, the other way round": by_text,
        "names backwards": np.arange(N)[::-1],
    }
    for name, order in orders.items():
        yield _undone("files", name, predictions, predictions.probabilities[order])


def _classes(predictions: Predictions, classes: Sequence[str]) -> Iterator[Clue]:
    """Read output j as another class: in sorted order, or by the permutation that fits best."""
    rank = np.argsort(np.asarray(classes), kind="stable")
    P = predictions.probabilities
    assert predictions.labels is not None
    yield _undone("classes", "wnids sorted", predictions, P[:, rank])
    yield _undone("classes", "wnids sorted, the other way round", predictions, P[:, np.argsort(rank)])
    best = crossfitted(P, predictions.labels)
    yield _undone("classes", "the best permutation of classes, found on other images", predictions, best)


def _undone(suspect: str, test: str, predictions: Predictions, probabilities: np.ndarray) -> Clue:
    """Are the labels more probable when the error is undone, and more answers right than by luck?

    Both are asked for: where classes are mixed up, the answers are wrong so surely that any shuffling of the files
    makes the labels more probable. It does not make the answers right.
    """
    p, ratio = _more_probable(predictions, probabilities)
    before, after = predictions.accuracy, float((probabilities.argmax(axis=1) == predictions.labels).mean())
    found = f"accuracy {before:.1%} becomes {after:.1%}, log-likelihood {ratio:+.0f} nats"
    hits = after > before and _lucky(probabilities.argmax(axis=1), predictions.labels)[1] < _LUCK
    return Clue(suspect, test, found, p < _LUCK and hits, p)


def _lucky(classes: np.ndarray, labels: np.ndarray | None) -> tuple[float, float]:
    """Share of hits if classes and labels had nothing to do with each other, and p-value of the real number."""
    assert labels is not None
    N, C = len(labels), int(max(classes.max(), labels.max())) + 1
    chance = float((np.bincount(classes, minlength=C) * np.bincount(labels, minlength=C)).sum()) / N**2
    return chance, binomial_tail(int((classes == labels).sum()), N, min(chance, 1 - 1e-9))


def _more_probable(predictions: Predictions, probabilities: np.ndarray) -> tuple[float, float]:
    """p-value for "the labels are no more probable under `probabilities`", and the log-likelihood ratio in nats."""
    rows = np.arange(len(probabilities))
    before, after = (log_score(P)[rows, predictions.labels] for P in (predictions.probabilities, probabilities))
    return paired_test(before, after), float((after - before).sum())


def _no_connection(predictions: Predictions, expected: float | None) -> Clue:
    """Nothing restores the hits: do the predictions know anything about their labels?

    A confident network whose predictions say nothing about the labels of *these* files, though they name all
    classes about as often as they occur, has probably seen other files: an order that nobody can guess. If it
    names few classes over and over, it has rather seen something that it takes for all the same.
    """
    labels, C = predictions.labels, predictions.probabilities.shape[1]
    assert labels is not None
    N, hits = len(labels), int((predictions.classes == labels).sum())
    promise = float(predictions.probabilities.max(axis=1).mean()) if expected is None else expected
    missed = binomial_tail(N - hits, N, 1 - min(max(promise, 1e-9), 1 - 1e-9))
    chance, lucky = _lucky(predictions.classes, labels)
    found = f"accuracy {hits / N:.1%} where {promise:.1%} was to be expected and {chance:.1%} is luck"
    if missed >= _LUCK or lucky <= _INDEPENDENT:
        return Clue("files", _CONNECTION, found, False, missed)
    link = dependence(labels, predictions.classes, C)
    breadth = _effective(predictions.classes, C) / _effective(labels, C)
    found += (
        f"; predictions and labels share {link.information:.3f} nats, shuffled ones {link.by_luck:.3f} "
        f"(p = {_p(link.p)}); predictions have {breadth:.0%} of the variety of the labels"
    )
    suspect = "files" if breadth >= _COLLAPSED else "preprocessing"
    return Clue(suspect, _CONNECTION, found, link.p > _INDEPENDENT, missed)


def _effective(classes: np.ndarray, count: int) -> float:
    """How many equally frequent classes would be as varied: e to the entropy, 1 to `count`."""
    from scipy.stats import entropy

    return float(np.exp(entropy(np.bincount(classes, minlength=count))))


# ---------------------------------------------------------------- what needs a witness


def _two_passes(predictions: Predictions, again: Predictions) -> Clue:
    moved = _differing(predictions, again)
    changed = int((predictions.classes != again.classes).sum())
    found = f"{moved} of {len(again.files)} images get other probabilities, {changed} another class"
    return Clue("dropout", _TWICE, found, moved > 0)


def _with_care(predictions: Predictions, careful: Predictions, *, steady: bool) -> Iterator[Clue]:
    """Compare with predictions made with care: the same, the same in other rows or columns, or others."""
    P, Q = predictions.probabilities, careful.probabilities
    same = _differing(predictions, careful) == 0
    for suspect, axis, what in (("files", 0, "images"), ("classes", 1, "classes")):
        # sorting forgets who has which value: what is equal after it differs in order only
        rearranged = not same and float(np.abs(np.sort(P, axis) - np.sort(Q, axis)).mean()) < _SAME / P.shape[1]
        found = f"the same numbers, for other {what}" if rearranged else "not the same numbers in another order"
        found = "the same numbers in the same order" if same else found
        yield Clue(suspect, _CARE, found, rearranged)
        if rearranged:
            return
    clue = _undone("preprocessing", _CARE, predictions, Q)
    found = f"{_distance(predictions, careful).mean():.0%} of the probability lies elsewhere; {clue.found}"
    gains = clue.p is not None and clue.p < _HELPS and careful.accuracy > predictions.accuracy
    yield replace(clue, found=found, convicts=not same and steady and gains)


def _distance(one: Predictions, other: Predictions) -> np.ndarray:
    """Total variation between an image's probabilities in both, float (N,), 0..1."""
    return np.asarray(0.5 * np.abs(one.probabilities - other.probabilities).sum(axis=1))


def _differing(one: Predictions, other: Predictions) -> int:
    """How many images got other probabilities; 0 where so few did that a machine's rounding may explain them."""
    count = int((_distance(one, other) > _SAME).sum())
    return count if count > 0.1 * len(one.files) else 0


def _same_images(predictions: Predictions, witness: Predictions, name: str) -> Predictions:
    witness = by_number(witness)
    if witness.probabilities.shape != predictions.probabilities.shape or (witness.files != predictions.files).any():
        raise InvalidInputError(f"{name} is about other images or classes. Give predictions for the very same files")
    return witness


# ---------------------------------------------------------------- words


def _nothing(predictions: Predictions, again: Predictions | None, careful: Predictions | None) -> str:
    said = f"With accuracy {predictions.accuracy:.1%}, no undoing gains more hits than luck"
    if careful is not None and _differing(predictions, careful):
        if again is None:
            which = "preprocessing or dropout. Run the program once more (again=…) to tell"
            return f"{said}. A careful pass gives other numbers, though: {which}."
        return f"{said}. A careful pass gives other numbers, but no better ones."
    lacking = [name for name, witness in (("again", again), ("careful", careful)) if witness is None]
    if not lacking:
        return f"{said}, and a careful pass gives the same numbers."
    return f"{said}. Without {' and '.join(f'{name}=…' for name in lacking)}, preprocessing and dropout stay possible."


def _p(p: float | None) -> str:
    if p is None:
        return "certain"
    # a real minus sign, at which no browser breaks the line
    return "< 1e−300" if p == 0 else f"{p:.3f}" if p >= 0.001 else f"{p:.0e}".replace("e-0", "e-").replace("-", "−")
