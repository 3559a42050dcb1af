"""Plans: what a TOML text becomes, what is refused and how, and identifiers that stay."""

import hashlib
import tomllib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.course.results.made import or_line
from tests.tools.experiments.small import LINE, plan, text
from tinylab.support.errors import InvalidInputError
from tinylab.tools import experiments
from tinylab.tools.experiments import Row
from tinylab.training import RECIPES, Recipe

NETWORK = 'networks = ["model_1"]\n'
ROW = '[[rows]]\nname = "a"\n'

# ---------------------------------------------------------------- what a plan becomes


def test_a_grid_is_every_combination_of_settings_networks_and_seeds():
    chosen = experiments.parse(
        'networks = ["model_1", "model_3"]\nseeds = [4, 2]\nweights = [0, "last"]\n'
        '[base]\nrecipe = "report"\nepochs = 7\n[axes]\nl2 = [0.0, 0.01]\ndropout = ["line", 0.5]\n',
        "grid",
    )
    assert len(chosen.rows) == 2 * 2 * 2 * 2
    assert [row.recipe.seed for row in chosen.rows] == [4] * 8 + [2] * 8  # no setting twice before all have one
    assert {row.weights for row in chosen.rows if row.recipe.seed == 4} == {(0, 7)}
    assert {row.weights for row in chosen.rows if row.recipe.seed == 2} == {()}  # of the first seed only
    found = {(row.network, row.recipe.l2, row.recipe.dropout, row.recipe.seed) for row in chosen.rows}
    assert len(found) == 16
    assert ("model_3", 0.01, None, 2) in found
    assert chosen.rows[0].title == "l2 0, dropout as the line"
    assert replace(chosen.rows[0].recipe, l2=0.01, seed=0) == replace(RECIPES["report"], epochs=7)


def test_listed_rows_beside_a_grid_and_settings_outside_the_recipe():
    chosen = experiments.parse(
        'networks = ["model_1", "model_2"]\nper_class = 9\nclasses = 5\nwatched = 8\nfinal = true\n'
        '[axes]\nnormalisation = ["pixel", "variance"]\n'
        '[[rows]]\nname = "Odd one"\nnetworks = ["model_3"]\nper_class = 3\nl2 = 1\nl2_on = "fully connected"\n'
        'initialisation = "he everywhere"\nweights = [1]\n',
        "list",
    )
    assert [row.network for row in chosen.rows] == ["model_1", "model_2"] * 2 + ["model_3"]
    odd = chosen.rows[-1]
    assert (odd.per_class, odd.classes, odd.watched, odd.final, odd.weights) == (3, 5, 8, True, (1,))
    assert (odd.recipe.l2, odd.l2_on, odd.initialisation) == (1.0, "fully connected", "he everywhere")
    assert isinstance(odd.recipe.l2, float)
    assert odd.name == "list_model_3_odd-one_seed-0"
    assert {row.per_class for row in chosen.rows[:-1]} == {9}


def test_no_axes_and_no_rows_is_the_base_alone():
    (row,) = experiments.parse('networks = ["model_1"]\n[base]\nrecipe = "well"\n', "one").rows
    assert (row.title, row.recipe, row.data) == ("well", RECIPES["well"], "sample")


def test_transfer_gives_pretraining_with_the_row_s_seed():
    chosen = experiments.parse(
        'networks = ["model_1"]\nseeds = [0, 1]\n[transfer]\nsource = 3\ntarget = 2\nepochs = 5\n[base]\nbatch = 7\n'
        '[[rows]]\nname = "a"\n[[rows]]\nname = "b"\nstart = "fine-tuned"\nepochs = 9\n',
        "t",
    )
    first = {(row.title, row.recipe.seed): row.pretraining for row in chosen.rows}
    assert first["a", 0] is None
    assert first["b", 1] == Recipe(epochs=5, batch=7, seed=1)
    assert {(row.source, row.target) for row in chosen.rows} == {(3, 2)}


