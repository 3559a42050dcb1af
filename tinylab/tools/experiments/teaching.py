"""Which row of a plan teaches which, and which may begin: a student waits until its teacher has ended.

A teacher's network is the one that its last epoch leaves, trained and watched as every row is. It stays in the sweep's
folder, for students that begin later or once more.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tinylab.support.errors import InvalidInputError
from tinylab.tools.experiments.rows import Row

if TYPE_CHECKING:
    from tinylab.tools.experiments.worker import Job

MOST = 10  # teachers one above the other: rows lie so deep in one another


def kept(teacher: Row) -> Path:
    """Where in the sweep's folder the network of a row that teaches stays."""
    return Path("teachers") / f"{teacher.identifier}.pt"


# ---------------------------------------------------------------- in a plan


def taught(rows: Sequence[Row], names: Sequence[str | None]) -> list[Row]:
    """The rows with their teachers, students after all who teach them; names: of each row's teacher, or None.

    A name is a row's title, or its network and title ("model_1, as described"). It means the row of the same seed: of
    several networks the student's own. Raises InvalidInputError, one line, for a name that is no other row's or that
    several have, for a circle, and for a teacher that would see other images than its own.
    """
    places = _places(rows, names)
    teaching = {place for place in places if place is not None}
    marked = [replace(row, teaches=place in teaching) for place, row in enumerate(rows)]
    done = {place: row for place, row in enumerate(marked) if places[place] is None}
    for _ in range(MOST):
        done |= {
            place: _student(marked[place], done[above])
            for place, above in enumerate(places)
            if above is not None and place not in done and above in done
        }
    for place in range(len(rows)):
        if place not in done:
            raise InvalidInputError(_endless(rows, places, place))
    return list(done.values())


def _places(rows: Sequence[Row], names: Sequence[str | None]) -> list[int | None]:
    """Where in `rows` each one's teacher is."""
    titles: dict[tuple[int, str], list[int]] = {}
    whole: dict[tuple[int, str], list[int]] = {}  # network and title
    for place, row in enumerate(rows):
        titles.setdefault((row.recipe.seed, row.title), []).append(place)
        whole.setdefault((row.recipe.seed, f"{row.short}, {row.title}"), []).append(place)
    found: list[int | None] = []
    for row, name in zip(rows, names, strict=True):
        if name is None:
            found.append(None)
            continue
        key = (row.recipe.seed, name)
        places = titles.get(key) or whole.get(key) or []
        if not places:
            others = dict.fromkeys(repr(other.title) for other in rows if other.title != row.title)
            allowed = ", ".join(others) or "the name of another row"
            raise InvalidInputError(f"{row.title}: teacher {name!r:.80} is no row of the plan. Allowed: {allowed}")
        own = [place for place in places if rows[place].network == row.network]
        if len(places) > 1 and not own:
            allowed = ", ".join(repr(f"{rows[place].short}, {rows[place].title}") for place in places)
            raise InvalidInputError(
                f"{row.title}: teacher {name!r} has several networks, and {row.short} is none of them. "
                f"Allowed: {allowed}"
            )
        found.append((own or places)[0])
    return found


def _student(row: Row, teacher: Row) -> Row:
    """The row with its teacher. The teacher is shown the student's images: they have to be normalised as its own."""
    keys = ["normalisation"] + (["per_class"] if row.source is None else [])  # a divided plan's are the source's
    for key in keys:
        mine, its = (getattr(part, key) for part in (row, teacher))
        if mine != its:
            raise InvalidInputError(
                f"{row.title}: {key} {_said(mine)} differs from {_said(its)} of its teacher {teacher.title!r}, "
                "whose network expects its own mean image. Allowed: the same"
            )
    return replace(row, teacher=teacher)


def _said(value: object) -> str:
    return "all" if value is None else repr(value)


def _endless(rows: Sequence[Row], places: Sequence[int | None], place: int) -> str:
    """Why nobody can begin: a circle of teachers, or too many of them."""
    chain: list[int] = []
    above: int | None = place
    while above is not None and above not in chain:
        chain.append(above)
        above = places[above]
    if above is None:
        return f"{rows[place].title}: {len(chain) - 1} teachers one above the other. Allowed: {MOST}"
    circle = [*chain[chain.index(above) :], above]
    said = " learns from ".join(repr(f"{rows[each].short}, {rows[each].title}") for each in circle)
    return f"{said}: a circle, in which nobody can begin. Allowed: a teacher that does not learn from its student"


# ---------------------------------------------------------------- in a sweep


class Turns:
    """Jobs in the plan's order; those of students only once their teachers, if they are among them, have ended."""

    def __init__(self, jobs: Sequence["Job"]) -> None:
        self.left = list(jobs)  # not yet handed out
        self._open = {job.row.identifier for job in jobs}  # not yet ended

    def next(self) -> "Job | None":
        """The first job that need not wait; None if there is none at present."""
        for job in self.left:
            if job.row.teacher is None or job.row.teacher.identifier not in self._open:
                self.left.remove(job)
                return job
        return None

    def ended(self, job: "Job") -> None:
        """Its students need not wait any longer."""
        self._open.discard(job.row.identifier)
