"""A knob as one sees it: a slider and, beside it, the number, which can be typed."""

import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets

from tinylab.support.errors import InvalidInputError

USUAL_DROPOUT = 0.25  # where the slider stands while each layer has what the line says
PENALTIES = (0.0, *(float(f"{digit}e{power}") for power in range(-6, -1) for digit in (1, 2, 5)), 0.1)


class Dial:
    """Slider and number of one knob; `turn(value)` is called when somebody moves either."""

    def __init__(
        self,
        name: str,
        slider: widgets.Widget,
        value: float,
        turn: Callable[[float], None],
        tell: Callable[[BaseException | None], None],
    ) -> None:
        """`turn` raises InvalidInputError for an impossible value; `tell` is given it, None clears what it told."""
        self.slider, self._turn, self._tell = slider, turn, tell
        self._showing: int | None = None  # the thread that moves the dial itself: nobody turned it
        slider.tooltip = f"{name}: arrow keys"
        self.number = widgets.FloatText(
            value=value, description=f"{name}, number", style={"description_width": "0"}, tooltip=f"{name} as a number",
            layout=widgets.Layout(width="7.5em"), continuous_update=False,
        )  # fmt: skip
        self.number.add_class("tinylab-number")
        self.value = value
        self.show(value)
        slider.observe(self._moved, "value")
        self.number.observe(self._typed, "value")
        self.box = widgets.HBox([slider, self.number])

    def show(self, value: float) -> None:
        """Stand at `value`, without turning anything."""
        self._showing = threading.get_ident()
        try:
            self.value = self.number.value = value
            if isinstance(self.slider, widgets.SelectionSlider):
                choices = [choice for _, choice in self.slider.options]
                self.slider.value = min(choices, key=lambda choice: abs(_scale(choice) - _scale(value)))
            else:
                low, high = self.slider.min, self.slider.max
                if isinstance(self.slider, widgets.FloatLogSlider):
                    low, high = 10.0**low, 10.0**high
                self.slider.value = min(max(value, low), high)
        finally:
            self._showing = None

    def _moved(self, change: Any) -> None:
        if self._showing != threading.get_ident():
            self._set(float(f"{change['new']:.3g}"))

    def _typed(self, change: Any) -> None:
        if self._showing != threading.get_ident():
            self._set(float(change["new"]))

    def _set(self, value: float) -> None:
        before = self.value
        self._tell(None)
        try:
            self._turn(value)
        except InvalidInputError as error:  # a slip of the pen: explained, and the last good value stays
            self._tell(error)
            self.show(before)
            return
        except Exception as error:
            self._tell(error)
            raise
        self.show(value)


def _scale(value: float) -> float:
    return math.log10(max(value, 1e-7))


_WIDE = {"description_width": "7em"}
_LAYOUT = {"width": "24em"}


def rate(value: float) -> widgets.FloatLogSlider:
    return widgets.FloatLogSlider(
        value=min(max(value, 1e-5), 1.0), base=10, min=-5, max=0, step=0.1, description="learning rate", readout=False,
        style=_WIDE, layout=_LAYOUT, continuous_update=False,
    )  # fmt: skip


def linear(name: str, value: float, most: float, step: float) -> widgets.FloatSlider:
    return widgets.FloatSlider(
        value=min(value, most), min=0.0, max=most, step=step, description=name, readout=False, style=_WIDE,
        layout=_LAYOUT, continuous_update=False,
    )  # fmt: skip


def penalty(choices: Sequence[float] = PENALTIES) -> widgets.SelectionSlider:
    return widgets.SelectionSlider(
        options=[(f"{choice:g}", choice) for choice in choices], description="L2", readout=False, style=_WIDE,
        layout=_LAYOUT, continuous_update=False,
    )  # fmt: skip
