"""Images: where they come from, their decoded cache, what a data set is, and batches on the device.

    places, download            folders and disk space; the published archive, from where it can be had
    sources, layout             an archive or folder; what its members mean
    decode, cache, manifest     pixels; memory-mapped arrays, prepared once; what is believed of them
    dataset, loading            classes and splits; `load`: by name or path, whole or in part
    batches                     normalisation, augmentation, batches
    sample, drawing             the generated sample

The names below are the public ones. Each opens its room on first use, so that the processes that decode
JPEGs, and `tinylab data info`, need not wait for torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinylab.data.batches import Augment, Batches, Normalisation
    from tinylab.data.cache import Cache, info, open_cache, prepare, prepared_names, verify
    from tinylab.data.dataset import Dataset, Split, Twin
    from tinylab.data.download import fetch
    from tinylab.data.loading import load
    from tinylab.data.places import cache_root
    from tinylab.data.sample import write_sample
    from tinylab.data.sources import open_archive

_ROOM_OF = {
    "Augment": "batches",
    "Batches": "batches",
    "Cache": "cache",
    "Dataset": "dataset",
    "Normalisation": "batches",
    "Split": "dataset",
    "Twin": "dataset",
    "cache_root": "places",
    "fetch": "download",
    "info": "cache",
    "load": "loading",
    "open_archive": "sources",
    "open_cache": "cache",
    "prepare": "cache",
    "prepared_names": "cache",
    "verify": "cache",
    "write_sample": "sample",
}

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
    "verify",
    "write_sample",
]


def __getattr__(name: str) -> Any:
    if name in _ROOM_OF:
        return getattr(importlib.import_module(f"{__name__}.{_ROOM_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
