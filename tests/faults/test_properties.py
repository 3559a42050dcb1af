"""Whatever is written there: notation, manifests, histories, scripts, and archives with any byte changed.

Every example ends in one of two ways: what the text or the file really says, or a TinylabError of one line.
`TINYLAB_EXAMPLES=20` multiplies the number of examples (`make soak` does); they are the same ones at every call.
"""

import io
import json
import math
import os
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import tiny
from tests.data.crafted import craft, write_zip
from tinylab import models
from tinylab.data import open_cache, prepare, verify
from tinylab.data.archive import open_archive
from tinylab.data.decode import Wanted, decode
from tinylab.data.layout import SPLITS, read_layout
from tinylab.lab.live import script
from tinylab.models import notation
from tinylab.support.errors import TinylabError
from tinylab.training import train
from tinylab.training.history import Epoch, History
from tinylab.training.recipe import Recipe

MORE = int(os.environ.get("TINYLAB_EXAMPLES", "1"))


def examples(count: int) -> settings:
    """The same `count` examples every time, times what is asked for in the environment."""
    checks = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]
    return settings(
        max_examples=count * MORE, deadline=None, derandomize=True, database=None, suppress_health_check=checks
    )


def one_line(error: TinylabError) -> None:
    assert str(error).strip()
    assert "\n" not in str(error)


# ---- notation

WORDS = (
    "conv3-4,conv5-2,relu,max pool,dropout,dropout(0.3),batch norm,fc(6),fc(200),softmax,,conv4-4,conv3-0,dropout(2)"
)
ODD = ["rleu", "conv3-99999999999", "fc(-1)", "Conv3-4", " relu ", "ﬀ", "conv３-4"]
TOKENS = st.sampled_from([*WORDS.split(","), *ODD])
LAYERS = st.sampled_from(["conv3-4", "conv5-2", "relu", "max pool", "dropout", "dropout(0.3)", "batch norm"])
HIDDEN = st.sampled_from(["fc(6)", "fc(200)", "relu", "dropout", "dropout(0.3)"])
LIKELY = st.tuples(st.lists(LAYERS, max_size=5), st.lists(HIDDEN, max_size=3)).map(lambda p: [*p[0], *p[1], "softmax"])


@examples(150)
@given(st.one_of(st.text(max_size=60), st.one_of(st.lists(TOKENS, max_size=8), LIKELY).map(" - ".join)))
def test_any_text_is_a_network_or_is_refused(text):
    """bad parameter: any line of notation gives a network that computes, or one line."""
    try:
        model = notation.parse(text, classes=4, size=8)
    except TinylabError as error:
        one_line(error)
        return
    model.eval()
    assert model(torch.zeros(2, 3, 8, 8)).shape == (2, 4)
    line = notation.format(model)
    again = notation.parse(line, classes=4, size=8)
    assert (notation.format(again), str(again)) == (line, str(model))


@examples(60)
@given(st.one_of(st.text(max_size=30), st.none(), st.integers(), st.binary(max_size=9), st.lists(st.text())))
def test_any_name_is_a_network_or_is_refused(name):
    """bad parameter: `models.build` and `narrower` with anything at all."""
    for make in (lambda: models.build(name, 3), lambda: models.narrower(name, 2)):
        try:
            make()
        except TinylabError as error:
            one_line(error)


