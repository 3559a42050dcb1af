"""The benchmarks' own arithmetic, protocol and fairness: floors, windows, turns, tables, and rows that learn alike.

No test here asks how long anything took.
"""

import io
import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import __main__ as command
from benchmarks import bare, contest, decoding, limits, machine, material, pace, report, rows
from benchmarks.contest import Result, disagreements, ratios
from benchmarks.pace import Counted, Enough, Task, Windows
from benchmarks.rows import ours, plain
from tests import tiny
from tinylab import models
from tinylab.data import open_archive, write_sample
from tinylab.data.augment import crop_and_flip
from tinylab.support.errors import InvalidInputError

NARROW = models.narrower("model_1", 8)
EQUAL = Task(model=NARROW, batch=8, steps=4, dropout=0.0, augment=False, workers=0)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Forty images of the generated sample, as files and decoded."""
    return material.prepare(tmp_path_factory.mktemp("material"), None, 40)


# ---- floors


@pytest.mark.parametrize(
    ("name", "forward", "first"),
    [  # by hand, 64×64, 200 classes: kernel² · inputs · filters · pixels
        (
            "model_1",
            9 * (3 * 32 + 32 * 32) * 4096 + 9 * (32 * 64 + 64 * 64) * 1024 + 16384 * 512 + 512 * 200,
            9 * 3 * 32 * 4096,
        ),
        (
            "model_2",
            9 * (3 * 32 + 32 * 32) * 4096
            + 9 * (32 * 64 + 64 * 64) * 1024
            + 9 * (64 * 128 + 128 * 128) * 256
            + 8192 * 512
            + 512 * 200,
            9 * 3 * 32 * 4096,
        ),
        (
            "model_3",
            (25 * 3 * 32 + 9 * 32 * 32) * 4096 + 9 * 32 * 64 * 1024 + 9 * 64 * 128 * 256 + 8192 * 256 + 256 * 200,
            25 * 3 * 32 * 4096,
        ),
    ],
)
def test_floors_equal_numbers_by_hand(name, forward, first):
    found = limits.floor(models.build(name), batch=128)
    assert round(found.forward / 1e6, 1) == {"model_1": 106.4, "model_2": 158.8, "model_3": 87.5}[name]
    assert found.forward == forward
    assert found.training == 3 * forward - first
    assert found.flops == 2 * 128 * found.training


def test_floor_in_bytes_by_hand():
    """conv3-4 on 16×16, pooled to 8×8, fc(8), fc(3): what enters them is 768, 256 and 8 numbers an image."""
    model = tiny.network().train()
    found = limits.floor(model, batch=5, size=16)
    parameters = (27 * 4 + 4) + (256 * 8 + 8) + (8 * 3 + 3)
    assert found.bytes == 4 * (5 * (2 * 768 + 5 * (256 + 8)) + 10 * parameters)
    half = limits.floor(model, batch=5, size=16, width=2)  # activations in bfloat16, weights in float32
    assert found.bytes - half.bytes == 2 * 5 * (2 * 768 + 5 * (256 + 8))
    assert model.training


def test_the_longer_time_is_the_floor():
    floor = limits.Floor(1, 3, flops=6e9, bytes=1e9)
    assert floor.seconds(1e9, 1e9) == 6
    assert floor.seconds(1e12, 1e9) == 1


def test_peaks_are_counted_as_stated(monkeypatch):
    """Two operations for each multiply-add, and a copied byte is read and written: with a clock that adds 1 s."""
    ticks = iter(range(10_000))
    monkeypatch.setattr(limits, "clock", lambda device: float(next(ticks)))
    found = limits.peaks("cpu", repeats=1)
    assert list(found) == ["matrix_product_float32", "copy"]
    assert found["matrix_product_float32"]["best"] == 2 * 2048**3
    monkeypatch.setattr(limits, "precision", lambda device: "bfloat16")
    assert limits.peaks("cpu", repeats=1)["matrix_product_bfloat16"]["best"] == 2 * 2048**3
    assert found["copy"]["best"] == 2 * 4 * 2**25


# ---- the same images for all


def test_files_and_decoded_images_are_the_same(shared):
    assert len(shared.paths) == len(shared.images) == len(shared.labels) == 40
    for path, image in zip(shared.paths, shared.images, strict=True):
        np.testing.assert_array_equal(material.decode(path), image)
    with open_archive(shared.folder / "sample.zip") as archive:
        wnids = archive.read("wnids.txt").decode().split()
    assert [wnids[label] for label in shared.labels] == [path.parents[1].name for path in shared.paths]
    assert len(set(shared.labels.tolist())) > 10
    before = (shared.folder / "images.npy").stat().st_mtime_ns
    again = material.prepare(shared.folder, None, 40)
    assert (shared.folder / "images.npy").stat().st_mtime_ns == before
    assert again.paths == shared.paths


def test_an_epoch_may_be_longer_than_the_images_without_another_mean(shared):
    data = shared.repeated(batch=16, steps=6)
    assert len(data.train) == 96
    assert np.bincount(data.train.index).tolist() == [3] * 16 + [2] * 24
    assert data.normalisation is shared.dataset.normalisation


def test_normalised_is_what_tinylab_feeds(shared):
    picked = np.array([3, 0, 7])
    expected = shared.dataset.normalisation.apply(shared.images[picked])
    torch.testing.assert_close(shared.normalised(picked), expected.contiguous())


def test_the_plain_augmentation_gives_tinylabs_variants(shared):
    image = torch.from_numpy(shared.images[0])[None]
    every = {
        crop_and_flip(image, torch.tensor([flip]), torch.tensor([[down, right]]))[0].numpy().tobytes()
        for flip in (False, True)
        for down in range(-4, 5)
        for right in range(-4, 5)
    }
    torch.manual_seed(0)
    seen = {np.ascontiguousarray(plain.augmented(shared.images[0])).tobytes() for _ in range(300)}
    assert seen <= every
    assert len(seen) > 100  # of 162


# ---- rows that learn alike


def losses(train, shared, task):
    counted = Counted(3)
    pace.run(train, shared, task, counted)
    return counted.losses


def equal_task(shared):
    return replace(EQUAL, rows=tuple(ours.order(shared, EQUAL.batch, EQUAL.steps)))


@pytest.mark.parametrize("name", ["torch layers", "plain", "plain tuned", "resident", "resident tuned"])
def test_rows_learn_what_tinylab_learns(shared, name):
    """Correctness at speed: the same losses, step by step, as the usual loop has from the same weights."""
    task = equal_task(shared)
    expected = losses(rows.load("tinylab"), shared, task)
    assert losses(rows.load(name), shared, task) == pytest.approx(expected, abs=2e-4)
    assert len(set(expected)) == 3


@pytest.mark.parametrize("name", ["tinylab", "torch layers", "plain tuned", "resident tuned"])
def test_tuned_rows_compute_in_bf16_where_the_processor_does(shared, monkeypatch, name):
    """Other digits than in float32, and near them; rows as documented stay as they are."""
    task = equal_task(shared)
    exact = losses(rows.load(name), shared, task)
    documented = losses(rows.load("plain"), shared, task)
    monkeypatch.setenv("TINYLAB_PRECISION", "bf16")
    assert task.precision == pace.precision("cpu") == "bfloat16"
    rounded = losses(rows.load(name), shared, task)
    assert rounded != exact
    assert disagreements({"plain": Result(losses=documented), name: Result(losses=rounded)}, "bfloat16") == []
    assert losses(rows.load("plain"), shared, task) == documented


def test_the_precision_is_tinylab_s_choice_for_this_processor(monkeypatch):
    monkeypatch.delenv("TINYLAB_PRECISION")
    for able, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda able=able: {"avx512_bf16": able})
        assert pace.precision("cpu") == expected


def test_other_batches_are_noticed(shared):
    task = equal_task(shared)
    expected = losses(rows.load("tinylab"), shared, task)
    other = losses(rows.load("plain"), shared, replace(task, rows=tuple(reversed(task.rows))))
    found = {"plain": Result(losses=expected), "resident": Result(losses=other)}
    (line,) = disagreements(found)
    assert line.startswith("PyTorch, decoded array: its losses")


@pytest.mark.parametrize("name", models.NAMES)
def test_the_other_rows_train_torch_s_own_layers(name):
    ours, theirs = material.network(name, 0.3), material.torch_network(name, 0.3)
    assert {type(layer).__module__.split(".")[0] for layer in theirs.modules() if not list(layer.children())} == {
        "torch"
    }
    assert str(ours) == str(theirs)
    state = theirs.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in ours.state_dict().items())


def test_order_is_tinylabs_own(shared):
    from tinylab.data import Batches
    from tinylab.support.device import pick

    order = ours.order(shared, 8, 4)
    assert len(order) == 32
    assert order != sorted(order)
    x, y = next(
        Batches(
            shared.repeated(8, 4).train, shared.dataset.normalisation, batch=8, device=pick("cpu"), shuffle=True
        ).epoch(1)
    )
    torch.testing.assert_close(x.contiguous(), shared.normalised(np.array(order[:8])))
    assert y.tolist() == shared.labels[order[:8]].tolist()


def test_a_loss_that_is_not_a_number_is_a_disagreement():
    found = {"plain": Result(losses=[1.0, 2.0]), "keras": Result(losses=[1.0, float("nan")]), "one batch": Result()}
    assert len(disagreements(found)) == 1
    assert disagreements({"plain": Result(losses=[1.0, 2.0]), "keras": Result(losses=[1.0, 2.001])}) == []
    assert disagreements({"plain": Result(losses=[1.0, 2.0]), "keras": Result(losses=[1.0, 2.02])}) != []
    assert disagreements({"plain": Result(losses=[1.0, 2.0]), "keras": Result(losses=[1.0, 2.02])}, "bfloat16") == []


def test_a_library_that_is_absent_says_how_to_get_it(monkeypatch):
    def absent(name):
        raise ImportError(f"no module {name}")

    monkeypatch.setattr(rows.importlib, "import_module", absent)
    for name in ("keras", "lightning"):
        monkeypatch.setitem(rows.ROWS, name, replace(rows.ROWS[name], library="lightning"))
        with pytest.raises(RuntimeError, match=r"pip install -e '\.\[bench\]'") as caught:
            rows.load(name)
        assert "\n" not in str(caught.value)


def test_every_row_names_a_function_that_its_file_has():
    for row in rows.ROWS.values():
        module, function = row.where.split(".")
        text = (machine.ROOT / "benchmarks" / "rows" / f"{module}.py").read_text()
        assert f"\ndef {function}(material: Material, task: Task, pace: Pace) -> None:" in text


# ---- windows and turns


def test_a_window_s_clock_starts_after_its_lead(monkeypatch):
    now = iter(range(100))
    monkeypatch.setattr(pace, "clock", lambda device: float(next(now)))
    commands = io.StringIO('{"lead": 0, "steps": 2}\n{"lead": 2, "steps": 3}\n{"end": true}\n')
    answers = io.StringIO()
    windows, steps = Windows("cpu", commands, answers), itertools.count()

    def train():
        for _ in steps:
            windows.tick(0.0)

    windows.next()
    with pytest.raises(Enough):
        train()
    assert next(steps) == 2 + 5
    found = [json.loads(line) for line in answers.getvalue().splitlines()]
    # clock readings: 0 next, 1 answer | 2 next, 3 after the lead, 4 answer
    assert [(one["seconds"], one["steps"]) for one in found] == [(1.0, 2), (1.0, 3)]
    assert found[0]["megabytes"] > 50


def test_a_row_ends_when_its_parent_has_gone():
    windows = Windows("cpu", io.StringIO(""), io.StringIO())
    with pytest.raises(Enough):
        windows.next()


def test_an_epoch_that_is_too_short_is_an_error(shared):
    with pytest.raises(RuntimeError, match="too short"):
        pace.run(lambda material, task, pace: None, shared, EQUAL, Counted(3))


def test_every_round_has_every_row_and_begins_one_further():
    names = ["a", "b", "c"]
    assert list(contest.rounds(names, 0, 4)) == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"]]
    assert list(contest.rounds(names, 2, 3)) == [["c", "a", "b"]]  # resumed


class Fake:
    """A row's process that answers at once; "bad" fails in its second window."""

    log: list[tuple[str, int]] = []  # noqa: RUF012
    closed: list[str] = []  # noqa: RUF012

    def __init__(self, name, folder, task, equal, threads):
        self.name, self.count = name, 0

    def answer(self):
        return {"losses": [1.0], "imports": 0.5}

    def window(self, lead, steps):
        self.count += 1
        if self.name == "keras" and self.count == 3:
            raise RuntimeError("it broke")
        Fake.log.append((self.name, steps))
        return {"seconds": 2.0, "steps": steps, "megabytes": 7.0}

    def close(self):
        Fake.closed.append(self.name)


