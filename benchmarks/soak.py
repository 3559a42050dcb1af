"""Soak: everything is killed again and again, and nothing may be lost; then the long versions of the fuzz tests.

    python benchmarks/soak.py [--kills 100] [--examples 20] [--seed 0] [--json soak.json]

Children that download, decode, train, and work on a sweep get SIGKILL at random instants of their work, five in a row;
then they are left alone, and what they leave has to equal, byte for byte, what an undisturbed child leaves: the file,
the arrays, weights with optimizer and history, records with weights (times of day and durations excepted). After every
single kill, too, nothing may be there that looks finished and is not. A loss is a kill after which either failed.

Prints a table of kills, inputs and losses, with n, seconds, hardware and versions; ends with code 1 if anything was
lost. A longer soak is a larger number; the instants follow from the seed, and from how busy the machine is.
"""

import argparse
import json
import logging
import os
import platform
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the tests of faults are not installed; their machinery is used here
os.environ.setdefault("OMP_NUM_THREADS", "1")  # a child is forked, and may not wait for threads that it has not got

import torch  # noqa: E402

from tests.data.crafted import craft, write_zip  # noqa: E402
from tests.faults import kills, servers  # noqa: E402
from tests.faults.bad_calls import CALLS, COMMANDS  # noqa: E402
from tests.faults.test_checkpoint import result, training  # noqa: E402
from tinylab import data  # noqa: E402
from tinylab.course import results  # noqa: E402
from tinylab.data.download import fetch  # noqa: E402
from tinylab.support.cores import core_count  # noqa: E402
from tinylab.support.errors import TinylabError  # noqa: E402
from tinylab.support.table import Table  # noqa: E402
from tinylab.tools import experiments  # noqa: E402
from tinylab.tools.experiments import worker  # noqa: E402
from tinylab.tools.experiments.worker import Job  # noqa: E402
from tinylab.training import checkpoints  # noqa: E402

IN_A_ROW = 5  # kills before the work may end
LINE = "conv3-2 - relu - max pool - max pool - max pool - fc(4) - relu - dropout - softmax"
PLAN = f"""
question = "Is anything lost?"
data = "small"
networks = ["{LINE}"]
seeds = [0, 1]
weights = [0, 2, "last"]
final = true
[base]
batch = 6
epochs = 6
[axes]
l2 = [0.0, 0.01]
"""


@dataclass
class Kind:
    """One kind of work: what a child does in a folder, what it leaves, what must hold after a kill."""

    name: str
    work: Callable[[Path], object]
    left: Callable[[Path], object]
    whole: Callable[[Path], bool]  # after a kill: nothing there that looks finished and is not


@dataclass
class Result:
    """A row of the table."""

    name: str
    kills: int
    inputs: int
    losses: int
    seconds: float


