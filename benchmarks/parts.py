"""What is measured beside training: importing, a warm load, growth with the number of classes, the course, 30 epochs.

Everything that keeps something warm (modules, pages of a memory map) is measured in fresh processes.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT, child, environment, say, summarise
from tinylab.data import cache_root, prepared_names

_IMPORT = """
import json, time
started = time.perf_counter()
import torch
between = time.perf_counter()
import tinylab
from tinylab import data, evaluation, models, optimizers, training
from tinylab.data import Batches, load
print(json.dumps([between - started, time.perf_counter() - between]))
"""

_LOAD = """
import json, sys, time
import torch
from benchmarks.machine import clock, peak_memory
from tinylab.support import device
from tinylab import training
from tinylab.data import Batches, load
name, classes, target = sys.argv[1], int(sys.argv[2]) or None, sys.argv[3]
here = device.pick(target)
torch.zeros(1, device=here.target)  # a GPU's own start is not the loading's
before = peak_memory()
times = [clock(target)]
data = load(name, classes)
times.append(clock(target))
data.normalisation
times.append(clock(target))
batches = Batches(data.train, data.normalisation, batch=128, device=here, shuffle=True, seed=0)
times.append(clock(target))  # on a GPU: all images are resident now
next(iter(batches.epoch(1)))
times.append(clock(target))
spans = [b - a for a, b in zip(times, times[1:])]
print(json.dumps({"spans": spans, "megabytes": peak_memory() - before, "images": len(data.train),
                  "classes": len(data.classes)}))
"""

_STEP = """
import json, sys
from benchmarks.machine import clock, peak_memory
from benchmarks.material import Material
from pathlib import Path
from tinylab.support import device
from tinylab import models, training
import numpy as np
from dataclasses import replace
material, classes, target = Material.open(Path(sys.argv[1])), int(sys.argv[2]), sys.argv[3]
data = material.repeated(128, 8)
names = data.classes[:classes]
train = replace(data.train, labels=data.train.labels % classes)
data = replace(data, classes=names, words=names, train=train)
run = training.train(models.build("model_1", classes), data, training.Recipe(epochs=1), device=device.pick(target))
steps = run.steps()
next(steps)
times = []
for _ in range(3):
    started = clock(target)
    next(steps)
    times.append(clock(target) - started)
print(json.dumps({"seconds": times, "megabytes": peak_memory()}))
"""


def importing(repeats: int) -> dict[str, Any]:
    """Seconds of importing torch, and of the rooms that train a network after it."""
    child(_IMPORT)  # writes the compiled files, and brings them into memory
    found = [json.loads(child(_IMPORT)) for _ in range(repeats)]
    return {"torch": summarise([a for a, _ in found]), "tinylab": summarise([b for _, b in found])}


def loading(name: str, classes: int | None, device: str, repeats: int, threads: int) -> dict[str, Any]:
    """A prepared data set from its name to the first batch of 128, and what that takes of memory beyond torch's."""
    arguments = (name, str(classes or 0), device)
    found = [json.loads(child(_LOAD, *arguments, threads=threads)) for _ in range(repeats + 1)][1:]  # the first warms
    columns = zip(*(one["spans"] for one in found), strict=True)
    spans = dict(zip(("load", "normalisation", "batches", "first_batch"), map(list, columns), strict=True))
    return {
        "data": name,
        "classes": found[0]["classes"],
        "images": found[0]["images"],
        "seconds": summarise([sum(one["spans"]) for one in found]),
        **{span: summarise(values) for span, values in spans.items()},
        "megabytes": max(one["megabytes"] for one in found),
    }


def growth(name: str, folder: Path, device: str, threads: int) -> list[dict[str, Any]]:
    """Loading with 10 and with all classes, and a training step with 10 and with 200 outputs."""
    found = []
    for classes, outputs in ((10, 10), (None, 200)):
        step = json.loads(child(_STEP, str(folder), str(outputs), device, threads=threads))
        found.append(
            {
                "loading": loading(name, classes, device, 2, threads),
                "outputs": outputs,
                "step": summarise(step["seconds"]),
                "megabytes": step["megabytes"],
            }
        )
    return found


def prepared() -> str:
    """The full data set if it is prepared on this machine, else the generated sample."""
    return "tiny-imagenet" if "tiny-imagenet" in prepared_names(cache_root()) else "sample"


def course(profile: str, folder: Path, jobs: int = 2) -> dict[str, Any]:
    """Seconds of all lectures, headless on the generated sample."""
    say(f"the course, profile {profile}: minutes")
    command = [sys.executable, "-m", "tinylab", "run", "--profile", profile, "--data", "sample", "--jobs", str(jobs)]
    variables = environment(1)
    del variables["OMP_NUM_THREADS"], variables["MKL_NUM_THREADS"]  # the command shares the cores out itself
    started = time.perf_counter()
    done = subprocess.run([*command, "--out", str(folder)], env=variables, cwd=ROOT, stdout=subprocess.DEVNULL)
    return {"profile": profile, "jobs": jobs, "seconds": time.perf_counter() - started, "exit": done.returncode}


def thirty_epochs(device: str, epochs: int = 30) -> dict[str, Any]:
    """Model 1 on all 200 classes: the training clock (evaluation apart), and the clock on the wall. For a GPU.

    Without the data set, noise of the same size: 90,000 training images. What is timed does not depend on them.
    """
    import numpy as np

    from benchmarks.machine import clock
    from tinylab import models, training
    from tinylab.data import Dataset, Split, load
    from tinylab.support import device as devices
    from tinylab.training import Recipe

    name = prepared()
    if name == "tiny-imagenet":
        data = load(name)
    else:
        names = tuple(f"n{number:08d}" for number in range(200))
        images = np.random.default_rng(0).integers(0, 256, (100_000, 64, 64, 3), dtype=np.uint8)
        labels = np.arange(100_000) % 200
        whole = Split("train", images, labels, labels.astype(str), np.arange(90_000))
        held = Split("development", images, labels, whole.files, np.arange(90_000, 100_000))
        data = Dataset("noise", names, names, whole, held, held, held)
    data.normalisation  # noqa: B018 (computed here, before the clock runs)
    run = training.train(
        models.build("model_1", 200), data, Recipe(epochs=epochs, flip=True, crop=4), device=devices.pick(device)
    )
    started = clock(device)
    history = run.finish()
    return {
        "data": data.name,
        "images": len(data.train),
        "epochs": epochs,
        "training_seconds": sum(history.column("seconds")),
        "wall_seconds": clock(device) - started,
        "first_epoch_seconds": history.epochs[0].seconds,
        "images_per_second": history.last.images_per_second,
        "eval_accuracy": history.last.eval_accuracy,
    }
