"""What the records say about each suspect of the report's case, in sentences computed from their numbers.

A later record changes numbers and verdicts here, and no sentence of a lecture. Two trainings are compared only if their
recipes differ in nothing but the factor in question (`comparisons`).
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tinylab.course.comparisons import (
    Change,
    Difference,
    changes,
    held_out,
    of_one_length,
    pairs,
    signed,
    standard_error,
)
from tinylab.course.results import (
    FULL,
    Fingerprint,
    Record,
    answers,
    begins,
    fingerprints,
    load_all,
    longest,
    span,
    weights,
)
from tinylab.diagnosis import turning_point
from tinylab.figures.style import listed
from tinylab.filters import alike
from tinylab.models import REPORTED
from tinylab.support.table import Table
from tinylab.training import RECIPES, History

TOY, TEN, REAL = "toy", "10 classes", "200 classes"  # the classes of evidence, weakest first
MISSING = "On all 200 classes this has not been run yet."
_PENALTY = ["l2"], {"l2": 0.01, "optimizer": "adam"}


def penalty(records: Sequence[Record] | None = None) -> list[Change]:
    """What removing the L2 penalty of 0.01 under Adam, and nothing else, changed."""
    return changes(*_PENALTY, records)


def weight_sizes(records: Sequence[Record] | None = None, folder: str | Path | None = None) -> Table | None:
    """How large the convolutions' weights are, with the penalty and without it, at the epochs that were kept.

    A cell: the first layer and the largest of the others, each by the root mean square of its weights. Of the pairs
    that `penalty` compares, those on the most classes; None if no weights are kept of any. folder: where they lie.
    """
    known = [r for r in (load_all(folder) if records is None else records) if r.weights]
    compared = of_one_length(pairs(*_PENALTY, known))
    if not compared:
        return None
    most = max(one.classes for one, _ in compared)
    runs = {(run.network, -run.recipe.l2): run for pair in compared if pair[0].classes == most for run in pair}
    epochs = sorted({epoch for run in runs.values() for epoch in run.weights})

    def cell(run: Record, epoch: int) -> str:
        if epoch not in run.weights:
            return "–"
        sizes = {True: 0.0, False: 0.0}  # whether it is the first layer, the only one that reads three colours
        for w in (w for w in weights(run.name, epoch, folder).values() if w.ndim == 4):
            sizes[w.shape[1] == 3] = max(sizes[w.shape[1] == 3], float(w.square().mean().sqrt()))
        return f"{sizes[True]:.4f}, {sizes[False]:.4f}"

    order = sorted(runs.values(), key=lambda run: (run.network, -run.recipe.l2, run.recipe.epochs))
    rows = [[REPORTED[run.network].title, run.title, *(cell(run, epoch) for epoch in epochs)] for run in order]
    what = "root mean square: first layer, largest of the others"
    caption = f"Recorded: size of the convolutions' weights on {most} classes ({what})"
    return Table(["network", "training", *(f"epoch {epoch}" for epoch in epochs)], rows, caption)


def stalled(records: Sequence[Record] | None = None) -> dict[str, Fingerprint]:
    """The networks that the recipe as described, L2 under Adam, has stopped short of their row of Table 1: {name: how}.

    On all 200 classes, the longest training of each.
    """
    known = [
        r
        for r in (load_all() if records is None else records)
        if r.classes == FULL and r.settings.get("l2_on", "all") == "all"
        if r.settings.get("normalisation", "pixel") == "pixel"
        if replace(r.recipe, epochs=1, seed=0) == replace(RECIPES["report"], epochs=1, seed=0)
    ]
    return {row.network: row for row in fingerprints(known) if row.stalled}


def out_of_reach(records: Sequence[Record] | None = None) -> str:
    """Which rows of Table 1 the recipe as described has stopped short of; "": none."""
    rows = stalled(records)
    each = listed(
        f"{row.train:.1%} in {REPORTED[name].title} after {row.epochs} epochs (reported {REPORTED[name].train:.1%})"
        for name, row in rows.items()
    )
    these = "this row is" if len(rows) == 1 else "these rows are"
    most = max((100 * row.gained for row in rows.values()), default=0.0)
    said = (
        f"As described (Adam at 0.001, a rate of our own; one seed) the accuracy while learning comes to {each}, with "
        f"at most {signed(most)} points in the last third: at this pace {these} out of reach."
    )
    return said if rows else ""


def adam(records: Sequence[Record] | None = None) -> list[Change]:
    """What Adam in SGD's place changed, each at the rate of its record, which nobody tuned."""
    return changes(["optimizer", "learning_rate"], {"optimizer": "sgd"}, records)


