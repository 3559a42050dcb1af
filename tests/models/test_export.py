"""A trained network leaves by torch.export and as ONNX, and computes there what it computes here."""

import numpy as np
import pytest
import torch

from tests import tiny
from tinylab import models
from tinylab.training import Recipe, train

LINES = {"a small line": tiny.LINE, "batch norm": tiny.LINE.replace("relu - max", "batch norm - relu - max")}


@pytest.fixture(params=[*LINES, "modern"])
def trained(request):
    line = LINES.get(request.param)
    model = tiny.network(line=line) if line else models.build("modern", 3, size=16)
    train(model, tiny.dataset(), Recipe(epochs=1, batch=45)).finish()
    return model.eval()


@pytest.fixture
def images():
    return torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_torch_export(trained, images):
    program = torch.export.export(trained, (images,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},))
    more = torch.cat([images, images + 1])
    with torch.no_grad():
        torch.testing.assert_close(program.module()(more), trained(more), rtol=1e-4, atol=1e-5)


def test_onnx(trained, images):
    """Computed by ONNX's own reference, which shares no code with torch."""
    reference = pytest.importorskip("onnx.reference")
    pytest.importorskip("onnxscript")
    trained.to(memory_format=torch.contiguous_format)  # torch 2.11 loses the axes of a mean in the layout of training
    exported = torch.onnx.export(trained, (images,), dynamo=True, verbose=False)
    evaluator = reference.ReferenceEvaluator(exported.model_proto)
    (name,) = evaluator.input_names
    (found,) = evaluator.run(None, {name: images.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(found, trained(images).numpy(), rtol=1e-3, atol=1e-4)
