"""The running mean of a network's weights: steadier than the weights of any one step.

Polyak and Juditsky (1992) averaged the whole way; here the mean forgets exponentially, with the decay that grows with
the number of updates, as TensorFlow's ExponentialMovingAverage has it (2015), so that the first weights do not linger.
"""

from collections.abc import Mapping

from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Average:
    """Keeps the mean of `model`'s weights beside it; the two can change places.

    While an epoch goes on the model holds the weights that learn. Between epochs it holds their mean: what was
    measured is what whoever looks at the model finds. Statistics of batch normalisation are averaged like weights,
    since they describe activations that follow from the weights; its counters are copied.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay  # 0 < decay < 1, a step
        self.shown = False  # whether the model holds the mean, and `beside` the weights that learn
        self.beside = {name: tensor.detach().clone() for name, tensor in _tensors(model).items()}

    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after update number `step` (from 0) of the run."""
        here = _tensors(model)
        weights = [name for name, tensor in here.items() if tensor.is_floating_point()]
        decay = min(self.decay, (1 + step) / (10 + step))
        get_ema_multi_avg_fn(decay)([self.beside[name] for name in weights], [here[name] for name in weights], None)
        for name in here.keys() - weights:
            self.beside[name].copy_(here[name])

    def show(self, model: nn.Module) -> None:
        """Let the model hold the mean."""
        if not self.shown:
            self._exchange(model)

    def hide(self, model: nn.Module) -> None:
        """Let the model hold the weights that learn."""
        if self.shown:
            self._exchange(model)

    def learning(self, model: nn.Module) -> dict[str, Tensor]:
        """The weights that learn, wherever they are now; not copied."""
        return self.beside if self.shown else _tensors(model)

    def mean(self, model: nn.Module) -> dict[str, Tensor]:
        """Their mean, wherever it is now; not copied."""
        return _tensors(model) if self.shown else self.beside

    def put_back(self, beside: Mapping[str, Tensor], *, shown: bool) -> None:
        """Go back to an earlier `beside`, copied. Raises KeyError or RuntimeError if it is another network's."""
        for name, tensor in self.beside.items():
            tensor.copy_(beside[name])
        self.shown = shown

    def _exchange(self, model: nn.Module) -> None:
        for name, tensor in _tensors(model).items():
            kept = tensor.clone()
            tensor.copy_(self.beside[name])
            self.beside[name].copy_(kept)
        self.shown = not self.shown


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """Weights and statistics by name, each once even where two layers share it; changes reach the model."""
    return {name: tensor.detach() for name, tensor in (*model.named_parameters(), *model.named_buffers())}
