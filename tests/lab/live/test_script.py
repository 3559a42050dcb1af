"""Scripts: one line, replayed bit for bit, and whatever is wrong with one is said in one line."""

import json

import pytest

from tests import tiny
from tests.lab.live.made import PATIENCE, facts, same, session
from tinylab.lab.live import script
from tinylab.lab.live.session import Session
from tinylab.support.errors import InvalidInputError


def told(lab: Session) -> str:
    return lab.status.script.line()


@pytest.fixture(scope="module")
def lab() -> Session:
    """One that changed all that can be changed, in the middle of epochs and between them, and branched."""
    made = session()
    made.ask("knobs", {"learning_rate": 0.004})
    turns = ({"dropout": 0.6}, {"l2": 0.01, "momentum": 0.5}, {"optimizer": "sgd"}, {"schedule": "cosine"})
    for steps, turn in zip((3, 2, 6, 2), turns, strict=True):
        made.run_for(steps)
        made.ask("knobs", turn)
    made.run_for(4)
    made.ask("back", ("A", 10))
    made.ask("knobs", {"optimizer": "adamw"})
    made.run_for(5)
    return made


def test_a_script_is_one_line_and_reads_back(lab: Session) -> None:
    line = told(lab)
    assert "\n" not in line
    assert script.read(line) == lab.status.script
    assert script.read(line).line() == line
    assert [change.step for change in lab.status.changes] == [3, 5, 5, 10]


def test_a_script_older_than_a_part_of_the_recipe_is_read_with_its_default(lab: Session) -> None:
    parts = json.loads(told(lab))
    del parts["recipe"]["ema_decay"]
    parts["recipe"]["mixup"] = 0.0  # which there was for a while
    assert script.read(json.dumps(parts)) == lab.status.script
    assert script.read(json.dumps(parts | {"kind": "tinylab story"})) == lab.status.script  # what it was called


def test_a_replay_is_the_same_bit_for_bit(lab: Session) -> None:
    again = session()
    again.ask("replay", script.read(told(lab)))
    again.run_for(lab.status.step)
    assert same(facts(again), facts(lab))
    assert again.status.script == lab.status.script
    assert "bit for bit" in again.status.note
    live = session(line="conv3-2 - relu - max pool - softmax")
    live.open()
    live.ask("replay", script.read(told(lab)))
    assert live.wait(lambda m: m.phase == "paused" and m.step == lab.status.step, PATIENCE)
    live.close(PATIENCE)
    assert same(facts(live), facts(lab))


def test_a_branch_at_the_very_beginning_replays_too() -> None:
    made = session()
    made.run_for(3)
    made.ask("back", ("A", 0))
    made.ask("knobs", {"optimizer": "sgd", "dropout": 0.9})
    made.run_for(4)
    assert [(change.step, change.knob) for change in made.status.changes] == [(0, "dropout"), (0, "optimizer")]
    again = session()
    again.ask("replay", script.read(told(made)))
    again.run_for(4)
    assert again.status.script == made.status.script
    assert same(facts(again), facts(made))


def test_whoever_turns_a_knob_takes_over(lab: Session) -> None:
    again = session()
    again.ask("replay", script.read(told(lab)))
    again.run_for(4)
    again.ask("knobs", {"l2": 0.5})
    again.run_for(6)
    assert [(change.step, change.knob) for change in again.status.changes] == [(3, "dropout"), (4, "l2")]


def test_a_replay_that_ends_otherwise_says_so(lab: Session) -> None:
    parts = json.loads(told(lab))
    again = session()
    again.ask("replay", script.read(json.dumps(parts | {"loss": 1.25})))
    again.run_for(lab.status.step)
    assert "in the script 1.25" in again.status.note


def test_a_script_of_other_images_is_refused(lab: Session) -> None:
    for data, what in ((tiny.dataset(train=60), "training images"), (tiny.dataset(seed=1), "digest")):
        other = Session(data, lab.model, lab.recipe)
        other.ask("replay", script.read(told(lab)))
        with pytest.raises(InvalidInputError, match=f"other images: its {what} is"):
            other.run_for(0)


