"""Benchmark: how fast the live laboratory answers, and how much it slows the training that it shows.

    python -m benchmarks.live_lab [--moves 50] [--repeats 7] [--epochs 4] [--no-browser]

Wanted, on two CPU cores: at most 2 % more time than the bare loop (`training.train(…).steps()`); from a moved slider to
its value in force in less than a batch and 100 ms, and to its mark on the page in less than a batch and 150 ms; 600
different charts a minute. Model 1, batches of 32 random images, snapshots and messages on. It is measured in the kernel
of a JupyterLab whose page, in a real Chromium on the same machine, draws what it is sent; without Chromium, or with
--no-browser, in this process, where nobody listens and no chart is drawn.

Loop and laboratory take turns, an epoch each, so that a machine that grows warm or busy hits both. Prints each pair,
the hardware, the versions and n.
"""

import argparse
import os
import platform
import random
import shutil
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import torch

from tinylab import models, training
from tinylab.data import Dataset, Split
from tinylab.lab.live import LiveLab
from tinylab.support import device
from tinylab.support.notebook import VARIABLE
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


def latency(lab: LiveLab, moves: int) -> None:
    """Move the learning rate's number at random moments of a training; the time until the optimizer has it."""
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
    lab.session.ask("start")
    lab.session.wait(lambda m: m.step >= 3, PATIENCE)
    chance, took = random.Random(0), []
    for number in range(moves):
        time.sleep(chance.uniform(0.05, 0.9))
        arrived.clear()
        started = time.perf_counter()
        lab._receive({"command": "knobs", "value": {"learning_rate": 1e-3 * (1 + number % 2) / 2}, "number": number})
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
    """A laboratory that trains only while it is its turn; in between it waits, so that no message is sent."""

    def __init__(self, lab: LiveLab) -> None:
        self.lab, self._advance, self._send = lab, lab.session.run.advance, lab.face.send
        self._allowed, self._idle, self.sent = threading.Semaphore(0), threading.Event(), 0
        lab.session.run.advance = self._on_turn  # type: ignore[method-assign]
        lab.face.send = self._counted  # type: ignore[method-assign]
        lab.session.ask("start")
        self._idle.wait(PATIENCE)
        self.go(PER_EPOCH)  # what is done once is done

    def _counted(self, *message: Any) -> None:
        self.sent += 1
        self._send(*message)

    def _on_turn(self) -> Any:
        if not self._allowed.acquire(blocking=False):
            release_team()
            self._idle.set()
            self._allowed.acquire()
        return self._advance()

    def go(self, updates: int) -> None:
        """This many updates, with the measurements, messages and snapshots among them."""
        self._idle.clear()
        self._allowed.release(updates)
        self._idle.wait(PATIENCE)

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


def slowdown(lab: LiveLab, data: Dataset, recipe: Recipe, repeats: int, epochs: int) -> None:
    """Both train in turns, an epoch each, so that a machine that grows slow hits both; a ratio for `epochs` epochs."""
    shown, loop, ratios = Turns(lab), Bare(data, recipe), []
    for number in range(repeats):
        took = {shown: np.zeros(2), loop: np.zeros(2)}
        before = shown.sent
        for epoch in range(epochs):
            for one in (shown, loop) if (number + epoch) % 2 else (loop, shown):
                took[one] += timed(one, PER_EPOCH)
        ratios.append(took[shown] / took[loop])
        print(
            f"  {epochs * PER_EPOCH} updates: bare loop {took[loop][0]:.2f} s, laboratory {took[shown][0]:.2f} s "
            f"({shown.sent - before} messages): {_more(ratios[-1][0])}, of processor time {_more(ratios[-1][1])}"
        )
    shown.close()
    wall, work = np.array(ratios).T
    print(
        f"slowdown, n = {repeats} pairs of {epochs * PER_EPOCH} updates: median {_more(np.median(wall))}, from "
        f"{_more(wall.min())} to {_more(wall.max())}; of processor time: {_more(np.median(work))}"
    )


