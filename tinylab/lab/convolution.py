"""A kernel, chosen or typed, over a real image (lecture 02)."""

from typing import Any

import ipywidgets as widgets
import numpy as np
import torch

from tinylab import figures
from tinylab.figures import Picture
from tinylab.lab.control import Control, dropdown
from tinylab.support.errors import InvalidInputError

KERNELS = {
    "identity": "0 0 0; 0 1 0; 0 0 0",
    "blur": "1/9 1/9 1/9; 1/9 1/9 1/9; 1/9 1/9 1/9",
    "Gaussian blur": "1/16 1/8 1/16; 1/8 1/4 1/8; 1/16 1/8 1/16",
    "sharpen": "0 -1 0; -1 5 -1; 0 -1 0",
    "Sobel x": "-1 0 1; -2 0 2; -1 0 1",
    "Sobel y": "-1 -2 -1; 0 0 0; 1 2 1",
    "Laplacian": "0 1 0; 1 -4 1; 0 1 0",
    "emboss": "-2 -1 0; -1 1 1; 0 1 2",
}
TYPED = "typed"  # the entry of the dropdown for a kernel of one's own
LARGEST = 11  # rows and columns of a typed kernel


def parse_kernel(text: str) -> np.ndarray:
    """A typed kernel, rows apart by `;`, numbers by spaces or commas (`1/9` is a number), as float64 (k, l).

    Raises InvalidInputError unless both sides are odd and at most 11, so that the kernel has a middle.
    """

    def number(token: str) -> float:
        upper, slash, lower = token.partition("/")
        try:
            value = float(upper) / (float(lower) if slash else 1.0)
        except (ValueError, ZeroDivisionError):
            value = float("nan")
        if not np.isfinite(value):
            raise InvalidInputError(f"{token!r} is not a number. Allowed: numbers such as -1, 0.5 or 1/9")
        return value

    rows = [[number(token) for token in row.replace(",", " ").split()] for row in text.split(";")]
    lengths = [len(row) for row in rows]
    if len(set(lengths)) > 1:
        raise InvalidInputError(
            f"the rows have {', '.join(map(str, lengths))} numbers. Allowed: as many in each row, rows apart by ;"
        )
    if not all(side % 2 and side <= LARGEST for side in (len(rows), lengths[0])):
        raise InvalidInputError(
            f"a kernel of {len(rows)}×{lengths[0]} is not possible. Allowed: odd sides up to {LARGEST}, as in 1 0 -1; "
            "2 0 -2; 1 0 -1"
        )
    return np.array(rows)


def convolve(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """What a convolutional layer computes with one kernel: float64 (H, W), zeros around the image.

    As in all deep-learning libraries the kernel is not flipped (a cross-correlation).
    """
    padding = (kernel.shape[0] // 2, kernel.shape[1] // 2)
    inputs, weights = torch.from_numpy(image)[None, None], torch.from_numpy(kernel)[None, None]
    return torch.nn.functional.conv2d(inputs, weights, padding=padding)[0, 0].numpy()


class ConvolutionExplorer(Control):
    """A kernel, chosen or typed, over an image; `strength` blends from the image to the response."""

    def __init__(self, image: Any, kernel: str) -> None:
        shown = figures.pixels(image).astype(np.float64) / 255
        self.grey = shown @ np.array([0.299, 0.587, 0.114])  # (H, W), 0..1, brightness as of ITU-R BT.601
        chosen = kernel in KERNELS
        text = KERNELS.get(kernel, kernel)
        self._kernel = parse_kernel(text)
        wide = {"description_width": "5em"}
        self.choice = dropdown([*KERNELS, TYPED], kernel if chosen else TYPED, "kernel", "5em")
        self.typed = widgets.Text(
            value=text,
            description="numbers",
            continuous_update=False,
            style=wide,
            tooltip="rows apart by ; numbers by spaces; Enter applies",
            layout=widgets.Layout(width="28em"),
        )
        self.strength = widgets.FloatSlider(
            value=1.0,
            min=0.0,
            max=1.0,
            step=0.05,
            description="strength",
            style=wide,
            tooltip="0: the image itself, 1: the response",
            layout=widgets.Layout(width="28em"),
        )
        super().__init__(
            widgets.HBox([self.choice, self.typed], layout=widgets.Layout(flex_flow="row wrap")),
            self.strength,
            picture=self._draw(),
        )
        self.choice.observe(self.guarded(self._chosen), "value")
        self.typed.observe(self.guarded(self._typed), "value")
        self.strength.observe(self.guarded(lambda: self.show(self._draw())), "value")

    def _draw(self) -> Picture:
        strength = self.strength.value
        response = (1 - strength) * self.grey + strength * convolve(self.grey, self._kernel)
        name = "a typed kernel" if self.choice.value == TYPED else f"the {self.choice.value} kernel"
        title = f"An image under {name}"
        if strength < 1:
            title += f", at strength {strength:.2f}"
        return figures.convolution(self.grey, self._kernel, response, title=title)

    def _chosen(self) -> None:
        """Write out the numbers of the chosen kernel; a change of them is taken over by `_typed`."""
        if self.choice.value != TYPED:
            self.typed.value = KERNELS[self.choice.value]

    def _typed(self) -> None:
        """Take over the typed kernel; one that does not parse is explained, and the last good one stays."""
        try:
            self._kernel = parse_kernel(self.typed.value)
        except InvalidInputError as error:
            self.fail(error)  # a slip of the pen, not a failure of the notebook: nothing to raise
            return
        known = (name for name, text in KERNELS.items() if text == self.typed.value)
        self.choice.value = next(known, TYPED)
        self.show(self._draw())


def convolution_explorer(image: Any, kernel: str = "Sobel x") -> ConvolutionExplorer:
    """A real image under a kernel that is chosen from a list or typed; lecture 02.

    image: anything that `figures.image_grid` takes; kernel: a name of KERNELS, or numbers as one would type them.
    """
    return ConvolutionExplorer(image, kernel)
