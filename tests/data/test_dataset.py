"""Loaded data sets: splits disjoint and stratified, subsets, labels, and every argument that cannot be."""

import io
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from tinylab.data import Split, load, manifest, open_cache, prepare
from tinylab.support.errors import DataError, InvalidInputError

pytestmark = pytest.mark.usefixtures("root")


@pytest.fixture
def tiny(source):
    prepare(source, "tiny", progress=False)
    return "tiny"


def names(split) -> list[str]:
    return split.names.tolist()


def pixels(members, file):
    folder = {"val": "val/images/", "test": "test/images/"}.get(
        file.split("_")[0], f"train/{file.split('_')[0]}/images/"
    )
    return np.asarray(Image.open(io.BytesIO(members[folder + file])).convert("RGB"))


# --- splits ---------------------------------------------------------------------------------------------------


def test_training_and_development_are_disjoint_cover_all_and_are_stratified(tiny):
    for share, expected in {0.0: 0, 0.01: 1, 0.25: 3, 0.5: 6, 0.9: 11}.items():  # of 12; at least one if any
        data = load(tiny, development=share, seed=1)
        train, held = set(names(data.train)), set(names(data.development))
        assert not train & held
        assert train | held == {f"{w}_{i}.JPEG" for w in ("n01", "n02", "n03") for i in range(12)}
        assert np.bincount(data.development.targets, minlength=3).tolist() == [expected] * 3
        assert np.bincount(data.train.targets, minlength=3).tolist() == [12 - expected] * 3


def test_the_split_depends_on_the_seed_alone(tiny):
    first = names(load(tiny, development=0.5).development)
    assert names(load(tiny, development=0.5, seed=0).development) == first
    assert names(load(tiny, development=0.5, seed=1).development) != first


def test_a_class_keeps_its_development_images_whatever_else_is_loaded(tiny):
    whole = {file for file in names(load(tiny, development=0.5).development) if file.startswith("n02")}
    assert set(names(load(tiny, classes=["n02"], development=0.5).development)) == whole


def test_every_label_is_the_class_of_its_file(tiny):
    data = load(tiny, development=0.25)
    for split in (data.train, data.development):
        assert [data.classes[label] for label in split.targets] == [file[:3] for file in names(split)]
    assert data.validation.targets.tolist() == [i % 3 for i in range(12)]
    assert data.validation.targets.dtype == np.int64


def test_test_images_have_names_and_no_labels(tiny):
    test = load(tiny).test
    assert names(test) == [f"test_{i}.JPEG" for i in range(11)]
    assert test.targets is None
    assert test.take([0, 10])[1] is None


def test_take_gives_the_images_of_the_rows(tiny, members):
    data = load(tiny, classes=["n02", "n03"], development=0.25)
    for split in (data.train, data.development, data.validation, data.test):
        for rows in ([2, 0], np.array([1]), slice(0, 3), 1, np.arange(len(split)) < 2):
            images, labels = split.take(rows)
            chosen = np.atleast_1d(split.names[rows])
            assert images.dtype == np.uint8
            assert images.shape == (len(chosen), 64, 64, 3)
            for image, file in zip(images, chosen, strict=True):
                np.testing.assert_array_equal(image, pixels(members, file))
            if labels is not None:
                assert labels.tolist() == np.atleast_1d(split.targets[rows]).tolist()


def test_take_nothing_and_too_much(tiny):
    train = load(tiny).train
    assert train.take([])[0].shape == (0, 64, 64, 3)
    with pytest.raises(InvalidInputError, match="rows 0 to 32; asked for"):
        train.take([33])


def test_splits_share_one_mapped_array(tiny):
    data = load(tiny)
    assert np.shares_memory(data.train.images, data.development.images)
    assert isinstance(data.train.images, np.memmap)


# --- subsets --------------------------------------------------------------------------------------------------


def test_a_number_of_classes_is_the_first_of_wnids(tiny):
    data = load(tiny, classes=2)
    assert data.classes == ("n03", "n01")
    assert data.words == ("Egyptian cat", "goldfish")
    assert np.unique(data.train.targets).tolist() == [0, 1]
    assert data.validation.targets.tolist() == [0, 1] * 4


@pytest.mark.parametrize("asked", [("CRANE", " n03 "), np.array(["n02", "Egyptian cat"])])
def test_a_list_of_wnids_or_words_gives_the_labels_its_order(tiny, asked):
    data = load(tiny, classes=asked)
    assert data.classes == ("n02", "n03")
    assert data.words == ("crane", "Egyptian cat")
    assert [("n02", "n03")[label] for label in data.train.targets] == [file[:3] for file in names(data.train)]
    assert [file for file in names(data.validation)] == [f"val_{i}.JPEG" for i in range(12) if i % 3 != 1]
    assert data.validation.targets.tolist() == [1, 0] * 4
    assert len(data.test) == 11  # nobody knows which of these are cranes


def test_any_of_a_class_s_names_will_do(tiny):
    assert load(tiny, classes=["carassius auratus"]).classes == ("n01",)


