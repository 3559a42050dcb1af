"""Does a network learn the same in bf16 as in float32? Model 1 on ten real classes, a few seeds, both precisions.

    python -m benchmarks.precision [--data tiny-imagenet] [--classes 10] [--epochs 10] [--seeds 3]

Prints both development accuracies of each seed after the last epoch, and the mean difference with its standard error:
what two seeds of one precision differ by is the measure.
"""

import argparse
import math
import platform
import statistics

import torch

from tinylab import data, models
from tinylab.support.device import pick
from tinylab.training import Recipe, train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="tiny-imagenet", help="name of a prepared data set")
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    images = data.load(asked.data, asked.classes)
    print(f"{pick('cpu').label}, {platform.machine()}, torch {torch.__version__}, {len(images.train):,} images")
    differences = []
    for seed in range(asked.seeds):
        reached = []
        for precision in ("float32", "bf16"):
            model = models.build("model_1", len(images.classes), seed=seed)
            run = train(model, images, Recipe(epochs=asked.epochs, seed=seed), device=pick("cpu", precision))
            history = run.finish()
            reached.append(100 * history.last.eval_accuracy)
        differences.append(reached[1] - reached[0])
        print(f"seed {seed}: float32 {reached[0]:.1f} %, bf16 {reached[1]:.1f} %", flush=True)
    error = statistics.stdev(differences) / math.sqrt(len(differences)) if len(differences) > 1 else math.nan
    mean = statistics.mean(differences)
    print(f"bf16 - float32: {mean:+.1f} points, standard error {error:.1f}, n = {len(differences)}")


if __name__ == "__main__":
    main()
