"""Records by name, their weights, and those that come with tinylab."""

import hashlib
from dataclasses import replace

import pytest
import torch

from tests import tiny
from tests.records.made import record
from tinylab import records
from tinylab.errors import DataError, InvalidInputError, TrainingError


@pytest.fixture
def model():
    return tiny.network(line="conv3-4 - batch norm - relu - max pool - fc(8) - relu - softmax")


def test_saved_and_loaded_by_name(tmp_path):
    made = records.save(record(), tmp_path)
    assert records.names(tmp_path) == ("a-record",)
    assert records.load("a-record", tmp_path) == made
    assert records.load_all(tmp_path, "a-plan") == [made]
    assert records.load_all(tmp_path, "another") == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-record.json"]


def test_unknown_name_and_foreign_name(tmp_path):
    with pytest.raises(InvalidInputError, match="There is none yet"):
        records.load("a-record", tmp_path)
    records.save(record(), tmp_path)
    with pytest.raises(InvalidInputError, match="did you mean 'a-record'"):
        records.load("a-recrod", tmp_path)
    with pytest.raises(InvalidInputError, match="unknown"):
        records.load("../a-record", tmp_path)
    (tmp_path / "a-record.json").rename(tmp_path / "other.json")
    with pytest.raises(TrainingError, match=r"other\.json: the record inside is 'a-record'"):
        records.load("other", tmp_path)


def test_weights_without_the_fully_connected_layers(tmp_path, model):
    kept = records.kept(model)
    assert not [key for key in kept if key.startswith(("fc", "softmax"))]
    assert kept["conv3-4.weight"].dtype == torch.float16
    made = records.save(record(epochs=3), tmp_path, {0: kept, 3: {k: v + 1 for k, v in kept.items()}})
    assert made.weights == (0, 3)
    packed = (tmp_path / "a-record.safetensors").read_bytes()
    assert hashlib.sha256(packed).hexdigest() == made.weights_digest
    read = records.weights("a-record", 0, tmp_path)
    conv = dict(model.named_modules())["conv3-4"]
    assert read["conv3-4.weight"].dtype == torch.float32
    torch.testing.assert_close(read["conv3-4.weight"], conv.weight.detach(), rtol=2**-10, atol=1e-7)
    assert torch.equal(read["conv3-4.bias"], conv.bias.detach())
    assert torch.equal(read["batch norm.running_var"], torch.ones(4))
    last = records.weights("a-record", None, tmp_path)
    torch.testing.assert_close(last["conv3-4.weight"], read["conv3-4.weight"] + 1, rtol=0, atol=2e-3)
    model.load_state_dict(read, strict=False)  # the keys are the network's own


def test_weights_that_are_not_there_or_not_those(tmp_path, model):
    records.save(record("plain"), tmp_path)
    records.save(record("with"), tmp_path, {1: records.kept(model)})
    with pytest.raises(InvalidInputError, match=r"keeps no weights\. Choose one of with"):
        records.weights("plain", 1, tmp_path)
    with pytest.raises(InvalidInputError, match=r"of epoch 2\. Allowed: 1"):
        records.weights("with", 2, tmp_path)
    path = tmp_path / "with.safetensors"
    whole = path.read_bytes()
    for wrong in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1]), b""):
        path.write_bytes(wrong)
        with pytest.raises(TrainingError, match="not the weights of the record"):
            records.weights("with", 1, tmp_path)
    path.unlink()
    with pytest.raises(TrainingError, match="cannot be read"):
        records.weights("with", 1, tmp_path)


def test_records_are_taken_over_whole_or_not_at_all(tmp_path, model, monkeypatch):
    source, target = tmp_path / "source", tmp_path / "target"
    with pytest.raises(InvalidInputError, match="no records"):
        records.add(source, target)
    records.save(record("one"), source)
    records.save(record("two"), source, {1: records.kept(model)})
    assert records.add(source, target) == ("one", "two")
    assert records.load_all(target) == records.load_all(source)
    assert records.weights("two", 1, target).keys() == records.weights("two", 1, source).keys()
    assert records.size(target) == sum(path.stat().st_size for path in target.iterdir())
    assert records.add(source, target) == ("one", "two")  # again: nothing counts twice
    bare = tmp_path / "bare"
    records.add(source, bare, weights=False)
    assert records.load("two", bare).weights == ()
    assert not list(bare.glob("*.safetensors"))
    monkeypatch.setattr("tinylab.records.store.LARGEST", 10)
    with pytest.raises(DataError, match="MB; allowed are 0"):
        records.add(source, tmp_path / "none")
    assert not (tmp_path / "none").exists()
    (source / "two.safetensors").write_bytes(b"damaged")
    with pytest.raises(TrainingError, match="not the weights"):
        records.add(source, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_record_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TrainingError, match="could not be written"):
        records.save(record(), tmp_path / "file" / "folder")
    with pytest.raises(TrainingError, match="name 'A b' is not possible"):
        records.save(replace(record(), name="A b"), tmp_path)


# ---------------------------------------------------------------- those that come with tinylab


def test_all_stored_records_obey_the_schema():
    for name in records.names():
        read = records.load(name)
        assert read.name == name
        for epoch in read.weights:
            assert all(torch.isfinite(value).all() for value in records.weights(name, epoch).values())
        text = (records.FOLDER / f"{name}.json").read_text()
        assert "/tmp/" not in text
        assert "/home/" not in text


def test_stored_records_are_small_and_nothing_else_lies_there():
    assert records.size() <= records.LARGEST
    found = {path.name for path in records.FOLDER.iterdir()} - {"README.md"}
    named = {f"{name}.json" for name in records.names()}
    assert found - named == {f"{name}.safetensors" for name in records.names() if records.load(name).weights}