def measure(lab: LiveLab, moves: int, repeats: int, epochs: int) -> None:
    """Both, one after the other, with this laboratory and a second one."""
    data, recipe = dataset(), Recipe(epochs=1000, batch=BATCH)
    print(
        f"{device.pick().label}, {os.cpu_count()} cores seen, {platform.machine()}, Python "
        f"{platform.python_version()}, torch {torch.__version__}, anywidget {anywidget.__version__}, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    if repeats:
        slowdown(lab, data, recipe, repeats, epochs)
    if moves:
        latency(laboratory(data, recipe), moves)


MOVED = """async ([canvas, slider, moves]) => {
    const took = [], charts = new Set();
    let told = () => {};
    new MutationObserver(() => { charts.add(canvas.dataset.step); told(); }).observe(canvas, {attributes: true});
    const began = performance.now();
    for (let move = 0; move < moves; move++) {
        await new Promise(done => setTimeout(done, 50 + 850 * Math.random()));
        const before = canvas.dataset.marks, moved = performance.now();
        slider.value = Number(slider.value) + (move < moves / 2 ? 1 : -1);
        slider.dispatchEvent(new Event("input"));
        while (canvas.dataset.marks === before) await new Promise(done => { told = done; });
        await new Promise(requestAnimationFrame);
        took.push(performance.now() - moved);
    }
    return {took, perMinute: 60000 * charts.size / (performance.now() - began)};
}"""  # told of each chart, since looking in every frame would cost frames; drawn in one frame, seen in the next


def in_browser(moves: int, repeats: int, epochs: int) -> None:
    """`measure` in a notebook whose page shows the laboratory, and what the page itself sees."""
    from tests.browser.jupyter import chromium, run_cell, served

    cells = (
        f"import sys\nsys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "from benchmarks.live_lab import BATCH, Recipe, dataset, laboratory, measure\n"
        "lab = laboratory(dataset(), Recipe(epochs=1000, batch=BATCH))\nlab",
        f"measure(lab, {moves}, {repeats}, {epochs})\nprint('measured')",
        "lab = laboratory(dataset(), Recipe(epochs=1000, batch=BATCH))\nlab",
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        chromium() as browser,
        served(Path(folder), browser) as server,
        server.opened(cells, (1280, 1600)) as page,
    ):
        run_cell(page, 0)
        page.locator(".tinylab-lab canvas[data-drawn]").wait_for()
        run_cell(page, 1)
        said = page.locator(".jp-OutputArea-output", has_text="measured")
        said.wait_for(timeout=1000 * PATIENCE)
        print(said.inner_text().removesuffix("measured").strip(), flush=True)
        if moves:
            run_cell(page, 2)
            shown = page.locator(".tinylab-lab").last  # JupyterLab may have taken the first, out of sight, off the page
            shown.locator("> canvas[data-drawn]").wait_for()
            canvas, slider = shown.locator("> canvas"), shown.get_by_role("slider", name="learning rate", exact=True)
            shown.get_by_role("button", name="Start").click()
            page.wait_for_function("canvas => Number(canvas.dataset.step) > 3", arg=canvas.element_handle())
            page.set_default_timeout(1000 * PATIENCE)
            seen = page.evaluate(MOVED, [canvas.element_handle(), slider.element_handle(), moves])
            middle, worst = statistics.median(seen["took"]), max(seen["took"])
            print(
                f"{seen['perMinute']:.0f} different charts a minute; moved to mark on the page, n = {moves}: median "
                f"{middle:.0f} ms, worst {worst:.0f} ms\n  {shown.locator('.now').inner_text()}"  # images/s: of a batch
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moves", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--no-browser", action="store_true")
    asked = parser.parse_args()
    if asked.no_browser or not shutil.which("chromium"):
        lab = laboratory(dataset(), Recipe(epochs=1000, batch=BATCH))
        measure(lab, asked.moves, asked.repeats, asked.epochs)
    else:
        in_browser(asked.moves, asked.repeats, asked.epochs)


def _more(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.1f} %"


if __name__ == "__main__":
    main()