def test_an_ambiguous_name_asks_for_the_wnid(crafting, members, tmp_path):
    words = b"n01\tcrane, bird\nn02\tcrane, machine\nn03\tcat\n"
    path = crafting.zip(tmp_path / "cranes.zip", members | {"words.txt": words})
    assert load(path).words == ("cat", "crane (n01)", "crane (n02)")
    assert load(path, classes=["crane (n02)"]).classes == ("n02",)
    with pytest.raises(InvalidInputError, match="'crane' is ambiguous; give one of the wnids n01, n02"):
        load(path, classes=["crane"])


def test_labelled_test_images_follow_the_classes(crafting, members, tmp_path):
    lines = "".join(f"test_{i}.JPEG\t{crafting.classes[i % 3]}\n" for i in range(11)).encode()
    data = load(crafting.zip(tmp_path / "a.zip", members | {"test/test_annotations.txt": lines}), classes=["n01"])
    assert names(data.test) == ["test_1.JPEG", "test_4.JPEG", "test_7.JPEG", "test_10.JPEG"]
    assert data.test.targets.tolist() == [0] * 4


def test_part_takes_the_same_number_of_each_class_for_training_only(tiny):
    data = load(tiny, development=0.25)
    few, more = data.part(3), data.part(6)
    assert np.bincount(few.train.targets).tolist() == [3, 3, 3]
    assert set(names(few.train)) < set(names(more.train)) < set(names(data.train))
    assert names(data.part(3, seed=1).train) != names(few.train)
    assert few.development is data.development
    assert few.validation is data.validation
    assert names(load(tiny, per_class=3, development=0.25).train) == names(few.train)
    assert names(data.part(9).train) == names(data.train)


def test_part_cuts_what_is_measured_on_as_well(tiny):
    data = load(tiny, development=0.25)
    small = data.part(3, watched=1)
    assert [np.bincount(s.targets).tolist() for s in (small.train, small.development, small.validation)] == [
        [3, 3, 3],
        [1, 1, 1],
        [1, 1, 1],
    ]
    assert set(names(small.development)) < set(names(data.development))
    assert small.test is data.test
    assert data.part() is data
    assert data.part(watched=1).train is data.train
    with pytest.raises(InvalidInputError, match="in development; allowed is 1 to"):
        data.part(watched=1000)


def test_the_smallest_class_says_how_many_may_be_taken(tiny):
    data = load(tiny, development=0.25)
    assert data.train.fewest == np.bincount(data.train.targets).min()
    assert data.test.fewest == 0
    assert load(tiny, development=0).development.fewest == 0


def test_unlabelled_images_cannot_be_divided_by_class(tiny):
    with pytest.raises(InvalidInputError, match="test has no labels"):
        load(tiny).test.per_class(1)


def test_an_empty_split_has_nothing_to_take(tiny):
    empty = load(tiny, development=0).development
    assert empty.take([])[0].shape == (0, 64, 64, 3)
    with pytest.raises(InvalidInputError, match="development has no images"):
        empty.per_class(1)


# --- what is known about the files ----------------------------------------------------------------------------


def test_greyscale_files_are_known(tiny):
    data = load(tiny, development=0)
    assert data.train.names[data.train.greyscale].tolist() == ["n03_2.JPEG"]
    assert data.validation.names[data.validation.greyscale].tolist() == ["val_5.JPEG"]
    assert not data.test.greyscale.any()


def test_duplicates_are_found_within_and_across_splits(tiny):
    data = load(tiny, development=0)
    groups = {tuple((twin.split, twin.file, twin.label) for twin in group) for group in data.duplicates()}
    assert groups == {
        (("train", "n03_3.JPEG", 0), ("train", "n01_3.JPEG", 1)),
        (("train", "n03_7.JPEG", 0), ("validation", "val_0.JPEG", 0)),
        (("train", "n02_0.JPEG", 2), ("test", "test_4.JPEG", None)),
    }
    for group in data.duplicates():
        for twin in group:
            split = getattr(data, twin.split)
            assert split.names[twin.row] == twin.file
            image, word = data.shown(twin)
            np.testing.assert_array_equal(image, split.take(twin.row)[0][0])
            assert word == ("?" if twin.label is None else data.words[twin.label])
            np.testing.assert_array_equal(split.take(twin.row)[0], getattr(data, group[0].split).take(group[0].row)[0])


def test_no_duplicates(crafting, members, tmp_path):
    for number, name in enumerate(name for name in members if name.endswith(".JPEG")):
        members[name] = crafting.jpeg(5000 + number)
    assert load(crafting.zip(tmp_path / "a.zip", members)).duplicates() == ()


def test_a_split_made_by_hand_says_that_it_knows_nothing_of_files():
    images = np.zeros((2, 64, 64, 3), np.uint8)
    split = Split("train", images, np.array([0, 1]), np.array(["a", "b"]), np.array([1]))
    assert split.targets.tolist() == [1]
    with pytest.raises(DataError, match="made by hand"):
        _ = split.greyscale


