"""Landscapes with two weights, on which an optimizer's path can be seen; and the paths.

Each surface has a formula, its gradient by hand, and points where that gradient is known to vanish.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from tinylab.optimizers.rules import SGD, Adam
from tinylab.support.errors import InvalidInputError, check_int, check_range, nearest

Point = tuple[float, float]
Field = Callable[[np.ndarray, np.ndarray], np.ndarray]  # heights of points x, y: any shape, the same for all three

WALKERS = ("SGD", "SGD with momentum", "Adam")
FAR = 1e3  # whoever is this far from the middle has diverged


@dataclass(frozen=True)
class Surface:
    """A loss over two weights x and y."""

    name: str
    formula: str
    value: Field
    gradient: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]  # (∂/∂x, ∂/∂y)
    minima: tuple[Point, ...]  # the lowest points inside the window
    start: Point
    window: tuple[float, float, float, float]  # what is drawn: x from, x to, y from, y to
    story: str  # what is hard about it, in a few words


@dataclass(frozen=True, eq=False)
class Path:
    """Where an optimizer went: positions float64 (k + 1, 2) from the start on, k ≤ steps."""

    positions: np.ndarray
    heights: np.ndarray  # float64 (k + 1,), the surface's value at each
    diverged: bool  # left for infinity, and stopped there


def _ravine(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x**2 + 30 * y**2) / 2


def _ravine_gradient(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return x, 30 * y


def _rosenbrock(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def _rosenbrock_gradient(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return -2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)


def _beale(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


def _beale_gradient(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b, c = 1.5 - x + x * y, 2.25 - x + x * y**2, 2.625 - x + x * y**3
    by_x = 2 * a * (y - 1) + 2 * b * (y**2 - 1) + 2 * c * (y**3 - 1)
    by_y = 2 * a * x + 4 * b * x * y + 6 * c * x * y**2
    return by_x, by_y


def _saddle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return x**2 / 2 + y**4 / 4 - y**2 / 2 + 1 / 4


def _saddle_gradient(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return x, y**3 - y


SURFACES: dict[str, Surface] = {
    surface.name: surface
    for surface in (
        Surface(
            "ravine", "(x² + 30 y²) / 2", _ravine, _ravine_gradient, ((0.0, 0.0),), (-3.5, 1.0),
            (-4.2, 2.0, -1.6, 1.6), "thirty times as steep across as along",
        ),
        Surface(
            "saddle", "x²/2 + y⁴/4 - y²/2 + 1/4", _saddle, _saddle_gradient, ((0.0, 1.0), (0.0, -1.0)), (-1.6, 0.001),
            (-1.9, 1.2, -1.5, 1.5), "between two valleys almost flat, and the way down leads sideways",
        ),
        Surface(
            "Beale", "(1.5 - x + xy)² + (2.25 - x + xy²)² + (2.625 - x + xy³)²", _beale, _beale_gradient,
            ((3.0, 0.5),), (1.0, 1.5), (0.0, 4.2, -0.6, 1.9), "cliffs beside a plain: gradients of very different size",
        ),
        Surface(
            "Rosenbrock", "(1 - x)² + 100 (y - x²)²", _rosenbrock, _rosenbrock_gradient, ((1.0, 1.0),), (-1.2, 1.0),
            (-1.8, 1.6, -0.5, 2.0), "a bent valley, steep walls, a floor that hardly falls",
        ),
    )
}  # fmt: skip


def path(surface: str, walker: str, *, learning_rate: float, momentum: float = 0.9, steps: int = 100) -> Path:
    """The way that a rule takes down a surface in `steps` updates, with the exact gradient, in float64.

    surface   its name in `SURFACES`
    walker    "SGD" (no momentum), "SGD with momentum" or "Adam", whose β₁ is `momentum`

    Raises InvalidInputError for an unknown name or a value out of range.
    """
    if surface not in SURFACES:
        raise InvalidInputError(f"surface {surface!r} is unknown{nearest(str(surface), SURFACES)}")
    ground = SURFACES[surface]
    if walker not in WALKERS:
        raise InvalidInputError(f"optimizer {walker!r} is unknown{nearest(str(walker), WALKERS)}")
    check_int("steps", steps, 1)
    check_range("learning_rate", learning_rate, 0, math.inf, low_open=True)
    check_range("momentum", momentum, 0, 1)
    w = torch.tensor(ground.start, dtype=torch.float64)
    rule = (
        Adam([w], lr=learning_rate, betas=(momentum, 0.999))
        if walker == "Adam"
        else SGD([w], lr=learning_rate, momentum=momentum if walker == "SGD with momentum" else 0.0)
    )
    positions = [w.numpy().copy()]
    for _ in range(steps):
        w.grad = torch.tensor([float(part) for part in ground.gradient(*positions[-1])], dtype=torch.float64)
        rule.step()
        if not float(w.abs().max()) < FAR:  # written so that NaN counts as far
            break
        positions.append(w.numpy().copy())
    way = np.stack(positions)
    return Path(way, ground.value(way[:, 0], way[:, 1]), diverged=len(way) <= steps)
