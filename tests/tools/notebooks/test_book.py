"""The book: all lectures in one document, links that lead inside it, and one line where it cannot be printed."""

import re
import shutil

import pytest

from tests.tools.notebooks import crafted
from tinylab.support.errors import NotebookError
from tinylab.tools.notebooks import book

BROWSER = next(filter(None, map(shutil.which, book._NAMES)), None)


@pytest.fixture
def lectures(tmp_path):
    links = "# %%md\n## A part\nSee [the next](02_next.ipynb).\n\n"
    links += "<details>\n<summary>Hint</summary>\n\nFolded.\n\n</details>"
    first = crafted.notebook(links, "very_long_name = " + " + ".join(["another_long_name"] * 20))
    second = crafted.notebook("# %%md\n## A part\nMore.", title="02 · The next")
    return [crafted.write(tmp_path, "01_small", first), crafted.write(tmp_path, "02_next", second)]


def test_links_and_names_are_the_book_s_own(lectures):
    page = book.document(lectures)
    names = re.findall(r'\bid="([^"]+)"', page)
    assert len(names) == len(set(names))
    for target in re.findall(r'href="#([^"]+)"', page):
        assert target in names
    assert 'href="#02_next">the next' in page
    assert ".ipynb" not in page
    assert "<details>" not in page  # nothing is folded away on paper


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_a_book_is_a_pdf(lectures, tmp_path):
    made = book.write(lectures, tmp_path / "out" / "book.pdf").read_bytes()
    assert made.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", made)) >= 3  # contents, and a page for each


@pytest.mark.parametrize("browser", ["false", "no-such-browser"])
def test_a_browser_that_prints_nothing_is_named(browser, lectures, tmp_path, monkeypatch):
    monkeypatch.setenv(book.VARIABLE, browser)
    with pytest.raises(NotebookError, match=f"^{browser} (printed nothing|could not print)"):
        book.write(lectures, tmp_path / "book.pdf")
    assert not (tmp_path / "book.pdf").exists()


def test_a_machine_without_a_browser_is_told_what_is_missing(lectures, tmp_path, monkeypatch):
    monkeypatch.delenv(book.VARIABLE, raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(NotebookError, match=r"needs Chromium.*\$TINYLAB_BROWSER"):
        book.write(lectures, tmp_path / "book.pdf")