def test_describe(tiny):
    table = load(tiny, development=0.25).describe()
    assert [row[:5] for row in table.rows] == [
        ["train", "27", 3, "9", "yes"],
        ["development", "9", 3, "3", "yes"],
        ["validation", "12", 3, "4", "yes"],
        ["test", "11", "–", "–", "no"],
    ]
    assert all(row[5] for row in table.rows)
    assert "tiny: 3 classes" in str(table)
    assert repr(load(tiny, development=0.25)) == (
        "Dataset('tiny', 3 classes, train 27, development 9, validation 12, test 11)"
    )


def test_normalisation_is_of_the_training_images_alone(tiny, members):
    data = load(tiny, classes=2, development=0.25)
    stack = np.stack([pixels(members, file) for file in names(data.train)]).astype(np.float64)
    np.testing.assert_allclose(data.normalisation.mean, stack.mean(0), rtol=1e-6)
    assert data.normalisation is data.normalisation
    assert not np.allclose(data.part(2).normalisation.mean, data.normalisation.mean)


# --- by name, by path -----------------------------------------------------------------------------------------


def test_a_path_is_prepared_on_first_use_and_kept(source, root):
    first = load(source)
    builds = sorted(root.rglob("*.npy"))
    again = load(str(source))
    assert names(first.train) == names(again.train)
    assert first.name == again.name
    assert first.name.startswith("tiny-")
    assert sorted(root.rglob("*.npy")) == builds


def test_a_changed_path_is_prepared_again(source, crafting, members, caplog):
    load(source)
    more = members | {"test/images/test_11.JPEG": crafting.jpeg(11)}
    crafting.zip(source, more)
    assert len(load(source).test) == 12
    assert "source changed, rebuilding" in caplog.text


def test_a_folder_by_path(crafting, members, tmp_path, monkeypatch):
    crafting.folder(tmp_path / "pictures", members)
    monkeypatch.chdir(tmp_path)
    assert load("pictures").classes == load("./pictures").classes == ("n03", "n01", "n02")


def test_two_archives_of_one_name_do_not_meet(source, crafting, members, tmp_path):
    (tmp_path / "other").mkdir()
    members["wnids.txt"] = b"n01\nn02\nn03\n"
    other = crafting.zip(tmp_path / "other" / "tiny.zip", members)
    assert load(source).name != load(other).name
    assert (load(source).classes, load(other).classes) == (("n03", "n01", "n02"), ("n01", "n02", "n03"))


def test_another_cache_folder(source, tmp_path, root):
    prepare(source, "tiny", progress=False, root=tmp_path / "elsewhere")
    assert len(load("tiny", cache=tmp_path / "elsewhere").train) == 33
    assert not root.exists()


def test_a_prepared_name_needs_its_source_no_more(tiny, source):
    source.unlink()
    assert len(load(tiny).train) == 33


def test_a_prepared_name_of_an_older_schema_is_rebuilt_from_its_source(tiny, source, monkeypatch, caplog):
    monkeypatch.setattr(manifest, "SCHEMA", manifest.SCHEMA + 1)
    assert len(load(tiny).train) == 33
    assert "tiny: schema changed, rebuilding" in caplog.text


def test_an_older_schema_without_its_source_is_told(tiny, source, monkeypatch):
    monkeypatch.setattr(manifest, "SCHEMA", manifest.SCHEMA + 1)
    source.unlink()
    with pytest.raises(DataError, match="another schema version; prepare it: tinylab data prepare"):
        load(tiny)


def test_tiny_imagenet_that_is_not_prepared_says_the_two_commands(root):
    with pytest.raises(DataError, match=r"tinylab data fetch, then tinylab data prepare --from .*200\.zip"):
        load("tiny-imagenet")
    root.mkdir()
    (root / "tiny-imagenet-200.zip").write_bytes(b"")
    with pytest.raises(DataError, match=r"type: tinylab data prepare --from .*200\.zip"):
        load("tiny-imagenet")


def test_unknown_names_and_paths(tiny):
    for name, expected in {
        "tiny-imgenet": "no data set or path 'tiny-imgenet', did you mean 'tiny-imagenet'",
        "tony": "did you mean 'tiny'",
        "gone.zip": "nothing at .*gone.zip; expected a zip, a tar or a folder",
    }.items():
        with pytest.raises(DataError, match=expected):
            load(name)


def test_the_sample_is_drawn_once_and_leaves_only_its_cache(source, root, monkeypatch):
    drawn = []

    def write_sample(destination):
        drawn.append(destination)
        return shutil.copy(source, destination)

    monkeypatch.setattr("tinylab.data.sample.write_sample", write_sample)
    assert load().classes == load("sample").classes == ("n03", "n01", "n02")
    assert len(drawn) == 1
    assert os.listdir(root) == ["prepared"]
    assert open_cache("sample").manifest["splits"]["train"]["images"] == 36
