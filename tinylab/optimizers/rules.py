"""SGD with momentum, Adam and AdamW written out from their update rules: what lecture 06 explains.

w: a weight, g: its gradient, η: the learning rate, λ: the weight decay. One parameter at a time, a line of code for
each line of the rule, equal to `torch.optim` over hundreds of steps (the tests hold them to it, in float64).
Training itself takes torch's kernels of the same rules, see `build`.

A parameter without a gradient is left alone, its memory too. Everything in `param_groups` may be changed between
two steps, and counts from the next one on.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from tinylab.support.errors import check_range

Parameters = Iterable[Tensor] | Iterable[dict[str, Any]]


class _Rule(torch.optim.Optimizer):
    """What the three share: one update of every parameter that has a gradient."""

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """One update, in place."""
        for group in self.param_groups:
            for w in group["params"]:
                if w.grad is not None:
                    self._update(w, w.grad, self.state[w], group)

    def _update(self, w: Tensor, g: Tensor, memory: dict[str, Any], group: dict[str, Any]) -> None:
        raise NotImplementedError


class SGD(_Rule):
    """Stochastic gradient descent with momentum μ: a ball with friction (Polyak, 1964; in torch's form).

    g ← g + λ·w          the gradient of the penalty λ/2·Σw²
    v ← μ·v + g          the velocity remembers the gradients, each fading with μ
    w ← w - η·v          downhill
    """

    def __init__(self, params: Parameters, lr: float = 1e-3, momentum: float = 0.0, weight_decay: float = 0.0) -> None:
        """lr: η > 0; momentum: 0 ≤ μ < 1; weight_decay: λ ≥ 0. Raises InvalidInputError for other values."""
        _check(lr, weight_decay, momentum=momentum)
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    def _update(self, w: Tensor, g: Tensor, memory: dict[str, Any], group: dict[str, Any]) -> None:
        if not memory:
            memory["momentum_buffer"] = torch.zeros_like(w)
        v = memory["momentum_buffer"]
        g = g + group["weight_decay"] * w
        v.mul_(group["momentum"]).add_(g)
        w.sub_(group["lr"] * v)


class Adam(_Rule):
    """Adam (Kingma and Ba, 2014): each weight's step is divided by the usual size of that weight's gradient.

    g ← g + λ·w                    the gradient of the penalty λ/2·Σw²: it is divided as well
    m ← β₁·m + (1 - β₁)·g          running mean of the gradient: momentum
    s ← β₂·s + (1 - β₂)·g²         running mean of its square, as in RMSprop
    m̂ = m / (1 - β₁ᵗ)              both began at 0 and are too small at first;
    ŝ = s / (1 - β₂ᵗ)              t counts the updates
    w ← w - η·m̂ / (√ŝ + ε)
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        """lr: η > 0; betas: 0 ≤ β < 1; eps: ε > 0; weight_decay: λ ≥ 0. InvalidInputError for other values."""
        _check(lr, weight_decay, beta_1=betas[0], beta_2=betas[1])
        check_range("eps", eps, 0, float("inf"), low_open=True)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    def _update(self, w: Tensor, g: Tensor, memory: dict[str, Any], group: dict[str, Any]) -> None:
        if not memory:
            memory |= {"step": 0, "exp_avg": torch.zeros_like(w), "exp_avg_sq": torch.zeros_like(w)}
        memory["step"] += 1
        t, m, s = int(memory["step"]), memory["exp_avg"], memory["exp_avg_sq"]
        beta_1, beta_2 = group["betas"]
        g = g + group["weight_decay"] * w
        m.mul_(beta_1).add_((1 - beta_1) * g)
        s.mul_(beta_2).add_((1 - beta_2) * g.square())
        m_hat = m / (1 - beta_1**t)
        s_hat = s / (1 - beta_2**t)
        w.sub_(group["lr"] * m_hat / (s_hat.sqrt() + group["eps"]))


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2017): the decay does not pass through the division.

    w ← w - η·λ·w        every weight shrinks by the same share …
    w ← Adam's step      … and the gradient is that of the loss alone
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        """As `Adam`."""
        super().__init__(params, lr, betas, eps, weight_decay)
        for group in self.param_groups:  # as torch marks it: `penalty` must not count this decay
            group["decoupled_weight_decay"] = True

    def _update(self, w: Tensor, g: Tensor, memory: dict[str, Any], group: dict[str, Any]) -> None:
        w.mul_(1 - group["lr"] * group["weight_decay"])
        super()._update(w, g, memory, group | {"weight_decay": 0.0})


def _check(lr: float, weight_decay: float, **shares: float) -> None:
    check_range("lr", lr, 0, float("inf"), low_open=True)
    check_range("weight_decay", weight_decay, 0, float("inf"))
    for name, share in shares.items():
        check_range(name, share, 0, 1)
