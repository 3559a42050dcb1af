"""One Chromium and one JupyterLab for all browser tests of a process: each test opens a notebook of its own in them."""

from collections.abc import Iterator

import pytest
from playwright import sync_api

from tests.browser import jupyter


@pytest.fixture(scope="session")
def browser() -> Iterator[sync_api.Browser]:
    with jupyter.chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def jupyterlab(browser: sync_api.Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[jupyter.Server]:
    with jupyter.served(tmp_path_factory.mktemp("jupyterlab"), browser) as server:
        yield server
