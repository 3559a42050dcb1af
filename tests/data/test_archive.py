"""Archives: what is read from a sound one, and how every kind of unsound one is refused."""

import zipfile
from collections.abc import Callable

import pytest

from tinylab.data.archive import MEMBER_LIMIT, open_archive
from tinylab.data.layout import Layout, natural, read_layout, short_names
from tinylab.support.errors import DataError

pytestmark = pytest.mark.usefixtures("root")


def layout_of(path) -> Layout:
    with open_archive(path) as archive:
        return read_layout(archive)


# --- a sound archive ------------------------------------------------------------------------------------------


def test_classes_keep_the_order_of_wnids(source):
    assert layout_of(source).classes == ("n03", "n01", "n02")


def test_names_come_from_words(source):
    layout = layout_of(source)
    assert layout.names == ("Egyptian cat", "goldfish, Carassius auratus", "crane")
    assert short_names(layout.classes, layout.names) == ("Egyptian cat", "goldfish", "crane")


def test_a_short_name_that_two_classes_share_gets_the_wnid():
    assert short_names(("n1", "n2", "n3"), ("crane, bird", "crane", "reel")) == (
        "crane (n1)",
        "crane (n2)",
        "reel",
    )


def test_images_are_in_numeric_order_within_their_class(source):
    train = layout_of(source).splits["train"]
    expected = [f"train/{w}/images/{w}_{i}.JPEG" for w in ("n03", "n01", "n02") for i in range(12)]
    assert train.members == expected
    assert train.labels.tolist() == [0] * 12 + [1] * 12 + [2] * 12


def test_validation_labels_are_found_by_file_name(source):
    validation = layout_of(source).splits["validation"]
    assert validation.members == [f"val/images/val_{i}.JPEG" for i in range(12)]
    assert validation.labels.tolist() == [i % 3 for i in range(12)]  # the annotations are listed backwards


def test_test_images_are_in_numeric_order_and_unlabelled(source):
    test = layout_of(source).splits["test"]
    assert test.members == [f"test/images/test_{i}.JPEG" for i in range(11)]
    assert test.labels is None


def test_test_labels_are_read_where_there_are_any(crafting, members, tmp_path):
    lines = [f"test_{i}.JPEG\t{crafting.classes[i % 2]}\t0\t0\t1\t1\n" for i in range(11)]
    members["test/test_annotations.txt"] = "".join(lines[::-1]).encode()
    test = layout_of(crafting.zip(tmp_path / "a.zip", members)).splits["test"]
    assert test.labels.tolist() == [i % 2 for i in range(11)]


def test_a_zip_may_have_folders_around_it_or_none(crafting, members, tmp_path, source):
    for top in ("", "deep/er/"):
        same = layout_of(crafting.zip(tmp_path / "a.zip", members, top))
        assert same.splits["train"].members == layout_of(source).splits["train"].members


@pytest.mark.parametrize("top", ["", "tiny"])
def test_a_folder_reads_like_the_zip(crafting, members, tmp_path, source, top):
    folder = tmp_path / "folder"
    crafting.folder(folder / top, members)
    with open_archive(folder) as archive, open_archive(source) as same:
        assert archive.sizes == same.sizes == {name: len(raw) for name, raw in members.items()}
        assert archive.read("val/images/val_1.JPEG") == members["val/images/val_1.JPEG"]
    assert str(layout_of(folder)) == str(layout_of(source))


def test_what_file_managers_leave_behind_is_ignored(crafting, members, tmp_path):
    clutter = {"train/n01/images/Thumbs.db": b"x", "train/.DS_Store": b"x", "val/images/._val_0.JPEG": b"x"}
    path = crafting.zip(tmp_path / "a.zip", members | clutter)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("__MACOSX/tiny/wnids.txt", b"x")
    with open_archive(path) as archive:
        assert archive.sizes.keys() == members.keys()


def test_there_may_be_no_test_images_and_no_words(crafting, members, tmp_path):
    few = {name: raw for name, raw in members.items() if not name.startswith(("test", "words"))}
    layout = layout_of(crafting.zip(tmp_path / "a.zip", few))
    assert layout.splits["test"].members == []
    assert layout.names == layout.classes


def test_natural_order():
    assert sorted(["t_10", "t_2", "t_1b", "t_1"], key=natural) == ["t_1", "t_1b", "t_2", "t_10"]


# --- a wrong layout -------------------------------------------------------------------------------------------


def drop(*prefixes: str) -> Callable[[dict], dict]:
    return lambda m: {name: raw for name, raw in m.items() if not name.startswith(prefixes)}


def add(name: str, raw: bytes) -> Callable[[dict], dict]:
    return lambda m: m | {name: m.get(name, b"") + raw}


