"""The book: all lectures with their stored outputs in one PDF, printed by a Chromium that is there."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tinylab.support.errors import NotebookError
from tinylab.support.files import atomic_write
from tinylab.tools.notebooks import inspection, pages
from tinylab.tools.notebooks.runner import Outcome

VARIABLE = "TINYLAB_BROWSER"  # a Chromium that is not on the path
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
_LIMIT = 600  # seconds that printing may take


def write(lectures: Sequence[Path], out: Path) -> Path:
    """Print the lectures at these paths into one PDF, `out` (returned). Raises NotebookError."""
    browser = os.environ.get(VARIABLE) or next(filter(None, map(shutil.which, _NAMES)), None)
    if browser is None:
        raise NotebookError(f"a book needs Chromium, and none was found. Install it, or name it in ${VARIABLE}")
    with tempfile.TemporaryDirectory(prefix="tinylab-book-", ignore_cleanup_errors=True) as scratch:
        page, made = Path(scratch) / "book.html", Path(scratch) / "book.pdf"
        page.write_text(document(lectures), encoding="utf-8")
        command = [browser, "--headless", "--disable-gpu", f"--user-data-dir={scratch}/profile"]
        command += ["--no-sandbox"] * (getattr(os, "geteuid", lambda: 1)() == 0)  # it refuses root otherwise
        command += ["--no-pdf-header-footer", f"--print-to-pdf={made}", page.as_uri()]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=_LIMIT, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NotebookError(f"{browser} could not print the book: {error}") from None
        if not made.is_file():
            said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise NotebookError(f"{browser} printed nothing (code {done.returncode}): {said}")
        atomic_write(out, made.read_bytes())
    return out


def document(lectures: Sequence[Path]) -> str:
    """The book as one HTML file: a table of contents, then each lecture from a new page on."""
    notebooks = [inspection.read(path) for path in lectures]
    titles = [inspection.title(notebook) or path.stem for path, notebook in zip(lectures, notebooks, strict=True)]
    contents = "".join(
        f'<li><a href="#{path.stem}">{title}</a></li>' for path, title in zip(lectures, titles, strict=True)
    )
    chapters = "".join(
        f'<section id="{path.stem}">'
        f"{_chapter(path, pages.body(Outcome(path, title, 0, 'ok', notebook=notebook)))}</section>"
        for path, title, notebook in zip(lectures, titles, notebooks, strict=True)
    )
    return pages.document(
        "tinylab", f'<main class="book"><h1>tinylab</h1><ol class="contents">{contents}</ol>{chapters}</main>'
    )


def _chapter(path: Path, body: str) -> str:
    """A lecture's HTML among others: names of its own, links that lead within the book, nothing folded."""
    body = re.sub(r'\bid="([^"]+)"', rf'id="{path.stem}-\1"', body)
    body = re.sub(r'href="#([^"]+)"', rf'href="#{path.stem}-\1"', body)
    body = re.sub(r'href="(\d\d_\w+)\.ipynb"', r'href="#\1"', body)
    return body.replace("<details>", "<details open>")
