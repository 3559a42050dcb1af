"""Optimizers race down a landscape of two weights (lecture 06); nothing is trained, so every slider answers at once."""

from typing import Any

import ipywidgets as widgets

from tinylab import figures, optimizers
from tinylab.figures import Picture
from tinylab.lab.control import Control, dropdown

MOST_STEPS = 500


class SurfaceExplorer(Control):
    """Which surface, which optimizers, their learning rates, momentum and updates; the paths that follow."""

    def __init__(self, surface: str, sgd: float, adam: float) -> None:
        wide, layout = {"description_width": "9em"}, widgets.Layout(width="30em")
        self.choice = dropdown(list(optimizers.SURFACES), surface, "surface", "9em")
        self.walkers = {
            name: widgets.Checkbox(value=True, description=name, indent=False, layout=widgets.Layout(width="auto"))
            for name in optimizers.WALKERS
        }

        shown: dict[str, Any] = {"style": wide, "layout": layout, "continuous_update": False}

        def rate(value: float, name: str) -> widgets.FloatLogSlider:
            return widgets.FloatLogSlider(
                value=value,
                base=10,
                min=-4,
                max=0.5,
                step=0.05,
                description=name,
                readout_format=".2g",
                **shown,
            )

        self.sgd, self.adam = rate(sgd, "learning rate, SGD"), rate(adam, "learning rate, Adam")
        self.momentum = widgets.FloatSlider(
            value=0.9,
            min=0.0,
            max=0.99,
            step=0.01,
            description="momentum, β₁",
            **shown,
        )
        self.steps = widgets.IntSlider(
            value=60,
            min=1,
            max=MOST_STEPS,
            description="updates",
            **shown,
        )
        sliders = (self.sgd, self.adam, self.momentum, self.steps)
        row = widgets.Layout(flex_flow="row wrap")
        super().__init__(
            self.choice, widgets.HBox(list(self.walkers.values()), layout=row), *sliders, picture=self._draw()
        )
        for part in (self.choice, *self.walkers.values(), *sliders):
            part.observe(self.guarded(lambda: self.show(self._draw())), "value")

    def paths(self) -> dict[str, optimizers.Path]:
        """The path of each chosen optimizer, with the present values."""
        return {
            name: optimizers.path(
                self.choice.value,
                name,
                learning_rate=float((self.adam if name == "Adam" else self.sgd).value),
                momentum=float(self.momentum.value),
                steps=int(self.steps.value),
            )
            for name, box in self.walkers.items()
            if box.value
        }

    def _draw(self) -> Picture:
        return figures.surface(optimizers.SURFACES[self.choice.value], self.paths())


def surface_explorer(surface: str = "ravine", *, sgd: float = 0.02, adam: float = 0.2) -> SurfaceExplorer:
    """A race on a surface with two weights; lecture 06.

    surface: a name of optimizers.SURFACES; sgd, adam: where the sliders from 1e-4 to 3 begin, learning rates of SGD
    (with and without momentum) and of Adam. Raises InvalidInputError for an unknown name or a value out of range.
    """
    for value in (sgd, adam):  # whatever is wrong shall be said here, not when a slider clips it
        optimizers.path(surface, "SGD", learning_rate=value, steps=1)
    return SurfaceExplorer(surface, sgd, adam)
