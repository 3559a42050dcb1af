"""A slider through a sequence of pictures: a network at each epoch of its training (lecture 08)."""

from collections.abc import Callable, Mapping

import ipywidgets as widgets

from tinylab.figures import Picture
from tinylab.lab.control import Control
from tinylab.support.errors import InvalidInputError


class Scrub(Control):
    """One picture at a time; a slider, also by its arrow keys, moves through them."""

    def __init__(self, pictures: Mapping[str, Callable[[], Picture]], name: str) -> None:
        self.pictures = pictures
        self._drawn: dict[str, Picture] = {}  # a second visit costs nothing
        self.slider = widgets.SelectionSlider(
            options=list(pictures),
            value=list(pictures)[-1],
            description=name,
            style={"description_width": "7em"},
            tooltip=f"{name}: arrow keys move it",
            layout=widgets.Layout(width="36em"),
        )
        super().__init__(self.slider, picture=self._picture())
        self.slider.observe(self.guarded(lambda: self.show(self._picture())), "value")

    def _picture(self) -> Picture:
        chosen = self.slider.value
        if chosen not in self._drawn:
            self._drawn[chosen] = self.pictures[chosen]()
        return self._drawn[chosen]


def scrub(pictures: Mapping[str, Picture | Callable[[], Picture]], *, name: str = "time") -> Scrub:
    """A slider through pictures of one size, such as {"epoch 0": …, "epoch 1": …}, in the order given.

    A picture may be given as a function that draws it, which is called when somebody moves there. name: what the
    slider is called. It stands at the last, which is what a stored page shows. Raises InvalidInputError for none.
    """
    if not pictures:
        raise InvalidInputError("scrub got no pictures. Allowed: 1 or more, as {'epoch 0': picture, …}")
    return Scrub({label: _drawing(picture) for label, picture in pictures.items()}, name)


def _drawing(picture: Picture | Callable[[], Picture]) -> Callable[[], Picture]:
    return (lambda: picture) if isinstance(picture, Picture) else picture
