"""Learning from a teacher: a network that is asked to give the probabilities that another one gives.

Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network" (2015): softened by a temperature, a teacher's
probabilities also tell which wrong classes are nearly right, which a label cannot.
"""

import hashlib

import torch
from torch import Tensor, nn
from torch.nn.functional import kl_div, log_softmax

from tinylab.support.device import Device
from tinylab.training.scoring import evaluating


class Teacher:
    """A trained network in evaluation mode, and how much a student listens to it."""

    def __init__(self, network: nn.Module, device: Device, *, weight: float, temperature: float) -> None:
        self.network, self.device = device.place(network), device
        self.weight, self.temperature = weight, temperature
        self.digest = digest(network)  # what a checkpoint of the student keeps: another teacher is another run

    def blend(self, loss: Tensor, logits: Tensor, x: Tensor) -> Tensor:
        """(1 - weight)·loss + weight·disagreement, for the student's logits on the images x: what is minimised."""
        with evaluating(self.network), self.device.autocast():
            told = self.network(x)
        return torch.lerp(loss, disagreement(logits, told.float(), self.temperature), self.weight)


def digest(network: nn.Module) -> str:
    """Twelve hexadecimal digits that name a network's weights: the start of the SHA-256 of its whole state_dict.

    The same on every device and in every memory format.
    """
    found = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return found.hexdigest()[:12]


def disagreement(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T²·KL(teacher ‖ student) of the probabilities softmax(logits / T), mean over the batch, nats (scalar).

    logits, teacher float32 (B, classes). T² keeps the gradient's size the same at every temperature (section 2.1).
    """
    student, told = (log_softmax(part / temperature, dim=1) for part in (logits, teacher))
    return temperature**2 * kl_div(student, told, log_target=True, reduction="batchmean")
