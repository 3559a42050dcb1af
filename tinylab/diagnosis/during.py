"""Checks during training: on the network as it is now and one batch, or on the losses so far.

Cheap (one forward and backward pass, or none), so that a run may call them again and again. Nothing about the model,
the optimizer or the random state changes. Bad input raises InvalidInputError.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tinylab.diagnosis.cards import Card
from tinylab.diagnosis.trace import check_batch, copied, own_random
from tinylab.support.errors import InvalidInputError
from tinylab.training import evaluating

USUAL = 1e-3  # share of a weight that one update changes
# How many times less, or more, is too far. CS231n says 10 of SGD; Adam's first updates, in which every weight moves by
# the whole learning rate, measured 10 times as much in healthy runs of Models 1 and 3, so that † 20 are allowed there
LESS, MORE = 10.0, 20.0
DIVERGED, FLOOR = 4.0, 0.5  # times the best loss; † nats: four times next to nothing is still next to nothing
SMOOTH = 0.9  # † share of the running mean of losses that is kept: a single batch's loss jumps by more than 4 times
# † share of a layer's units. miniai looks at the share of activations near zero; healthy runs of Model 1 showed up
# to 98 % of those (feature maps get sparse), but at most 60 % of units that never react. A learning rate 10 times too
# large left 100 % of both.
DEAD = 0.9
NEAR_ZERO = 1e-6  # † of the layer's largest activation


def update_ratios(model: nn.Module, x: Tensor, y: Tensor, optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """How much one update would change each weight: |Δw| / |w| (Euclidean), of a copy; vectors are left out.

    Biases start at 0, against which any change is large. `optimizer` is the one that trains `model`.
    """
    check_batch(x, y, least=2)
    theirs = {id(p) for group in optimizer.param_groups for p in group["params"]}
    if not theirs & {id(p) for p in model.parameters()}:
        raise InvalidInputError("the optimizer has none of this network's parameters. Give the one that trains it")
    twin, stepper = copied((model, optimizer))  # together, so that the copied optimizer steps the copied network
    before = {name: p.detach().clone() for name, p in twin.named_parameters() if p.ndim > 1}
    twin.train()
    stepper.zero_grad()
    with own_random(x), torch.enable_grad():
        cross_entropy(twin(x).float(), y).backward()
        stepper.step()
    now = dict(twin.named_parameters())
    return {
        name: ((now[name].detach() - weight).norm() / weight.norm().clamp_min(1e-12)).item()
        for name, weight in before.items()
    }


def update_ratio(model: nn.Module, x: Tensor, y: Tensor, optimizer: torch.optim.Optimizer) -> Card:
    """Fires if one update changes the weights by less than 1/10, or more than 20 times, a thousandth of themselves.

    Judged by the middle layer's ratio (the median).
    """
    ratios = update_ratios(model, x, y, optimizer)
    middle = float(np.median(list(ratios.values())))
    fired = not USUAL / LESS <= middle <= USUAL * MORE
    low, high = min(ratios, key=ratios.__getitem__), max(ratios, key=ratios.__getitem__)
    rate = optimizer.param_groups[0]["lr"]
    return Card(
        "update / weight ratio",
        fired,
        f"One update changes a weight by {middle:.1e} of itself in the middle layer, from {ratios[low]:.1e} ({low}) "
        f"to {ratios[high]:.1e} ({high}); {USUAL / LESS:.0e} to {USUAL * MORE:.0e} in the middle is usual.",
        f"the learning rate {rate:.1e} is too {'large' if middle > USUAL else 'small'} for this network.",
        f"try a learning rate {'ten times smaller' if middle > USUAL else 'ten times larger'}; a range test finds the "
        "size.",
        "CS231n, Neural Networks Part 3",
    )


def divergence(losses: Sequence[float]) -> Card:
    """Fires if a loss is NaN or infinite, or if their mean is above 4 times its best, and above 0.5 nats.

    losses: of the batches so far, of which a running mean is taken that gives each new one a tenth. Without a loss yet
    nothing fires.
    """
    if any(isinstance(loss, bool | str) or not isinstance(loss, int | float | np.number) for loss in losses):
        raise InvalidInputError(f"losses {list(losses[:3])}… cannot be read. Allowed: one number per step")
    losses = [float(loss) for loss in losses]
    broken = next((step for step, loss in enumerate(losses, start=1) if not math.isfinite(loss)), None)
    if broken is not None:
        fired, evidence = True, f"The loss is {losses[broken - 1]} at step {broken}."
    elif not losses:
        fired, evidence = False, "No loss has been measured yet."
    else:
        mean = _running_mean(losses)
        best, last = min(mean), mean[-1]
        fired = last > DIVERGED * best and last > FLOOR
        evidence = (
            f"The mean loss is {last:.2f} after {len(losses)} step{'s' * (len(losses) > 1)}, its best was {best:.2f}; "
            f"{DIVERGED:g} times that is divergence."
        )
    return Card(
        "divergence",
        fired,
        evidence,
        "the learning rate is too large: each update jumps over the valley, and a little higher every time.",
        "go back to the last good weights and divide the learning rate by ten; warm up if it happens at the start.",
        "fastai's learning-rate finder; Tuning Playbook (Godbole et al., 2023)",
    )


def _running_mean(values: Sequence[float]) -> list[float]:
    """Exponential running mean, without the pull towards zero at the start (as Adam corrects its own)."""
    mean, result = 0.0, []
    for count, value in enumerate(values, start=1):
        mean = SMOOTH * mean + (1 - SMOOTH) * value
        result.append(mean / (1 - SMOOTH**count))
    return result


def dead_units(model: nn.Module, x: Tensor) -> Card:
    """Fires if, behind some ReLU, more than 0.9 of the units react to no image of this batch, at no position.

    Evaluation mode; a batch of sixteen images is enough. The evidence names the layer with the most of them.
    """
    check_batch(x)
    shares: dict[str, tuple[float, int, int]] = {}  # near zero, dead units, units

    def look(name: str) -> object:
        def hook(_: nn.Module, __: object, out: Tensor) -> None:
            small = out.detach() <= NEAR_ZERO * out.detach().amax().clamp_min(NEAR_ZERO)
            each = small.transpose(0, 1).flatten(1).all(dim=1)  # (units,)
            shares[name] = small.float().mean().item(), int(each.sum()), len(each)

        return hook

    named = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, nn.ReLU)]
    if not named:
        raise InvalidInputError("the network has no ReLU, so there are no dead units to look for")
    hooks = []
    try:
        for name, layer in named:
            hooks.append(layer.register_forward_hook(look(name)))  # type: ignore[arg-type]
        with evaluating(model):
            model(x)
    finally:
        for handle in hooks:
            handle.remove()
    worst = max(shares, key=lambda name: (shares[name][1] / shares[name][2], shares[name][0]))
    share, dead, units = shares[worst]
    return Card(
        "dead units",
        dead / units > DEAD,
        f"Behind {worst}, which has most of them, {dead} of {units} units react to none of {len(x)} images, and "
        f"{share:.0%} of all activations are zero; up to {DEAD:.0%} of the units is allowed.",
        "an update too large, or a bias far below zero, pushed the units where their ReLU gives 0: there no gradient "
        "comes back.",
        "a lower learning rate from the start, He initialisation, or batch normalisation before the ReLU.",
        "miniai (fastai course part 2, 2022), counted by units",
    )
