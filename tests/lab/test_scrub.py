"""The slider through pictures: the still, what moving does, errors."""

import numpy as np
import pytest

from tinylab import figures, lab
from tinylab.support.errors import InvalidInputError
from tinylab.support.notebook import VARIABLE

WIDGET = "application/vnd.jupyter.widget-view+json"


def picture(value: int) -> figures.Picture:
    return figures.image_grid(np.full((1, 8, 8, 3), value, np.uint8), title=f"all {value}")


@pytest.fixture(autouse=True)
def _live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "0")


def test_moving_shows_another_picture_and_its_text() -> None:
    control = lab.scrub({"epoch 0": picture(0), "epoch 1": picture(90), "epoch 2": picture(200)}, name="epoch")
    assert control.slider.value == "epoch 2"
    before = control.image.value
    control.slider.value = "epoch 0"
    assert control.image.value != before
    assert "all 0" in control.text.value
    assert control.image.tooltip == control.picture.alt
    control.slider.value = "epoch 2"
    assert control.image.value == before


def test_a_stored_page_shows_the_still(monkeypatch: pytest.MonkeyPatch) -> None:
    control = lab.scrub({"a": picture(1), "b": picture(2)})
    assert WIDGET in control._repr_mimebundle_()[0]
    monkeypatch.setenv(VARIABLE, "1")
    data, metadata = control._repr_mimebundle_()
    assert set(data) == {"image/png", "text/plain"}
    assert metadata["image/png"]["alt"] == "all 2: 1 image."


def test_an_error_is_shown_and_raised_and_gone_when_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    control = lab.scrub({"a": picture(1), "b": picture(2)})
    show = control.show

    def broken(_: figures.Picture) -> None:
        raise RuntimeError("no <ink> left")

    monkeypatch.setattr(control, "show", broken)
    with pytest.raises(RuntimeError, match="no <ink> left"):
        control.slider.value = "a"
    assert "RuntimeError: no &lt;ink&gt; left" in control.message.value
    monkeypatch.setattr(control, "show", show)
    control.slider.value = "b"
    assert control.message.value == ""


def test_bad_input() -> None:
    with pytest.raises(InvalidInputError, match="got no pictures"):
        lab.scrub({})
