"""Sessions small enough for a test, a run that can be held still, and comparisons at zero tolerance."""

import threading

import torch

from tests import tiny
from tinylab.lab.live import session as sessions
from tinylab.lab.live.session import Session
from tinylab.lab.live.steered import Steered
from tinylab.training.recipe import Recipe

PATIENCE = 60  # seconds until a hanging thread fails a test; never waited for otherwise
LINE = "conv3-4 - relu - batch norm - max pool - dropout - fc(8) - relu - dropout - softmax"
RECIPE = Recipe(epochs=6, batch=20, learning_rate=0.01, flip=True, crop=2)  # 90 images: 5 batches an epoch
DATA = tiny.dataset()


def session(recipe: Recipe = RECIPE, line: str = LINE, **options: object) -> Session:
    return Session(DATA, line, recipe, **options)


def advanced(run: Steered, steps: int) -> list[tuple[float, float, int]]:
    """Loss, accuracy, images since the beginning, of the next updates; the epochs that end are measured."""
    taken = []
    for _ in range(steps):
        step = run.advance()
        taken.append((step.loss, step.accuracy, len(run.history.epochs) * run.batches.count + run.batches.seen))
        if run.at_end:
            run.measure()
    return taken


def facts(of: Session | Steered) -> dict[str, object]:
    """All that two runs have to agree in: weights, optimizer, history; not how long it took."""
    run = of.run if isinstance(of, Session) else of
    state = run.optimizer.state_dict()["state"]
    epochs = [
        {name: value for name, value in vars(epoch).items() if name not in ("seconds", "images_per_second")}
        for epoch in run.history.epochs
    ]
    memory = {(i, name): torch.as_tensor(value) for i, each in state.items() for name, value in each.items()}
    return {"model": dict(run.model.state_dict()), "memory": memory, "epochs": epochs}


def same(one: dict[str, object], other: dict[str, object]) -> bool:
    """Bit for bit."""
    tensors = all(
        one[part].keys() == other[part].keys()
        and all(torch.equal(value, other[part][name]) for name, value in one[part].items())
        for part in ("model", "memory")
    )
    return tensors and one["epochs"] == other["epochs"]


class Gate:
    """Holds a session's training thread before its update number `at`, until it is let go."""

    def __init__(self, session: Session, at: int) -> None:
        self.arrived, self.go = threading.Event(), threading.Event()
        advance = session.run.advance

        def held() -> object:
            if session.branches.current.steps == at - 1:
                self.arrived.set()
                assert self.go.wait(PATIENCE)
            return advance()

        session.run.advance = held


__all__ = ["DATA", "LINE", "PATIENCE", "RECIPE", "Gate", "advanced", "facts", "same", "session", "sessions"]