def test_identifiers_name_the_content_and_stay():
    row = plan().rows[0]
    other = replace(row, plan="other", title="other", answers=True, continues="abc", continued=True)
    assert row.identifier == other.identifier
    changed = [
        replace(row, network="model_1"),
        replace(row, recipe=replace(row.recipe, seed=1)),
        replace(row, recipe=replace(row.recipe, ema_decay=0.9)),
        replace(row, final=True),
        replace(row, normalisation="variance"),
        replace(row, data="sample"),
        replace(row, pretraining=Recipe(), source=2, target=2),
        replace(row, weights=(1,)),
    ]
    assert len({row.identifier, *(other.identifier for other in changed)}) == 1 + len(changed)
    # a recipe's field that says its default does not count, so that a later field leaves old sweeps resumable
    content = b'{"network": "model_1", "recipe": {"epochs": 3}}'
    assert Row("p", "t", "model_1", Recipe(epochs=3)).identifier == hashlib.sha256(content).hexdigest()[:12]
    # the field "pretraining" was called "donor" when rows were recorded
    content = b'{"donor": {"batch": 9}, "network": "model_1", "recipe": {}, "source": 3, "start": "fine-tuned"}'
    recorded = Row("p", "t", "model_1", Recipe(), source=3, start="fine-tuned", pretraining=Recipe(batch=9))
    assert recorded.identifier == hashlib.sha256(content).hexdigest()[:12]


def test_data_from_the_command_line_replaces_the_plan_s():
    assert {row.data for row in experiments.parse(text(), "p", data="sample").rows} == {"sample"}


def test_all_plans_that_come_with_tinylab():
    decisive = {"penalty", "one-change", "done-well", "done-well-seeds", "factors", "pretraining", "laptop", "headline"}
    assert set(experiments.names()) == decisive | {"reproduction-10"}
    for name in experiments.names():
        chosen = experiments.load(name)
        comment = (experiments.plans.FOLDER / f"{name}.toml").read_text().split("\n\n")[0]
        assert all(line.startswith("#") for line in comment.splitlines())
        assert f"tinylab sweep {name}" in comment
        assert "Costs" in comment
        assert chosen.question.endswith("?")
        assert {row.data for row in chosen.rows} == {"tiny-imagenet"}
    penalty = experiments.load("penalty").rows
    first = [(row.network, row.title) for row in penalty[:6]]
    assert first == [(f"model_{k}", title) for k in (1, 3, 2) for title in ("without L2", "as described")]
    described = [row for row in penalty if row.title == "as described"]
    assert [row.recipe for row in described] == [replace(RECIPES["report"], epochs=12)] * 3
    assert [row.continues for row in penalty[6:]] == [row.identifier for row in penalty[:2]]
    assert experiments.load("headline").seconds == 520


def test_a_row_may_go_on_from_one_that_goes_on_itself():
    text = NETWORK + '[[rows]]\nname = "a"\nepochs = 1\n'
    for name, epochs, shorter in (("b", 2, "a"), ("c", 3, "b")):
        text += f'[[rows]]\nname = "{name}"\nepochs = {epochs}\ncontinues = "{shorter}"\n'
    a, b, c = experiments.parse(text, "chain").rows
    assert (a.continues, b.continues, c.continues) == (None, a.identifier, b.identifier)
    assert (a.continued, b.continued, c.continued) == (True, True, False)


