"""python -m benchmarks: the whole table. See the package's first lines; `--help` for the options.

Every row keeps its process until the last round: ten of them take about 10 GB of memory together. Where that is too
much, name the rows (`--rows tinylab plain`).
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import limits, machine, material, parts, report
from benchmarks.contest import contest, disagreements
from benchmarks.decoding import decoding
from benchmarks.machine import say
from benchmarks.pace import Task, precision
from benchmarks.rows import ROWS
from benchmarks.rows.ours import order
from tinylab.models import ARCHITECTURES
from tinylab.support.cores import core_count
from tinylab.support.errors import InvalidInputError, nearest

OUT = machine.ROOT / "build" / "bench"
PEAKS = 5  # of which the best counts, in each round
PARTS = ("training", "decoding", "importing", "loading", "growth")


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    made.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    made.add_argument("--models", nargs="+", default=["model_1"], metavar="NAME", help="model_1, model_2, model_3")
    made.add_argument("--rows", nargs="+", default=[], metavar="ROW", help=", ".join(ROWS))
    made.add_argument("--parts", nargs="+", default=[], metavar="PART", help=", ".join(PARTS))
    made.add_argument("--repeats", type=int, default=5, help="windows of each row")
    made.add_argument("--steps", type=int, help="of a window (CPU 3, GPU 100)")
    made.add_argument("--equal-steps", type=int, default=3, help="steps from equal weights on equal batches")
    made.add_argument("--batch", type=int, default=128)
    made.add_argument("--threads", type=int, default=core_count(), help="of each row's process (default: the cores)")
    made.add_argument("--images", type=int, default=2000, help="training images that the rows share")
    made.add_argument("--data", type=Path, help="an archive in Tiny ImageNet's layout (default: the generated sample)")
    made.add_argument("--data-archive", type=Path, help="an archive to decode, beside the crafted one")
    made.add_argument("--course", action="store_true", help="also run all lectures, smoke and lecture: minutes")
    made.add_argument("--out", type=Path, help="JSON (default: build/bench/<device>.json)")
    made.add_argument("--resume", action="store_true", help="keep what an earlier run with these settings has measured")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if all rows that ran learned the same."""
    options = parser().parse_args(arguments)
    for asked, known in ((options.models, ARCHITECTURES), (options.rows, ROWS), (options.parts, PARTS)):
        for name in asked:
            if name not in known:
                raise InvalidInputError(f"{name!r} is unknown{nearest(name, known)}")
    if options.device == "cuda" and not torch.cuda.is_available():
        raise InvalidInputError("device 'cuda' is not available on this machine. Available: cpu")
    options.steps = options.steps or (100 if options.device == "cuda" else 3)
    options.out = options.out or OUT / f"{options.device}.json"
    torch.set_num_threads(options.threads)
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
    settings = {name: settings[name] for name in ("device", "repeats", "steps", "equal_steps", "batch", "threads")}
    settings["precision"] = precision(options.device)
    settings["images"] = f"{options.images} images of {options.data.name if options.data else 'the generated sample'}"
    content = report.fresh(settings, machine.describe(options.device, options.threads))
    if options.resume:
        content = report.read(options.out, content) or content
    asked = options.parts or PARTS
    if "training" in asked:
        _training(options, content)
    _parts(options, content, asked)
    _print(content, options.out)
    found = [report.results(content, model) for model in content["rows"]]
    wrong = [line for rows in found for line in disagreements(rows, settings["precision"])]
    for line in wrong:
        say(f"NOT EQUAL: {line}")
    return 1 if wrong else 0


def _training(options: argparse.Namespace, content: dict[str, Any]) -> None:
    names = options.rows or list(ROWS)
    folder = OUT / "material"
    say("preparing images")
    made = material.prepare(folder, options.data, options.images)
    if "limits" not in content:
        say("limits of the machine")
        content["limits"] = limits.peaks(options.device)
    for model in options.models:
        content.setdefault("floors", {})[model] = floors(model, options.batch, content["limits"])
        # a row that failed is tried again
        found = {name: row for name, row in report.results(content, model).items() if not row.failed}
        workers = min(8, options.threads)
        task = Task(model=model, batch=options.batch, device=options.device, workers=workers)

        def each_round(model: str = model) -> None:
            peaks = limits.peaks(options.device, repeats=PEAKS)
            now = {kind: one["seconds"] for kind, one in floors(model, options.batch, peaks).items()}
            content.setdefault("floors_in_turn", {}).setdefault(model, []).append(now)

        def save(model: str = model, found: dict[str, Any] = found) -> None:
            report.store(content, model, found, options.batch)
            report.write(options.out, content)

        contest(
            names,
            folder,
            task,
            equal=order(made, options.batch, options.equal_steps),
            repeats=options.repeats,
            steps=options.steps,
            # what loading processes have ready when a window begins: two batches each
            lead=2 * workers if options.device == "cuda" else 1,
            threads=options.threads,
            results=found,
            save=save,
            each_round=each_round,
        )
        save()


def floors(model: str, batch: int, peaks: dict[str, Any]) -> dict[str, Any]:
    """The floor of a training step at each precision that has a peak, in counts and in seconds on that machine."""
    found = {}
    for kind, width in (("float32", 4), ("bfloat16", 2)):
        if f"matrix_product_{kind}" not in peaks:
            continue
        one = limits.floor(material.network(model, None), batch=batch, width=width)
        product, copy = peaks[f"matrix_product_{kind}"]["best"], peaks["copy"]["best"]
        found[kind] = {
            "forward": one.forward,
            "training": one.training,
            "flops": one.flops,
            "bytes": one.bytes,
            "arithmetic_seconds": one.flops / product,
            "bytes_seconds": one.bytes / copy,
            "seconds": one.seconds(product, copy),
        }
    return found


def _parts(options: argparse.Namespace, content: dict[str, Any], asked: Sequence[str]) -> None:
    """Everything else; what the file holds already is kept."""
    crafted, name, threads = OUT / "crafted.zip", parts.prepared(), options.threads

    def decode() -> list[dict[str, Any]]:
        if not crafted.exists():
            say("drawing an archive of 12,000 images")
            material.write_sample(crafted, train=500)
        archives = [crafted, *([options.data_archive] if options.data_archive else [])]
        return [decoding(archive, 3) for archive in archives]

    jobs: dict[str, Callable[[], Any]] = {
        "decoding": decode,
        "importing": lambda: parts.importing(5),
        "loading": lambda: parts.loading(name, None, options.device, 5, threads),
        "growth": lambda: parts.growth(name, OUT / "material", options.device, threads),
        "course": lambda: [parts.course(profile, OUT / f"course-{profile}") for profile in ("smoke", "lecture")],
        "thirty_epochs": lambda: parts.thirty_epochs(options.device),
    }
    chosen = [job for job in asked if job in jobs]
    chosen += ["course"] if options.course else []
    chosen += ["thirty_epochs"] if options.device == "cuda" and not options.parts else []
    for job in chosen:
        if job not in content["parts"]:
            say(job.replace("_", " "))
            content["parts"][job] = jobs[job]()
            report.write(options.out, content)


def _print(content: dict[str, Any], path: Path) -> None:
    for table in report.tables(content):
        print(f"{table}\n")
    for line in report.notes(content):
        print(line)
    before = content["machine"]
    print(f"Load before the run {before['load_before']}, {before['time']}; all figures: {os.path.relpath(path)}")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InvalidInputError as error:
        sys.exit(f"{error}")