def race(records: Sequence[Record] | None = None) -> dict[str, History]:
    """Model 1 under SGD and under Adam, all else alike, on the most classes: by optimizer and rate; {}: none."""
    known = [
        pair
        for pair in pairs(["optimizer", "learning_rate"], {"optimizer": "sgd"}, records)
        if pair[0].network == "model_1"
    ]
    best = max(known, key=lambda pair: (pair[0].classes, pair[0].recipe.epochs), default=())
    return {f"{r.recipe.optimizer} at {r.recipe.learning_rate:g}": r.history for r in best}


def unpenalised(records: Sequence[Record] | None = None) -> Record | None:
    """Model 1 without L2, augmentation and schedule, on the most classes, then for the longest: Figure 2's likeness."""
    known = [
        r
        for r in (load_all() if records is None else records)
        if r.finished and r.network == "model_1" and (r.recipe.l2, r.recipe.crop, r.recipe.optimizer) == (0, 0, "adam")
        if r.recipe.dropout is None and r.recipe.schedule == "constant"
    ]
    return max(known, key=lambda r: (r.classes, r.recipe.epochs), default=None)


def looked_into(records: Sequence[Record] | None = None) -> Record | None:
    """The training of Model 1 whose filters are looked into: kept before and after it, most classes, most accurate."""
    known = [
        r
        for r in (load_all() if records is None else records)
        if r.finished and r.network == "model_1" and len(r.weights) > 1 and r.weights[0] == 0
    ]
    return max(known, key=lambda r: (r.classes, held_out(r).accuracy), default=None)


def moved(
    records: Sequence[Record] | None = None, folder: str | Path | None = None
) -> dict[str, dict[str, tuple[float, float, float]]]:
    """How far recorded trainings of Model 1 have moved its filters from their random start.

    {training: {"layer 1": (correlation with the start, median of the filters; ‖change‖ / ‖start‖; share of the filters
    that are zero, 0..1), "layer 7": …}}, of each recipe the longest, those on the most classes; layers as the report
    counts them. folder: where the records lie.
    """
    known = [r for r in (load_all(folder) if records is None else records) if r.finished and r.network == "model_1"]
    kept = [r for r in longest(known) if len(r.weights) > 1 and r.weights[0] == 0]
    most = max((r.classes for r in kept), default=0)
    found = {}
    for record in (r for r in kept if r.classes == most):
        first, last = (weights(record.name, epoch, folder) for epoch in (record.weights[0], record.weights[-1]))
        found[_titled(record, known)] = {
            layer: (
                alike(first[name], last[name]),
                float((last[name] - first[name]).norm() / first[name].norm()),
                float((last[name].flatten(1) == 0).all(dim=1).float().mean()),
            )
            for layer, name in (("layer 1", "conv3-32.weight"), ("layer 7", "conv3-64.weight"))
        }
    return found


def right_classes(
    records: Sequence[Record] | None = None, folder: str | Path | None = None
) -> dict[str, tuple[np.ndarray, float, float]]:
    """How sure recorded trainings of Model 1 are on the official validation images, as `figures.confidence` takes it.

    {title: (p of the right class, float32 (N,), loss, accuracy)}: as described for the longest, without the penalty at
    each length that was kept, done well, as far as their answers are, those on the most classes; {} if there are none.
    folder: where the records lie.
    """
    known = [r for r in (load_all(folder) if records is None else records) if r.answers_digest]
    whole = unpenalised(known)
    free = [] if whole is None else _stages(whole, known)
    held = [one for one, other in pairs(*_PENALTY, known) if any(other is r for r in free)]
    held = sorted(held, key=lambda r: r.recipe.epochs)[-1:]
    best = best_unchanged(known)
    wanted = [*held, *free, *([] if best is None else [best])]
    most = max((one.classes for one in wanted), default=0)
    found = {}
    for one in (record for record in wanted if record.classes == most):
        score = one.scores["validation"]
        found[_titled(one, known)] = answers(one.name, folder).right, score.loss, score.accuracy
    return found


def _titled(record: Record, known: Sequence[Record]) -> str:
    """Recipe and length: "without L2, 30 epochs"; one that another goes on with is called as its beginning."""
    title = "done well" if record.plan.startswith("done-well") else _stages(record, known)[0].title
    return f"{title}, {record.recipe.epochs} epochs"


def _stages(record: Record, known: Sequence[Record]) -> list[Record]:
    """Those of the known trainings that are the beginning of `record`, the shortest first, and itself."""
    return sorted([record, *(r for r in known if begins(r, record))], key=lambda r: r.recipe.epochs)


