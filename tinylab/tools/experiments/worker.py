"""One row of a plan: resumes where it stopped, leaves a record, whole or none.

What lies in the sweep's folder:

    <name>.json, <name>.safetensors   the record of a finished (or failed) row, its weights; its answers likewise
    rows/<identifier>/                an unfinished row: checkpoint, weights so far, clocks, log; of a finished one
                                      where its training ended, if a longer one goes on from there
    pretrained/                       pre-trained networks, which rows have in common
    rows/<identifier>.lock            held while a process is at work on the row; released when it dies
"""

import contextlib
import json
import os
import shutil
import socket
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from torch import Tensor

from tinylab import training
from tinylab.course import results
from tinylab.course.results import Record, Timings, networks
from tinylab.course.results.answers import take
from tinylab.course.results.origins import origin
from tinylab.data.dataset import Dataset
from tinylab.support.device import pick
from tinylab.support.errors import TinylabError, TrainingError
from tinylab.support.files import atomic_write, locked
from tinylab.tools.experiments import material
from tinylab.tools.experiments.rows import Row
from tinylab.training import checkpoints
from tinylab.training.history import History

DONE, FAILED, PAUSED = "done", "failed", "paused"


@dataclass(frozen=True)
class Job:
    """A row, and where and how long to work on it."""

    row: Row
    out: Path  # the sweep's folder
    deadline: float | None = None  # time.time() after which no further epoch should end
    device: str | None = None


def result(row: Row, out: Path) -> Record | None:
    """The row's record, if it is finished or failed; None if it is still to do.

    Raises TrainingError for a damaged record, or one of another row of that name.
    """
    if not (out / f"{row.name}.json").exists():
        return None
    record = results.load(row.name, out)
    if record.row != row.identifier:
        raise TrainingError(
            f"{out / record.name}.json is of another row: the plan or the data changed. Choose another --out, or "
            "delete that file"
        )
    return record


def work(job: Job, say: Callable[[str], None] = print) -> str:
    """Train the row of `job` to its end or to its deadline: "done", "paused" or "failed".

    What goes wrong in the training is written into the row's record, not raised.
    """
    from safetensors.torch import load

    started = time.time()
    lock = _folder(job).with_suffix(".lock")
    with locked(lock, lambda: say(f"another process is at work on this row (it holds {lock})")):
        record = result(job.row, job.out)
        if record is not None and record.finished:
            return DONE
        run: training.Run | None = None
        try:
            device = pick(job.device)
            dataset = material.images(job.row)
            pretrained = None
            if job.row.pretraining is not None:
                pretrained = material.pretrained(job.row, job.out / "pretrained", device, job.deadline, say)
                if pretrained is None:
                    return PAUSED
            _go_on(job)
            run = material.start(job.row, dataset, device, _folder(job) / "checkpoint.pt", pretrained)
            before = _read_clocks(job)
            clocks = _train(job, run, before, started, say)
            if not run.finished:
                return PAUSED
            record = _record(job.row, run, dataset)
            # a row that went on from a shorter one has those early weights that the shorter one kept
            paths = {epoch: path for epoch in job.row.weights if (path := _weights(job, epoch)).exists()}
            states = {epoch: load(path.read_bytes()) for epoch, path in paths.items()}
            answered = _answers(job.row, run, dataset)
            if job.row.ship:
                atomic_write(job.out / f"{job.row.name}{networks.ENDING}", _shipped(job.row, run, dataset, say))
            clocks = replace(clocks, cold=before.cold + time.time() - started)
            results.save(replace(record, clocks=clocks), job.out, states, answered)
        except Exception as error:
            say(traceback.format_exc())
            message = str(error) if isinstance(error, TinylabError) else f"{type(error).__name__}: {error}"
            fail(job, message, None if run is None else material.history(job.row, run))
            say(message)
            return FAILED
        if not job.row.continued:
            shutil.rmtree(_folder(job), ignore_errors=True)
        return DONE


def logged(job: Job) -> str:
    """`work`, in this process; what it says goes into the row's log. How it ended."""
    folder = _folder(job)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream = open(folder / "log.txt", "a", encoding="utf-8")  # noqa: SIM115, closed below
    except OSError as error:
        raise TrainingError(f"{folder} cannot be written ({error.strerror}). Choose another --out") from None
    with stream:
        print(f"process {os.getpid()} on {socket.gethostname()}", file=stream, flush=True)
        return work(job, partial(print, file=stream, flush=True))


def fail(job: Job, message: str, history: History | None = None) -> None:
    """Write the record of a failure, with what was measured until then."""
    row = job.row
    if history is None:
        history = _history_so_far(job) or History(row.recipe, row.network, Path(row.data).stem, "development", ())
    history = replace(history, recipe=row.recipe)
    message = message.replace(f"{job.out}{os.sep}", "")  # where that is does not belong into a record
    message = " ".join(message.split())[:500] or "unknown"
    base = Record(row.name, row.plan, row.identifier, row.title, row.network, row.settings, 0, history, {})
    with contextlib.suppress(TinylabError):  # an unknown device is what failed, maybe
        base = replace(base, origin=origin(pick(job.device)))
    results.save(replace(base, clocks=_read_clocks(job), failure=message), job.out)


