"""Learning from a teacher: against softened probabilities written out in numpy, that it helps, and who taught."""

import copy
import hashlib
import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from torch.nn.functional import cross_entropy

from tests import tiny
from tests.training.made import BUSY, CPU, DATA, NORMED, assert_same, copied, same, untimed
from tinylab.support.errors import InvalidInputError, TrainingError
from tinylab.training import Recipe, best_path, checkpoints, train
from tinylab.training.distillation import digest, disagreement

LISTEN = replace(BUSY, teacher_weight=0.7, temperature=3.0)


def slow(logits: np.ndarray, teacher: np.ndarray, temperature: float) -> float:
    """T²·Σ q (ln q - ln p), the mean over the images, in float64."""
    p, q = (log_softmax(part.astype(np.float64) / temperature, axis=1) for part in (logits, teacher))
    return temperature**2 * (np.exp(q) * (q - p)).sum(axis=1).mean()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0, 20.0])
def test_disagreement_equals_numpy(temperature):
    generator = torch.Generator().manual_seed(0)
    logits, teacher = 3 * torch.randn(2, 6, 5, generator=generator)
    expected = slow(logits.numpy(), teacher.numpy(), temperature)
    assert disagreement(logits, teacher, temperature).item() == pytest.approx(expected, rel=1e-4)
    assert disagreement(logits, logits, temperature).item() == pytest.approx(0, abs=1e-5)


def test_its_gradient_is_the_difference_of_the_probabilities():
    """Hinton et al. (2015), equation 2, times T²: T·(p - q) / B."""
    generator = torch.Generator().manual_seed(1)
    logits, teacher = torch.randn(2, 6, 5, generator=generator, dtype=torch.float64)
    logits.requires_grad_()
    disagreement(logits, teacher, 4.0).backward()
    expected = 4.0 * ((logits / 4).softmax(1) - (teacher / 4).softmax(1)) / 6
    torch.testing.assert_close(logits.grad, expected.detach())


def test_a_step_s_loss_is_shared_between_labels_and_teacher():
    model, teacher = tiny.network(), tiny.network(seed=9)
    recipe = replace(LISTEN, dropout=0.0, label_smoothing=0.1)
    run = train(model, DATA, recipe, device=CPU, teacher=teacher)
    x, y = next(run.batches.epoch(1))
    logits, told = (network.eval()(x).detach() for network in (model, teacher))
    labels = cross_entropy(logits, y, label_smoothing=0.1).item()
    expected = 0.3 * labels + 0.7 * slow(logits.numpy(), told.numpy(), 3.0)
    assert next(run.steps()).loss == pytest.approx(expected, rel=1e-5)


def test_the_teacher_stays_as_it_is_and_is_asked_without_dropout():
    teacher = tiny.network(seed=9)
    teacher.train()
    before = copied(teacher)
    first = train(tiny.network(), DATA, LISTEN, device=CPU, teacher=teacher)
    first.finish()
    assert same(copied(teacher), before)
    assert teacher.training
    assert all(parameter.grad is None for parameter in teacher.parameters())
    again = train(tiny.network(), DATA, LISTEN, device=CPU, teacher=teacher.eval())
    assert untimed(again.finish()) == untimed(first.history)


def test_a_student_comes_to_agree_with_its_teacher():
    """The teacher has learnt wrong labels; the student follows it although its own labels say otherwise."""
    wrong = replace(DATA, train=replace(DATA.train, labels=(DATA.train.labels + 1) % 3))
    teacher, student = tiny.network(), tiny.network(seed=1)
    brief = Recipe(epochs=12, batch=16, learning_rate=3e-3, dropout=0.0)
    train(teacher, wrong, brief, device=CPU).finish()
    train(student, DATA, replace(brief, teacher_weight=0.95), device=CPU, teacher=teacher).finish()
    images = DATA.normalisation.apply(DATA.development.images[DATA.development.index])
    with torch.no_grad():
        answers = [network.eval()(images).argmax(1) for network in (teacher, student)]
    assert (answers[0] == answers[1]).float().mean() > 0.8


@pytest.mark.parametrize(
    ("recipe", "teacher", "said"),
    [
        (LISTEN, None, "teacher_weight 0.7, but there is no teacher"),
        (BUSY, tiny.network(), "teacher_weight is 0"),
        (LISTEN, tiny.network(classes=5), "5 outputs, the data has 3 classes"),
    ],
)
def test_a_teacher_and_its_weight_belong_together(recipe, teacher, said):
    with pytest.raises(InvalidInputError, match=said) as caught:
        train(tiny.network(), DATA, recipe, device=CPU, teacher=teacher)
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- a teacher belongs to a checkpoint


