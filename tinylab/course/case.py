"""The case: seven suspects for one failed network, what each lecture has shown, and the verdict that closes it.

`board` shows the suspects after a lecture, `verdict` answers the question in a lecture's title and says what is now
known about the report, `tribunal` closes the course. What rests on records is computed from them (`evidence`).
"""

import html
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tinylab.course import evidence
from tinylab.course.comparisons import CLEAR, Change, changes, signed
from tinylab.course.evidence import REAL, TEN, TOY
from tinylab.course.results import FULL, Record, load_all
from tinylab.data.recorded import TINY_IMAGENET
from tinylab.diagnosis import turning_point
from tinylab.figures.style import listed
from tinylab.models import REPORTED
from tinylab.support.errors import InvalidInputError, nearest
from tinylab.support.table import Table

Records = Sequence[Record]


@dataclass(frozen=True)
class Suspect:
    """What may have been to blame, and in which lecture each class of evidence is heard."""

    name: str
    question: str
    toy: Mapping[int, int]  # lecture: its own trials on the generated sample, or the seeds of one
    heard: int  # the lecture that shows what is recorded of it
    recorded: Callable[[Records], Mapping[str, int]]  # class of evidence: n
    verdict: Callable[[Records], tuple[str, str, str]]  # verdict, evidence, confidence


def _count(changes: Sequence[Change]) -> dict[str, int]:
    """Of what a lecture shows of them."""
    shown = evidence.shown(changes)
    full = sum(change.classes == FULL for change in shown)
    return {TEN: len(shown) - full, REAL: full}


def _of(record: Record | None) -> dict[str, int]:
    return {} if record is None else {REAL if record.classes == FULL else TEN: 1}


def _weightiest(changes: Sequence[Change]) -> list[Change]:
    """Those on the most classes."""
    most = max((change.classes for change in changes), default=0)
    return [change for change in changes if change.classes == most]


def _penalty(records: Records) -> tuple[str, str, str]:
    found = evidence.penalty(records)
    heavy = _weightiest(found)
    held = [c.network for c in heavy if c.clear and c.gain > 0]
    verdict = f"holds back {listed(held)}" if held else "cannot tell"
    if held and (rest := [c.network for c in heavy if c.network not in held]):
        verdict += f"; {listed(rest)}: cannot tell"
    strong = "high" if held and heavy[0].classes == FULL else "moderate" if held else "low"
    if short := [REPORTED[name].title for name in evidence.stalled(records)]:
        whose = "their reported rows were" if short == held else f"what is reported of {listed(short)} was"
        verdict, strong = f"{verdict}; {whose} hardly made with it in force", f"{strong}; of the report moderate"
    said = evidence.sentence(found, "removing the penalty and nothing else")
    return verdict, f"{evidence.out_of_reach(records)} {said}".strip(), strong


def _adam(records: Records) -> tuple[str, str, str]:
    found = evidence.adam(records)
    said = evidence.sentence(found, "Adam in SGD's place, each at one rate that nobody tuned")
    return "cannot tell", f"{said} The fair race, each at its own best rate, was run on the sample only.", "low"


def _epochs(records: Records) -> tuple[str, str, str]:
    record = evidence.unpenalised(records)
    if record is None or not turning_point(record.history).turned:
        return "cannot tell", evidence.turn(record), "low"
    confidence = "moderate" if record.classes == FULL else "low"
    verdict = "more of them alone would not have lowered the loss: it has turned"
    return verdict, f"{evidence.turn(record)} {evidence.done_well(records)}".strip(), confidence


def _augmentation(records: Records) -> tuple[str, str, str]:
    found = changes(["crop", "flip"], {"crop": 0}, records)
    helped = [c.network for c in _weightiest(found) if c.clear and c.gain > 0]
    verdict = f"its lack cost {listed(helped)} accuracy" if helped else "cannot tell"
    missing = (
        "On all 200 classes flips and shifts alone have not been run yet: they came with a schedule, a decay and, in "
        "the longer training, smoothed labels."
    )
    return verdict, evidence.sentence(found, "flips and shifts and nothing else", missing), "low"


