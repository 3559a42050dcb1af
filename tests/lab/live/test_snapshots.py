"""The store: within its budget, older snapshots further apart, ends kept, shared ones counted once."""

import numpy as np
import pytest
import torch

from tests.lab.live import made
from tinylab.lab.live import session as sessions
from tinylab.lab.live import snapshots
from tinylab.lab.live.knobs import Change, Knobs, changes, merged
from tinylab.lab.live.session import Session
from tinylab.lab.live.snapshots import Snapshot, SnapshotStore
from tinylab.support.errors import InvalidInputError


def snapshot(step: int, size: int = 100) -> Snapshot:
    memory = {"state": {0: {"step": torch.tensor(1.0), "exp_avg": torch.zeros(size // 2)}}, "param_groups": []}
    return Snapshot(step, Knobs(), (), (), (), 0.0, {"w": torch.zeros(size - size // 2 - 1)}, {}, memory)


def test_bytes_are_those_of_all_tensors() -> None:
    assert snapshot(3).bytes == 400


def test_within_the_budget_and_thinner_with_age() -> None:
    store = SnapshotStore(10 * 400)
    for step in range(0, 1001, 10):
        store.put("A", snapshot(step))
        assert store.bytes <= 4000
    steps = [kept.step for kept in store.of("A")]
    assert len(steps) == 10
    assert (steps[0], steps[-1]) == (0, 1000)
    gaps = np.diff(steps)
    assert gaps[-1] <= 20  # the last minute is all there
    assert gaps[0] > 10 * gaps[-1]


def test_ends_stay_even_if_the_budget_is_too_small() -> None:
    store = SnapshotStore(1)
    for step in (0, 10, 20):
        store.put("A", snapshot(step))
    assert [kept.step for kept in store.of("A")] == [0, 20]


def test_shared_snapshots_count_once_and_go_with_the_last_future() -> None:
    store = SnapshotStore(10_000)
    for step in (0, 10, 20):
        store.put("A", snapshot(step))
    store.share("B", store.of("A")[:2])
    assert store.bytes == 1200
    store.drop("A")
    assert store.bytes == 800
    assert [kept.step for kept in store.of("B")] == [0, 10]


def test_nearest_is_at_or_before() -> None:
    store = SnapshotStore()
    for step in (5, 10):
        store.put("A", snapshot(step))
    assert [getattr(store.nearest("A", step), "step", None) for step in (4, 5, 9, 10, 99)] == [None, 5, 5, 10, 10]
    assert store.nearest("Z", 10) is None


def test_changes_merge_by_step_and_knob() -> None:
    first, second, third = Knobs(), Knobs(dropout=0.5, l2=0.1), Knobs(dropout=0.7)
    made = merged(changes(4, first, second), changes(4, second, third))
    assert made == (Change(4, "dropout", None, 0.7),)
    assert merged(made, changes(5, third, first)) == (*made, Change(5, "dropout", 0.7, None))
    assert str(made[0]) == "dropout as built → 0.7"
    assert str(Change(1, "learning_rate", 1e-3, 1e-5)) == "learning rate 0.001 → 1e-05"


@pytest.mark.parametrize(
    ("left", "granted"), [(16 << 30, 1 << 30), (3 << 30, 1 << 30), (1_500_000_000, 400_000_000), (10**8, 0)]
)
def test_the_budget_follows_the_memory_that_is_left(monkeypatch, left, granted):
    monkeypatch.setattr(snapshots, "available_memory", lambda: left)
    assert snapshots.budget()[0] == granted
    assert bool(snapshots.budget()[1]) == (granted < 1 << 30)


def test_a_small_container_is_told_what_it_costs(monkeypatch):
    monkeypatch.setattr(snapshots, "available_memory", lambda: 1_500_000_000)
    session = made.session()
    assert session.snapshots.budget == 400_000_000
    assert session.status.note == session.gave_up
    assert session.gave_up.startswith("1.5 GB of memory are left here: the laboratory keeps 0.40 GB of earlier moments")
    assert "\n" not in session.gave_up
    assert made.session(memory=10**9).gave_up == ""
    for memory in (-1, "x"):
        with pytest.raises(InvalidInputError, match=r"memory .* is not possible. Allowed: a whole number from 0"):
            made.session(memory=memory)


def test_a_laboratory_leaves_what_the_open_ones_were_promised(monkeypatch):
    """Nothing of it is taken yet when the second is made; one that is closed has nothing, and keeps nothing."""
    for other in list(sessions._open):
        other.close()
    left = 3_500_000_000
    monkeypatch.setattr(snapshots, "available_memory", lambda: left)

    def opened() -> Session:
        session = made.session()
        session.open()
        return session

    first, second = opened(), opened()
    assert first.memory == snapshots.BUDGET
    assert second.memory == (left - snapshots.BUDGET - 2 * snapshots.TRAINING) // 2
    assert second.gave_up.startswith("3.5 GB of memory are left here, 1.8 GB of it promised to the laboratories that")
    second.close()
    first.ask("start", 3)
    assert first.wait(lambda status: status.step == 3 and status.phase == "paused", made.PATIENCE)
    taken = first.snapshots.bytes
    assert taken
    third = opened()  # the first has begun to train: that is in what is left
    assert third.memory == min(snapshots.BUDGET, (left - snapshots.BUDGET + taken - snapshots.TRAINING) // 2)
    first.close()
    third.close()
    assert first.snapshots.bytes == 0
    assert opened().memory == snapshots.BUDGET
    for other in list(sessions._open):
        other.close()
