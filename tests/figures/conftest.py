"""Both styles, chosen as a lecturer does."""

import pytest

from tinylab.figures.style import STYLES, VARIABLE


@pytest.fixture(params=STYLES)
def style(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(VARIABLE, request.param)
    return request.param
