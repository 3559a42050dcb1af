"""What a record's file may hold: read strictly, an edit noticed, nothing executed."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.course.results.made import epoch, or_line, record
from tinylab.course import results
from tinylab.course.results.record import Provenance, as_body, dumps, from_body, loads
from tinylab.support.errors import TrainingError
from tinylab.training import Score
from tinylab.training.history import History


def test_the_beginning_of_a_longer_training_is_told_from_another():
    short, long = record(epochs=3), record(epochs=6)
    others = [
        record(epochs=3, seed=1),
        record(epochs=3, classes=9),
        record(epochs=3, network="model_2"),
        record(epochs=3, settings={}),
        record(epochs=3, images=91),
    ]
    assert results.longest([short, *others, long]) == [*others, long]
    assert results.longest([short, *others]) == [short, *others]
    for how in ({"schedule": "cosine"}, {"start_size": 32}):  # each falls, or grows, over its own length
        both = [replace(one, history=replace(one.history, recipe=replace(one.recipe, **how))) for one in (short, long)]
        assert results.longest(both) == both


def test_comes_back_as_it_was_written():
    for made in (record(), record(epochs=1, failure="the loss is nan"), record(settings={"donor": {"l2": None}})):
        assert loads(dumps(made)) == from_body(as_body(made))


def test_what_was_measured_is_kept_to_six_digits_and_what_was_asked_for_whole():
    made = record(scores={"train": Score(1.23456789, 1 / 3, 3), "development": Score(2.0, 2 / 3, 3)})
    recipe = replace(made.recipe, learning_rate=1 / 3)
    read = loads(dumps(replace(made, history=replace(made.history, recipe=recipe))))
    assert read.recipe == recipe
    assert read.scores["train"] == Score(1.23457, 0.333333, 3)
    assert read.scores["train"].count == 3


def test_comparable_leaves_times_and_origin_out_and_nothing_else():
    one, other = record(), record(clocks=results.Timings(1, 2, 3, 4), origin=Provenance(device="another"))
    slower = replace(one.history, epochs=[replace(e, seconds=9.0, images_per_second=1.0) for e in one.history.epochs])
    assert results.comparable(one) == results.comparable(replace(other, history=slower))
    assert results.comparable(one) != results.comparable(replace(one, images=91))
    worse = replace(one.history, epochs=[*one.history.epochs[:-1], epoch(3, train=0.51)])
    assert results.comparable(one) != results.comparable(replace(one, history=worse))


# ---------------------------------------------------------------- by hand


def _places(value, path=()):
    """Every number and text in a body, by its path."""
    if isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _places(part, (*path, key))
    else:
        yield path


PLACES = list(_places(as_body(record(weights=(1,), weights_digest="ab"))))


def test_an_edit_by_hand_is_noticed():
    """Of a text, a whole number, one in a column, true or false."""
    for path in (("title",), ("clocks", "slices"), ("history", "epochs", "train_loss", 1), ("origin", "dirty")):
        parts = json.loads(dumps(record()))
        place = parts["body"]
        for key in path[:-1]:
            place = place[key]
        old = place[path[-1]]
        place[path[-1]] = f"{old}x" if isinstance(old, str) else not old if isinstance(old, bool) else 7.5
        with pytest.raises(TrainingError, match="changed after it was written"):
            loads(json.dumps(parts))


# ---------------------------------------------------------------- what no training can give


def _with(**changes):
    """A body with fields replaced, "history__line" for one inside."""
    body = as_body(record())
    for path, value in changes.items():
        place = body
        *keys, last = path.split("__")
        for key in keys:
            place = place[key]
        if value is None:
            del place[last]
        else:
            place[last] = value
    return body


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "../x"}, r"^name '../x' is not possible. Allowed: text that matches \^\[a-z0-9\]"),
        ({"name": 3}, "^name 3 .* Allowed: text$"),
        ({"title": None}, "^the record lacks title$"),
        ({"tilte": "x"}, "unknown field 'tilte', did you mean 'title'"),
        ({"images": -1}, "^images -1 .* Allowed: 0 or more$"),
        ({"settings": {"a": [1]}}, r"^settings.a \[1\] .* Allowed: text, a finite number, true or false$"),
        ({"settings": {"a": {"b": math.inf}}}, "^settings.a {'b': inf} "),
        ({"history__recipe__dropout": 1.5}, r"^history.recipe is not possible \(dropout 1.5"),
        ({"history__recipe__learning_rat": 1.0}, "no field 'learning_rat', did you mean 'learning_rate'"),
        ({"history__classes": ["a", "a"]}, "^history.classes have to be different names$"),
        ({"history__epochs__train_accuracy": [0.1, 0.2, 1.1]}, r"train_accuracy\[2\] 1.1 .* Allowed: at most 1$"),
        ({"history__epochs__train_loss": [0.1, 0.2, math.nan]}, r"train_loss\[2\] nan .* Allowed: a finite number$"),
        ({"history__epochs__train_loss": [0.1, 0.2, True]}, r"train_loss\[2\] True .* Allowed: a number$"),
        ({"history__epochs__train_loss": [0.1, 0.2]}, r"history.epochs have columns of \[2, 3\] epochs"),
        ({"history__epochs__epoch": [1, 2, 4]}, "epoch 4 in place 3. Allowed: 1, 2, 3, …"),
        ({"history__epochs__seconds": None}, "^history.epochs lacks seconds$"),
        ({"history__recipe__epochs": 4}, "asks for 4 epochs and holds 3"),
        ({"scores": {}}, "needs scores of train and development"),
        ({"scores__valdation": {"loss": 1.0, "accuracy": 0.5, "count": 3}}, "did you mean 'validation'"),
        ({"scores__train__count": 0}, "^scores.train.count 0 .* Allowed: 1 or more$"),
        ({"scores__train": 3}, "^scores.train 3 .* Allowed: a table$"),
        ({"clocks__cold": -1.0}, "^clocks.cold -1.0 "),
        ({"clocks__slices": 0.5}, "^clocks.slices 0.5 .* Allowed: a whole number$"),
        ({"origin__commit": "main"}, "^origin.commit 'main' "),
        ({"origin__dirty": "no"}, "^origin.dirty 'no' .* Allowed: true or false$"),
        ({"origin__versions": {"torch": 2}}, "^origin.versions.torch 2 "),
        ({"weights": [2, 1], "weights_digest": "ab"}, r"weights of epochs \(2, 1\). Allowed: ascending"),
        ({"weights": [4], "weights_digest": "ab"}, "ascending, up to 3"),
        ({"weights": [1]}, "with their digest"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_impossible_records(changes, said):
    with pytest.raises(TrainingError, match=said) as caught:
        from_body(_with(**changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"NaN", "NaN is no number"),
        (b'{"a": 1, "a": 2}', "occurs twice"),
        (b"[]", "not a record"),
        (b'{"kind": "tinylab history"}', "not a record"),
        (b'{"kind": "tinylab record", "version": 5}', "schema 5, this tinylab reads 1 to 4"),
        (b'{"kind": "tinylab record", "version": true}', "schema True, this tinylab reads 1"),
        (b'{"kind": "tinylab record", "version": 1}', "^the record lacks digest$"),
        (b'{"kind": "tinylab record", "version": 1, "digest": "", "body": 3}', "^body 3 "),
    ],
)
def test_files_that_are_no_record(content, said):
    with pytest.raises(TrainingError, match=said) as caught:
        loads(content)
    assert "\n" not in str(caught.value)


def test_a_failure_may_have_fewer_epochs_and_no_scores():
    made = record(failure="the loss is nan", scores={})
    short = replace(made, history=replace(made.history, epochs=made.history.epochs[:1]))
    assert loads(dumps(short)).failure == "the loss is nan"
    with pytest.raises(TrainingError, match="3 epochs"):
        dumps(replace(short, failure=""))


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(path=st.sampled_from(PLACES), depth=st.integers(0, 3), value=TREES)
def test_whatever_stands_in_a_field_is_read_or_refused_in_one_line(path, depth, value):
    body = as_body(record(weights=(1,), weights_digest="ab"))
    path = path[: max(1, len(path) - depth)]
    place = body
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    read = or_line(from_body, body)
    if not isinstance(read, str):
        assert isinstance(read.history, History)
        assert loads(dumps(read)) == from_body(as_body(read))