@pytest.mark.parametrize("way", [ROW, "", "[axes]\nl2 = [0.0]\n"], ids=["listed", "base", "grid"])
def test_as_many_rows_as_are_allowed(monkeypatch, way):
    monkeypatch.setattr(experiments.plans, "MOST_ROWS", 3)
    assert len(experiments.parse(f"{NETWORK}seeds = [0, 1, 2]\n{way}", "p").rows) == 3
    with pytest.raises(InvalidInputError, match=r"it has 4 rows\. Allowed: 3$"):
        experiments.parse(f"{NETWORK}seeds = [0, 1, 2, 3]\n{way}", "p")


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("", "networks is empty"),
        ("networks = []", "networks is empty, so there is nothing to train"),
        ("networks = 3", "networks 3 .* Allowed: a list"),
        ("networks = [3]", r"networks\[0\] 3 .* Allowed: text"),
        ('networks = ["modle_1"]', "did you mean 'model_1'"),
        ('networks = ["conv3-2 - rleu - softmax"]', "rleu"),
        ('networks = ["model_1", "model_1"]', "networks has 'model_1' twice"),
        (NETWORK + "networks = []", "is not TOML: Cannot overwrite a value"),
        (NETWORK + "sedes = [1]", "it has an unknown field 'sedes', did you mean 'seeds'"),
        (NETWORK + "seeds = []", "seeds is empty"),
        (NETWORK + "seeds = [-1]", r"seeds\[0\] -1 .* Allowed: 0 or more"),
        (NETWORK + "seeds = [true]", r"seeds\[0\] True"),
        (NETWORK + "seeds = [1, 1]", "seeds has 1 twice"),
        (NETWORK + "seeds = [1.5]", r"seeds\[0\] 1.5 .* Allowed: a whole number"),
        (NETWORK + "data = 3", "data 3 .* Allowed: text"),
        (NETWORK + "classes = 1", "classes 1 .* Allowed: 2 or more"),
        (NETWORK + "classes = true", "classes True"),
        (NETWORK + "per_class = 0", "per_class 0"),
        (NETWORK + 'eval_split = "validation"', "unknown field 'eval_split'"),
        (NETWORK + '[base]\nnormalisation = "channel"', "normalisation 'channel' is unknown"),
        (NETWORK + "final = 1", "final 1 .* Allowed: true or false"),
        (NETWORK + "weights = [21]", "epoch of weights 21 .* from 0 to 20, or \"last\""),
        (NETWORK + 'weights = ["first"]', "'first'"),
        (NETWORK + '[base]\nrecipe = "wel"', "recipe 'wel' is unknown, did you mean 'well'"),
        (NETWORK + "[base]\nrecipe = 3", "recipe 3 is unknown"),
        (NETWORK + "[base]\nepochs = 0", "epochs 0"),
        (NETWORK + '[base]\nepochs = "many"', "base: epochs 'many' .* Allowed: a whole number"),
        (NETWORK + "[base]\nseed = 1", "Give seeds"),
        (NETWORK + "[base]\nlerning_rate = 1", "did you mean 'learning_rate'"),
        (NETWORK + "[base]\nlearning_rate = nan", "learning_rate nan"),
        (NETWORK + "[base]\nflip = 1", "base: flip 1 .* Allowed: true or false"),
        (NETWORK + "[base]\nbatch = 1.0", "base: batch 1.0 .* Allowed: a whole number"),
        (NETWORK + '[base]\ndropout = "lien"', "base: dropout 'lien' .* Allowed: a number"),
        (NETWORK + '[base]\nl2_on = "fully connected"', "without l2"),
        (NETWORK + '[[rows]]\nname = "a"\ncontinues = 3', "row 1: continues 3 is not possible. Allowed: text"),
        (NETWORK + "[base]\nteacher_weight = 0.5", "base: it has an unknown field 'teacher_weight'"),
        (NETWORK + "[axes]", "axes has no axis"),
        (NETWORK + "[axes]\nl2 = []", "axis l2 is empty"),
        (NETWORK + "[axes]\nl2 = 0.1", "axes.l2 0.1 is not possible. Allowed: a list"),
        (NETWORK + "[axes]\nl2 = [0.1, 0.1]", "axis l2 has 0.1 twice"),
        (NETWORK + "[axes]\nl2 = [1, 1.0]", "has 1.0 twice|same training"),
        (NETWORK + '[axes]\noptimizer = ["adan"]', "did you mean 'adam'"),
        (NETWORK + '[axes]\noptimizer = ["adamw"]\nl2 = [0.1]', "Use weight_decay"),
        (NETWORK + '[axes]\nnormalisation = ["pixels"]', "did you mean 'pixel'"),
        (NETWORK + "[axes]\nnetworks = [1]", "axes: it has an unknown field 'networks'"),
        (NETWORK + "rows = []", "rows is empty"),
        (NETWORK + "rows = [3]", r"rows\[0\] 3 .* Allowed: a table"),
        (NETWORK + "[[rows]]\nl2 = 0.1", "row 1: it lacks name"),
        (NETWORK + '[[rows]]\nname = "-"', "name '-'"),
        (NETWORK + '[[rows]]\nname = "a"\nnme = 1', "row 'a': it has an unknown field 'nme'"),
        (NETWORK + '[[rows]]\nname = "a"\n[[rows]]\nname = "a"', "same training"),
        (NETWORK + '[[rows]]\nname = "a"\n[[rows]]\nname = "b"', "same training"),
        (f'{NETWORK}{2 * ROW}[[rows]]\nname = "b"\nepochs = 30\ncontinues = "a"', "same training"),
        (NETWORK + '[[rows]]\nname = "a"\nnetworks = []', "networks is empty"),
        (NETWORK + '[[rows]]\nname = "a"\nstart = "fine-tuned"', r"Give the table \[transfer\]"),
        (NETWORK + '[[rows]]\nname = "a"\nstart = "fine-tunde"', "did you mean 'fine-tuned'"),
        (NETWORK + "[transfer]\nsource = 3", "transfer lacks target"),
        (NETWORK + "[transfer]\nsourse = 3", "did you mean 'source'"),
        (NETWORK + "[transfer]\nsource = 3\ntarget = 1\nepochs = 1", "transfer.target 1 .* Allowed: 2 or more"),
        (f"{NETWORK}seeds = {list(range(200))}\n[axes]\nepochs = {list(range(1, 100))}", "19,800 rows"),
        ("a = [" * 5000, "is not TOML|nested too deeply"),
        ("= 3", "is not TOML"),
    ],
)  # fmt: skip
def test_bad_plans_are_one_line(bad, said):
    with pytest.raises(InvalidInputError, match=said) as caught:
        experiments.parse(bad, "bad")
    assert "\n" not in str(caught.value)
    assert "'bad'" in str(caught.value)


