"""A slider through a sequence of pictures: a network at each epoch of its training (lecture 08)."""

from collections.abc import Mapping

import ipywidgets as widgets

from tinylab.figures import Picture
from tinylab.lab.control import Control
from tinylab.support.errors import InvalidInputError


class Scrub(Control):
    """One picture at a time; a slider, also by its arrow keys, moves through them."""

    def __init__(self, pictures: Mapping[str, Picture], name: str) -> None:
        self.slider = widgets.SelectionSlider(
            options=list(pictures),
            value=list(pictures)[-1],
            description=name,
            style={"description_width": "7em"},
            tooltip=f"{name}: arrow keys move it",
            layout=widgets.Layout(width="36em"),
        )
        super().__init__(self.slider, picture=pictures[self.slider.value])
        self.slider.observe(self.guarded(lambda: self.show(pictures[self.slider.value])), "value")


def scrub(pictures: Mapping[str, Picture], *, name: str = "time") -> Scrub:
    """A slider through pictures of one size, such as {"epoch 0": …, "epoch 1": …}, in the order given.

    name: what the slider is called. It stands at the last picture, which is what a stored page shows. Raises
    InvalidInputError for none.
    """
    if not pictures:
        raise InvalidInputError("scrub got no pictures. Allowed: 1 or more, as {'epoch 0': picture, …}")
    return Scrub(dict(pictures), name)