def _networks(records: Records) -> tuple[str, str, str]:
    best = {name: evidence.best_unchanged(records, name) for name in REPORTED}
    tried = {name: record for name, record in best.items() if record is not None}
    if not tried:
        return "cannot tell", evidence.network(None), "low"
    more = [REPORTED[name].title for name, record in tried.items() if _clearly_more(record)]
    rest = [REPORTED[name].title for name in REPORTED if REPORTED[name].title not in more]
    verdict = f"{listed(more)}: cleared, the same line can do more" if more else "cannot tell"
    verdict += f"; {listed(rest)}: cannot tell" if more and rest else ""
    each = []
    for name, record in tried.items():
        how = f"{record.scores['validation'].accuracy:.1%} after {record.recipe.epochs} epochs"
        against = f"reported {REPORTED[name].validation:.1%}: {evidence.beyond_report(record).points}"
        each.append(f"{REPORTED[name].title} {how} ({against})")
    where = f"On the official validation images of all {FULL} classes, its line unchanged, the best of each"
    return verdict, f"{where}: {'; '.join(each)}. One seed each.", "moderate"


def _clearly_more(record: Record) -> bool:
    """Whether a recorded training is clearly better than its network was reported to be."""
    more = evidence.beyond_report(record)
    return more.clear and more.gain > 0


def _scoring(_: Records) -> tuple[str, str, str]:
    same = TINY_IMAGENET["classes at the same place in wnids.txt and in sorted order"]
    return (
        "the likeliest cause of the test score",
        "Counted on the real files: right answers in the wrong order of files score like guessing; "
        f"{same} classes keep their place in sorted order. Nobody has seen the author's "
        "program: an inference.",
        "moderate",
    )


def _filters(records: Records) -> tuple[str, str, str]:
    return (
        "the picture cannot support the conclusion",
        "Under the method of 2016 a network that has learned its images draws pictures about as rough as white noise, "
        f"too (sample): so noise does not show that nothing was learned. {moved(records)}",
        "moderate",
    )


def moved(records: Records) -> str:
    """How alike the recorded filters of layers 1 and 7 are before and after training: least and most alike."""
    found = evidence.moved(records)
    if not found:
        return "No filters of a full-size training are recorded."
    order = sorted(found, key=lambda training: found[training]["layer 7"][0])
    each = []
    for training in dict.fromkeys([order[0], order[-1]]):
        (first, _, gone), (seventh, _, gone_too) = found[training].values()
        lost = f", {gone:.0%} and {gone_too:.0%} of them at zero" if max(gone, gone_too) > 0 else ""
        each.append(f"{first:.2f} and {seventh:.2f} ({training}{lost})")
    return (
        "Recorded: how far a training moves the filters depends on its recipe. The correlation of Model 1's layers 1 "
        f"and 7 with their random start (median of the filters): {' up to '.join(each)}."
    )


SUSPECTS: tuple[Suspect, ...] = (
    Suspect("the penalty", "Did L2 = 0.01 hold the weights down?", {4: 1}, 4,
            lambda r: _count(evidence.penalty(r)), _penalty),
    Suspect("Adam", "Did the optimizer decide?", {6: 3}, 6, lambda r: _count(evidence.adam(r)), _adam),
    Suspect("too few epochs", "Would more epochs have helped?", {7: 1, 10: 1}, 7,
            lambda r: _of(evidence.unpenalised(r)), _epochs),
    Suspect("no augmentation", "Did it see too few images?", {7: 1}, 7,
            lambda r: _count(changes(["crop", "flip"], {"crop": 0}, r)), _augmentation),
    Suspect("the networks themselves", "Could they ever have worked?", {5: 1}, 3,
            lambda r: {REAL: sum(evidence.best_unchanged(r, name) is not None for name in REPORTED)}, _networks),
    Suspect("the scoring of the test images", "Were the answers counted rightly?", {9: 1}, 9,
            lambda r: {REAL: 1} if any(one.answers_digest and one.classes == FULL for one in r) else {}, _scoring),
    Suspect("the way filters were drawn", "Does noise in a picture mean bad weights?", {8: 1}, 8,
            lambda r: {REAL: 1} if "Recorded" in moved(r) else {}, _filters),
)  # fmt: skip

TITLES: dict[str, str] = {
    "01": "What are we asking the network to learn from?",
    "02": "What does each of the six layers do, exactly?",
    "03": "Does a small, sensible network work?",
    "04": "Does deeper help?",
    "05": "What do a 5×5 first layer and no dropout between the convolutions change?",
    "06": "Is Adam really better than SGD?",
    "07": "Where did the validation loss turn, and what turns it back?",
    "08": "What did the network learn to see?",
    "09": "Why was the test accuracy no better than chance?",
    "10": "The report proposes pre-training or longer training. Which would have helped?",
}
_TOUCHED = {  # lecture: the suspects about whom it says what is now known
    "01": (), "02": (), "03": ("the networks themselves",), "04": ("the penalty",),
    "05": ("the penalty", "the networks themselves"), "06": ("Adam",),
    "07": ("too few epochs", "no augmentation"), "08": ("the way filters were drawn",),
    "09": ("the scoring of the test images",), "10": ("too few epochs",),
}  # fmt: skip