def scored_wrongly(records: Sequence[Record] | None = None, folder: str | Path | None = None) -> Table | None:
    """What a recorded network's answers to the official validation images score by mistake; None: none are kept.

    Of the most accurate one that keeps answers. Its files are numbered as in Tiny ImageNet, val_0.JPEG onwards.
    """
    known = [r for r in (load_all(folder) if records is None else records) if r.answers_digest]
    if not known:
        return None
    record = max(known, key=lambda r: (r.classes, r.scores["validation"].accuracy))
    found = answers(record.name, folder)
    said, labels, wnids = found.classes[:, 0], found.labels, record.history.classes
    as_text = sorted(range(len(labels)), key=lambda row: f"val_{row}.JPEG")
    place = np.array([wnids.index(wnid) for wnid in sorted(wnids)])  # what a number means to whoever sorts the classes
    scores = {
        "by file name and wnid": said == labels,
        "files in sorted order": said[as_text] == labels,
        "files shuffled": np.random.default_rng(0).permutation(said) == labels,
        "classes in sorted order": place[said] == labels,
    }
    rows = [[how, f"{100 * right.mean():.2f} %"] for how, right in scores.items()]
    name = REPORTED[record.network].title if record.network in REPORTED else record.network
    what = f"Recorded: {name}, {record.title}, {record.classes} classes"
    what += f", {len(labels):,} official images"
    own = f"{100 * record.scores['validation'].accuracy:.2f} %"
    levels = f"guessing {100 / record.classes:.2f} %; after its training {own}: ties between two classes fell otherwise"
    return Table(["its answers, scored", "accuracy"], rows, f"{what}; {levels}")


def best_unchanged(records: Sequence[Record] | None = None, network: str = "model_1") -> Record | None:
    """The training of a network, its line unchanged, that is best on all 200 classes, chosen by development images."""
    known = [
        r
        for r in (load_all() if records is None else records)
        if r.finished and r.network == network and r.classes == FULL and "validation" in r.scores
    ]
    return max(known, key=lambda r: r.scores["development"].accuracy, default=None)


def shown(found: Sequence[Change]) -> list[Change]:
    """Of each network the comparisons on the most classes: what is told, and what counts on the board."""
    most = {change.network: change.classes for change in sorted(found, key=lambda change: change.classes)}
    return [change for change in found if change.classes == most[change.network]]


def sentence(found: Sequence[Change], what: str, missing: str = MISSING) -> str:
    """What a factor did, on real photographs, each network on the most classes; says so where 200 are missing."""
    told, said = shown(found), []
    for classes in sorted({change.classes for change in told}, reverse=True):
        mine = [change for change in told if change.classes == classes]
        each = "; ".join(map(str, mine))
        epochs = span(sorted({change.epochs for change in mine}))
        clear = [change for change in mine if change.clear]
        verdict = "clear for " + listed(c.network for c in clear) if clear else "clear for none"
        where = f"{classes} classes ({epochs} epochs, one seed, accuracy on {mine[0].split} images)"
        said.append(f"On {where}, {what}: {each}: {verdict}.")
    if not any(change.classes == FULL for change in found):
        said.append(missing)
    return " ".join(said)


def turn(record: Record | None) -> str:
    """Where a recorded validation loss turns, and what the accuracy does meanwhile."""
    if record is None:
        return "No training without the penalty is recorded yet."
    found, history = turning_point(record.history), record.history
    at, end = history.epochs[found.epoch - 1], history.last
    head = f"Recorded, Model 1 without L2 on {record.classes} classes: "
    if not found.turned:
        return f"{head}in {found.epochs} epochs the {found.eval_split} loss does not turn."
    moved = 100 * (end.eval_accuracy - at.eval_accuracy)
    kept = f"{100 * at.eval_accuracy:.2f} % there and {100 * end.eval_accuracy:.2f} % at the end"
    return (
        f"{head}the {found.eval_split} loss turns at epoch {found.epoch} of {found.epochs} and ends {found.rise:.0%} "
        f"above its lowest; {found.eval_split} accuracy is {kept} ({signed(moved)} points)."
    )


