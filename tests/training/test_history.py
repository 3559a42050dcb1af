"""The history as JSON: what comes back, and what is refused."""

import json
from dataclasses import fields, replace

import pytest

from tests import tiny
from tests.training.made import BUSY, CPU
from tinylab.support.errors import InvalidInputError, TrainingError
from tinylab.training import Epoch, History, Recipe, train


def test_history_survives_json(tmp_path):
    history = train(tiny.network(), tiny.dataset(), replace(BUSY, epochs=2), device=CPU).finish()
    path = tmp_path / "deep" / "history.json"
    history.save(path)
    assert History.load(path) == history
    plain = json.loads(path.read_text(encoding="utf-8"))
    assert plain["architecture"] == "conv3-4 - relu - max pool - fc(8) - relu - dropout(0.3) - softmax"
    assert plain["recipe"]["l2"] == 0.01
    assert [set(epoch) for epoch in plain["epochs"]] == [{part.name for part in fields(Epoch)}] * 2
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '"text"',
        '{"kind": "something else", "version": 1}',
        '{"kind": "tinylab history", "version": 99}',
        '{"kind": "tinylab history", "version": 1, "recipe": {}}',
        '{"kind": "tinylab history", "version": 1, "recipe": {"batch": 0}, "line": "", "data": "", "eval_split": "", '
        '"classes": [], "epochs": []}',
        '{"kind": "tinylab history", "version": 1, "recipe": {}, "line": "", "data": "", "eval_split": "", '
        '"classes": [], "epochs": [{"epoch": 1}]}',
    ],
)
def test_foreign_json_is_refused(tmp_path, content):
    path = tmp_path / "history.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(TrainingError, match=r"history\.json") as caught:
        History.load(path)
    assert "\n" not in str(caught.value)


def test_missing_history_and_unknown_column(tmp_path):
    with pytest.raises(TrainingError, match="nowhere"):
        History.load(tmp_path / "nowhere.json")
    with pytest.raises(InvalidInputError, match="did you mean 'eval_loss'"):
        History(Recipe(), "", "", "", ()).column("validation_los")


@pytest.mark.parametrize("version", [1, 2])
def test_older_histories_are_read_as_what_they_were(version):
    now = train(tiny.network(), tiny.dataset(), replace(BUSY, epochs=1), device=CPU).finish()
    old = {"line" if key == "architecture" else key: value for key, value in now.as_dict().items()}
    if version == 1:
        old["watch"] = old.pop("eval_split")
        for epoch in old["epochs"]:
            epoch["validation_loss"], epoch["validation_accuracy"] = epoch.pop("eval_loss"), epoch.pop("eval_accuracy")
    assert History.from_dict(old | {"version": version}) == now
