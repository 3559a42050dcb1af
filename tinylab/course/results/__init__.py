"""Records: what full-size trainings measured, stored with the package, loaded by name, shown beside live results.

record   what a record holds; JSON, read strictly, with a digest that notices an edit by hand
store    by name: those that come with tinylab, or those of a sweep's folder; convolution weights as safetensors
networks whole networks that come with tinylab
answers  what a recorded network says of the official validation images
origins  commit, device and versions of a record
fingerprints  which setting leaves which row of the report's Table 1
tables   reported, reproduced, done well, beyond; README's part between its marks

`tinylab sweep` makes records, `tinylab records --add` takes them over. Nothing in a record is ever executed.
"""

from tinylab.course.results.fingerprints import Fingerprint, conclusions, fingerprint_table, fingerprints
from tinylab.course.results.record import FLIPPED, FULL, Record, Timings, asked, begins, comparable, longest
from tinylab.course.results.store import (
    ENDINGS,
    add,
    answers,
    kept,
    load,
    load_all,
    names,
    network,
    save,
    size,
    weights,
)
from tinylab.course.results.tables import plan_table, readme, span, table

__all__ = [
    "ENDINGS",
    "FLIPPED",
    "FULL",
    "Fingerprint",
    "Record",
    "Timings",
    "add",
    "answers",
    "asked",
    "begins",
    "comparable",
    "conclusions",
    "fingerprint_table",
    "fingerprints",
    "kept",
    "load",
    "load_all",
    "longest",
    "names",
    "network",
    "plan_table",
    "readme",
    "save",
    "size",
    "span",
    "table",
    "weights",
]