def soak(kind: Kind, wanted: int, top: Path, dice: random.Random) -> Result:
    """Kill `wanted` times, `IN_A_ROW` on each folder, and compare each folder's end with the undisturbed one."""
    started = time.perf_counter()
    reference = top / "undisturbed"
    reference.mkdir(parents=True)
    kills.undisturbed(lambda: kind.work(reference))
    shutil.rmtree(reference)
    reference.mkdir()
    begun = time.perf_counter()
    kills.undisturbed(lambda: kind.work(reference))  # the second one tells how long it takes with warm files
    takes, expected = time.perf_counter() - begun, kind.left(reference)
    count = losses = number = 0
    while count < wanted:
        number += 1
        folder = top / str(number)
        folder.mkdir()
        for _ in range(min(IN_A_ROW, wanted - count)):
            # what is resumed takes less and less: the instants fall into its beginning
            if kills.killed(lambda folder=folder: kind.work(folder), dice.uniform(0, takes)):  # type: ignore[misc]
                count += 1
                losses += not kind.whole(folder)
        kills.undisturbed(lambda folder=folder: kind.work(folder))  # type: ignore[misc]
        if kind.left(folder) != expected:
            losses += 1
            print(f"lost: {kind.name}, {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder)
    return Result(kind.name, count, 0, losses, time.perf_counter() - started)


# ---------------------------------------------------------------- the four kinds of work


def downloading(server: servers.Server) -> Kind:
    def work(folder: Path) -> None:
        urls = [f"{server.url}/slow"]
        fetch(folder / "a.zip", urls, md5=servers.MD5, size=len(servers.BODY), progress=False)

    def left(folder: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith(".lock")}

    def whole(folder: Path) -> bool:
        return not (folder / "a.zip").exists() or (folder / "a.zip").read_bytes() == servers.BODY

    return Kind("download", work, left, whole)


def caching(archive: Path) -> Kind:
    def work(folder: Path) -> None:
        data.prepare(archive, "tiny", progress=False, root=folder)

    def left(folder: Path) -> dict[str, object]:
        cache = data.open_cache("tiny", folder)
        build = cache.folder / cache.manifest["build"]
        builds = len([path for path in cache.folder.iterdir() if path.is_dir()])
        return {"classes": cache.classes, "builds": builds} | {p.name: p.read_bytes() for p in build.glob("*.npy")}

    def whole(folder: Path) -> bool:
        try:
            data.verify("tiny", folder)
        except TinylabError as error:
            return "incomplete" in str(error) or "absent" in str(error)
        return True

    return Kind("caching", work, left, whole)


def training_runs(archive: Path) -> Kind:
    def whole(folder: Path) -> bool:
        path = folder / "run" / "checkpoint.pt"
        return not path.exists() or checkpoints.load(path).epoch > 0

    def left(folder: Path) -> object:
        out = folder / "run"
        return result(out), sorted(path.name for path in out.iterdir())

    return Kind("training", lambda folder: training(archive, folder / "run"), left, whole)


def sweeping() -> Kind:
    rows = experiments.parse(PLAN, "soak").rows

    def work(folder: Path) -> None:
        torch.set_num_threads(1)
        for row in rows:
            worker.work(Job(row, folder, None, "cpu"), lambda line: None)

    def left(folder: Path) -> dict[str, object]:
        found: dict[str, object] = {p.name: p.read_bytes() for p in folder.glob("*.safetensors")}
        return found | {name: results.comparable(results.load(name, folder)) for name in results.names(folder)}

    def whole(folder: Path) -> bool:
        return all(results.load(name, folder).finished for name in results.names(folder))

    return Kind("sweeps", work, left, whole)


# ---------------------------------------------------------------- inputs


def fuzz(examples: int) -> list[Result]:
    """The bad inputs once, the properties with so many times their examples; by pytest, whose verdict counts."""
    results = []
    for name, file, count in (
        ("bad input", "test_bad_input.py", len(CALLS) + len(COMMANDS)),
        ("fuzz and properties", "test_properties.py", _examples(examples)),
    ):
        started = time.perf_counter()
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/faults/{file}"]
        environment = os.environ | {"TINYLAB_EXAMPLES": str(examples)}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        failed = done.stdout.count("\nFAILED ") + done.stdout.count("\nERROR ")
        if done.returncode and not failed:
            failed = 1
        if failed:
            print(done.stdout[-3000:], file=sys.stderr)
        results.append(Result(name, 0, count, failed, time.perf_counter() - started))
    return results


def _examples(times: int) -> int:
    """How many inputs the properties try: those of `@examples`, and 500 flipped bytes of a contents table."""
    text = (ROOT / "tests" / "faults" / "test_properties.py").read_text()
    each = sum(int(count) for count in re.findall(r"^@examples\((\d+)\)", text, re.MULTILINE))
    return (each + 500) * times


# ---------------------------------------------------------------- all of it


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="of each kind of work")
    parser.add_argument("--examples", type=int, default=20, help="times those of `make test`")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the table there, too")
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # "incomplete, rebuilding" is what is meant to happen
    kills.PATIENCE = 3600.0  # seconds; a soak may run beside other work, at the lowest priority
    torch.set_num_threads(1)
    torch.optim.Adam([torch.zeros(1)])  # its imports take seconds, which no child shall pay for
    results = []
    with tempfile.TemporaryDirectory(prefix="tinylab-soak-") as scratch, servers.Server() as server:
        top = Path(scratch)
        os.environ |= {"TINYLAB_CACHE": str(top / "cache"), "TINYLAB_DEVICE": "cpu", "NO_PROXY": "127.0.0.1"}
        _, serving = kills.start(server.serve_forever)  # in a child: a process that forks should have no threads
        archive = write_zip(top / "small.zip", craft())
        data.prepare(archive, "small", progress=False)
        data.load(archive)
        kinds = [downloading(server), caching(archive), training_runs(archive), sweeping()]
        try:
            for kind in kinds:
                dice = random.Random(f"{options.seed} {kind.name}")
                results.append(soak(kind, options.kills, top / kind.name, dice))
                print(f"{kind.name}: {results[-1].kills} kills, {results[-1].losses} losses", flush=True)
        finally:
            os.kill(serving, signal.SIGKILL)
            os.waitpid(serving, 0)
    results += fuzz(options.examples)
    return report(results, options.seed, options.json)


def report(results: list[Result], seed: int, to: Path | None) -> int:
    losses = sum(each.losses for each in results)
    everything = Result(
        "all", sum(r.kills for r in results), sum(r.inputs for r in results), losses, sum(r.seconds for r in results)
    )
    rows = [
        [each.name, each.kills or "–", f"{each.inputs:,}" if each.inputs else "–", each.losses, f"{each.seconds:.0f}"]
        for each in (*results, everything)
    ]
    versions = f"torch {torch.__version__}, Python {platform.python_version()}"
    where = f"{core_count()} cores, {platform.machine()}; {versions}"
    print(Table(["inflicted", "kills", "inputs", "losses", "seconds"], rows, f"Soak, seed {seed}; {where}"))
    if to is not None:
        facts = {"seed": seed, "where": where, "results": [asdict(each) for each in results], "losses": losses}
        to.write_text(json.dumps(facts, indent=1) + "\n")
    return 1 if losses else 0


if __name__ == "__main__":
    sys.exit(main())
