"""How weights are updated: the rules, their learning rates, and where to look for a good one.

rules       SGD with momentum, Adam and AdamW, written out
building    the optimizer of a training by name, with the report's L2; the penalty that it applies
schedules   what the learning rate is multiplied by as a run goes on
rates       one short run at growing rates; the best of a grid, with a warning at its edge
races       a difference between two sides, over several seeds: clear, or chance
surfaces    landscapes with two weights, and the paths down
"""

from tinylab.optimizers.building import OPTIMIZERS, build, check, penalty
from tinylab.optimizers.compare import Difference, difference
from tinylab.optimizers.lr_finder import Choice, RangeTest, choose, range_test
from tinylab.optimizers.rules import SGD, Adam, AdamW
from tinylab.optimizers.schedules import ONE_CYCLE_END, ONE_CYCLE_START, SCHEDULES, factor
from tinylab.optimizers.surfaces import SURFACES, WALKERS, Path, Surface, path

__all__ = [
    "ONE_CYCLE_END",
    "ONE_CYCLE_START",
    "OPTIMIZERS",
    "SCHEDULES",
    "SGD",
    "SURFACES",
    "WALKERS",
    "Adam",
    "AdamW",
    "Choice",
    "Difference",
    "Path",
    "RangeTest",
    "Surface",
    "build",
    "check",
    "choose",
    "difference",
    "factor",
    "path",
    "penalty",
    "range_test",
]
