"""The loop that follows a recipe and leaves a history.

    run = train(model, data, Recipe(epochs=5))
    for epoch in run:  # or `for step in run.steps()`, or `run.finish()`
        print(epoch.validation_accuracy)

loop            the loop itself: `train` and the `Run` that it gives
fitting         what has to fit together before a run starts, or goes on
scoring         loss and accuracy in evaluation mode
averaging       the running mean of the weights
mixing          mixup and cutmix
distillation    learning from a teacher network
keeping         the weights of the best epoch
distributed     one training on several processes, under torchrun
"""

from tinylab.training.best import Best, best_path
from tinylab.training.history import Epoch, History, Step
from tinylab.training.loop import Run, train
from tinylab.training.recipe import RECIPES, Recipe
from tinylab.training.scoring import EVALUATION_BATCH, Score, evaluating, score

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
    "score",
    "train",
]
