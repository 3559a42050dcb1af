"""The loop that follows a recipe and leaves a history.

    run = train(model, data, Recipe(epochs=5))
    for epoch in run:  # or `for step in run.steps()`, or `run.finish()`
        print(epoch.eval_accuracy)

recipe       how to train: frozen, typed
loop         the loop itself: `train` and the `Run` that it gives
state        what a run consists of, how it is saved and put back
checks       what has to fit together before a run starts, or goes on
scoring      loss and accuracy in evaluation mode
ema          the moving average of the weights
best         the weights of the best epoch
history      what was measured; checkpoints: what a later process goes on from
transfer     what was learned on some classes, carried over to others
"""

from tinylab.training.best import Best, best_path
from tinylab.training.history import Epoch, History, Step
from tinylab.training.loop import Run, train
from tinylab.training.recipe import RECIPES, Recipe
from tinylab.training.scoring import EVALUATION_BATCH, Score, evaluating, gathered, score

__all__ = [
    "EVALUATION_BATCH",
    "RECIPES",
    "Best",
    "Epoch",
    "History",
    "Recipe",
    "Run",
    "Score",
    "Step",
    "best_path",
    "evaluating",
    "gathered",
    "score",
    "train",
]