@pytest.fixture
def faked(monkeypatch, tmp_path):
    Fake.log, Fake.closed = [], []
    monkeypatch.setattr(contest, "Worker", Fake)

    def run(results, names=("tinylab", "keras", "plain"), **calls):
        options = {"equal": [], "repeats": 3, "steps": 4, "lead": 1, "threads": 1, "save": lambda: None} | calls
        contest.contest(list(names), tmp_path, Task(batch=10), results=results, **options)
        return results

    return run


def test_rows_take_turns_and_one_that_fails_leaves_the_others_alone(faked):
    saved = []
    found = faked({}, save=lambda: saved.append(1), each_round=lambda: Fake.log.append("peaks"))
    assert Fake.log[:3] == [("tinylab", 1), ("keras", 1), ("plain", 1)]  # each one's first step
    assert Fake.log[3:] == [
        *["peaks", ("tinylab", 4), ("keras", 4), ("plain", 4)],
        *["peaks", ("plain", 4), ("tinylab", 4)],  # keras begins this round and breaks
        *["peaks", ("plain", 4), ("tinylab", 4)],
    ]
    assert found["keras"].failed == "it broke"
    assert found["tinylab"] == Result([1.0], 0.5, 2.0, [20.0] * 3, 7.0)
    assert sorted(Fake.closed) == ["keras", "plain", "tinylab"]
    assert len(saved) == 3


