"""The process of one row: python -m benchmarks.worker ROW FOLDER TASK (the parent starts it, see contest.py).

Commands come on standard input, answers go to what was standard output; what the library prints goes nowhere.
"""

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

from benchmarks import rows
from benchmarks.material import Material
from benchmarks.pace import Counted, Enough, Task, Windows, run


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 1)  # progress bars and tables of the libraries
    name, folder = sys.argv[1], Path(sys.argv[2])
    given = json.loads(sys.argv[3])
    equal = given.pop("equal")  # images of the batches that all rows learn from, step by step, or []
    began = given.pop("began")  # time.time() when the parent started this process
    task = Task(**given)
    pace = Windows(task.device, sys.stdin, answers)
    losses: list[float] = []
    try:
        train = rows.load(name)
        imports = time.time() - began
        material = Material.open(folder)
        material.mean  # noqa: B018 (computed before any clock runs)
        if equal:
            counted = Counted(len(equal) // task.batch)
            same = replace(task, dropout=0.0, augment=False, rows=tuple(equal), steps=counted.steps)
            run(train, material, same, counted)
            losses = counted.losses
        pace.answer({"losses": losses, "imports": imports})
    except Exception as error:
        pace.answer({"failed": " ".join(f"{type(error).__name__}: {error}".split())[:300]})
        raise
    try:
        pace.next()
        run(train, material, task, pace)
    except Enough:
        pass
    except Exception as error:
        pace.answer({"failed": " ".join(f"{type(error).__name__}: {error}".split())[:300]})
        raise


if __name__ == "__main__":
    main()