def test_a_digest_names_weights_not_where_or_how_they_lie():
    one = tiny.network(line=NORMED)
    found = digest(one)
    assert len(found) == 12
    assert digest(copy.deepcopy(one).to(memory_format=torch.channels_last)) == found
    with torch.no_grad():
        last = list(one.parameters())[-1]
        last[-1] = torch.nextafter(last[-1], torch.tensor(9.0))  # the smallest change there is
    assert digest(one) != found
    other = tiny.network(line=NORMED)
    other[1].running_mean[0] += 1  # a teacher in evaluation mode answers by it
    assert digest(other) not in (found, digest(one))


def test_a_student_resumed_with_the_same_teacher_is_bit_identical(tmp_path):
    teacher, straight, resumed = tiny.network(seed=9), tiny.network(), tiny.network()
    history = train(straight, DATA, LISTEN, device=CPU, teacher=teacher).finish()
    path = tmp_path / "run.ckpt"
    next(iter(train(resumed, DATA, LISTEN, device=CPU, checkpoint=path, teacher=teacher)))
    assert checkpoints.load(path).teacher == checkpoints.load(best_path(path)).teacher == digest(teacher)
    resumed, again = tiny.network(seed=5), tiny.network(seed=9)  # equal weights in another network are the same teacher
    run = train(resumed, DATA, LISTEN, device=CPU, checkpoint=path, resume=True, teacher=again)
    assert untimed(run.finish()) == untimed(history)
    assert_same(straight, resumed)


def test_resume_refuses_another_teacher_and_leaves_the_model_alone(tmp_path):
    path, teacher, other = tmp_path / "run.ckpt", tiny.network(seed=9), tiny.network(seed=8)
    next(iter(train(tiny.network(), DATA, LISTEN, device=CPU, checkpoint=path, teacher=teacher)))
    model = tiny.network(seed=5)
    before = copied(model)
    said = (
        f"run.ckpt: the checkpoint belongs to another run: its teacher (digest) was '{digest(teacher)}', "
        f"now it is '{digest(other)}'. Use the same"
    )
    with pytest.raises(TrainingError) as caught:
        train(model, DATA, LISTEN, device=CPU, checkpoint=path, resume=True, teacher=other)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert same(copied(model), before)


def without_teacher(path):
    """The checkpoint as it was written before it named a teacher."""
    head, _, payload = path.read_bytes().split(b"\n", 2)
    parts, buffer = torch.load(io.BytesIO(payload), weights_only=True), io.BytesIO()
    del parts["teacher"]
    torch.save(parts, buffer)
    path.write_bytes(b"\n".join([head, hashlib.sha256(buffer.getvalue()).hexdigest().encode(), buffer.getvalue()]))


def test_a_checkpoint_from_before_goes_on_without_a_teacher_only(tmp_path):
    paths, teacher = [tmp_path / "plain.ckpt", tmp_path / "taught.ckpt"], tiny.network(seed=9)
    for path, recipe, by in zip(paths, (BUSY, LISTEN), (None, teacher), strict=True):
        next(iter(train(tiny.network(), DATA, recipe, device=CPU, checkpoint=path, teacher=by)))
        without_teacher(path)
        without_teacher(best_path(path))
        assert checkpoints.load(path).teacher is None
    straight, resumed = tiny.network(), tiny.network(seed=5)
    train(straight, DATA, BUSY, device=CPU).finish()
    train(resumed, DATA, BUSY, device=CPU, checkpoint=paths[0], resume=True).finish()
    assert_same(straight, resumed)
    with pytest.raises(TrainingError, match=r"its teacher \(digest\) was None, now it is"):
        train(tiny.network(), DATA, LISTEN, device=CPU, checkpoint=paths[1], resume=True, teacher=teacher)


@pytest.mark.parametrize("teacher", [3, b"abc", ["a"]])
def test_a_checkpoint_whose_teacher_is_no_text_is_refused(tmp_path, teacher):
    run = train(tiny.network(), DATA, BUSY, device=CPU)
    checkpoints.save(tmp_path / "run.ckpt", replace(run.state(), teacher=teacher))
    with pytest.raises(TrainingError, match=r"does not hold a run .*teacher is"):
        checkpoints.load(tmp_path / "run.ckpt")
