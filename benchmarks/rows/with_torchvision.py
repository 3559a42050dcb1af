"""torchvision's own way: ImageFolder, v2 transforms, DataLoader.

torchvision is no dependency of this project: each of its releases imports beside one release of torch only, and not
beside every CPU build of that. Where it does not, the row says so.
"""

import torch
from torch.utils.data import Subset
from torchvision import tv_tensors  # noqa: F401 (fails here, not in the middle, where the build does not fit)
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from benchmarks.material import Material, torch_network
from benchmarks.pace import Pace, Task
from benchmarks.rows.plain import PADDING, documented, loader


def folder(material: Material, task: Task, pace: Pace) -> None:
    mean = torch.from_numpy(material.mean).permute(2, 0, 1)
    scale = torch.from_numpy(material.scale)[:, None, None]
    changes = [v2.RandomCrop(64, padding=PADDING, padding_mode="edge"), v2.RandomHorizontalFlip()]
    normalise = v2.Lambda(lambda image: (image.float() - mean) / scale)  # a mean image, where Normalize has a colour
    transform = v2.Compose([v2.PILToTensor(), *(changes if task.augment else []), normalise])
    # labels as tinylab has them: its classes are in the order of wnids.txt, ImageFolder's are sorted
    label = {str(path): int(label) for path, label in zip(material.paths, material.labels, strict=True)}
    found = ImageFolder(str(material.paths[0].parents[2]), transform)
    at = {path: number for number, (path, _) in enumerate(found.samples)}
    found.samples = [(path, label.get(path, 0)) for path, _ in found.samples]
    rows = material.rows(task.batch, task.steps) if task.rows is None else task.rows
    chosen = Subset(found, [at[str(material.paths[int(row)])] for row in rows])
    documented(torch_network, loader(chosen, task), task, pace)