def done_well(records: Sequence[Record] | None = None) -> str:
    """What Model 1 reaches by today's recipe at each length that is recorded on 200 classes, and whether it turns."""
    known = [
        r
        for r in (load_all() if records is None else records)
        if r.finished and (r.network, r.classes) == ("model_1", FULL) and "validation" in r.scores
        if replace(r.recipe, epochs=1, seed=0, label_smoothing=0) == replace(RECIPES["well"], epochs=1, seed=0)
    ]
    if not known:
        return ""
    known = sorted(known, key=lambda r: (r.recipe.epochs, r.seed))
    each = listed(
        f"{r.scores['validation'].accuracy:.1%} after {r.recipe.epochs} epochs"
        + " with smoothed labels" * (r.recipe.label_smoothing > 0)
        for r in known
    )
    found = turning_point(known[-1].history)
    turned = f"turns at epoch {found.epoch}" if found.turned else f"does not turn in {found.epochs} epochs"
    return (
        f"Recorded, Model 1 done well (flips and shifts, decay, a rate that rises and falls): {each}, a training each; "
        f"the {found.eval_split} loss of the longest {turned}. Which part of the recipe does it, these cannot say."
    )


def table_1(records: Sequence[Record] | None = None) -> str:
    """Which rows of Table 1 the recorded trainings of 200 classes end at, pass, or do not meet."""
    rows = fingerprints([r for r in (load_all() if records is None else records) if r.classes == FULL])
    said = []
    for name, known in REPORTED.items():
        mine = [row for row in rows if row.network == name]
        if any(row.reproduces for row in mine):
            said.append(f"one ends at {known.title}'s row")
        elif passing := [row for row in mine if row.passes]:
            said.append(f"{passing[0].title!r} passes {known.title}'s row")
        elif passing := [row for row in mine if row.passes_evaluated]:
            said.append(f"{passing[0].title!r} passes {known.title}'s row if that was scored in evaluation mode")
        elif mine:
            said.append(f"none comes near {known.title}'s row")
    return f"Of the trainings recorded on 200 classes without augmentation: {'; '.join(said)}." if said else MISSING


def beyond_report(record: Record) -> Difference:
    """By how many points a training is right more often than was reported of its network; its error on both sides."""
    own = record.scores["validation"]
    gain = 100 * (own.accuracy - REPORTED[record.network].validation)
    return Difference(gain, 100 * math.sqrt(2) * standard_error(own))


def network(record: Record | None) -> str:
    """What one of the report's networks reaches with its line unchanged, beside what was reported."""
    if record is None:
        return MISSING
    own, known = record.scores["validation"], REPORTED[record.network]
    more = beyond_report(record)
    clear = "cannot tell" if not more.clear else "clearly more" if more.gain > 0 else "clearly less"
    return (
        f"{known.title}, its line unchanged, is right on {own.accuracy:.1%} of {own.count:,} official validation "
        f"images of all {record.classes} classes after {record.recipe.epochs} epochs "
        f"({'done well' if record.plan.startswith('done-well') else record.title}); reported {known.validation:.1%} "
        f"({more.points}: {clear}; one seed)."
    )


def courses(network: str, classes: int = FULL, records: Sequence[Record] | None = None) -> dict[str, History]:
    """Histories of one network's finished trainings on so many classes, by title: at most five.

    Of several seeds the lowest is shown; of a training that another goes on with, the whole, under the title of its
    beginning.
    """
    known = [r for r in (load_all() if records is None else records) if r.finished and r.history.epochs]
    mine = [r for r in known if (r.network, r.classes) == (network, classes)]
    found: dict[str, History] = {}
    for record in sorted(
        longest(mine), key=lambda r: (not r.plan.startswith(("penalty", "reproduction")), r.plan, r.seed)
    ):
        first = _stages(record, mine)[0]
        name = f"done well, {first.title}" if first.plan.startswith("done-well") else first.title
        found.setdefault(name, record.history)
    return dict(list(found.items())[:5])


# From scratch at 64×64, single networks; official validation unless said. Entries near 90 % use pre-training.
PUBLISHED: tuple[tuple[str, str, str], ...] = (
    ("published", "Yao and Miller (2015), five convolutions, test", "41.8 %"),
    ("published", "ResNet-18, 400 epochs", "63.0 %"),
    ("published", "miniai (2022), 200 epochs", "67.5 %"),
    ("published", "AdAutoMix (2024), ResNeXt-50, 400 epochs", "72.9 %"),
)


def certainty(record: Record | None) -> str:
    """How sure a recorded network is on the official validation images, if its answers are kept."""
    if record is None or not record.answers_digest:
        return "Of this training the answers to single images are not kept, so its histogram cannot be drawn."
    p = answers(record.name).right
    return (
        f"Of its {len(p):,} answers, {(p < 0.001).mean():.1%} give the right class less than 0.001, "
        f"{(p > 0.95).mean():.1%} more than 0.95; {record.scores['validation'].accuracy:.1%} are right."
    )