def test_bad_names_and_files(tmp_path):
    with pytest.raises(InvalidInputError, match="did you mean 'reproduction-10'"):
        experiments.load("reproducton")
    with pytest.raises(InvalidInputError, match=r"cannot be read .*No such file"):
        experiments.load(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    with pytest.raises(InvalidInputError, match="cannot be read"):
        experiments.load(tmp_path / "bytes.toml")
    (tmp_path / "a b.toml").write_text(NETWORK)
    with pytest.raises(InvalidInputError, match="its name is not possible"):
        experiments.load(tmp_path / "a b.toml")


KEYS = st.sampled_from(
    ["networks", "seeds", "weights", "classes", "watched", "base", "axes", "rows", "transfer", "l2", "epochs",
     "flip",
     "optimizer", "dropout", "name", "start", "recipe", "per_class", "source", "x"]
)  # fmt: skip
SCALARS = (
    st.booleans()
    | st.integers(-2, 300)
    | st.floats()
    | st.sampled_from(["model_1", "adam", "line", "last", "development", "well", "fine-tuned", LINE, "", "x"])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=10
)


def _toml(value) -> str:
    """A value in TOML's own words."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else repr(value)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_any_toml_is_a_plan_or_one_line(parts):
    written = "\n".join(f"{key} = {_toml(value)}" for key, value in {"networks": [LINE], **parts}.items())
    tomllib.loads(written)  # the test writes TOML
    found = or_line(experiments.parse, written, "any")
    if not isinstance(found, str):
        assert found.rows
        assert len({row.name for row in found.rows}) == len({row.identifier for row in found.rows}) == len(found.rows)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_a_plan_or_one_line(written):
    assert or_line(experiments.parse, NETWORK + written, "any")
