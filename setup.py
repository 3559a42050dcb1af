"""The one thing that pyproject.toml cannot say: a wheel carries the lectures, from `notebooks/` into `tinylab/course/`.

They are what the package is for, 3 MB with their stored outputs, and must fit its code: fetched apart they could be of
another version. In a checkout, editable installs included, they stay where they are and are read from there.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class WithLectures(build_py):
    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib, "tinylab", "course", "notebooks")
        target.mkdir(parents=True, exist_ok=True)
        for path in [*Path("notebooks").glob("[0-9][0-9]_*.ipynb"), *Path("notebooks").glob("*.md")]:
            shutil.copy(path, target)


setup(cmdclass={"build_py": WithLectures})
