"""What all controls share: a picture among widgets that shows its text twin and its errors, live or as a still."""

import html
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets
import traitlets

from tinylab.figures import Picture
from tinylab.support.errors import TinylabError
from tinylab.support.notebook import headless

ERROR_CLASS = "tinylab-error"  # of the widget that shows errors and is empty without: whoever scans a notebook finds it


class DescribedImage(widgets.Image):
    """An image with a name for those who cannot see it, its `tooltip`.

    Images of ipywidgets have no `alt`; without one, browsers take the `title`, which is the tooltip. The frontend
    sets it only if the description, which other widgets show beside them, is empty, and fails if there is none.
    """

    description = traitlets.Unicode("").tag(sync=True)


def dropdown(options: Sequence[str], value: str, name: str, width: str) -> widgets.Dropdown:
    """A list to choose from; its name takes `width`. The arrow keys alone belong to JupyterLab, which moves on."""
    hint = "by keyboard: Space opens the list, Enter chooses"
    style = {"description_width": width}
    return widgets.Dropdown(options=options, value=value, description=name, style=style, tooltip=hint)


class Control:
    """Widgets around a picture: the live image, its text twin, and a place for errors, all of fixed height."""

    def __init__(self, *inputs: widgets.Widget, picture: Picture) -> None:
        width, height = picture.css_size()
        self.picture = picture
        self.image = DescribedImage(
            format="png",
            layout=widgets.Layout(
                width=f"{width}px",
                height=f"{height}px",
                max_width="100%",
                object_fit="contain",
                object_position="left top",
            ),
        )
        self.text = widgets.HTML(layout=widgets.Layout(min_height="4.5em", max_width=f"{width}px"))
        self.message = widgets.HTML(layout=widgets.Layout(min_height="2.5em", max_width=f"{width}px"))
        self.message.add_class(ERROR_CLASS)
        self.box = widgets.VBox([*inputs, self.message, self.image, self.text])
        self.show(picture)

    def show(self, picture: Picture) -> None:
        """Put a picture, and its text twin, in place of the present one."""
        self.picture = picture
        self.image.value = picture.png(compact=False)
        self.image.tooltip = picture.alt
        self.text.value = f'<div role="status" aria-live="polite">{html.escape(picture.alt)}</div>'

    def fail(self, error: BaseException | None) -> None:
        """Show an error; None removes it."""
        name = "" if isinstance(error, TinylabError) else f"{type(error).__name__}: "
        text = html.escape(name + str(error))
        self.message.value = "" if error is None else f'<div role="alert" style="color:#B00020">{text}</div>'

    def guarded(self, action: Callable[[], object]) -> Callable[[Any], None]:
        """`action` as a widget callback: what it raises is shown here and raised on, never only logged."""

        def callback(_: Any) -> None:
            try:
                self.fail(None)  # what went wrong before is over
                action()
            except Exception as error:
                self.fail(error)
                raise

        return callback

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict, dict]:
        data, metadata = self.picture._repr_mimebundle_()
        if not headless():  # a stored page must not promise widgets that no kernel will ever fill
            live = self.box._repr_mimebundle_()
            data |= {kind: value for kind, value in live.items() if kind.startswith("application/")}
        return data, metadata
