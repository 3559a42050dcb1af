"""The table of reported, reproduced, done well and beyond; a plan side by side; README's part."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.course.results.made import record
from tinylab.course import results
from tinylab.support.errors import InvalidInputError
from tinylab.training import Score

README = Path(__file__).parent.parent.parent / "README.md"


def full(name, plan, title, train, development, *, seed=0, validation=None, network="model_1", flipped=None):
    """A record of 200 classes with these accuracies."""
    parts = {"train": train, "development": development, "validation": validation, "validation, flipped": flipped}
    scores = {split: Score(1.0, value, 100) for split, value in parts.items() if value is not None}
    return record(name, classes=200, seed=seed, plan=plan, title=title, network=network, scores=scores)


def rows(table, section):
    return [row for row in table.rows if row[0] == section]


def test_without_records_everything_but_the_report_is_not_yet_run():
    table = results.table([])
    assert [row[1:4] for row in rows(table, "reported")] == [
        ("Model 1", "56.9 %", "24.3 %"),
        ("Model 2", "18.7 %", "18.0 %"),
        ("Model 3", "62.4 %", "15.6 %"),
    ]
    others = [row for row in table.rows if row[0] != "reported"]
    assert len(others) == 3 + 3 + 1
    assert all(row[2:4] == ("not yet run", "not yet run") for row in others)


def test_reproduced_is_the_nearest_done_well_the_best_on_development():
    found = [
        full("a", "reproduction", "near", 0.57, 0.25),
        full("b", "reproduction", "far", 0.90, 0.25),
        full("c", "done-well", "lucky", 0.6, 0.50, validation=0.60),
        full("d", "done-well", "good", 0.6, 0.52, validation=0.48, seed=0, flipped=0.49),
        full("e", "done-well", "good", 0.6, 0.54, validation=0.50, seed=1, flipped=0.51),
        full("f", "beyond", "quick", 0.7, 0.65, network="modern"),
        record("g", plan="done-well", title="of ten classes"),
        replace(full("h", "done-well", "failed", 0.9, 0.9, validation=0.9), failure="no memory"),
    ]
    table = results.table(found)
    reproduced = rows(table, "reproduced")[0]
    assert reproduced[1:5] == ("Model 1, near", "57.0 %", "25.0 % †", "1")
    well = rows(table, "done well")[0]
    assert well[1:5] == ("Model 1, good", "60.0 ± 0.0 %", "49.0 ± 1.4 %", "2")  # 48 and 50: sd sqrt(2)
    assert well[5] == "4 s / 6 s / 61 s"
    flipped = rows(table, "done well, flips at test")
    assert [row[3] for row in flipped] == ["50.0 ± 1.4 %"]
    assert rows(table, "beyond")[0][1:4] == ("modern, quick", "70.0 %", "65.0 % †")
    assert rows(table, "reproduced")[1][2] == "not yet run"
    assert "of ten classes" not in str(table)


def test_networks_that_a_teacher_taught_stand_apart():
    """Far better than the others, yet chosen against none; both of them are there."""
    by = {"initialisation": "he", "teacher": {"name": "t", "row": "0123456789ab", "weights": "ba9876543210"}}
    found = [
        full("a", "done-well", "alone", 0.6, 0.50, validation=0.48),
        replace(full("b", "done-well", "told", 0.9, 0.80, validation=0.70, flipped=0.72), settings=by),
        replace(full("c", "done-well", "told, longer", 0.9, 0.70, validation=0.60), settings=by),
        full("t", "done-well", "teacher", 0.99, 0.90, validation=0.90, network="modern"),
    ]
    assert [record.teacher for record in found] == [None, "t", "t", None]
    table = results.table(found)
    assert rows(table, "done well")[0][1:4] == ("Model 1, alone", "60.0 %", "48.0 %")
    assert [row[1:4] for row in rows(table, "done well, taught")] == [
        ("Model 1, told", "90.0 %", "70.0 %"),
        ("Model 1, told, longer", "90.0 %", "60.0 %"),
    ]
    assert [row[1:4] for row in rows(table, "done well, taught, flips at test")] == [
        ("Model 1, told", "90.0 %", "72.0 %")
    ]
    assert rows(results.table(found[1:]), "done well")[0][2] == "not yet run"  # a student stands in for nobody
    assert "modern, teacher" not in str(table)


def test_what_a_cpu_reached_is_a_row_where_it_was_run_and_stands_in_for_nobody():
    table = results.table([full("a", "done-well-cpu", "8 epochs", 0.40, 0.35, validation=0.34, flipped=0.36)])
    assert [row[1:4] for row in rows(table, "done well, on a CPU")] == [("Model 1, 8 epochs", "40.0 %", "34.0 %")]
    assert [row[3] for row in rows(table, "done well, on a CPU, flips at test")] == ["36.0 %"]
    assert [row[2] for row in rows(table, "done well")] == ["not yet run"] * 3


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
    path.write_text(f"# before\n{results.BEGIN}\nbygone | \\1\n{results.END}\nafter\n")
    found = [record("a", title="a | b")]
    assert results.readme(path, found)
    text = path.read_text()
    assert text.startswith(f"# before\n{results.BEGIN}\n|  | network | training")
    assert text.endswith(f"\n{results.END}\nafter\n")
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
    assert results.BEGIN in text
    inside = text.split(results.BEGIN)[1].split(results.END)[0]
    assert inside.strip() == results.part().strip()
