"""The table of all 200 classes; a plan side by side; README's part."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.course.results.made import record
from tinylab.course import results
from tinylab.course.results.tables import BEGIN, END, part
from tinylab.support.errors import InvalidInputError
from tinylab.training import Score

README = Path(__file__).parents[3] / "README.md"


def full(name, plan, title, train, development, *, seed=0, validation=None, network="model_1", flipped=None):
    """A record of 200 classes with these accuracies."""
    parts = {"train": train, "development": development, "validation": validation, "validation, flipped": flipped}
    scores = {split: Score(1.0, value, 100) for split, value in parts.items() if value is not None}
    return record(name, classes=200, seed=seed, plan=plan, title=title, network=network, scores=scores)


def test_without_records_there_is_the_report_and_no_row_that_was_not_run():
    assert [row[1:5] for row in results.table([]).rows] == [
        ("Model 1", "56.9 %", "–", "24.3 %"),
        ("Model 2", "18.7 %", "–", "18.0 %"),
        ("Model 3", "62.4 %", "–", "15.6 %"),
    ]


def test_every_setting_of_200_classes_is_a_row_in_the_order_of_the_plans():
    found = [
        full("d", "done-well", "30 epochs", 0.6, 0.52, validation=0.48, seed=0, flipped=0.49),
        full("e", "done-well", "30 epochs", 0.6, 0.54, validation=0.50, seed=1, flipped=0.51),
        full("a", "penalty", "as described", 0.57, 0.25),
        full("f", "somebody's", "own", 0.7, 0.65, network="modern"),
        record("g", plan="done-well", title="of ten classes"),
        replace(full("h", "penalty", "failed", 0.9, 0.9, validation=0.9), failure="no memory"),
    ]
    described, well, flipped, own = results.table(found).rows[3:]
    # made.epoch: 40 % while learning
    assert described[:5] == ("the report's recipe", "Model 1, as described", "40.0 %", "57.0 %", "25.0 % †")
    assert well[1:6] == ("Model 1, 30 epochs", "40.0 %", "60.0 ± 0.0 %", "49.0 ± 1.4 %", "2")  # 48 and 50: sd sqrt(2)
    assert well[6] == "4 s"
    assert flipped[1] == "Model 1, 30 epochs, flips at test"
    assert flipped[4] == "50.0 ± 1.4 %"
    assert own[:2] == ("somebody's", "modern, own")


def test_one_plan_side_by_side():
    found = [
        record("a", title="with", network="model_1"),
        record(
            "b", title="with", network="model_3", scores={"train": Score(1, 0.7, 9), "development": Score(1, 0.3, 9)}
        ),
        record("c", title="without", network="model_1", failure="the loss is nan"),
    ]
    table = results.plan_table("a-plan", found)
    assert table.columns == ["setting", "Model 1", "Model 3"]
    assert table.rows == [["with", "51.0 % / 24.0 %", "70.0 % / 30.0 %"], ["without", "failed", "–"]]
    assert "10 classes of made, 90 training images, 3 epochs, 1 seed; 2 rows in 2 min" in table.caption
    with pytest.raises(InvalidInputError, match="did you mean 'a-plan'"):
        results.plan_table("a-paln", found)
    with pytest.raises(InvalidInputError, match="none yet"):
        results.plan_table("a-plan", [])


def test_readme_is_rewritten_between_its_marks_only(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(f"# before\n{BEGIN}\nbygone | \\1\n{END}\nafter\n")
    found = [record("a", title="a | b")]
    assert results.readme(path, found)
    text = path.read_text()
    assert text.startswith(f"# before\n{BEGIN}\n|  | network | while learning")
    assert text.endswith(f"\n{END}\nafter\n")
    assert "| a \\| b | 51.0 % / 24.0 % |" in text
    assert "bygone" not in text
    assert not results.readme(path, found)


@pytest.mark.parametrize("text", ["", "<!-- records:begin -->", "<!-- records:end -->\n<!-- records:begin -->"])
def test_readme_without_marks(tmp_path, text):
    path = tmp_path / "README.md"
    path.write_text(text)
    with pytest.raises(InvalidInputError, match="needs one line '<!-- records:begin -->'"):
        results.readme(path)
    assert path.read_text() == text
    with pytest.raises(InvalidInputError, match="cannot be read"):
        results.readme(tmp_path / "none.md")


def test_our_readme_equals_the_records():
    """Rewrite it with `tinylab records --readme README.md`."""
    text = README.read_text(encoding="utf-8")
    assert BEGIN in text
    inside = text.split(BEGIN)[1].split(END)[0]
    assert inside.strip() == part().strip()
