"""Benchmark: how fast the live laboratory answers, and how much it slows the training that it shows.

    python benchmarks/live_lab.py [--moves 50] [--repeats 5] [--epochs 4]

Wanted, on two CPU cores: from a moved slider to its value in force in less than a batch and 100 ms, median and worst;
and less than 5 % more time than the bare loop (`training.train(…).steps()`) at the default drawing rate. Model 1,
batches of 32 random images, snapshots and drawing on, no browser: what a frontend costs is its own process.

Loop and laboratory take turns, an epoch each, so that a machine that grows warm or busy hits both. Prints each pair,
the hardware, the versions and n.
"""

import argparse
import os
import platform
import random
import statistics
import threading
import time
from types import SimpleNamespace
from typing import Any

import matplotlib
import numpy as np
import torch

from tinylab import models, training
from tinylab.data import Dataset, Split
from tinylab.lab import VARIABLE
from tinylab.lab.live import LiveLab, drawer, widget
from tinylab.support import device
from tinylab.support.threads import release_team
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


class Turns:
    """A laboratory that trains only while it is its turn; in between its clock stands still, so that no picture is due.

    Else it would draw as often as time passes, though it trains in half of it.
    """

    def __init__(self, data: Dataset, recipe: Recipe) -> None:
        self.lab = laboratory(data, recipe)
        self._allowed, self._idle, self._began, self._before = threading.Semaphore(0), threading.Event(), 0.0, 0.0
        clock = SimpleNamespace(monotonic=self._now, perf_counter=time.perf_counter, thread_time=time.thread_time)
        for module in (drawer, widget):
            module.time = clock  # type: ignore[attr-defined]
        self.pictures, self._picture, self._advance = 0, self.lab._picture, self.lab.session.run.advance
        self.lab._picture = self._counted  # type: ignore[method-assign]
        self.lab.session.run.advance = self._on_turn  # type: ignore[method-assign]
        self.lab.session.ask("start")
        self._idle.wait(PATIENCE)
        self.go(PER_EPOCH)  # what is done once is done
        self.pictures = 0

    def _now(self) -> float:
        return self._before + (time.monotonic() - self._began if self._began else 0.0)

    def _counted(self, frame: Any) -> Any:
        self.pictures += 1
        return self._picture(frame)

    def _on_turn(self) -> Any:
        if not self._allowed.acquire(blocking=False):
            release_team()
            self._idle.set()
            self._allowed.acquire()
        return self._advance()

    def go(self, updates: int) -> None:
        """This many updates, with the measurements, pictures and snapshots among them."""
        self._idle.clear()
        self._began = time.monotonic()
        self._allowed.release(updates)
        self._idle.wait(PATIENCE)
        self._before, self._began = self._now(), 0.0

    def close(self) -> None:
        self._allowed.release(1)
        self.lab.close(PATIENCE)


class Bare:
    """The same training without a laboratory."""

    def __init__(self, data: Dataset, recipe: Recipe) -> None:
        self._steps = training.train(models.build("model_1", classes=CLASSES), data, recipe).steps()
        self.go(PER_EPOCH + 1)  # the measurements after an epoch belong to the next step here

    def go(self, updates: int) -> None:
        for _ in range(updates):
            next(self._steps)
        release_team()


def timed(trained: Bare | Turns, updates: int) -> np.ndarray:
    """Seconds by the clock, and of processor time."""
    started, used = time.perf_counter(), time.process_time()
    trained.go(updates)
    return np.array([time.perf_counter() - started, time.process_time() - used])


def slowdown(data: Dataset, recipe: Recipe, repeats: int, epochs: int) -> None:
    """Both train in turns, an epoch each, so that a machine that grows slow hits both; a ratio for `epochs` epochs."""
    shown, loop, ratios = Turns(data, recipe), Bare(data, recipe), []
    for number in range(repeats):
        took = {shown: np.zeros(2), loop: np.zeros(2)}
        drawn = shown.pictures
        for epoch in range(epochs):
            for one in (shown, loop) if (number + epoch) % 2 else (loop, shown):
                took[one] += timed(one, PER_EPOCH)
        ratios.append(took[shown] / took[loop])
        print(
            f"  {epochs * PER_EPOCH} updates: bare loop {took[loop][0]:.2f} s, laboratory {took[shown][0]:.2f} s "
            f"({shown.pictures - drawn} pictures): {_more(ratios[-1][0])}, of processor time {_more(ratios[-1][1])}"
        )
    shown.close()
    wall, work = np.array(ratios).T
    print(
        f"slowdown, n = {repeats} pairs of {epochs * PER_EPOCH} updates: median {_more(np.median(wall))}, from "
        f"{_more(wall.min())} to {_more(wall.max())}; of processor time: {_more(np.median(work))}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moves", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()
    data, recipe = dataset(), Recipe(epochs=1000, batch=BATCH)
    here = device.pick()
    print(
        f"{here.label}, {os.cpu_count()} cores seen, {platform.machine()}, Python {platform.python_version()}, torch "
        f"{torch.__version__}, matplotlib {matplotlib.__version__}, load {os.getloadavg()[0]:.1f}"
    )
    if options.moves:
        latency(data, recipe, options.moves)
    if options.repeats:
        slowdown(data, recipe, options.repeats, options.epochs)


def _more(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.1f} %"


if __name__ == "__main__":
    main()
