"""One file of JSON with all that was measured, and the tables that a person reads."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.contest import Result, ratios, speeds
from benchmarks.machine import summarise
from benchmarks.rows import ROWS
from tinylab.support.files import atomic_write
from tinylab.support.table import Table

KIND, VERSION = "tinylab benchmark", 1


def fresh(settings: dict[str, Any], machine: dict[str, Any]) -> dict[str, Any]:
    return {"kind": KIND, "version": VERSION, "settings": settings, "machine": machine, "rows": {}, "parts": {}}


def read(path: Path, begun: dict[str, Any]) -> dict[str, Any] | None:
    """What an earlier run with the settings, device and versions of `begun` has measured, or None: all is to do."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        marks = [[one[key] for key in ("kind", "version", "settings")] for one in (found, begun)]
        machines = [[one["machine"][key] for key in ("device", "versions")] for one in (found, begun)]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if marks[0] == marks[1] and machines[0] == machines[1] else None


def write(path: Path, content: dict[str, Any]) -> None:
    atomic_write(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


def results(content: dict[str, Any], model: str) -> dict[str, Result]:
    """The rows of `model` as they were stored."""
    return {name: Result(**row["measured"]) for name, row in content["rows"].get(model, {}).items()}


def store(content: dict[str, Any], model: str, found: dict[str, Result], batch: int) -> None:
    """Put the rows of `model` into `content`: what was measured, and what follows from it."""
    pace, faster = speeds(found), ratios(found)
    content["rows"][model] = {
        name: {
            "title": ROWS[name].title,
            "what": ROWS[name].what,
            "data": ROWS[name].data,
            "precision": precision(name, content),
            "measured": asdict(result),
            "images_per_second": pace.get(name),
            "times_slower_than_tinylab": faster.get(name),
            "share_of_floor": _share(content, model, name, result, batch),
        }
        for name, result in found.items()
    }


def precision(name: str, content: dict[str, Any]) -> str:
    return str(content["settings"]["precision"]) if ROWS[name].tuned else "float32"


def _share(content: dict[str, Any], model: str, name: str, found: Result, batch: int) -> dict[str, Any] | None:
    """Of the floor: its time over the row's, at the row's precision; round by round, as the machine was then."""
    floors = content.get("floors_in_turn", {}).get(model, [])
    pairs = zip(floors, found.windows, strict=False)
    shares = [floor[precision(name, content)] / (batch / window) for floor, window in pairs]
    return summarise(shares) if shares else None


# ---------------------------------------------------------------- tables


def tables(content: dict[str, Any]) -> list[Table]:
    made = [_training(content, model) for model in content["rows"]]
    return [*made, *_limits(content), *_others(content["parts"])]


def _training(content: dict[str, Any], model: str) -> Table:
    rows = []
    for row in content["rows"][model].values():
        measured, pace, slower = row["measured"], row["images_per_second"], row["times_slower_than_tinylab"]
        if measured["failed"] or not pace:
            rows.append([row["title"], "not run" if measured["failed"] else "not measured", *["–"] * 8])
            continue
        rows.append(
            [
                row["title"],
                f"{pace['median']:.1f}",
                f"{pace['least']:.1f}–{pace['most']:.1f}",
                f"{slower['median']:.2f} ×" if slower else "–",
                f"{100 * row['share_of_floor']['median']:.0f} %" if row["share_of_floor"] else "–",
                row["precision"],
                f"{measured['first_step']:.2f}",
                f"{measured['imports']:.1f}",
                f"{measured['losses'][-1]:.4f}" if measured["losses"] else "–",
                f"{measured['megabytes']:.0f}",
            ]
        )
    settings, machine = content["settings"], content["machine"]
    columns = (
        "row",
        "images/s",
        "spread",
        "tinylab is faster by",
        "of the floor",
        "precision",
        "first step (s)",
        "imports (s)",
        f"loss after {settings['equal_steps']}",
        "MB",
    )
    caption = (
        f"Training {model}, batches of {settings['batch']}, Adam 1e-3, flip and crop, dropout as in its line, on "
        f"{machine['device']} ({machine['processor']}), {machine['threads']} threads, torch "
        f"{machine['versions']['torch']}; {settings['images']}; n = {settings['repeats']} windows of "
        f"{settings['steps']} steps, in turn: medians. The losses are without augmentation and dropout."
    )
    return Table(columns, rows, caption)


def notes(content: dict[str, Any]) -> list[str]:
    """Why rows have no numbers: a line for each."""
    rows = [row for found in content["rows"].values() for row in found.values()]
    return list(
        dict.fromkeys(f"{row['title']}: {row['measured']['failed']}" for row in rows if row["measured"]["failed"])
    )


def _limits(content: dict[str, Any]) -> list[Table]:
    if "limits" not in content:
        return []
    peaks = [[name.replace("_", " "), _speed(one), one["what"]] for name, one in content["limits"].items()]
    rows = [
        [
            model,
            precision,
            f"{one['forward'] / 1e6:.1f} M",
            f"{one['training'] / 1e6:.1f} M",
            f"{one['bytes'] / 1e9:.2f}",
            f"{1e3 * one['arithmetic_seconds']:.1f}",
            f"{1e3 * one['bytes_seconds']:.1f}",
        ]
        for model, both in content["floors"].items()
        for precision, one in both.items()
    ]
    columns = ("network", "precision", "forward", "training", "GB a step", "arithmetic (ms)", "bytes (ms)")
    return [
        Table(("limit", "best", "of"), peaks, "What the machine can do"),
        Table(
            columns, rows, "The floor of a step: multiply-adds of an image, bytes of a batch; the longer time counts"
        ),
    ]


def _speed(one: dict[str, Any]) -> str:
    scale, unit = (1e12, "T") if one["best"] >= 1e12 else (1e9, "G")
    return f"{one['best'] / scale:.1f} {unit}{one['unit']}"


def _others(parts: dict[str, Any]) -> list[Table]:
    rows: list[list[str]] = []

    def add(what: str, value: str, spread: str = "–", n: object = 1) -> None:
        rows.append([what, value, spread, str(n)])

    def seconds(what: str, one: dict[str, Any], unit: str = "s") -> None:
        add(what, f"{one['median']:.3g} {unit}", f"{one['least']:.3g}–{one['most']:.3g}", one["n"])

    for one in parts.get("decoding", []):
        seconds(f"{one['archive']}: {one['images']} images to cache", one["prepare"])
        for alone in one["bare"]:
            seconds(f"  {alone['what']} alone", alone["seconds"])
            seconds("  ratio", alone["ratio"], "×")
        add("  memory of the largest process", f"{one['prepare']['megabytes']:.0f} MB")
    if "importing" in parts:
        seconds("import torch", parts["importing"]["torch"])
        seconds("import tinylab to train with, beyond torch", parts["importing"]["tinylab"])
    loads = [parts["loading"]] if "loading" in parts else []
    for one in loads + [grown["loading"] for grown in parts.get("growth", [])]:
        seconds(f"warm load of {one['data']}, {one['classes']} classes, to first batch", one["seconds"])
        for span in ("load", "normalisation", "batches", "first_batch"):
            seconds(f"  {span.replace('_', ' ')}", one[span])
        add("  memory beyond torch's", f"{one['megabytes']:.0f} MB")
    for grown in parts.get("growth", []):
        seconds(f"training step, {grown['outputs']} classes", grown["step"])
        add("  memory of its process", f"{grown['megabytes']:.0f} MB")
    for one in parts.get("course", []):
        ended = "" if one["exit"] == 0 else f" (failed, exit {one['exit']})"
        add(f"the course, {one['profile']}, {one['jobs']} jobs{ended}", f"{one['seconds'] / 60:.1f} min")
    if "thirty_epochs" in parts:
        one = parts["thirty_epochs"]
        add(
            f"{one['epochs']} epochs of Model 1, {one['images']} images ({one['data']}), training clock",
            f"{one['training_seconds']:.2f} s",
        )
        add("  clock on the wall, evaluation included", f"{one['wall_seconds']:.2f} s")
    return [Table(("also", "median", "spread", "n"), rows, "Beside training")] if rows else []