def test_what_was_measured_is_not_measured_again(faked):
    found = {"tinylab": Result(windows=[1.0, 2.0]), "keras": Result(failed="no"), "plain": Result(windows=[1.0] * 3)}
    faked(found)
    assert Fake.log == [("tinylab", 1), ("tinylab", 4)]
    assert found["tinylab"].windows == [1.0, 2.0, 20.0]


def test_a_worker_measures_and_a_wrong_one_says_why(shared):
    """A real process: its losses, its first step, two windows; and one whose network does not exist."""
    task = Task(model=NARROW, batch=8, steps=8, workers=0)
    equal = ours.order(shared, 8, 2)
    worker = contest.Worker("tinylab", shared.folder, task, equal, threads=1)
    try:
        assert len(worker.answer()["losses"]) == 2
        assert worker.window(0, 1)["steps"] == 1
        assert worker.window(1, 2)["seconds"] > 0
    finally:
        worker.close()
    assert worker.process.returncode == 0
    wrong = contest.Worker("plain", shared.folder, replace(task, model="model_9"), equal, threads=1)
    try:
        with pytest.raises(RuntimeError, match="model_9"):
            wrong.answer()
    finally:
        wrong.close()


# ---- JSON and tables


def measured(windows, **others):
    return Result(losses=[5.3, 5.2], imports=1.0, first_step=2.0, windows=windows, megabytes=900.0, **others)


