"""Schedules against torch's own schedulers, and hand numbers."""

import pytest
import torch
from torch import nn

from tinylab import optimizers
from tinylab.support.errors import InvalidInputError


@pytest.mark.parametrize("steps", [40, 100, 137])
def test_schedules_equal_torch(steps):
    parameter = nn.Parameter(torch.zeros(1))
    for name, make in {
        "cosine": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=steps),
        "one-cycle": lambda o: torch.optim.lr_scheduler.OneCycleLR(o, max_lr=1.0, total_steps=steps),
    }.items():
        optimizer = torch.optim.SGD([parameter], lr=1.0)
        schedule = make(optimizer)
        for step in range(steps):
            assert optimizers.factor(name, step, steps) == pytest.approx(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if step + 1 < steps:
                schedule.step()


@pytest.mark.parametrize("schedule", optimizers.SCHEDULES)
def test_factor_stays_between_0_and_1_in_short_runs(schedule):
    for steps in (1, 2, 3, 4, 7):
        assert all(0 < optimizers.factor(schedule, step, steps) <= 1 for step in range(steps))


def test_hand_numbers():
    assert optimizers.factor("constant", 99, 100) == 1
    assert optimizers.factor("cosine", 50, 100) == pytest.approx(0.5)
    assert optimizers.factor("one-cycle", 0, 100) == pytest.approx(0.04)
    assert optimizers.factor("one-cycle", 29, 100) == pytest.approx(1)


def test_an_unknown_schedule_is_refused():
    with pytest.raises(InvalidInputError, match="did you mean 'cosine'"):
        optimizers.factor("cosin", 0, 1)