def board(lecture: str | int = max(TITLES), records: Records | None = None) -> Table:
    """The suspects as they stand after a lecture ("03" or 3): how much of each class of evidence, and the verdict.

    Raises InvalidInputError for a lecture that does not exist.
    """
    number, known = int(_lecture(lecture)), load_all() if records is None else records
    rows, first = [], number == 1  # the questions stand there only, so that later boards are large on a slide
    for suspect in SUSPECTS:
        toy = sum(n for at, n in suspect.toy.items() if at <= number)
        heard = suspect.heard <= number
        found = suspect.recorded(known) if heard else {}
        said = suspect.verdict(known)[0] if heard else "heard, not judged yet" if toy else "open"
        ticks = [_tick(toy), _tick(found.get(TEN, 0)), _tick(found.get(REAL, 0))]
        rows.append([suspect.name, *[suspect.question] * first, *ticks, said])
    kinds = [f"{TOY} (sample)", f"{TEN}, photographs", f"{REAL}, photographs"]
    columns = ["suspect", *["question"] * first, *kinds, "so far"]
    what = "n on the sample: trials, or seeds of one; recorded: comparisons or trainings, one seed each"
    return Table(columns, rows, f"The board after lecture {number:02d}: {what}")


def tribunal(records: Records | None = None) -> Table:
    """Every suspect's verdict, the evidence behind it, and how sure that is."""
    known = load_all() if records is None else records
    rows = [[suspect.name, *suspect.verdict(known)] for suspect in SUSPECTS]
    return Table(["suspect", "verdict", "evidence", "confidence"], rows, "The tribunal")


@dataclass(frozen=True)
class Verdict:
    """The last slide of a lecture: its question answered, and what is now known about the report."""

    lecture: str
    answer: str
    report: tuple[tuple[str, str], ...]  # what is known now, and why: one pair for each suspect
    board: Table

    @property
    def question(self) -> str:
        return TITLES[self.lecture]

    def __str__(self) -> str:
        report = "\n".join(f"- {said} {why}".rstrip() for said, why in self.report)
        return f"{self.question}\n{self.answer}\n\nAbout the report:\n{report}\n\n{self.board}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        question, answer = html.escape(self.question), html.escape(self.answer)
        known = "".join(f"<li><em>{html.escape(said)}</em> {html.escape(why)}</li>" for said, why in self.report)
        report = f"<p><strong>About the report:</strong></p><ul>{known}</ul>"
        return f"<p><strong>{question}</strong><br>{answer}</p>{report}{self.board._repr_html_()}"


def verdict(lecture: str | int, live: str = "", records: Records | None = None) -> Verdict:
    """The answer to the question in a lecture's title, and what is now known about the report, on what evidence.

    live: what the lecture's own runs showed, a sentence with their numbers; it is put first, and called what it is.
    Raises InvalidInputError for a lecture that does not exist.
    """
    name, known = _lecture(lecture), load_all() if records is None else records
    answer = _ANSWERS[name](known)
    report = []
    for suspect in (suspect for suspect in SUSPECTS if suspect.name in _TOUCHED[name]):
        said, why, _ = suspect.verdict(known)
        first = min(lecture for lecture, names in _TOUCHED.items() if suspect.name in names)
        reason = why.replace(answer, "").strip() if first == name else f"Lecture {first} has the evidence."
        report.append((f"{suspect.name[:1].upper()}{suspect.name[1:]}: {said}.", reason))
    if name == "05":
        report.append(("Table 1:", evidence.table_1(known)))
    if live:
        answer = f"Live, just now: {live} {answer}"
    return Verdict(name, answer, tuple(report) or (_OPEN[name],), board(name, known))


_OPEN = {
    "01": (
        "Nobody is cleared, nobody is guilty.",
        "The files hold traps that any program meets before its first layer.",
    ),
    "02": (
        "What it says of its layers is incomplete.",
        "Dropout lacks its factor; batch normalisation lacks ε, γ, β and the running statistics, and none of its "
        "networks uses it. Nobody has seen its program.",
    ),
}


def _layers(_: Records) -> str:
    return (
        "Each is a line or two of arithmetic, with a gradient that can be written down: all seven, the loss included, "
        "agree with PyTorch in values and in gradients."
    )


def _images(_: Records) -> str:
    grey = TINY_IMAGENET["greyscale files in training / validation / test"]
    twins = str(TINY_IMAGENET["… of these, with labels on both sides; conflicting"]).split(";")[0]
    return (
        f"From arrays of {TINY_IMAGENET['pixels of an image']} × 3 numbers, each with one of "
        f"{TINY_IMAGENET['classes']} labels; in the real files {grey} (training, validation, test) are "
        f"grey and {twins} groups of identical files "
        "contradict themselves."
    )