BAD = [
    ("", "there is no script here"),
    ("   ", "there is no script here"),
    ("__import__('os').system('true')", "this is not a script"),
    ("[" * 5000 + "]" * 5000, "this is not a script"),
    ("[]", r"it \[\] is not possible. Allowed: a table"),
    ("{}", "it lacks kind"),
    ('{"kind": 1, "kind": 2}', "a field occurs twice"),
    ('{"kind": NaN}', "NaN is no number"),
    ("x" * 300_000, "too long"),
    ({"kind": "tinylab history"}, "kind 'tinylab history' is unknown"),
    ({"version": 1}, "version 1"),
    ({"version": True}, "version True"),
    ({"extra": 1}, "an unknown field 'extra'"),
    ({"steps": -1}, "steps -1 is not possible"),
    ({"steps": True}, "steps True is not possible"),
    ({"model": 3}, "model 3 is not possible"),
    ({"eval_split": None}, "eval_split None is not possible"),
    ({"loss": "low"}, "loss 'low' is not possible"),
    ({"recipe": 1}, "recipe 1 is not possible. Allowed: a table"),
    ({"data": {}}, "data lacks name"),
    ({"changes": {}}, "changes {} is not possible. Allowed: a list"),
    ({"changes": [[0, "l2", 0.1]] * 5001}, "changes .* is not possible"),
    ({"changes": [[0, "dropout"]]}, r"changes\[0\] is not possible. Allowed: \[step, knob, value\]"),
    ({"changes": [[5, "dropout", 0.1], [3, "dropout", 0.2]]}, r"the script\'s changes\[1\]\[0\] 3"),
    ({"changes": [[99, "dropout", 0.1]]}, r"the script\'s changes\[0\]\[0\] 99"),
    ({"changes": [[0, "droput", 0.1]]}, "did you mean 'dropout'"),
    ({"changes": [[0, ["dropout"], 0.1]]}, "Allowed: text"),
    ({"changes": [[0, "dropout", 1.5]]}, "dropout 1.5 is not possible"),
    ({"changes": [[0, "dropout", True]]}, "dropout True is not possible"),
    ({"changes": [[0, "learning_rate", None]]}, "learning rate None is not possible"),
    ({"changes": [[0, "learning_rate", 1e999]]}, "Infinity is no number"),
    ({"changes": [[0, "optimizer", "adm"]]}, "did you mean 'adam'"),
    ({"changes": [[0, "optimizer", [1]]]}, "is not possible"),
]


@pytest.mark.parametrize(("wrong", "says"), BAD)
def test_what_is_wrong_is_said_in_one_line(lab: Session, wrong: object, says: str) -> None:
    text = wrong if isinstance(wrong, str) else json.dumps(json.loads(told(lab)) | wrong)
    with pytest.raises(InvalidInputError, match=says) as caught:
        script.read(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_knob_turned_after_the_last_batch_is_turned_in_the_replay() -> None:
    made = session()
    made.run_for(7)
    made.ask("knobs", {"dropout": 0.25})
    made.run_for(0)
    again = session()
    again.ask("replay", script.read(made.status.script.line()))
    again.run_for(7)
    assert again.status.knobs.dropout == 0.25
    assert again.status.changes == made.status.changes
    assert "bit for bit" in again.status.note


def test_bad_recipes_and_networks(lab: Session) -> None:
    parts = json.loads(told(lab))
    for recipe, says in (({"epochs": 0}, "epochs 0"), ({"optimizer": "adm"}, "adam"), ({"seed": 1.5}, "seed 1.5")):
        with pytest.raises(InvalidInputError, match=says):
            script.read(json.dumps(parts | {"recipe": parts["recipe"] | recipe}))
    for model in ("model_9", "fc(60000) - relu - fc(6000) - relu - softmax"):
        other = session()
        other.ask("replay", script.read(json.dumps(parts | {"model": model})))
        with pytest.raises(InvalidInputError, match=r"unknown|too large"):
            other.run_for(0)
