"""Records by name, their weights, and those that come with tinylab."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests import tiny
from tests.course.results.made import record
from tinylab.course import results
from tinylab.course.results.record import VERSION, dumps
from tinylab.course.results.store import FOLDER, LARGEST
from tinylab.support.errors import DataError, FileError, InvalidInputError, TrainingError


@pytest.fixture
def model():
    return tiny.network(line="conv3-4 - batch norm - relu - max pool - fc(8) - relu - softmax")


def test_saved_and_loaded_by_name(tmp_path):
    made = results.save(record(), tmp_path)
    assert results.names(tmp_path) == ("a-record",)
    assert results.load("a-record", tmp_path) == made
    assert results.load_all(tmp_path, "a-plan") == [made]
    assert results.load_all(tmp_path, "another") == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-record.json"]


def test_unknown_name_and_foreign_name(tmp_path):
    with pytest.raises(InvalidInputError, match="There is none yet"):
        results.load("a-record", tmp_path)
    results.save(record(), tmp_path)
    with pytest.raises(InvalidInputError, match="did you mean 'a-record'"):
        results.load("a-recrod", tmp_path)
    with pytest.raises(InvalidInputError, match="unknown"):
        results.load("../a-record", tmp_path)
    (tmp_path / "a-record.json").rename(tmp_path / "other.json")
    with pytest.raises(TrainingError, match=r"other\.json: the record inside is 'a-record'"):
        results.load("other", tmp_path)


def test_weights_without_the_fully_connected_layers(tmp_path, model):
    kept = results.kept(model)
    assert not [key for key in kept if key.startswith(("fc", "softmax"))]
    assert kept["conv3-4.weight"].dtype == torch.float16
    made = results.save(record(epochs=3), tmp_path, {0: kept, 3: {k: v + 1 for k, v in kept.items()}})
    assert made.weights == (0, 3)
    packed = (tmp_path / "a-record.safetensors").read_bytes()
    assert hashlib.sha256(packed).hexdigest() == made.weights_digest
    read = results.weights("a-record", 0, tmp_path)
    conv = dict(model.named_modules())["conv3-4"]
    assert read["conv3-4.weight"].dtype == torch.float32
    torch.testing.assert_close(read["conv3-4.weight"], conv.weight.detach(), rtol=2**-10, atol=1e-7)
    assert torch.equal(read["conv3-4.bias"], conv.bias.detach())
    assert torch.equal(read["batch norm.running_var"], torch.ones(4))
    last = results.weights("a-record", None, tmp_path)
    torch.testing.assert_close(last["conv3-4.weight"], read["conv3-4.weight"] + 1, rtol=0, atol=2e-3)
    model.load_state_dict(read, strict=False)  # the keys are the network's own


def test_weights_that_are_not_there_or_not_those(tmp_path, model):
    results.save(record("plain"), tmp_path)
    results.save(record("with"), tmp_path, {1: results.kept(model)})
    with pytest.raises(InvalidInputError, match=r"keeps no weights\. Choose one of with"):
        results.weights("plain", 1, tmp_path)
    with pytest.raises(InvalidInputError, match=r"of epoch 2\. Allowed: 1"):
        results.weights("with", 2, tmp_path)
    path = tmp_path / "with.safetensors"
    whole = path.read_bytes()
    for wrong in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1]), b""):
        path.write_bytes(wrong)
        with pytest.raises(TrainingError, match="not the weights of the record"):
            results.weights("with", 1, tmp_path)
    path.unlink()
    with pytest.raises(TrainingError, match="cannot be read"):
        results.weights("with", 1, tmp_path)


def test_records_are_taken_over_whole_or_not_at_all(tmp_path, model, monkeypatch):
    source, target = tmp_path / "source", tmp_path / "target"
    with pytest.raises(InvalidInputError, match="no records"):
        results.add(source, target)
    results.save(record("one"), source)
    results.save(record("two"), source, {1: results.kept(model)})
    assert results.add(source, target) == ("one", "two")
    assert results.load_all(target) == results.load_all(source)
    assert results.weights("two", 1, target).keys() == results.weights("two", 1, source).keys()
    assert results.size(target) == sum(path.stat().st_size for path in target.iterdir())
    assert results.add(source, target) == ("one", "two")  # again: nothing counts twice
    bare = tmp_path / "bare"
    results.add(source, bare, weights=False)
    assert results.load("two", bare).weights == ()
    assert not list(bare.glob("*.safetensors"))
    monkeypatch.setattr("tinylab.course.results.store.LARGEST", 10)
    with pytest.raises(DataError, match="MB; allowed are 0"):
        results.add(source, tmp_path / "none")
    assert not (tmp_path / "none").exists()
    (source / "two.safetensors").write_bytes(b"damaged")
    with pytest.raises(TrainingError, match="not the weights"):
        results.add(source, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_record_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FileError, match="could not be written"):
        results.save(record(), tmp_path / "file" / "folder")
    with pytest.raises(TrainingError, match="name 'A b' is not possible"):
        results.save(replace(record(), name="A b"), tmp_path)


# ---------------------------------------------------------------- those that come with tinylab


def test_all_stored_records_obey_the_schema():
    for name in results.names():
        read = results.load(name)
        assert read.name == name
        for epoch in read.weights:
            assert all(torch.isfinite(value).all() for value in results.weights(name, epoch).values())
        text = (FOLDER / f"{name}.json").read_text()
        assert "/tmp/" not in text
        assert "/home/" not in text
        if read.answers_digest:
            answers, count, known = results.answers(name), read.scores["validation"].count, read.classes
            assert answers.classes.shape == answers.probabilities.shape == (count, min(5, known))
            assert answers.right.shape == answers.labels.shape == (count,)
            assert (np.diff(answers.probabilities, axis=1) <= 0).all()  # the likeliest first
            for shares in (answers.probabilities, answers.right):
                assert ((shares >= 0) & (shares <= 1)).all()
            for classes in (answers.classes, answers.labels):
                assert ((classes >= 0) & (classes < known)).all()


def test_stored_records_are_written_again_as_they_were():
    current = [path for path in FOLDER.glob("*.json") if json.loads(path.read_bytes())["version"] == VERSION]
    assert current  # those of earlier versions would get today's names
    for path in current:
        body = json.loads(path.read_bytes())["body"]
        for name in ("mixup", "cutmix", "erase"):  # fields of a recipe that are no more
            body["history"]["recipe"].pop(name, None)
        assert json.loads(dumps(results.load(path.stem)))["body"] == body


def test_stored_records_are_small_and_nothing_else_lies_there():
    assert results.size() <= LARGEST
    found = {path.name for path in FOLDER.iterdir()} - {"README.md"}
    named = {f"{name}.json" for name in results.names()}
    records = [results.load(name) for name in results.names()]
    beside = {f"{record.name}.safetensors" for record in records if record.weights}
    beside |= {f"{record.name}.answers.safetensors" for record in records if record.answers_digest}
    assert found - named - {f"{record.name}{results.ENDINGS[3]}" for record in records} == beside


def test_a_record_that_is_there_already_stays_as_it_was_written(tmp_path):
    results.save(record(), tmp_path / "sweep")
    results.add(tmp_path / "sweep", tmp_path / "kept")
    path = tmp_path / "kept" / "a-record.json"
    path.write_text(json.dumps(json.loads(path.read_text()), indent=1))  # as another version might have laid it out
    before = path.read_bytes()
    assert results.add(tmp_path / "sweep", tmp_path / "kept") == ("a-record",)
    assert path.read_bytes() == before
