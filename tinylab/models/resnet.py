"""The modern network of lecture 10: residual blocks with batch normalisation, from scratch on 64×64 images.

    conv3-64 - batch norm - relu - block(64) - block(64) - block(128) - … - average pool - dropout - fc(classes)

The pieces and where they come from:

    batch normalisation after every convolution     Ioffe and Szegedy, 2015
    blocks that add to what comes in                He et al., "Deep Residual Learning for Image Recognition", 2015
    a first layer of 3×3 that keeps the resolution  the same paper's networks for small images (CIFAR-10)
    each block starts as doing nothing (scale 0)    Goyal et al., "Accurate, Large Minibatch SGD", 2017
    halving by averaging on the way past a block    He et al., "Bag of Tricks for Image Classification" (ResNet-D), 2018

All pixels of the last maps are averaged, so there is no fc(512) with millions of weights, and any image size fits.
"""

from collections import OrderedDict
from dataclasses import dataclass

from torch import Tensor, nn

from tinylab.models.fast_layers import Dropout
from tinylab.support.errors import InvalidInputError, check_int, nearest


@dataclass(frozen=True)
class Shape:
    """How wide and how deep a modern network is."""

    widths: tuple[int, ...] = (64, 128, 256, 512)  # channels of each stage; every stage after the first halves the maps
    blocks: tuple[int, ...] = (2, 2, 2, 2)  # in each stage; a block holds two convolutions
    stride: int = 1  # of the first convolution: 2 looks at a quarter of the pixels, for slow machines


SHAPES: dict[str, Shape] = {
    "modern-small": Shape((16, 32, 64, 128), (1, 1, 1, 1), stride=2),  # for a lecture on a laptop
    "modern-laptop": Shape((32, 64, 128, 256), stride=2),  # for hours of a laptop
    "modern": Shape(),  # a ResNet-18 for small images
}


class Modern(nn.Sequential):
    """The layers in their order. A network has its own name; a part of it (a slice) has none."""

    architecture: str = "part of a modern network"


def modern(name: str, classes: int = 200) -> Modern:
    """The network of that name in `SHAPES`; weights as PyTorch draws them (see `models.build`).

    Input float (B, 3, H, W) of any size; output float (B, classes), logits. `architecture` is its name.
    Raises InvalidInputError for an unknown one.
    """
    if name not in SHAPES:
        raise InvalidInputError(f"modern network {name!r} is unknown{nearest(name, SHAPES)}")
    check_int("classes", classes, 2)
    shape = SHAPES[name]
    width = shape.widths[0]
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers[f"conv3-{width}"] = nn.Conv2d(3, width, 3, shape.stride, padding=1, bias=False)
    layers["batch norm"] = nn.BatchNorm2d(width)
    layers["relu"] = nn.ReLU()
    for stage, (wide, count) in enumerate(zip(shape.widths, shape.blocks, strict=True)):
        for position in range(count):
            halves = stage > 0 and position == 0
            block = Residual(width, wide, stride=2 if halves else 1)
            layers[f"block {stage + 1}-{position + 1}"] = block
            width = wide
    layers["average pool"] = nn.AdaptiveAvgPool2d(1)  # (B, C, 1, 1): the mean of each map
    layers["flatten"] = nn.Flatten()
    layers["dropout"] = Dropout(0.0)
    layers[f"fc({classes})"] = nn.Linear(width, classes)
    network = Modern(layers)
    network.architecture = name
    return network


class Residual(nn.Module):
    """relu(shortcut(x) + branch(x)): the branch learns what to add to what is there already.

    (B, inputs, H, W) -> (B, outputs, H/stride, W/stride), odd sizes rounded up. The branch is conv - batch norm - relu
    - conv - batch norm. The last scale starts at 0, so that a new block only passes on what comes in, and the gradient
    of the deepest network reaches its first layer. No convolution has a bias: the batch norm behind it would subtract
    it again.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1) -> None:
        super().__init__()
        last = nn.BatchNorm2d(outputs)
        nn.init.zeros_(last.weight)
        self.branch = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            last,
        )
        self.shortcut = nn.Sequential()  # x itself, where that fits
        if stride > 1:  # a strided 1×1 convolution would look at one pixel of four only
            self.shortcut.append(nn.AvgPool2d(stride, ceil_mode=True))
        if inputs != outputs:
            self.shortcut.append(nn.Conv2d(inputs, outputs, 1, bias=False))
            self.shortcut.append(nn.BatchNorm2d(outputs))
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.relu(self.shortcut(x) + self.branch(x))
        return out
