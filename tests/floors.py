"""The oldest versions that pyproject.toml allows, as constraints for pip: `make test-oldest` installs them.

    python tests/floors.py [NAME …]      all but the named distributions

"numpy>=2.0" becomes "numpy==2.0.*": the oldest release line, with what was mended in it. Runs before anything is
installed, so the standard library has to do.
"""

import re
import sys
import tomllib
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
EXTRAS = ("test",)


def constraints(but: tuple[str, ...] = ()) -> list[str]:
    """One line for each dependency and test tool, in pyproject's order. Raises ValueError for one without a floor."""
    wanted = [*PROJECT["dependencies"], *(line for extra in EXTRAS for line in PROJECT["optional-dependencies"][extra])]
    found = {}
    for line in wanted:
        match = re.fullmatch(r"([\w-]+)>=([\d.]+)(?:,<[\d.]+)?", line)
        if match is None:
            raise ValueError(f"dependency {line!r} has no lower bound of the form NAME>=VERSION")
        found[match[1]] = f"{match[1]}=={match[2]}.*"
    return [line for name, line in found.items() if name not in but]


if __name__ == "__main__":
    print("\n".join(constraints(tuple(sys.argv[1:]))))
