"""The manifest of a prepared data set: what is written there last, and what is believed of one that is read.

`manifest.json` names the folder of arrays, their sizes and SHA-256, the source they were made from, the classes. It
appears, by a rename, when everything else is on disk; so a folder without one is no data set yet. Reading trusts
nothing: a file may be of an older version, cut short, or edited by hand.
"""

import hashlib
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from tinylab.data.decode import Wanted
from tinylab.data.folders import cannot_read
from tinylab.data.layout import SPLITS, Layout

FILE = "manifest.json"
SCHEMA = 1  # raise it whenever files or manifest change their meaning; older caches are then rebuilt


def state(folder: Path) -> tuple[str, dict[str, Any] | None]:
    """("ready", manifest), or ("absent" | "incomplete" | "schema changed", None); DataError if it may not be read."""
    try:
        manifest = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if repr(manifest["schema"]) != repr(SCHEMA):  # true and 1.0 equal 1
            return "schema changed", None
        _check(manifest)
        sizes = {file: entry["bytes"] for file, entry in manifest["arrays"].items()}
        whole = all((folder / manifest["build"] / file).stat().st_size == size for file, size in sizes.items())
    except (FileNotFoundError, NotADirectoryError):
        return ("incomplete" if any(path.is_dir() for path in inside(folder)) else "absent"), None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "incomplete", None
    except OSError as error:
        raise cannot_read(folder, error) from None
    return ("ready", manifest) if whole else ("incomplete", None)


def _check(manifest: dict[str, Any]) -> None:
    """Raises one of the errors above unless everything that is used later is there, and of its kind."""
    if not re.fullmatch(r"[0-9a-f]{12}", manifest["build"]):
        raise ValueError("the folder of arrays lies elsewhere")
    _all(str, [manifest["source"]["path"], manifest["source"]["fingerprint"]])
    _all(str, [*manifest["classes"], *manifest["names"]])
    _all(int, [manifest["size"], *(entry["bytes"] for entry in manifest["arrays"].values())])
    _all(bool, [manifest.get("resized", False), *(manifest["splits"][split]["labelled"] for split in SPLITS)])
    _all(int, [manifest["splits"][split]["images"] for split in SPLITS])
    _all(int, [*manifest.get("converted", {}).values()])
    needed = {f"{split}_{kind}.npy" for split in SPLITS for kind in ("images", "files", "greyscale", "digests")}
    needed |= {f"{split}_labels.npy" for split in SPLITS if manifest["splits"][split]["labelled"]}
    if (
        not manifest["classes"]
        or len(manifest["classes"]) != len(manifest["names"])
        or needed != set(manifest["arrays"])
    ):
        raise ValueError("the parts do not fit together")


def _all(kind: type, values: list[object]) -> None:
    if not all(type(value) is kind for value in values):
        raise TypeError(f"expected {kind.__name__}")


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
        "converted": converted,  # images by what they were before they became RGB: {"CMYK": 3}
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