def content():
    settings = {"device": "cpu", "precision": "float32", "batch": 128, "repeats": 3, "steps": 2, "equal_steps": 2}
    settings["images"] = "few"
    made = report.fresh(settings, machine.describe("cpu", 2))
    made["limits"] = {
        "matrix_product_float32": {"best": 2e11, "median": 1e11, "what": "2048 × 2048"},
        "copy": {"best": 2e10, "median": 1e10, "what": "134 MB", "unit": "bytes/s"},
    }
    for one in made["limits"].values():
        one.setdefault("unit", "FLOP/s")
    made["floors"] = {"model_1": command.floors("model_1", 128, made["limits"])}
    found = {
        "tinylab": measured([200.0, 220.0, 180.0]),
        "plain": measured([100.0, 100.0, 100.0]),
        "keras": Result(failed="keras cannot be imported (ImportError): install it"),
    }
    floor = made["floors"]["model_1"]["float32"]["seconds"]
    made["floors_in_turn"] = {"model_1": [{"float32": floor}, {"float32": 2 * floor}, {"float32": floor / 2}]}
    report.store(made, "model_1", found, 128)
    return made


def test_ratios_are_of_the_same_round():
    found = ratios({"tinylab": Result(windows=[30.0, 10.0]), "plain": Result(windows=[10.0, 5.0])})
    assert found["plain"]["all"] == [3.0, 2.0]
    assert found["tinylab"]["median"] == 1.0
    assert ratios({"plain": Result(windows=[1.0])}) == {}


