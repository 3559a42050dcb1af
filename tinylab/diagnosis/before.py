"""Checks before training: on a fresh network and one batch. They take seconds and save hours.

Each takes `model` and a batch as the network gets it (`x, y = next(run.batches.epoch(1))`): x float (B, C, H, W),
normalised, y int64 (B,), both where the model is; and gives a `Card`. Nothing about the model changes. Bad input
raises InvalidInputError.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tinylab import optimizers
from tinylab.diagnosis.cards import Card
from tinylab.diagnosis.trace import check_batch, copied, losses_of_a_copy, own_random
from tinylab.support.errors import InvalidInputError, check_int
from tinylab.training import evaluating

KARPATHY = "A. Karpathy, A Recipe for Training Neural Networks (2019)"
CS231N = "CS231n, Neural Networks Part 3"

INITIAL = 0.2  # † nats around ln C
TINY, STEPS, LEARNED = 20, 200, 0.05  # † images, updates, nats
BLANK = 0.1  # † nats that real images have to be better than blank ones
MEAN, LEAST_STD, MOST_STD = 0.5, 0.5, 2.0  # † of normalised images


def initial_loss(model: nn.Module, x: Tensor, y: Tensor) -> Card:
    """Fires if the loss of the untrained network is further than 0.2 nats from ln C, that of guessing C classes."""
    check_batch(x, y)
    with evaluating(model):
        logits = model(x).float()
        loss = cross_entropy(logits, y).item()
    classes = logits.shape[1]
    guessing = math.log(classes)
    fired = not abs(loss - guessing) <= INITIAL  # so that NaN fires
    return Card(
        "initial loss",
        fired,
        f"The loss on {len(x)} images is {loss:.2f}; guessing {classes} classes gives ln {classes} = {guessing:.2f}, "
        f"and {INITIAL} around it is allowed.",
        "the first weights, or the images, are too large (confident and wrong before the first update), or the labels "
        "are not what the loss takes them for.",
        'start the last layer smaller (models.initialise(model, "he")), and compare the labels with the images.',
        f"{KARPATHY}; {CS231N}",
    )


def tiny_batch(model: nn.Module, x: Tensor, y: Tensor) -> Card:
    """Fires if a copy cannot learn (up to) 20 images by heart: loss above 0.05 after 200 updates.

    Adam at a learning rate of 0.001, no dropout, no augmentation, no decay.
    """
    check_batch(x, y)
    few = min(len(x), TINY)
    losses = losses_of_a_copy(model, x[:few], y[:few], STEPS, enough=LEARNED)
    fired = not losses[-1] <= LEARNED
    reached = f"falls from {losses[0]:.2f} to {losses[-1]:.3f} in {len(losses) - 1} updates"
    return Card(
        "overfit a tiny batch",
        fired,
        f"On {few} images the loss {reached}; at most {LEARNED} after {STEPS} is asked for.",
        "something between input and update is broken or far too weak: learning rate, a frozen layer, labels that "
        "contradict each other.",
        "find it before any long run: print the gradients layer by layer, try ten times the learning rate, "
        "look at the twenty images with their labels.",
        f"{KARPATHY}; {CS231N}",
    )


def blank_input(model: nn.Module, x: Tensor, y: Tensor, *, steps: int = 40) -> Card:
    """Fires if a copy learns real images no better than blank ones (zeros), by at least 0.1 nats in `steps` updates."""
    check_batch(x, y, least=2)
    check_int("steps", steps, 1)
    real, blank = (losses_of_a_copy(model, images, y, steps)[-1] for images in (x, torch.zeros_like(x)))
    return Card(
        "blank input",
        not real <= blank - BLANK,
        f"After {steps} updates on {len(x)} images the loss is {real:.2f} with the images and {blank:.2f} with blank "
        f"ones; the images should be worth {BLANK} or more.",
        "what is in the images does not reach the output: a layer that gives the same whatever it is given, or a step "
        "of the preparation that wipes them out.",
        "show a batch just before the network, then the spread of the activations layer by layer.",
        KARPATHY,
    )


def leakage(model: nn.Module, x: Tensor) -> Card:
    """Fires if, in evaluation mode, the output for one image depends on another image: ∂ output i / ∂ input j ≠ 0.

    The first and the last image of the batch are asked; the batch needs two or more.
    """
    check_batch(x, least=2)
    worst, where = 0.0, ""
    with evaluating(model), torch.enable_grad():
        images = x.detach().clone().requires_grad_()
        out = model(images).flatten(1)  # (B, C)
        # not the plain sum, which is constant for probabilities: all its gradients would be zero
        weights = torch.linspace(-1, 1, out.shape[1], device=out.device) + 0.1
        for i in (0, len(x) - 1):
            (gradient,) = torch.autograd.grad((out[i] * weights).sum(), images, retain_graph=True)
            sizes = gradient.abs().flatten(1).amax(dim=1)  # (B,)
            sizes[i] = 0.0
            if not sizes.max().item() <= worst:
                worst, where = sizes.max().item(), f", as that of image {i + 1} on image {int(sizes.argmax()) + 1}"
    return Card(
        "leakage across the batch",
        worst != 0,
        f"The largest gradient of one image's output by another image, of {len(x)}, is {worst:.2g}{where}; it should "
        "be 0.",
        "a layer mixes the images of a batch in evaluation mode: a view or reshape over the wrong dimension, or batch "
        "normalisation that still uses the batch's own statistics.",
        "take the layers away one by one until the gradient is 0; use permute, not view, to exchange dimensions.",
        KARPATHY,
    )


def frozen_parameters(
    model: nn.Module, x: Tensor, y: Tensor, *, optimizer: torch.optim.Optimizer | None = None
) -> Card:
    """Fires if a parameter is the same after one update (of a copy, with Adam) as before.

    optimizer: the one you train with; a parameter that it was never given counts as frozen, too.
    """
    check_batch(x, y, least=2)
    twin = copied(model).train()
    forgotten = set()
    if optimizer is not None:
        given = {id(p) for group in optimizer.param_groups for p in group["params"]}
        forgotten = {name for name, p in model.named_parameters() if id(p) not in given}
    if not any(p.requires_grad for p in twin.parameters()):
        raise InvalidInputError("no parameter of the network requires a gradient. Set requires_grad_(True) on some")
    before = {name: p.detach().clone() for name, p in twin.named_parameters()}
    stepper = optimizers.build("adam", twin)
    with own_random(x), torch.enable_grad():
        cross_entropy(twin(x).float(), y).backward()
        stepper.step()
    frozen = [name for name, p in twin.named_parameters() if name in forgotten or torch.equal(p, before[name])]
    listed = f": {', '.join(frozen[:4])}{' and more' * (len(frozen) > 4)}" if frozen else ""
    return Card(
        "frozen parameter",
        bool(frozen),
        f"After one update {len(frozen)} of {len(before)} parameters are unchanged, or not in the optimizer{listed}.",
        "requires_grad is off, the optimizer was built before the layer was replaced, or nothing flows back: a detach, "
        "or units that never react.",
        "build the optimizer from model.parameters() after the last change to the network.",
        "torchtest, a test suite for PyTorch models",
    )


def input_scale(x: Tensor) -> Card:
    """Fires if normalised images have |mean| > 0.5, or a standard deviation outside 0.5 to 2."""
    check_batch(x)
    mean, std = x.float().mean().item(), x.float().std().item()
    return Card(
        "input scale",
        not (abs(mean) <= MEAN and LEAST_STD <= std <= MOST_STD),
        f"The batch has mean {mean:.2f} and standard deviation {std:.2f}; |mean| up to {MEAN} and a deviation of "
        f"{LEAST_STD} to {MOST_STD:g} are allowed.",
        "the images are not normalised, normalised twice, or by another data set's mean and scale.",
        "subtract the mean image and divide by the standard deviation of the training images, for all splits alike.",
        "Umlaut (E. Schoop et al., 2021), with limits of our own",
    )
