"""Networks outside the notation: named by their `architecture`, trained and resumed like any other."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from tests.training.made import BUSY, CPU, DATA, copied, same, untimed
from tinylab.support.errors import InvalidInputError, TrainingError
from tinylab.training import checkpoints, train


class Residual(nn.Module):
    """A shortcut around a convolution, which no line of notation can say."""

    def __init__(self, classes: int = 3, architecture: str | None = "residual-4", seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.stem, self.conv = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
            self.norm, self.head = nn.BatchNorm2d(4), nn.Linear(4, classes)
        if architecture:
            self.architecture = architecture

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (B, 4, H, W)
        return self.head((x + self.norm(self.conv(x)).relu()).mean(dim=(2, 3)))


@pytest.mark.parametrize("decay", [0.0, 0.8])
def test_it_is_trained_described_and_resumed(tmp_path, decay):
    path, recipe = tmp_path / "run.pt", replace(BUSY, ema_decay=decay)
    straight = train(Residual(), DATA, recipe, device=CPU)
    straight.finish()
    assert straight.history.architecture == "residual-4"
    next(iter(train(Residual(), DATA, recipe, device=CPU, checkpoint=path)))
    assert checkpoints.load(path).architecture == "residual-4"
    run = train(Residual(seed=2), DATA, recipe, device=CPU, checkpoint=path, resume=True)
    assert untimed(run.finish()) == untimed(straight.history)
    assert same(copied(run.model), copied(straight.model))
    with pytest.raises(TrainingError, match="network was 'residual-4', now it is 'residual-5'"):
        train(Residual(architecture="residual-5"), DATA, recipe, device=CPU, checkpoint=path, resume=True)


def test_without_a_name_it_is_its_class():
    assert checkpoints.describe(Residual(architecture=None)) == "Residual"


def test_its_outputs_are_counted():
    with pytest.raises(InvalidInputError, match="7 outputs, the data has 3 classes"):
        train(Residual(classes=7), DATA, BUSY, device=CPU)
