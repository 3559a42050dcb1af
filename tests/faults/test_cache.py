"""Faults of the decoded cache beside those in `tests/data`: random kills, folders edited in place, homes and disks."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from tests.faults import kills
from tinylab.data import cache_root, info, load, open_cache, prepare, prepared_names, sample, verify
from tinylab.data.folders import locked
from tinylab.support.errors import DataError, InvalidInputError

pytestmark = pytest.mark.usefixtures("root")


def content(name="tiny") -> dict[str, bytes]:
    """Every array of a prepared data set, byte for byte."""
    cache = open_cache(name)
    folder = cache.folder / cache.manifest["build"]
    return {path.name: path.read_bytes() for path in folder.glob("*.npy")}


# ---- killed while caching


def test_killed_at_random_instants_while_caching(source, root):
    """killed while caching: never half a cache, whatever the instant; the rerun gives the same bytes."""
    prepare(source, "whole", progress=False)
    dice = random.Random(1)
    instants = [dice.uniform(0, 0.12) for _ in range(8)]
    print(instants)
    count = 0
    for instant in instants:
        count += kills.killed(lambda: prepare(source, "tiny", progress=False, rebuild=True), instant)
        if "tiny" in prepared_names():
            assert content() == content("whole")
        else:
            with pytest.raises(DataError, match=r"tiny at .* is incomplete; prepare it|no data set or path 'tiny'"):
                load("tiny")
    assert count >= 1
    # what was killed after its manifest and before its sweep left an older build: the next rebuild sweeps
    prepare(source, "tiny", progress=False, rebuild=True)
    assert content() == content("whole")
    assert len([path for path in (root / "prepared" / "tiny").iterdir() if path.is_dir()]) == 1


# ---- two notebooks prepare the cache at once


def test_a_process_that_waits_takes_over_from_one_that_is_killed(source, root):
    """two notebooks prepare the cache at once: and the first of them dies, its lock with it."""
    folder = root / "prepared" / "tiny"
    folder.mkdir(parents=True)
    holds, holding = os.pipe()
    waits, waiting = os.pipe()

    def dies() -> None:
        with locked(folder / ".lock", "tiny"):
            os.write(holding, b".")
            signal.pause()

    def takes_over() -> None:
        from tinylab.data import folders

        folders.log.warning = lambda *said: os.write(waiting, b".")
        prepare(source, "tiny", progress=False)

    first = kills.start(dies)
    assert os.read(holds, 1)
    second = kills.start(takes_over)
    assert os.read(waits, 1)  # it has said that it waits
    assert not (folder / "manifest.json").exists()
    os.kill(first[1], signal.SIGKILL)
    assert kills.ended(*first) == -signal.SIGKILL
    assert kills.ended(*second) == 0
    assert len(load("tiny").train) == 33


# ---- cache from an older version


EDITS = (  # any other edit: test_properties
    lambda m: m.clear(),
    lambda m: m.pop("classes"),
    lambda m: m.update(build="../../../etc"),
    lambda m: m.update(size="64"),
    lambda m: m.update(names=["only one"]),
    lambda m: m["arrays"].pop("train_images.npy"),
    lambda m: m["splits"]["train"].update(images=37),
    lambda m: m["splits"]["test"].update(labelled=True),
    lambda m: m.update(size=63),
    lambda m: (m["classes"].pop(), m["names"].pop()),
)


def test_a_manifest_that_was_edited_is_never_half_believed(source, root):
    """cache from an older version: or one that somebody edited; one line, and it can be made again."""
    prepare(source, "tiny", progress=False)
    whole = content()
    path = root / "prepared" / "tiny" / "manifest.json"
    sound = path.read_text()
    for spoil in EDITS:
        manifest = json.loads(sound)
        spoil(manifest)
        path.write_text(json.dumps(manifest))
        with pytest.raises(DataError, match=r"tiny.*prepare it") as caught:
            load("tiny")
        assert "\n" not in str(caught.value)
        assert "tiny" in str(info())
    prepare(source, "tiny", progress=False, rebuild=True)
    assert content() == whole


def test_arrays_of_another_kind_are_not_believed(source, root):
    """killed while caching: an array of the right length and the wrong type."""
    prepare(source, "tiny", progress=False)
    cache = open_cache("tiny")
    path = cache.folder / cache.manifest["build"] / "train_labels.npy"
    labels = np.load(path)
    labels[0] = 7
    np.save(path, labels)
    with pytest.raises(DataError, match=r"tiny is damaged \(train_labels"):
        load("tiny")


# ---- sources that change


def test_an_edit_inside_a_file_of_a_folder_is_noticed(crafting, members, tmp_path, caplog):
    """cache from an older version: of a folder one of whose images was changed in place."""
    folder = crafting.folder(tmp_path / "folder", members)
    image = folder / "val/images/val_3.JPEG"
    os.utime(image, ns=(1, 1))
    before = load(folder).validation.take(3)[0]
    image.write_bytes(crafting.jpeg(4711))
    after = load(folder).validation.take(3)[0]
    assert "source changed, rebuilding" in caplog.text
    assert (before != after).any()
    caplog.clear()
    load(folder)
    assert caplog.text == ""


# ---- read-only or missing cache folder, HOME unset

NO_HOME = """
import os, pwd, sys
for name in ("HOME", "USERPROFILE", "XDG_CACHE_HOME", "TINYLAB_CACHE"):
    os.environ.pop(name, None)
