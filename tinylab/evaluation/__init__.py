"""Accuracy done properly: predictions that know their file, and what makes a good network look like a broken one.

scores          predictions keyed by file name, confusion, accuracy and share of each class
neighbours      the baseline that learns nothing: k nearest neighbours
significance    what chance alone explains: binomial tails, paired comparison, how many images one needs
submission      the challenge's file: written whole, read back strictly, scored by file name
folder          a checkpoint and a folder of images to predictions
scoring_errors  four ways to score a good network wrongly, to be inflicted on purpose
relabelling     the permutation of classes that fits best
detective       which of the four it was, with the evidence

A prediction never travels without the name of its image, so no listing order can part the two; class numbers
always mean positions in `Dataset.classes`.
"""

from tinylab.evaluation.detective import SUSPECTS, Clue, Finding, investigate
from tinylab.evaluation.folder import images_in, predict_folder
from tinylab.evaluation.neighbours import Baseline, baseline, nearest_neighbours
from tinylab.evaluation.scores import Predictions, class_accuracy, class_shares, confusion, predict
from tinylab.evaluation.scoring_errors import (
    PIXELS,
    dropout_left_on,
    mix_classes,
    mix_files,
    perfect,
    recorded_oracle,
    wrong_pixels,
)
from tinylab.evaluation.significance import binomial_tail, dependence, images_needed, paired_test
from tinylab.evaluation.submission import check_names, read_submission, score_submission, truth, write_submission

__all__ = [
    "PIXELS",
    "SUSPECTS",
    "Baseline",
    "Clue",
    "Finding",
    "Predictions",
    "baseline",
    "binomial_tail",
    "check_names",
    "class_accuracy",
    "class_shares",
    "confusion",
    "dependence",
    "dropout_left_on",
    "images_in",
    "images_needed",
    "investigate",
    "mix_classes",
    "mix_files",
    "nearest_neighbours",
    "paired_test",
    "perfect",
    "predict",
    "predict_folder",
    "read_submission",
    "recorded_oracle",
    "score_submission",
    "truth",
    "write_submission",
    "wrong_pixels",
]
