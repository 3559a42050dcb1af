"""Update rules and learning-rate schedules by name, with the report's L2 meaning what it meant in Keras.

Keras's `l2(0.01)` adds 0.01·Σw² to the loss, whose gradient is 0.02·w: PyTorch's `weight_decay=0.02`. It goes
on the weights of convolutions and fully connected layers only, never on biases or batch normalisation.
"""

import math

import torch
from torch import Tensor, nn

from tinylab.errors import InvalidInputError, nearest

OPTIMIZERS = ("sgd", "adam", "adamw")
SCHEDULES = ("constant", "cosine", "one-cycle")

ONE_CYCLE_START = 1 / 25  # of the peak; Smith and Topin, "Super-convergence" (2018), with torch's defaults
ONE_CYCLE_END = ONE_CYCLE_START / 10_000


def build(
    name: str,
    model: nn.Module,
    *,
    learning_rate: float = 1e-3,
    momentum: float = 0.9,
    l2: float = 0.0,
    weight_decay: float = 0.0,
) -> torch.optim.Optimizer:
    """The optimizer `name` for `model`, in two parameter groups: weights (decayed) and the rest (never).

    momentum      share of the running mean of gradients that is kept, 0 ≤ momentum < 1; Adam calls it β₁
    l2            l2·Σw² is added to the loss, through its gradient 2·l2·w ("sgd" and "adam")
    weight_decay  weights shrink by learning_rate·weight_decay each step, apart from the gradient: decoupled,
                  after Loshchilov and Hutter (2017) ("adamw")

    Each group keeps its learning rate in "initial_lr" too: the one that a schedule multiplies, and that may
    be changed while a run goes on. Raises InvalidInputError for an unknown name, or a decay it has not got.
    """
    check(name, l2=l2, weight_decay=weight_decay)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    # a bias and batch normalisation's two parameters are vectors; weights have two dimensions or four
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay or 2 * l2},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group | {"initial_lr": learning_rate} for group in groups if group["params"]]
    # fused: one kernel for all parameters
    if name == "sgd":
        return torch.optim.SGD(groups, lr=learning_rate, momentum=momentum, fused=True)
    rule = torch.optim.Adam if name == "adam" else torch.optim.AdamW
    return rule(groups, lr=learning_rate, betas=(momentum, 0.999), fused=True)


def check(name: str, *, l2: float = 0.0, weight_decay: float = 0.0) -> None:
    """Raises InvalidInputError for an unknown optimizer, or one that has not got the decay asked for."""
    if name not in OPTIMIZERS:
        raise InvalidInputError(f"optimizer {name!r} is unknown{nearest(name, OPTIMIZERS)}")
    if name == "adamw" and l2:
        raise InvalidInputError(
            f"optimizer 'adamw' with l2 {l2}: it decays apart from the loss. Use weight_decay, or 'adam'"
        )
    if name != "adamw" and weight_decay:
        raise InvalidInputError(
            f"optimizer {name!r} with weight_decay {weight_decay}: it has no decoupled decay. "
            "Use l2, or 'adamw'"
        )


def penalty(optimizer: torch.optim.Optimizer) -> Tensor:
    """l2·Σw² as the optimizer applies it now: what the loss would hold if L2 were written into it. Scalar."""
    total = torch.zeros((), device=optimizer.param_groups[0]["params"][0].device)
    for group in optimizer.param_groups:
        if group["weight_decay"] and not group.get("decoupled_weight_decay", False):
            squares = torch.stack([p.detach().square().sum() for p in group["params"]]).sum()
            total = total + group["weight_decay"] / 2 * squares
    return total


def factor(schedule: str, step: int, steps: int, warmup: float = 0.3) -> float:
    """What the learning rate is multiplied by at `step` (0 … steps - 1) of a run of `steps`: 0 < factor ≤ 1.

    "constant"   1 throughout
    "cosine"     from 1 to almost 0 along half a cosine (Loshchilov and Hutter, 2016)
    "one-cycle"  up from 1/25 to 1 in the first `warmup` share of the run, then down to 1/250,000, along
                 cosines (Smith and Topin, 2018; shape as in torch's OneCycleLR)

    Raises InvalidInputError for an unknown schedule.
    """
    if schedule == "constant":
        return 1.0
    if schedule == "cosine":
        return _along_cosine(1.0, 0.0, step / steps)
    if schedule == "one-cycle":
        peak = max(warmup * steps - 1, 1e-9)
        if step <= peak:
            return _along_cosine(ONE_CYCLE_START, 1.0, step / peak)
        return _along_cosine(1.0, ONE_CYCLE_END, (step - peak) / max(steps - 1 - peak, 1e-9))
    raise InvalidInputError(f"schedule {schedule!r} is unknown{nearest(schedule, SCHEDULES)}")


def _along_cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2