# ---------------------------------------------------------------- the parts of `work`


def _train(job: Job, run: training.Run, before: Timings, started: float, say: Callable[[str], None]) -> Timings:
    """To the end, or until the next epoch would pass the deadline: the checkpoint has all there is."""
    began = time.perf_counter()
    clocks = replace(before, slices=before.slices + 1)
    _keep(job, run, len(run.history.epochs))  # epoch 0; or those of a process killed between checkpoint and weights
    for epoch in material.until(run, job.deadline, say):
        _keep(job, run, epoch.epoch)
        clocks = Timings(
            training=sum(e.seconds for e in run.history.epochs),
            with_evaluation=before.with_evaluation + time.perf_counter() - began,
            cold=before.cold + time.time() - started,
            slices=before.slices + 1,
        )
        atomic_write(_folder(job) / "clocks.json", json.dumps(asdict(clocks)).encode())
    return clocks


def _go_on(job: Job) -> None:
    """Begin where the shorter row ended, if this one has not begun: its checkpoint, weights and clocks are taken over.

    Raises TrainingError if that row has left none: then it is to be trained first.
    """
    checkpoint = _folder(job) / "checkpoint.pt"
    if job.row.continues is None or checkpoint.exists():
        return
    end = job.out / "rows" / job.row.continues
    if not _ended(end / checkpoint.name):
        raise TrainingError(
            f"the row that it continues, {end.name}, has not ended in {end.parent}. Train that one first; if it "
            "ended in continued/, where an earlier tinylab moved it, move it back, and --retry"
        )
    others = shutil.ignore_patterns(checkpoint.name, "log.txt")
    shutil.copytree(end, checkpoint.parent, ignore=others, dirs_exist_ok=True)
    atomic_write(checkpoint, (end / checkpoint.name).read_bytes())  # last: only then has this row begun


def _ended(checkpoint: Path) -> bool:
    """Whether a training to its last epoch lies there, whole."""
    try:
        saved = checkpoints.load(checkpoint)
    except TrainingError:
        return False
    return bool(saved.epoch == saved.recipe["epochs"])


def _answers(row: Row, run: training.Run, dataset: Dataset) -> dict[str, Tensor] | None:
    if not (row.answers and row.final):
        return None
    return take(run.measured, run.for_evaluation(dataset.validation))


def _shipped(row: Row, run: training.Run, dataset: Dataset, say: Callable[[str], None]) -> bytes:
    """The whole network, with what it scores in the form in which it is kept."""
    asked = dataset.validation if row.final else dataset.development
    network = networks.unpack(networks.pack(run.state(), dataset.words, 0.0)).network()
    run.device.place(network)
    accuracy = training.score(network, run.for_evaluation(asked)).accuracy
    packed = networks.pack(run.state(), dataset.words, accuracy)
    say(f"the network in {len(packed) / 1e6:.2f} MB: {accuracy:.2%} on {asked.name}")
    return packed


def _record(row: Row, run: training.Run, dataset: Dataset) -> Record:
    splits = [dataset.train, dataset.development, *([dataset.validation] if row.final else [])]
    scores = {}
    for split in splits:
        batches = run.for_evaluation(split)
        scores[split.name] = training.score(run.measured, batches)
        if row.test_flip and split is not dataset.train:
            scores[split.name + results.FLIPPED] = training.score(run.measured, batches, flip=True)
    return Record(
        name=row.name,
        plan=row.plan,
        row=row.identifier,
        title=row.title,
        network=row.network,
        settings=row.settings,
        history=material.history(row, run),
        images=len(dataset.train),
        scores=scores,
        origin=origin(run.device),
    )


def _keep(job: Job, run: training.Run, epoch: int) -> None:
    """The weights after this epoch, if the plan wants them and they are not there."""
    from safetensors.torch import save

    path = _weights(job, epoch)
    if epoch in job.row.weights and not path.exists():
        atomic_write(path, save({k: v.contiguous() for k, v in results.kept(run.measured).items()}))


def _history_so_far(job: Job) -> History | None:
    try:
        return History.from_dict(checkpoints.load(_folder(job) / "checkpoint.pt").history)
    except TinylabError:
        return None


def _read_clocks(job: Job) -> Timings:
    try:
        return Timings(**json.loads((_folder(job) / "clocks.json").read_bytes()))
    except (OSError, ValueError, TypeError):
        return Timings()


def _folder(job: Job) -> Path:
    return job.out / "rows" / job.row.identifier


def _weights(job: Job, epoch: int) -> Path:
    return _folder(job) / f"weights-{epoch}.safetensors"