def test_share_of_the_floor():
    made = content()
    floor = 2 * 128 * (3 * 106_401_792 - 3_538_944) / 2e11
    row = made["rows"]["model_1"]["tinylab"]
    shares = [floor / (128 / 200), 2 * floor / (128 / 220), floor / 2 / (128 / 180)]  # each of its own round
    assert row["share_of_floor"]["all"] == pytest.approx(shares)
    assert row["share_of_floor"]["median"] == pytest.approx(shares[0])
    assert row["times_slower_than_tinylab"]["median"] == 1
    assert made["rows"]["model_1"]["plain"]["times_slower_than_tinylab"]["all"] == [2.0, 2.2, 1.8]


def test_rows_tell_the_precision_that_they_computed_in():
    made = content()
    made["settings"]["precision"] = "bfloat16"
    assert {name: report.precision(name, made) for name in ("tinylab", "plain", "plain tuned", "keras")} == {
        "tinylab": "bfloat16",
        "plain": "float32",
        "plain tuned": "bfloat16",
        "keras": "float32",
    }


def test_results_survive_json_and_belong_to_their_settings(tmp_path):
    made, path = content(), tmp_path / "deep" / "cpu.json"
    report.write(path, made)
    begun = report.fresh(made["settings"], made["machine"])
    again = report.read(path, begun)
    assert again == made
    assert report.results(again, "model_1")["tinylab"] == measured([200.0, 220.0, 180.0])
    assert report.read(path, begun | {"settings": made["settings"] | {"batch": 64}}) is None
    assert report.read(path, begun | {"machine": made["machine"] | {"versions": {}}}) is None  # another torch
    for damaged in ("{", "[]", "{}"):
        path.write_text(damaged)
        assert report.read(path, begun) is None
    assert {"device", "processor", "cores", "threads", "versions", "load_before", "time"} <= set(made["machine"])


