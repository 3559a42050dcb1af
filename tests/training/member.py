"""One process of a training on several, started by torchrun: `… -m tests.training.member FOLDER WHAT`.

WHAT is "all": trains each of CASES and leaves its weights and history in FOLDER; or "fail": rank 1 ends in the middle.
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch

from tests import tiny
from tinylab.data.dataset import Dataset
from tinylab.support.device import pick
from tinylab.training import Recipe, Run, train

# 85 images in batches of 7, shared 4 : 3: the last batch has one image, of which rank 1 gets nothing
CASES = {
    "adam": Recipe(epochs=2, batch=7, dropout=0.0, flip=True, crop=2, label_smoothing=0.1, erase=0.3),
    "sgd": Recipe(epochs=2, batch=7, dropout=0.0, optimizer="sgd", l2=0.01, schedule="cosine", average=0.5),
    "resumed": Recipe(epochs=3, batch=7, dropout=0.0, average=0.5),
    "random": Recipe(epochs=2, batch=7, dropout=0.3, mixup=0.4, cutmix=1.0),
    "normed": Recipe(epochs=2, batch=7, dropout=0.0, average=0.5),
}
NORMED = "conv3-4 - batch norm - relu - max pool - fc(8) - relu - softmax"


def data() -> Dataset:
    return tiny.dataset(train=85)


def training(case: str, folder: Path | None, resume: bool = False) -> Run:
    model = tiny.network(line=NORMED if case == "normed" else tiny.LINE)
    path = None if folder is None else folder / f"{case}.pt"
    return train(model, data(), CASES[case], device=pick("cpu"), checkpoint=path, resume=resume, progress=True)


def main(folder: Path, what: str) -> None:
    torch.set_num_threads(1)
    if what == "fail":
        run = train(tiny.network(), data(), replace(CASES["adam"], epochs=1000), device=pick("cpu"))
        for step in run.steps():
            if run.team.rank == 1 and step.step == 3:
                raise OSError("the disk of rank 1 is gone")
        return
    for case in CASES:
        run = training(case, folder)
        if case == "resumed":
            next(iter(run))
            run = training(case, folder, resume=True)
        run.finish()
        run.history.save(folder / f"{case}.{run.team.rank}.json")
        torch.save(run.model.state_dict(), folder / f"{case}.{run.team.rank}.weights")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