def nobody(number):
    raise KeyError(number)  # what a container says of a user it was not told about
pwd.getpwuid = pwd.getpwnam = nobody
from tinylab.tools.cli import main
main(sys.argv[1:])
"""


def test_without_a_home_the_variable_is_named(tmp_path):
    """read-only or missing cache folder, HOME unset: one line that names the variable, and nothing made."""
    command = [sys.executable, "-c", NO_HOME, "data", "fetch"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert (
        done.stderr
        == "tinylab: no home folder is known; set TINYLAB_CACHE to a folder for downloads and decoded images\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_nobody_knows(monkeypatch, tmp_path):
    """read-only or missing cache folder, HOME unset: `~somebody`, in the variable and in a path."""
    for give in (lambda path: load(path), lambda path: prepare(path, "x"), lambda path: load("x", cache=path)):
        with pytest.raises(DataError, match="no home folder is known for '~'; give the whole path"):
            give("~no-such-user-here/data.zip")
    monkeypatch.setenv("TINYLAB_CACHE", "~no-such-user-here/cache")
    with pytest.raises(DataError, match="no home folder is known"):
        cache_root()


def test_a_cache_folder_that_vanishes_is_made_again(source, root, tmp_path):
    """read-only or missing cache folder, HOME unset: the folder was deleted between two lectures."""
    load(source)
    shutil.rmtree(root)
    assert len(load(source).train) == 33
    shutil.rmtree(root)
    with pytest.raises(DataError, match="no data set or path 'tiny'"):
        load("tiny")
    assert "Nothing is prepared yet" in str(info())


# ---- disk full


def test_a_disk_that_fills_while_the_sample_is_drawn(root):
    """disk full: the first thing that a student does is to load the sample."""

    def with_little_room() -> None:
        import resource

        draw = sample.write_sample
        sample.write_sample = lambda path: draw(path, classes=2, train=25, val=1, test=1)  # not all 6,000
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        with pytest.raises(DataError, match=r"needs .* MB, has .* at .*TINYLAB_CACHE"):
            load("sample")

    kills.undisturbed(with_little_room)
    assert [path.name for path in root.iterdir() if path.name.startswith(".sample")] == []
    assert prepared_names() == []


@pytest.mark.parametrize("room", [100, 300_000])
def test_wherever_the_disk_fills_the_old_cache_stays(source, root, room):
    """disk full: in whatever file it happens, even in the first of few bytes."""
    prepare(source, "tiny", progress=False)
    whole = content()

    def with_little_room() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        with pytest.raises(DataError, match=r"not enough disk: needs 0\.7 MB, has .*TINYLAB_CACHE"):
            prepare(source, "tiny", progress=False, rebuild=True)

    kills.undisturbed(with_little_room)
    assert content() == whole
    verify("tiny")


def test_names_that_are_none():
    """bad parameter: what cannot be a name or a path."""
    for name in (None, 3, b"tiny", ["tiny"]):
        with pytest.raises(InvalidInputError):
            load(name)
        with pytest.raises(InvalidInputError):
            open_cache(name)
