"""The manifest of a prepared data set: what is written there last, and what is believed of one that is read.

`manifest.json` names the folder of arrays, their sizes and SHA-256, the source they were made from, the classes. It
appears, by a rename, when everything else is on disk; so a folder without one is no data set yet. Reading trusts
nothing: a file may be of an older version, cut short, or edited by hand.
"""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field, model_validator

from tinylab.data.decode import Wanted
from tinylab.data.folders import cannot_read
from tinylab.data.layout import SPLITS, Layout
from tinylab.support.validation import Strict, validated

FILE = "manifest.json"
SCHEMA = 1  # raise it whenever files or manifest change their meaning; older caches are then rebuilt


class _Source(Strict):
    path: str
    fingerprint: str


class _Split(Strict):
    images: int
    labelled: bool
    greyscale: int


class _Array(Strict):
    bytes: int
    sha256: str


class _Manifest(Strict):
    """All but the schema's number; see `describe`."""

    tinylab: str
    prepared: str
    source: _Source
    size: int
    resized: bool = False
    converted: dict[str, int] = Field(default_factory=dict)
    splits: dict[str, _Split]
    build: Annotated[str, Field(pattern="^[0-9a-f]{12}$")]  # a folder beside the manifest, and nowhere else
    arrays: dict[str, _Array]
    classes: Annotated[list[str], Field(min_length=1)]
    names: list[str]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        needed = {f"{split}_{kind}.npy" for split in SPLITS for kind in ("images", "files", "greyscale", "digests")}
        needed |= {f"{split}_labels.npy" for split, found in self.splits.items() if found.labelled}
        if set(self.splits) != set(SPLITS) or needed != set(self.arrays) or len(self.classes) != len(self.names):
            raise ValueError("has parts that do not fit together")
        return self


def state(folder: Path) -> tuple[str, dict[str, Any] | None]:
    """("ready", manifest), or ("absent" | "incomplete" | "schema changed", None); DataError if it may not be read."""
    try:
        manifest = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if repr(manifest["schema"]) != repr(SCHEMA):  # true and 1.0 equal 1
            return "schema changed", None
        rest = {key: value for key, value in manifest.items() if key != "schema"}
        validated(_Manifest, rest, ValueError, FILE)
        sizes = {file: entry["bytes"] for file, entry in manifest["arrays"].items()}
        whole = all((folder / manifest["build"] / file).stat().st_size == size for file, size in sizes.items())
    except (FileNotFoundError, NotADirectoryError):
        return ("incomplete" if any(path.is_dir() for path in inside(folder)) else "absent"), None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "incomplete", None
    except OSError as error:
        raise cannot_read(folder, error) from None
    return ("ready", manifest) if whole else ("incomplete", None)


def inside(folder: Path) -> list[Path]:
    """What a folder holds, sorted; nothing if it is not there. DataError if it may not be read."""
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise cannot_read(folder, error) from None


def describe(
    build: Path, layout: Layout, source: Path, fingerprint: str, wanted: Wanted, converted: dict[str, int]
) -> dict[str, Any]:
    """The manifest of the arrays in the folder `build`."""
    from tinylab import __version__

    splits = {
        split: {
            "images": len(layout.splits[split].members),
            "labelled": layout.splits[split].labels is not None,
            "greyscale": int(np.load(build / f"{split}_greyscale.npy").sum()),
        }
        for split in SPLITS
    }
    arrays = {path.name: {"bytes": path.stat().st_size, "sha256": sha256(path)} for path in sorted(build.glob("*.npy"))}
    return {
        "schema": SCHEMA,
        "tinylab": __version__,
        "prepared": datetime.now(UTC).isoformat(timespec="seconds"),
        "source": {"path": str(source), "fingerprint": fingerprint},
        "size": wanted.size,
        "resized": wanted.resize,  # whether images of another size were made to fit
        "converted": dict(sorted(converted.items())),  # images by what they were before they became RGB: {"CMYK": 3}
        "splits": splits,
        "build": build.name,
        "arrays": arrays,
        "classes": list(layout.classes),
        "names": list(layout.names),
    }


def sha256(path: Path) -> str:
    """Of a file's content, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
