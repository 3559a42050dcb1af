"""A prepared data set of three classes and a network of a few hundred weights, for whole processes to train."""

import contextlib
import io
import time

import numpy as np
import pytest
import torch
from PIL import Image

from tests.tools.experiments import small
from tinylab import data
from tinylab.tools.experiments import worker


def _jpeg(label: int, number: int) -> bytes:
    """Noise with a bright square whose place tells the class."""
    pixels = np.random.default_rng([label, number]).integers(0, 200, (64, 64, 3), dtype=np.uint8)
    pixels[8 + 16 * label : 24 + 16 * label, 8:40, label] = 255
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """A cache folder with the data set "small": 3 classes of 12 training images, 2 of them for development."""
    top = tmp_path_factory.mktemp("archive") / "small"
    files = {"wnids.txt": b"n02\nn01\nn03\n", "words.txt": b"n01\tfish\nn02\tcrane\nn03\tcat\n"}
    lines = []
    for label, wnid in enumerate(("n02", "n01", "n03")):
        files |= {f"train/{wnid}/images/{wnid}_{k}.JPEG": _jpeg(label, k) for k in range(12)}
        files |= {f"val/images/val_{3 * k + label}.JPEG": _jpeg(label, 100 + k) for k in range(4)}
        lines += [f"val_{3 * k + label}.JPEG\t{wnid}\t0\t0\t9\t9\n" for k in range(4)]
    files["val/val_annotations.txt"] = "".join(lines).encode()
    files |= {f"test/images/test_{k}.JPEG": _jpeg(0, 200 + k) for k in range(3)}
    for name, content in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(content)
    root = tmp_path_factory.mktemp("cache")
    data.prepare(top, "small", progress=False, root=root)
    return root


@contextlib.contextmanager
def _alone(prepared):
    """This process and those that it starts: cache, CPU, one thread."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in small.surroundings(prepared).items():
            patch.setenv(name, value)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def undisturbed(chosen, prepared, tmp_path_factory):
    """Records of the module's plan `chosen`, its rows trained one after the other in this process; and seconds."""
    out = tmp_path_factory.mktemp("undisturbed")
    with _alone(prepared):
        started = time.monotonic()
        assert [worker.work(job) for job in small.jobs(chosen, out)] == ["done"] * len(chosen.rows)
        return out, time.monotonic() - started


@pytest.fixture(autouse=True)
def surroundings(prepared):
    with _alone(prepared):
        yield