# ---- manifest, history, script: JSON of any shape

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def spoilt(draw: st.DrawFn, sound: dict) -> object:
    """A sound object with one part, at any depth, replaced, removed, or added to."""
    whole = json.loads(json.dumps(sound))
    place, key = whole, None
    while isinstance(place, dict | list) and place and (key is None or draw(st.booleans())):
        if key is not None:
            place = place[key]
            if not isinstance(place, dict | list) or not place:
                break
        key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        owner = place
    match draw(st.sampled_from(["replace", "remove", "add", "all"])):
        case "replace":
            owner[key] = draw(JSON)
        case "remove":
            del owner[key]
        case "add" if isinstance(owner, dict):
            owner[draw(st.text(max_size=5))] = draw(JSON)
        case "all":
            return draw(JSON)
    return whole


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A cache of three classes, and its manifest."""
    root = tmp_path_factory.mktemp("properties")
    source = write_zip(root / "tiny.zip", craft())
    folder = prepare(source, "tiny", progress=False, root=root)
    manifest = json.loads((folder / "manifest.json").read_text())
    return root, folder, manifest


@examples(200)
@given(st.data())
def test_any_manifest_is_a_cache_or_is_refused(prepared, data):
    """cache from an older version: whatever the manifest says, right images or one line."""
    root, folder, manifest = prepared
    said = data.draw(spoilt(manifest))
    (folder / "manifest.json").write_text(json.dumps(said))
    try:
        cache = open_cache("tiny", root)
    except TinylabError as error:
        one_line(error)
        return
    finally:
        (folder / "manifest.json").write_text(json.dumps(manifest))
    assert cache.train.images.shape == (36, 64, 64, 3)
    for split in SPLITS:
        assert len(getattr(cache, split).images) == cache.manifest["splits"][split]["images"]
    assert len(cache.classes) == len(cache.words) == len(cache.names) >= 3


def test_a_manifest_counts_and_digests_what_is_there(prepared):
    """cache from an older version: a wrong number of images or pixels, or a wrong digest, is not believed."""
    root, folder, manifest = prepared
    wrong = [("size", 32), *(("splits", split, "images", 9) for split in SPLITS)]
    wrong += [("arrays", file, "sha256", "0" * 64) for file in manifest["arrays"]]
    for *places, last, value in wrong:
        said = owner = json.loads(json.dumps(manifest))
        for place in places:
            owner = owner[place]
        owner[last] = value
        (folder / "manifest.json").write_text(json.dumps(said))
        try:
            with pytest.raises(TinylabError, match="damaged"):
                verify("tiny", root)
        finally:
            (folder / "manifest.json").write_text(json.dumps(manifest))
    verify("tiny", root)


def test_a_manifest_names_arrays_of_its_own_folder_only(prepared, tmp_path):
    """cache from an older version: sound arrays that lie elsewhere are not taken for this data set's."""
    root, folder, manifest = prepared
    other = shutil.copytree(folder / manifest["build"], tmp_path / manifest["build"])
    for build in (str(other), os.path.relpath(other, folder), f"./{manifest['build']}", f"../tiny/{manifest['build']}"):
        (folder / "manifest.json").write_text(json.dumps(manifest | {"build": build}))
        try:
            with pytest.raises(TinylabError, match=r"tiny at .* is incomplete"):
                open_cache("tiny", root)
        finally:
            (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_manifest_s_schema_is_a_whole_number(prepared):
    """cache from an older version: what only equals 1 is not the schema that we wrote."""
    root, folder, manifest = prepared
    try:
        for schema in (True, 1.0, "1", None):
            (folder / "manifest.json").write_text(json.dumps(manifest | {"schema": schema}))
            with pytest.raises(TinylabError, match="another schema version"):
                open_cache("tiny", root)
    finally:
        (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture(scope="module")
def history():
    run = train(tiny.network(), tiny.dataset(), Recipe(epochs=1, batch=45))
    return run.finish()


@examples(200)
@given(st.data())
def test_any_history_is_read_or_refused(history, tmp_path_factory, data):
    """loading a record executes nothing: any JSON, any text, is a history or one line."""
    path = tmp_path_factory.getbasetemp() / "history.json"
    text = data.draw(st.one_of(spoilt(history.as_dict()).map(json.dumps), st.text(max_size=40)))
    path.write_text(text, encoding="utf-8", errors="replace")
    try:
        read = History.load(path)
    except TinylabError as error:
        one_line(error)
        return
    said, found = json.loads(text), json.loads(json.dumps(read.as_dict()))
    said["recipe"] = found["recipe"] | said["recipe"]  # what an older one lacks has its default
    assert json.dumps({key: said[key] for key in found}, sort_keys=True) == json.dumps(found, sort_keys=True)


@pytest.mark.parametrize(
    "wrong",
    [{"architecture": 3}, {"data": None}, {"eval_split": []}, {"classes": "abc"}, {"classes": [1]}, {"epochs": {}}],
    ids=str,
)
def test_a_history_s_words_are_text(history, wrong):
    """loading a record executes nothing: what is no text is not made one, nor a text a list."""
    with pytest.raises(TinylabError, match=r"not a history that tinylab wrote: .*Allowed: (text|a list)"):
        History.from_dict(history.as_dict() | wrong)


@pytest.mark.parametrize("version", [True, 1.0, "1", None])
def test_a_history_s_version_is_a_whole_number(history, version):
    """loading a record executes nothing: what only equals 1 is not the version that we wrote."""
    with pytest.raises(TinylabError, match=f"version {version!r}"):
        History.from_dict(history.as_dict() | {"version": version})


def test_a_recipe_in_a_record_is_one_that_can_be(history):
    """loading a record executes nothing: each of its values, replaced by what no training can have."""
    for name in (part.name for part in fields(Recipe)):
        for value in (-1, "x", [], math.nan):
            parts = history.as_dict()
            parts["recipe"] = parts["recipe"] | {name: value}
            with pytest.raises(TinylabError, match=repr(value).replace("[]", r"\[\]")):
                History.from_dict(json.loads(json.dumps(parts)))
            with pytest.raises(TinylabError):
                script.read(json.dumps(SOUND_SCRIPT | {"recipe": parts["recipe"]}))


@pytest.mark.parametrize("name", [part.name for part in fields(Epoch)])
def test_an_epoch_is_made_of_numbers(history, name):
    """loading a record executes nothing: a loss may be NaN, which a run can give; an epoch's number may not."""
    for value in (None, True, "1", [1.0], {}, *((math.nan, math.inf, 0, 2, 1.0) if name == "epoch" else ())):
        parts = history.as_dict()
        parts["epochs"] = [parts["epochs"][0] | {name: value}]
        with pytest.raises(TinylabError) as caught:
            History.from_dict(json.loads(json.dumps(parts)))
        one_line(caught.value)
        assert repr(value) in str(caught.value)
    parts = history.as_dict()
    parts["epochs"] = [parts["epochs"][0] | {"eval_loss": math.nan}]
    assert math.isnan(History.from_dict(parts).best.eval_loss)


SOUND_SCRIPT = {
    "kind": "tinylab script", "version": 2, "model": tiny.LINE, "eval_split": "development", "steps": 9, "loss": 0.5,
    "data": {"name": "tiny", "classes": 3, "training images": 90, "digest": "0123456789ab"},
    "recipe": asdict(Recipe()), "changes": [[2, "learning_rate", 0.01], [2, "dropout", 0.5], [7, "l2", 0.001]],
}  # fmt: skip


@examples(200)
@given(st.one_of(spoilt(SOUND_SCRIPT).map(json.dumps), st.text(max_size=60)))
def test_any_script_is_read_or_refused(text):
    """loading a record executes nothing: what is pasted into the laboratory."""
    try:
        told = script.read(text)
    except TinylabError as error:
        one_line(error)
        return
    assert script.read(told.line()) == told


def numbers(whole: object) -> Iterator[tuple[Any, Any]]:
    """Every list or object in which a number stands, and where."""
    for key, value in list(whole.items() if isinstance(whole, dict) else enumerate(whole)):  # type: ignore[arg-type]
        if isinstance(value, dict | list):
            yield from numbers(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield whole, key


def test_a_script_holds_no_number_that_is_none():
    """loading a record executes nothing: NaN and the infinities, at each place where a number stands."""
    whole = json.loads(json.dumps(SOUND_SCRIPT))
    places = list(numbers(whole))
    assert len(places) > 20
    for owner, key in places:
        sound = owner[key]
        for owner[key] in (math.nan, math.inf, -math.inf):
            with pytest.raises(TinylabError, match="is no number"):
                script.read(json.dumps(whole))
        owner[key] = sound
    assert script.read(json.dumps(whole)).steps == 9


def test_the_sound_ones_are_read(history):
    """loading a record executes nothing: and the examples above are spoilt versions of sound ones."""
    assert script.read(json.dumps(SOUND_SCRIPT)).steps == 9
    assert History.from_dict(history.as_dict()) == history


# ---- archives with any byte changed

Content = dict[str, list[tuple[str, int, bytes]]]


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """A small archive, half of it deflated, and what it says."""
    folder = tmp_path_factory.mktemp("fuzz")
    members = {n: raw for n, raw in craft().items() if not any(f"_{i}." in n for i in range(2, 12))}
    lines = members["val/val_annotations.txt"].decode().splitlines(keepends=True)
    kept = [line for line in lines if "val/images/" + line.split()[0] in members]
    members["val/val_annotations.txt"] = "".join(kept).encode()
    path = folder / "small.zip"
    with zipfile.ZipFile(path, "w") as made:
        for number, (name, raw) in enumerate(members.items()):
            made.writestr(f"top/{name}", raw, zipfile.ZIP_DEFLATED if number % 2 else zipfile.ZIP_STORED)
    return folder / "fuzzed.zip", path.read_bytes(), content(path)


def content(path) -> tuple[object, ...]:
    """Everything that a data set is made of: classes, names, and each image with its label."""
    with open_archive(path) as opened:
        layout = read_layout(opened)
        found = []
        for split, listing in layout.splits.items():
            labels = [None] * len(listing.members) if listing.labels is None else listing.labels.tolist()
            for member, label in zip(listing.members, labels, strict=True):
                pixels, grey, _ = decode(opened.read(member), Wanted(), member)
                found.append((split, member, label, grey, pixels.tobytes()))
        return layout.classes, layout.names, found


def same_or_refused(fuzzed, raw: bytes, expected: tuple[object, ...]) -> bool:
    fuzzed.write_bytes(raw)
    try:
        found = content(fuzzed)
    except TinylabError as error:
        one_line(error)
        return False
    assert found == expected, "other images, without a word"
    return True


def test_every_byte_of_the_contents_table_flipped(archive):
    """corrupt JPEG: each byte of the contents table and of the headers, one bit or all; same data or one line."""
    fuzzed, raw, expected = archive
    table = raw.index(b"PK\x01\x02")
    places = list(range(table, len(raw))) + [p + i for p in _headers(raw, table) for i in range(30)]
    step = max(1, len(places) // (500 * MORE))
    kept = 0
    for number, place in enumerate(places[::step]):
        broken = bytearray(raw)
        broken[place] ^= 0xFF if number % 3 == 0 else 1 << (number % 8)
        kept += same_or_refused(fuzzed, bytes(broken), expected)
    assert 0 < kept < len(places[::step])  # dates may change; names may not


def _headers(raw: bytes, end: int) -> list[int]:
    """Where the headers before each member's data stand."""
    found, place = [], raw.find(b"PK\x03\x04")
    while 0 <= place < end:
        found.append(place)
        place = raw.find(b"PK\x03\x04", place + 1)
    return found


@examples(250)
@given(st.data())
def test_any_damage_to_an_archive_is_noticed(archive, data):
    """corrupt JPEG; wrong bytes: flips, cuts, insertions, overwritten ranges anywhere; same data or one line."""
    fuzzed, raw, expected = archive
    broken = bytearray(raw)
    place = data.draw(st.integers(0, len(raw) - 1))
    match data.draw(st.sampled_from(["flip", "several", "cut", "insert", "overwrite", "drop", "swap"])):
        case "flip":
            broken[place] ^= data.draw(st.integers(1, 255))
        case "several":
            for other in data.draw(st.lists(st.integers(0, len(raw) - 1), min_size=2, max_size=8)):
                broken[other] ^= data.draw(st.integers(1, 255))
        case "cut":
            del broken[place:]
        case "insert":
            broken[place:place] = data.draw(st.binary(min_size=1, max_size=40))
        case "overwrite":
            length = data.draw(st.integers(1, 400))
            broken[place : place + length] = data.draw(st.binary(min_size=length, max_size=length))
        case "drop":
            del broken[place : place + data.draw(st.integers(1, 60))]
        case "swap":
            other = data.draw(st.integers(0, len(raw) - 1))
            broken[place : place + 16], broken[other : other + 16] = (
                broken[other : other + 16],
                broken[place : place + 16],
            )
    same_or_refused(fuzzed, bytes(broken), expected)


@examples(120)
@given(st.binary(max_size=300), st.sampled_from([b"", b"PK\x03\x04", b"PK\x05\x06" + bytes(18), b"PK\x06\x06"]))
def test_random_bytes_are_no_archive(tmp_path_factory, raw, head):
    """archive URL dead, or returns HTML: any bytes at all under the name of an archive."""
    path = tmp_path_factory.getbasetemp() / "random.zip"
    path.write_bytes(head + raw)
    with pytest.raises(TinylabError) as caught:
        content(path)
    one_line(caught.value)


@examples(250)
@given(st.data())
def test_any_damage_to_an_image_gives_pixels_or_one_line(data):
    """corrupt JPEG: in a folder there is no checksum; what decodes has the right shape, all else is named."""
    raw = bytearray(data.draw(st.sampled_from(IMAGES)))
    for place in data.draw(st.lists(st.integers(0, len(raw) - 1), max_size=6)):
        raw[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    resize = data.draw(st.booleans())
    try:
        whole = bytes(raw[:cut] if data.draw(st.booleans()) else raw)
        pixels = decode(whole, Wanted(resize=resize), "x.JPEG")[0]
    except TinylabError as error:
        one_line(error)
        return
    assert (pixels.shape, pixels.dtype) == ((64, 64, 3), np.uint8)


def test_every_byte_of_an_image_s_head_flipped():
    """corrupt JPEG: each bit of what comes before the pixels, of a JPEG or PNG, in colour or grey."""
    for raw in IMAGES:
        for place in range(64):
            for bit in range(8):
                broken = bytearray(raw)
                broken[place] ^= 1 << bit
                try:
                    pixels = decode(bytes(broken), Wanted(resize=True), "x.JPEG")[0]
                except TinylabError as error:
                    one_line(error)
                    continue
                assert (pixels.shape, pixels.dtype) == ((64, 64, 3), np.uint8)


def _images() -> list[bytes]:
    from PIL import Image

    made = []
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    for kind, mode, size in (
        ("JPEG", "RGB", 64),
        ("JPEG", "L", 64),
        ("PNG", "RGB", 64),
        ("PNG", "L", 64),
        ("JPEG", "RGB", 80),
    ):
        stream = io.BytesIO()
        Image.fromarray(noise).resize((size, size)).convert(mode).save(stream, kind)
        made.append(stream.getvalue())
    return made


IMAGES = _images()