WRONG = {
    "no wnids": (drop("wnids.txt"), ["no wnids.txt", "expected"]),
    "empty wnids": (lambda m: m | {"wnids.txt": b"\n"}, ["wnids.txt", "empty"]),
    "doubled wnid": (add("wnids.txt", b"n01\n"), ["'n01' 2 times"]),
    "wnid with a slash": (add("wnids.txt", b"../n7\n"), ["'../n7'"]),
    "missing class": (drop("train/n02"), ["n02", "missing", "expected train/n02/images"]),
    "empty class": (drop("train/n02/images"), ["n02", "empty", "expected train/n02/images"]),
    "unknown class": (add("train/n77/images/n77_0.JPEG", b""), ["train/n77", "wnids.txt does not list"]),
    "no validation images": (drop("val/images"), ["no images in val/images"]),
    "no annotations": (drop("val/val_ann"), ["has no val/val_annotations.txt"]),
    "image without annotation": (add("val/images/val_77.JPEG", b"x"), ["val_77.JPEG has no line"]),
    "annotation without image": (drop("val/images/val_3.J"), ["names val_3.JPEG", "does not have"]),
    "unknown wnid": (add("val/val_annotations.txt", b"val_1.JPEG\tn88\t0\n"), ["val_1.JPEG", "'n88'"]),
    "two classes": (add("val/val_annotations.txt", b"val_1.JPEG\tn03\t0\n"), ["val_1.JPEG two classes"]),
    "not an image": (add("train/n01/images/notes.md", b"x"), ["notes.md", "not an image"]),
    "not a text": (lambda m: m | {"wnids.txt": b"\xff\xfe\x00"}, ["wnids.txt", "UTF-8"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_layout_is_told_in_one_line(crafting, members, tmp_path, case):
    spoil, fragments = WRONG[case]
    wrong = spoil(members)
    for path in (crafting.zip(tmp_path / "wrong.zip", wrong), crafting.folder(tmp_path / "folder", wrong)):
        with pytest.raises(DataError) as caught:
            layout_of(path)
        message = str(caught.value)
        assert "\n" not in message
        assert str(path) in message
        for fragment in fragments:
            assert fragment in message


# --- hostile and damaged archives -----------------------------------------------------------------------------


def zip_with(path, members, info: zipfile.ZipInfo, raw: bytes = b"x"):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr(info, raw)
    return path


@pytest.mark.parametrize("name", ["/etc/evil", "train/../../evil", "C:/evil", "a\\..\\evil"])
def test_members_that_point_outside_are_refused_by_name(members, tmp_path, name):
    info = zipfile.ZipInfo("placeholder")
    info.filename = name
    path = zip_with(tmp_path / "a.zip", members, info)
    with pytest.raises(DataError, match="points outside the archive; refused") as caught:
        layout_of(path)
    assert "evil" in str(caught.value)


def test_links_are_refused_by_name(members, tmp_path):
    info = zipfile.ZipInfo("train/link")
    info.external_attr = 0o120777 << 16
    with pytest.raises(DataError, match=r"train/link.*a link"):
        layout_of(zip_with(tmp_path / "a.zip", members, info, b"/etc/passwd"))


def test_a_member_of_one_gibibyte_is_refused_before_it_is_inflated(members, tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.getinfo("train/n01/images/n01_0.JPEG").file_size = 2**30  # what its header will claim
    with pytest.raises(DataError, match=r"n01_0\.JPEG.*1,073,741,824 bytes.*refused"):
        layout_of(path)


def test_a_large_file_in_a_folder_is_refused(crafting, members, tmp_path):
    path = crafting.folder(tmp_path / "folder", members)
    with (path / "train/n01/images/n01_0.JPEG").open("r+b") as stream:
        stream.truncate(MEMBER_LIMIT + 1)  # sparse: takes no room
    with pytest.raises(DataError, match=r"n01_0\.JPEG.*refused"):
        layout_of(path)


def test_encrypted_members_are_refused(members, tmp_path, crafting):
    path = crafting.zip(tmp_path / "a.zip", members)
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1  # the flag in the table of contents
    path.write_bytes(raw)
    with pytest.raises(DataError, match="an archive without password is needed"):
        layout_of(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_doubled_members_are_refused(members, tmp_path):
    with pytest.raises(DataError, match="more than once"):
        layout_of(zip_with(tmp_path / "a.zip", members, zipfile.ZipInfo("train/n01/images/n01_0.JPEG")))


def test_flipped_bytes_are_found_by_the_checksum(crafting, members, tmp_path):
    path = crafting.zip(tmp_path / "a.zip", members)
    image = members["train/n01/images/n01_0.JPEG"]
    raw = path.read_bytes()
    place = raw.index(image) + len(image) - 20  # in the scan data, where decoders notice nothing
    path.write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
    with open_archive(path) as archive, pytest.raises(DataError, match=r"n01_0\.JPEG.*damaged.*CRC"):
        archive.read("train/n01/images/n01_0.JPEG")


def test_what_is_no_zip_is_told(tmp_path):
    path = tmp_path / "a.zip"
    for content in (b"", b"<!doctype html><title>Not found</title>"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="not a zip archive"):
            open_archive(path)


def test_half_a_zip_is_told(source):
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    with pytest.raises(DataError, match="only part of one"):
        open_archive(source)


def test_a_missing_path_is_told(tmp_path):
    with pytest.raises(DataError, match=r"nothing at .*no-such.zip; expected a zip, a tar or a folder"):
        open_archive(tmp_path / "no-such.zip")
