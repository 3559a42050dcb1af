"""Images: where they come from, their decoded cache, what a data set is, and batches on the device.

    folders, download           where things lie, and disk space; the published archive, from where it can be had
    archive, layout             an archive or folder; what its members mean
    decode, cache, manifest     pixels; memory-mapped arrays, prepared once; what is believed of them
    split, dataset, loading     some images; classes and four splits; `load`: by name or path, whole or in part
    normalisation, augment      the mean image and the scale; random changes that leave the class alone
    batches                     all of it at once, on the device
    sample, drawing             the generated sample

The names below are the public ones. Those that need torch are opened on first use: `tinylab data info` does without it.
"""

import importlib
from typing import TYPE_CHECKING, Any

from tinylab.data.archive import open_archive
from tinylab.data.cache import Cache, info, open_cache, prepare, prepared_names, verify
from tinylab.data.dataset import Dataset, Twin
from tinylab.data.download import fetch
from tinylab.data.folders import cache_root
from tinylab.data.loading import load, resolve
from tinylab.data.sample import write_sample
from tinylab.data.split import Split

if TYPE_CHECKING:
    from tinylab.data.augment import Augment
    from tinylab.data.batches import Batches
    from tinylab.data.normalisation import Normalisation

_WITH_TORCH = {"Augment": "augment", "Batches": "batches", "Normalisation": "normalisation"}

__all__ = [
    "Augment",
    "Batches",
    "Cache",
    "Dataset",
    "Normalisation",
    "Split",
    "Twin",
    "cache_root",
    "fetch",
    "info",
    "load",
    "open_archive",
    "open_cache",
    "prepare",
    "prepared_names",
    "resolve",
    "verify",
    "write_sample",
]


def __getattr__(name: str) -> Any:
    if name in _WITH_TORCH:
        return getattr(importlib.import_module(f"{__name__}.{_WITH_TORCH[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
