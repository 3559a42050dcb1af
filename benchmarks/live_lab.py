"""Benchmark: how fast the live laboratory answers, and how much it slows the training that it shows.

    python benchmarks/live_lab.py [--moves 50] [--repeats 5] [--steps 60]

Wanted, on two CPU cores: from a moved slider to its value in force in less than a batch and 100 ms, median and worst;
and less than 5 % more time than the bare loop (`training.train(…).steps()`) at the default drawing rate. Model 1,
batches of 32 random images, snapshots and drawing on, no browser: what a frontend costs is its own process.

Loop and laboratory take turns, so that a machine that grows warm or busy hits both. Prints each pair, the hardware, the
versions and n.
"""

import argparse
import os
import platform
import random
import statistics
import threading
import time

import matplotlib
import numpy as np
import torch

from tinylab import device, models, training
from tinylab.data import Dataset, Split
from tinylab.lab import VARIABLE
from tinylab.lab.live import LiveLab
from tinylab.training import Recipe

os.environ[VARIABLE] = "0"  # as if somebody sat there
CLASSES, BATCH, PER_EPOCH = 10, 32, 20
PATIENCE = 3600.0  # seconds


def dataset() -> Dataset:
    """Noise: what is timed does not depend on what can be learned."""

    def split(name: str, count: int) -> Split:
        labels = np.arange(count) % CLASSES
        images = np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)
        return Split(name, images, labels, labels.astype(str), np.arange(count))

    names = tuple(f"n{number}" for number in range(CLASSES))
    sizes = {"train": BATCH * PER_EPOCH, "development": 100, "validation": 100, "test": 10}
    return Dataset("noise", names, names, *(split(name, count) for name, count in sizes.items()))


def laboratory(data: Dataset, recipe: Recipe) -> LiveLab:
    lab = LiveLab(data, "model_1", recipe)
    lab.settle(PATIENCE)
    return lab


def latency(data: Dataset, recipe: Recipe, moves: int) -> None:
    """Move the learning rate's number at random moments of a training; the time until the optimizer has it."""
    lab = laboratory(data, recipe)
    run, arrived, applied = lab.session.run, threading.Event(), [0.0]
    turn, advance, measure, batches, ends = run.turn, run.advance, run.measure, [], []

    def timed_turn(knobs: object) -> None:
        turn(knobs)
        applied[0] = time.perf_counter()
        arrived.set()

    def timed_advance() -> object:
        started = time.perf_counter()
        step = advance()
        batches.append(time.perf_counter() - started)
        return step

    def timed_measure() -> None:
        started = time.perf_counter()
        measure()
        ends.append(time.perf_counter() - started)

    run.turn, run.advance, run.measure = timed_turn, timed_advance, timed_measure
    lab.start_button.click()
    lab.session.wait(lambda m: m.step >= 3, PATIENCE)
    chance, took = random.Random(0), []
    for number in range(moves):
        time.sleep(chance.uniform(0.05, 0.9))
        arrived.clear()
        started = time.perf_counter()
        lab.dials["learning_rate"].number.value = 1e-3 * (1 + number % 2) / 2
        arrived.wait(PATIENCE)
        took.append(applied[0] - started)
    lab.close(PATIENCE)
    batch = statistics.median(batches)
    late = sum(each > batch + 0.1 for each in took)
    print(
        f"moved to applied, n = {moves}: median {1e3 * statistics.median(took):.0f} ms, worst {1e3 * max(took):.0f} ms"
    )
    print(
        f"  a batch takes {1e3 * batch:.0f} ms (median; worst {1e3 * max(batches):.0f} ms), the measurements after an "
        f"epoch {1e3 * statistics.median(ends or [0.0]):.0f} ms; {late} of {moves} moves took longer than a batch and "
        "100 ms"
    )


def bare(data: Dataset, recipe: Recipe, steps: int) -> tuple[float, float]:
    """Seconds of `steps` updates and the measurements of each epoch, by the clock and of processor time."""
    run = training.train(models.build("model_1", classes=CLASSES), data, recipe)
    every = run.steps()
    next(every)
    started, used = time.perf_counter(), time.process_time()
    for _ in range(steps - 1):
        next(every)
    return time.perf_counter() - started, time.process_time() - used


def shown(data: Dataset, recipe: Recipe, steps: int) -> tuple[float, float, int]:
    """The same in a laboratory, and how many pictures it drew."""
    lab, drawn = laboratory(data, recipe), [0]
    draw = lab._picture

    def counted(frame: object) -> object:
        drawn[0] += 1
        return draw(frame)

    lab._picture = counted
    lab.step_button.click()
    lab.session.wait(lambda m: m.step == 1 and m.status == "paused", PATIENCE)
    lab.settle(PATIENCE)
    started, used = time.perf_counter(), time.process_time()
    lab.session.ask("start", steps)
    lab.session.wait(lambda m: m.step >= steps, PATIENCE)
    took, used = time.perf_counter() - started, time.process_time() - used
    lab.close(PATIENCE)
    return took, used, drawn[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moves", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args()
    data, recipe = dataset(), Recipe(epochs=1000, batch=BATCH)
    here = device.pick()
    print(
        f"{here.label}, {os.cpu_count()} cores seen, {platform.machine()}, Python {platform.python_version()}, torch "
        f"{torch.__version__}, matplotlib {matplotlib.__version__}, load {os.getloadavg()[0]:.1f}"
    )
    if options.moves:
        latency(data, recipe, options.moves)
    ratios: list[float] = []
    work: list[float] = []
    # the measurements after an epoch belong to its last step here, to the next step there: stop in mid-epoch
    steps = options.steps + PER_EPOCH // 2
    for number in range(options.repeats):
        loop = bare(data, recipe, steps) if number % 2 else None
        took, used, drawn = shown(data, recipe, steps)
        loop = loop or bare(data, recipe, steps)
        ratios.append(took / loop[0])
        work.append(used / loop[1])
        print(
            f"  bare loop {loop[0]:.2f} s, laboratory {took:.2f} s ({drawn} pictures): {_more(ratios[-1])}, "
            f"of processor time {_more(work[-1])}"
        )
    if ratios:
        print(
            f"slowdown, n = {options.repeats} pairs of {steps} updates: median {_more(statistics.median(ratios))}, "
            f"from {_more(min(ratios))} to {_more(max(ratios))}; of processor time: {_more(statistics.median(work))}"
        )


def _more(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.1f} %"


if __name__ == "__main__":
    main()