def _deeper(records: Records) -> str:
    pairs = {(change.classes, change.network): change for change in evidence.penalty(records)}
    most = max((c for c, name in pairs if name == "Model 2" and (c, "Model 1") in pairs), default=0)
    if not most:
        return "Models 1 and 2 have not been recorded under one recipe without the penalty yet."
    sides = [pairs[most, name] for name in ("Model 1", "Model 2")]
    gain = sides[1].after - sides[0].after
    error = math.sqrt(sum(side.after * (100 - side.after) / side.images for side in sides))  # points
    better = "cannot tell" if abs(gain) <= CLEAR * error else f"Model {2 if gain > 0 else 1} did better"
    return (
        f"Recorded, both without the penalty on {most} classes: after {sides[0].epochs} epochs Model 2 minus Model 1 "
        f"is {signed(gain)} ± {error:.1f} points: {better}, in one training each. Whether by its depth, its third "
        "pooling or its smaller fully connected layer, these two cannot say, nor what another seed would give."
    )


def _works(records: Records) -> str:
    best = evidence.best_unchanged(records)
    said = "Yes, by a better recipe" if best and _clearly_more(best) else "Not by any recipe recorded so far"
    described = [
        r
        for r in records
        if (r.network, r.classes) == ("model_1", FULL)
        and r.title.startswith("as described")
        and "validation" in r.scores
    ]
    held = ""
    if described:
        longest = max(described, key=lambda r: r.recipe.epochs)
        score = longest.scores["validation"].accuracy
        held = f" As the report describes it, it ends at {score:.1%} after {longest.recipe.epochs} epochs."
    return f"{said}: {evidence.network(best)}{held}"


def _wide(records: Records) -> str:
    found = {c.network: c for c in _weightiest(evidence.penalty(records))}
    both = ", ".join(
        f"{name} {found[name].running[1]:.1%} while learning and {found[name].after:.1f} % on {found[name].split} "
        f"images after {found[name].epochs} epochs"
        for name in ("Model 1", "Model 3")
        if name in found
    )
    tail = f" Recorded without the penalty: {both or 'nothing yet'}; no record separates the two changes."
    return (
        "A wider first layer lets one unit see more of the image; without dropout between the convolutions the images "
        "seen are learned sooner." + tail
    )


def _turned(records: Records) -> str:
    return f"{evidence.turn(evidence.unpenalised(records))} {evidence.done_well(records)}".strip()


def _proposals(records: Records) -> str:
    record = evidence.unpenalised(records)
    if record is not None and record.classes == FULL and (found := turning_point(record.history)).turned:
        at, end = record.history.epochs[found.epoch - 1], record.history.last
        longer = (
            f"longer training alone: no, Model 1's held-out loss had turned by epoch {found.epoch}, with "
            f"{at.eval_accuracy:.1%} right there and {end.eval_accuracy:.1%} in epoch {end.epoch} (lecture 07)."
        )
        if well := evidence.done_well(records):
            longer += f" By another recipe: {well[:1].lower()}{well[1:]}"
        return f"On photographs, {longer} Pre-training: cannot tell, it has not been tried on them."
    return "On photographs neither has been tried: cannot tell."


_ANSWERS: dict[str, Callable[[Records], str]] = {
    "01": _images,
    "02": _layers,
    "03": _works,
    "04": _deeper,
    "05": _wide,
    "06": lambda r: (
        "Cannot tell: on photographs the two have not been raced, each at its own best rate. Each has rates at which "
        "it learns and rates at which it does not, so a comparison at one rate shows who set the rate."
    ),
    "07": _turned,
    "08": lambda r: (
        "In layer 7 patches of texture at most: one of its numbers sees 10 × 10 pixels. Of the layers behind it only "
        "maps of where they looked were shown. A picture of a filter says nothing without the same picture of an "
        "untrained network."
    ),
    "09": lambda r: (
        "Most likely because right answers met the files in another order; it is an inference, and it needs no fault "
        "in the network."
    ),
    "10": _proposals,
}


def _tick(n: int) -> str:
    return f"✓ n = {n}" if n else "–"


def _lecture(lecture: str | int) -> str:
    """ "3", 3 and "03" as "03"."""
    name = str(lecture)[:2].zfill(2)
    if name not in TITLES:
        raise InvalidInputError(f"lecture {lecture!r} is unknown{nearest(name, TITLES)}")
    return name
