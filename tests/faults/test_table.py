"""The table of faults: each row, and the tests that inflict it. A row without a test is red; so is a test that went.

Rows and remedies are those of the design; beside them stand the four things that no row names.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

# what can go wrong, and has to be answered
ROWS = (
    "archive URL dead, or returns HTML",
    "connection cut, process killed during download",
    "wrong bytes",
    "two notebooks prepare the cache at once",
    "disk full",
    "killed while caching",
    "cache from an older version",
    "path traversal or oversized member in an archive",
    "corrupt JPEG",
    "greyscale, CMYK, wrong size",
    "layout wrong",
    "killed during a checkpoint",
    "corrupt or foreign checkpoint",
    "malicious pickle",
    "resume",
    "NaN or Inf loss",
    "out of GPU memory",
    "error in a widget callback or the training thread",
    "kernel dies, hangs, exits early",
    "bad parameter",
    "read-only or missing cache folder, HOME unset",
    "another kind of data set",
    "loading a record executes nothing",
    "parameters are data, never code",
    "JupyterLab on localhost with its token",
    "dependencies have lower bounds",
    "the disk fills while a file is replaced",
    "what is to be written is no plain file",
    "one name, two data sets",
    "images dropped without a word",
    "hidden files, names with spaces, doubled notebooks",
    "remedies that do not exist",
    "the user's own matplotlib settings",
    "two trainings, one folder",
    "a lock that outlives its process",
    "false causes",
    "errors of the environment",
    "a checkout on Windows",
    "options that go to JupyterLab",
)

# row: tests in other folders. Those in this folder say in their first line which rows they inflict.
ELSEWHERE: dict[str, tuple[str, ...]] = {
    "two notebooks prepare the cache at once": (
        "tests/data/test_cache.py::test_several_processes_at_once_all_succeed_with_one_result",
    ),
    "disk full": (
        "tests/data/test_cache.py::test_a_disk_without_room_is_told_beforehand_and_old_files_stay",
        "tests/data/test_cache.py::test_a_disk_that_fills_up_on_the_way_is_told_and_old_files_stay",
        "tests/training/test_checkpoints.py::test_a_full_disk_is_named_and_the_old_one_stays",
    ),
    "killed while caching": (
        "tests/data/test_cache.py::test_a_preparation_that_is_killed_is_never_loaded_and_is_rebuilt",
        "tests/data/test_cache.py::test_an_incomplete_cache_is_rebuilt",
    ),
    "cache from an older version": (
        "tests/data/test_cache.py::test_an_older_schema_is_rebuilt",
        "tests/data/test_dataset.py::test_a_prepared_name_of_an_older_schema_is_rebuilt_from_its_source",
        "tests/data/test_dataset.py::test_an_older_schema_without_its_source_is_told",
    ),
    "path traversal or oversized member in an archive": (
        "tests/data/test_archive.py::test_members_that_point_outside_are_refused_by_name",
        "tests/data/test_archive.py::test_links_are_refused_by_name",
        "tests/data/test_archive.py::test_a_member_of_one_gibibyte_is_refused_before_it_is_inflated",
        "tests/data/test_archive.py::test_encrypted_members_are_refused",
        "tests/data/test_archive.py::test_doubled_members_are_refused",
    ),
    "corrupt JPEG": (
        "tests/data/test_archive.py::test_flipped_bytes_are_found_by_the_checksum",
        "tests/data/test_cache.py::test_overwritten_scan_data_is_found_in_a_zip",
        "tests/data/test_cache.py::test_an_unsuitable_image_is_named_and_nothing_is_left",
    ),
    "greyscale, CMYK, wrong size": (
        "tests/data/test_cache.py::test_greyscale_becomes_colour_and_is_marked",
        "tests/data/test_cache.py::test_an_unsuitable_image_is_named_and_nothing_is_left",
    ),
    "layout wrong": ("tests/data/test_archive.py::test_a_wrong_layout_is_told_in_one_line",),
    "killed during a checkpoint": (
        "tests/training/test_checkpoints.py::test_killed_while_writing_leaves_the_old_one_and_the_stray_is_swept",
    ),
    "corrupt or foreign checkpoint": (
        "tests/training/test_checkpoints.py::test_empty",
        "tests/training/test_checkpoints.py::test_truncated",
        "tests/training/test_checkpoints.py::test_every_flipped_bit_is_found",
        "tests/training/test_checkpoints.py::test_foreign_file",
        "tests/training/test_checkpoints.py::test_another_network",
    ),
    "malicious pickle": (
        "tests/training/test_checkpoints.py::test_a_pickle_that_runs_code_is_refused_and_does_not_run",
    ),
    "resume": (
        "tests/training/test_resuming.py::test_resume_is_bit_identical",
        "tests/training/test_resuming.py::test_resume_in_the_middle_of_an_epoch_goes_back_to_its_start",
        "tests/training/test_resuming.py::test_resume_refuses_another_run_and_leaves_the_model_alone",
    ),
    "NaN or Inf loss": (
        "tests/training/test_what_goes_wrong.py::test_nan_in_the_loss_stops_before_the_update",
        "tests/training/test_what_goes_wrong.py::test_an_absurd_learning_rate_is_named",
        "tests/training/test_best.py::test_after_a_nan_the_line_says_where_the_best_weights_are",
    ),
    "out of GPU memory": (
        "tests/training/test_what_goes_wrong.py::test_out_of_memory_names_the_batch_and_the_run_can_go_on",
    ),
    "error in a widget callback or the training thread": (
        "tests/lab/live/test_widget.py::test_an_error_in_the_thread_is_shown_as_an_alert",
        "tests/lab/live/test_widget.py::test_an_error_in_a_callback_is_shown_and_raised",
        "tests/lab/live/test_session.py::test_an_error_in_the_thread_is_told_and_the_batch_can_be_tried_again",
        "tests/lab/live/test_session.py::test_an_error_raises_where_nobody_looks",
        "tests/tools/notebooks/test_runner.py::test_each_hidden_failure_is_found_and_its_cell_named",
    ),
    "kernel dies, hangs, exits early": (
        "tests/tools/notebooks/test_runner.py::test_failure_is_found_and_its_cell_named",
        "tests/tools/notebooks/test_runner.py::test_a_process_without_a_sign_of_life_is_ended_with_its_kernel",
        "tests/tools/cli/test_cli.py::test_run_tells_the_truth_and_stores_only_what_went_well",
    ),
    "bad parameter": (
        "tests/tools/cli/test_cli.py::test_bad_input_is_one_line_and_exit_code_2",
        "tests/models/test_notation.py::test_a_bad_line_names_token_place_and_remedy",
    ),
    "read-only or missing cache folder, HOME unset": (
        "tests/data/test_cache.py::test_a_read_only_cache_still_loads",
        "tests/data/test_cache.py::test_a_cache_folder_that_cannot_be_made_is_told",
    ),
}


def functions_in(path: Path) -> dict[str, ast.FunctionDef]:
    body = ast.parse(path.read_text()).body
    tests = [node for node in body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    found = {node.name: node for node in tests}
    assert len(found) == len(tests), f"{path} has a test twice: the second hides the first"
    return found


def left_out(path: Path, name: str) -> list[str]:
    """What keeps a test from running: marks of its own or of its file, and a skip that asks nothing first."""
    file, test = ast.parse(path.read_text()).body, functions_in(path)[name]
    marks = [line.value for line in file if isinstance(line, ast.Assign) and "pytestmark" in ast.unparse(line.targets)]
    calls = [
        line.value for line in (*file, *test.body) if isinstance(line, ast.Expr) and isinstance(line.value, ast.Call)
    ]
    said = [ast.unparse(part) for part in (*test.decorator_list, *marks, *calls)]
    return [line for line in said if re.search(r"\b(skip|xfail|importorskip)\b", line)]


def here() -> dict[str, tuple[str, ...]]:
    """Every test of this folder, and the rows that its first line names: "row; another row: what is special here"."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        if path != Path(__file__):
            for name, node in functions_in(path).items():
                line = (ast.get_docstring(node) or "").splitlines()[:1]
                found[f"{path.name}::{name}"] = tuple((line or [""])[0].split(": ")[0].split("; "))
    return found


@pytest.mark.parametrize("row", ROWS)
def test_every_row_is_inflicted(row):
    mine = [name for name, rows in here().items() if row in rows]
    assert len(mine) + len(ELSEWHERE.get(row, ())) >= 1


@pytest.mark.parametrize("test", sorted({test for tests in ELSEWHERE.values() for test in tests}))
def test_what_the_table_names_is_there_and_runs(test):
    """Nor is it skipped, except where a system lacks the means (a signal, a kind of permission)."""
    path, name = test.split("::")
    assert name in functions_in(ROOT / path), f"{path} has no {name} any more"
    assert not left_out(ROOT / path, name)


def test_the_table_has_no_other_rows():
    assert set(ELSEWHERE) <= set(ROWS)


@pytest.mark.parametrize("test", here())
def test_every_test_here_says_its_row_and_runs(test):
    assert set(here()[test]) <= set(ROWS), here()[test]
    path, name = test.split("::")
    assert not left_out(Path(__file__).with_name(path), name)
