"""Benchmark: all 64 filters of the seventh layer of Model 1, by the modern method.

    python benchmarks/filters.py [--steps 128] [--runs 3]

Wanted: under 60 s on two CPU cores. Prints the median and all times, with the hardware, the versions and n. What the
time depends on is the network's size and the number of steps, not what it learned: the weights are freshly drawn.

`benchmarks/` holds timings that a person starts on a quiet machine; no test depends on them.
"""

import argparse
import platform
import statistics
import time
from dataclasses import replace

import numpy as np
import torch

from tinylab import filters, models
from tinylab.data import Normalisation
from tinylab.support import device
from tinylab.support.cores import core_count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=filters.MODERN.steps)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    here = device.pick()
    model = models.build("model_1", seed=0)
    here.place(model)
    normalisation = Normalisation(np.full((64, 64, 3), 120.0), np.full(3, 60.0))
    colours = 0.15 * np.eye(3) + 0.1
    method = replace(filters.MODERN, steps=options.steps)
    filters.maximise(model, normalisation, 7, method=replace(method, steps=2), colours=colours)  # warm up
    times = []
    for _ in range(options.runs):
        started = time.perf_counter()
        found = filters.maximise(model, normalisation, 7, method=method, colours=colours)
        times.append(time.perf_counter() - started)
    print(f"{len(found.channels)} filters of {found.address}, {options.steps} steps each, in one batch")
    print(f"median {statistics.median(times):.1f} s, n = {len(times)}: {', '.join(f'{t:.1f}' for t in times)} s")
    print(
        f"{here.label}; {core_count()} cores, {platform.processor() or platform.machine()}; "
        f"torch {torch.__version__}, Python {platform.python_version()}"
    )


if __name__ == "__main__":
    main()
