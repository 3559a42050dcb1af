"""How sure a network is: the probability it gives to the right class, early and late, and one temperature for all."""

from collections.abc import Mapping

import numpy as np
from matplotlib.ticker import MaxNLocator

from tinylab.figures.style import HUES, Picture, array, drawn, dress
from tinylab.support.errors import InvalidInputError

BINS = 20
LEAST = -6  # of log₁₀ p: the left edge over powers of ten


@drawn
def confidence(found: Mapping[str, tuple[np.ndarray, float, float]], *, title: str = "", log: bool = False) -> Picture:
    """Histograms of p(right class), a panel for each moment, with loss and accuracy above.

    found: {"epoch 5": (p, loss, accuracy), …}, up to 4; p float (N,), 0..1. log: over powers of ten, for many classes,
    where a guess is small already; what lies below 10⁻⁶ counts there. Raises InvalidInputError for others.
    """
    if not 1 <= len(found) <= 4:
        raise InvalidInputError(f"confidence got {len(found)} moments. Allowed: 1 to 4 in one picture")
    picture = Picture(min(max(3.0 * len(found), 5.0), 9.6), 3.1)
    panels = np.atleast_1d(picture.subplots(1, len(found), sharey=True))
    said = []
    for ax, hue, (name, (raw, loss, accuracy)) in zip(panels, HUES, found.items(), strict=False):
        p = array(raw).astype(float)
        if not len(p) or not (np.isfinite(p).all() and p.min() >= 0 and p.max() <= 1):
            raise InvalidInputError(f"confidence got {name!r} with {len(p)} values outside 0..1, or none")
        seen = f"{name}\nloss {loss:.2f}, right {accuracy:.0%}"
        dress(ax, seen, x="p(right class)", y="images (%)" if ax is panels[0] else "")
        shown = np.log10(np.clip(p, 10.0**LEAST, 1)) if log else p
        weights = np.full(len(p), 100 / len(p))
        ax.hist(shown, bins=BINS, range=(LEAST, 0) if log else (0, 1), weights=weights, color=hue)
        ax.set_xticks(*([[-6, -4, -2, 0], ["10⁻⁶", "10⁻⁴", "0.01", "1"]] if log else [[0, 0.5, 1]]))
        edge, digits = (0.001, 1) if log else (0.05, 0)
        low, high = float((p < edge).mean()), float((p > 0.95).mean())
        said.append(
            f"{name}: loss {loss:.2f}, accuracy {accuracy:.1%}, {low:.{digits}%} of {len(p)} images below {edge}, "
            f"{high:.{digits}%} above 0.95"
        )
    picture.tell(title or "What the right class gets", "; ".join(said) + ".")
    return picture


@drawn
def activity(layers: Mapping[str, Mapping[int, tuple[float, float]]], *, title: str = "") -> Picture:
    """Activations of each layer over time: their standard deviation (line) and the share of zeros (bars, in percent).

    layers: {"relu": {0: (deviation, share of zeros 0..1), 1: …}, …}, epoch by epoch; up to 6 layers, left to right.
    """
    if not 1 <= len(layers) <= 6:
        raise InvalidInputError(f"activity got {len(layers)} layers. Allowed: 1 to 6 in one picture")
    picture = Picture(max(1.7 * len(layers), 5.0), 3.3)
    style = picture.style
    axes = picture.subplots(2, len(layers), sharex=True, sharey="row", squeeze=False)
    said = []
    for column, (name, course) in enumerate(layers.items()):
        epochs = sorted(course)
        wide, zeros = np.array([course[epoch] for epoch in epochs]).T
        upper, lower = axes[:, column]
        dress(upper, name, y="standard\ndeviation" if column == 0 else "")
        dress(lower, x="epoch", y="zeros (%)" if column == 0 else "")
        upper.plot(epochs, wide, "o-", color=HUES[0], lw=style.line, ms=style.marker * 0.7)
        lower.plot(epochs, 100 * zeros, "o-", color=HUES[1], lw=style.line, ms=style.marker * 0.7)
        lower.set_ylim(0, 105)
        lower.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
        said.append(f"{name}: deviation {wide[0]:.2f} to {wide[-1]:.2f}, zeros {zeros[0]:.0%} to {zeros[-1]:.0%}")
    axes[0, 0].set_ylim(0, 1.1 * max(wide for course in layers.values() for wide, _ in course.values()))
    picture.tell(title or "Activations of each layer over time", "; ".join(said) + ".")
    return picture
