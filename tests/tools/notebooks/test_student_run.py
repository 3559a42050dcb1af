"""The student edition, executed: it runs to its end, and each exercise says what is asked for."""

import re

from tinylab import course
from tinylab.tools.notebooks import assignments, inspection, runner, student

QUICK = ("02",)  # no training in it; the static checks of test_student.py hold for all lectures


def test_an_untouched_student_notebook_fails_at_nothing_but_its_exercises(tmp_path):
    lectures = student.write(course.find(QUICK), tmp_path)
    for outcome in runner.run(lectures, profile="smoke", timeout=300):
        assert outcome.faults == [], outcome.name
        notebook = outcome.notebook
        assert notebook is not None
        ran = [cell for cell in notebook.cells if inspection.runs(cell)]
        assert [cell.execution_count for cell in ran] == list(range(1, len(ran) + 1))
        checks = [cell for cell in ran if assignments.CHECK in inspection.tags(cell)]
        assert len(checks) >= 4
        for cell in checks:
            (output,) = cell.outputs
            (asked,) = re.findall(r'check\("(\d\d\.\d)"', cell.source)
            said = output.data["text/plain"]
            assert said.startswith(f"Exercise {asked}: not yet. ")
            assert len(said) > 40  # and how to go on
            assert "Error" not in said
        others = [cell for cell in ran if assignments.SOLUTION not in inspection.tags(cell) and cell not in checks]
        assert sum(bool(cell.outputs) for cell in others) > len(others) / 2
