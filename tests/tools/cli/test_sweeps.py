"""`tinylab sweep` and `tinylab records`: exit codes, lines, files; bad input is one line and exit code 2."""

import re

import pytest

from tests.course.results.made import record
from tinylab.course import results
from tinylab.course.results.tables import BEGIN, END
from tinylab.support.errors import DataError
from tinylab.tools import experiments
from tinylab.tools.experiments import Report


@pytest.fixture
def ran(monkeypatch):
    """Nothing is trained: how `experiments.run` was called is kept, and it reports what the list holds."""
    asked, reports = [], [Report(3, 0, 0)]

    def run(plan, out, **options):
        say = options.pop("say")
        asked.append((plan, out, options))
        say("a line")
        return reports[-1]

    monkeypatch.setattr(experiments, "run", run)
    return asked, reports


@pytest.fixture
def stored(monkeypatch, tmp_path):
    """An empty folder instead of the records that come with tinylab."""
    monkeypatch.setattr("tinylab.course.results.store.FOLDER", tmp_path / "stored")
    return tmp_path / "stored"


def test_options_reach_the_sweep(call, ran, tmp_path):
    asked, _ = ran
    code, out, error = call("sweep", "reproduction-10", "--time", 600, "--retry", "--device", "cpu")
    assert (code, out, error) == (0, "a line\n", "")
    plan, folder, options = asked[0]
    assert (plan.name, str(folder)) == ("reproduction-10", "runs/reproduction-10")
    assert options == {"address": None, "seconds": 600.0, "retry": True, "device": "cpu"}
    code, _, _ = call("sweep", "laptop", "--ray", "local", "--out", tmp_path / "o", "--data", "sample")
    plan, folder, options = asked[1]
    assert code == 0
    assert (options["address"], folder) == ("local", tmp_path / "o")
    assert {row.data for row in plan.rows} == {"sample"}


def test_exit_code_1_if_a_row_failed_and_0_if_some_are_left(call, ran):
    _, reports = ran
    reports.append(Report(1, 1, 1))
    assert call("sweep", "laptop")[0] == 1
    reports.append(Report(1, 0, 2))
    assert call("sweep", "laptop")[0] == 0


def test_list_and_answer_train_nothing(call, ran, tmp_path, monkeypatch):
    def absent(*arguments, **options):
        raise DataError("not prepared")

    monkeypatch.setattr("tinylab.data.load", absent, raising=False)
    code, out, _ = call("sweep", "reproduction-10", "--list", "--out", tmp_path)
    assert code == 0
    assert "12 rows; the data is not prepared" in out
    assert out.count("to do") == 12
    code, out, _ = call("sweep", "reproduction-10", "--answer", "--out", tmp_path)
    assert (code, "not yet run" in out) == (0, True)
    assert ran[0] == []


def test_records_are_shown_added_and_written_into_a_readme(call, stored, tmp_path):
    code, out, _ = call("records")
    assert code == 0
    assert "the report" in out
    results.save(record("a-name", title="of the sweep"), tmp_path / "run")
    code, out, _ = call("records", "--add", tmp_path / "run")
    assert (code, out) == (0, "added a-name\n1 records, 0.0 MB\n")
    assert (stored / "a-name.json").exists()
    code, out, _ = call("records", "a-name")
    assert "a-name: model_1, of the sweep, 10 classes of made, 3 epochs: train 51.0% (90)" in out
    code, out, _ = call("records", "a-plan")
    assert re.search(r"of the sweep +51\.0 % / 24\.0 %", out)
    assert "Model 1 (56.9% / 24.3%) is not reproduced: 'of the sweep' ends" in out
    path = tmp_path / "README.md"
    path.write_text(f"{BEGIN}\n{END}\n")
    assert call("records", "--readme", path)[1] == f"{path} rewritten\n"
    assert call("records", "--readme", path)[1] == f"{path} was up to date\n"
    assert "of the sweep" in path.read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sweep", "reproducton"], "did you mean 'reproduction-10'"),
        (["sweep", "nowhere.toml"], "cannot be read"),
        (["sweep", "laptop", "--time", "0"], "time 0"),
        (["sweep", "laptop", "--time", "soon"], "--time"),
        (["sweep", "laptop", "--device", "gpu"], "device 'gpu'"),
        (["sweep", "laptop", "--data", "absent"], "no data set or path 'absent'"),
        (["sweep"], "PLAN"),
        (["records", "a-record"], "there is none yet"),
        (["records", "--add", "nowhere"], "holds no records"),
        (["records", "--readme", "nowhere.md"], "cannot be read"),
    ],
    ids=" ".join,
)
def test_bad_input_is_one_line_and_exit_code_2(call, stored, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    code, _, error = call(*arguments)
    assert error.startswith("tinylab: ")
    assert error.count("\n") == 1
    assert words.lower() in error.lower()
    assert code == 2
    assert not (tmp_path / "runs").exists()