def test_tables_name_hardware_versions_and_n():
    made = content()
    one = machine.summarise([1.0, 3.0, 2.0])
    made["parts"] = {
        "decoding": [
            {
                "archive": "a.zip",
                "images": 9,
                "prepare": one | {"megabytes": 5.0},
                "bare": [{"what": "x", "seconds": one, "ratio": one}],
            }
        ],
        "importing": {"torch": one, "tinylab": one},
        "loading": {
            "data": "sample",
            "classes": 20,
            "seconds": one,
            "load": one,
            "normalisation": one,
            "batches": one,
            "first_batch": one,
            "megabytes": 1.0,
        },
        "course": [{"profile": "smoke", "jobs": 2, "seconds": 120.0, "exit": 0}],
        "thirty_epochs": {"epochs": 30, "images": 9, "data": "noise", "training_seconds": 9.5, "wall_seconds": 12.0},
    }
    training, peaks, floors, also = report.tables(made)
    assert "n = 3 windows of 2 steps" in training.caption
    assert torch.__version__ in training.caption
    assert "2 threads" in training.caption
    (tinylab, plain_row, keras) = training.rows
    assert tinylab[:4] == ["tinylab", "200.0", "180.0–220.0", "1.00 ×"]
    assert plain_row[3] == "2.00 ×"
    assert keras[1] == "not run"
    assert report.notes(made) == ["Keras 3 fit: keras cannot be imported (ImportError): install it"]
    assert ["matrix product float32", "200.0 GFLOP/s", "2048 × 2048"] in [list(row) for row in peaks.rows]
    assert floors.rows[0][2:4] == ["106.4 M", "315.7 M"]
    cells = {row[0]: row[1] for row in also.rows}
    assert cells["a.zip: 9 images to cache"] == "2 s"
    assert cells["the course, smoke, 2 jobs"] == "2.0 min"
    assert "9.50 s" in cells.values()
    for table in (training, peaks, floors, also):
        assert all(len(row) == len(table.columns) for row in table.rows)
        assert str(table)


# ---- the command


def test_the_command_refuses_unknown_names():
    for wrong in (["--rows", "kera"], ["--models", "model1"], ["--parts", "trainin"]):
        with pytest.raises(InvalidInputError, match="did you mean"):
            command.main(wrong)


def test_unequal_learning_makes_the_command_fail(monkeypatch, tmp_path, capsys):
    """And what was measured is printed all the same, from the file of a run that had finished."""
    one = machine.summarise([1.0])
    for wrong, code in ((5.2, 0), (5.5, 1)):
        made = content() | {"parts": {"importing": {"torch": one, "tinylab": one}}}
        found = report.results(made, "model_1")
        found["tinylab"].losses = [5.3, wrong]
        report.store(made, "model_1", found, 128)
        monkeypatch.setattr(command.report, "read", lambda path, begun, made=made: made)
        assert command.main(["--resume", "--parts", "importing", "--out", str(tmp_path / "cpu.json")]) == code
        said = capsys.readouterr()
        assert ("NOT EQUAL: tinylab" in said.err) == bool(code)
        assert "Training model_1" in said.out


def test_decoding_counts_every_image(tmp_path):
    archive = write_sample(tmp_path / "few.zip", classes=2, train=12, val=3, test=3)
    found = decoding.decoding(archive, repeats=1)
    assert found["images"] == 36
    assert [one["what"] for one in found["bare"]] == list(bare.decoders().values())
    alone = found["bare"][0]
    assert alone["ratio"]["median"] == pytest.approx(found["prepare"]["median"] / alone["seconds"]["median"])
    assert [path.name for path in tmp_path.iterdir()] == ["few.zip"]


def test_twins_for_keras_know_every_layer_of_the_three_networks():
    """`with_keras.translated` has a case for each; whether the logits agree, it checks itself when it runs."""
    text = (machine.ROOT / "benchmarks" / "rows" / "with_keras.py").read_text()
    for name in models.ARCHITECTURES:
        for layer in models.build(name):
            assert isinstance(layer, nn.Module)
            assert f"case nn.{type(layer).__name__}():" in text
