"""Methods that need more than a loss, as a new user would write them: each is trained, cut in two, and looked at."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, kl_div

from bench.api import Extra, Method, class_aware
from bench.config import make
from bench.datasets.digitslt import DigitsLT
from bench.engine.cell import run_cell
from bench.engine.grid import Axes, expand
from bench.engine.life.settings import Settings
from bench.engine.plan import plan
from bench.engine.price.cost import _data_mib
from bench.engine.resume.checkpoint import load_checkpoint
from bench.errors import TrainingError, UsageError
from bench.plugins import dataset_facts
from bench.store.folders import read_cell
from bench.testing.contract import Target, registered
from bench.testing.contract.loop import CLASSES, goes_on, noise_data, run, tiny_cell


class Base(Method):
    """Adversarial training."""

    name = "hooked"
    registered_as = "methods"

    def loss(self, model, x, x_adv, y, context):
        return cross_entropy(model(x_adv), y), {}


class Sharp(Base):
    """SAM: the gradient is taken uphill of the weights, which are put back before the step."""

    def step(self, turn):
        x_adv = turn.attack()
        turn.gradient(x_adv)
        moved = [(p, 0.05 * p.grad / (p.grad.norm() + 1e-12)) for p in turn.model.parameters()]
        with torch.no_grad():
            for p, way in moved:
                p.add_(way)
            with torch.enable_grad():
                turn.gradient(x_adv)
            for p, way in moved:
                p.sub_(way)
        turn.update()


class Twice(Base):
    """Two updates a batch."""

    def step(self, turn):
        for _ in range(2):
            turn.gradient()
            turn.update()


class Remembering(Base):
    """Images weighted by how they fared when they were last seen."""

    def setup(self, model, context):
        self.last = torch.ones(int(context.class_counts.sum()), device=context.device)

    def loss(self, model, x, x_adv, y, context):
        each = cross_entropy(model(x_adv), y, reduction="none")
        weights = self.last[context.index]
        self.last = self.last.index_copy(0, context.index, each.detach())
        return (weights * each).mean(), {}

    def state(self):
        return {"last": self.last}

    def load_state(self, state):
        self.last = state["last"]


class Averaging(Base):
    """The mean of the weights after every epoch is what is evaluated."""

    def setup(self, model, context):
        self.mean, self.n = {k: torch.zeros_like(p) for k, p in model.named_parameters()}, 0
        self.model = model

    def on_epoch_end(self, context):
        self.n += 1
        for name, p in self.model.named_parameters():
            self.mean[name] += (p.detach() - self.mean[name]) / self.n

    def evaluated(self, model, clean):
        return self.mean if self.n else None

    def deploy(self, model, on):
        assert self.n, "a method without the state of its training"

    def state(self):
        return {"mean": self.mean, "n": self.n}

    def load_state(self, state):
        self.mean, self.n = {k: v.clone() for k, v in state["mean"].items()}, state["n"]


class TwoStages(Base):
    """From the second epoch on the head alone, at a tenth of the rate, on balanced batches."""

    def rate(self, name, context):
        return 1.0 if context.epoch < 1 else 0.1 * name.startswith("head.")

    def order(self, labels, context, generator):
        return class_aware(labels, context.num_classes, generator) if context.epoch else None


class Student(Base):
    """Learns from the finished network of another cell."""

    def cells(self):
        return {"teacher": "ce"}

    def loss(self, model, x, x_adv, y, context):
        with torch.no_grad():
            target = context.networks["teacher"](x).log_softmax(1)
        return kl_div(model(x_adv).log_softmax(1), target, log_target=True, reduction="batchmean"), {}


class Widening(Base):
    """Half as many extra images beside each batch."""

    needs = frozenset({"extra"})

    def loss(self, model, x, x_adv, y, context):
        more, labels = context.extra(len(x) // 2)
        known = labels >= 0
        return cross_entropy(model(torch.cat([x_adv, more[known]])), torch.cat([y, labels[known]])), {}


HOOKED = [Sharp, Twice, Remembering, Averaging, TwoStages, Student, Widening]


def weights(cls, epochs=3):
    spec, _ = tiny_cell(cls, {}, epochs)
    return goes_on(spec, lambda: cls(make(cls.Hparams, {}, "x")))


@pytest.mark.parametrize("cls", HOOKED)
def test_it_trains_another_network_and_a_resumed_run_has_its_bytes(cls):
    plain, own = weights(Base), weights(cls)
    assert any(not torch.equal(value, own[name]) for name, value in plain.items())


def test_a_step_that_is_spelled_out_is_the_default():
    class Spelled(Base):
        def step(self, turn):
            turn.gradient(turn.attack())
            turn.update()

    one, other = weights(Base), weights(Spelled)
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_frozen_part_stays_and_its_statistics_move():
    after_one, after_three = weights(TwoStages, 1), weights(TwoStages, 3)
    for name, value in after_one.items():
        moved = not torch.equal(value, after_three[name])
        assert moved == (name.startswith("head.") or "running" in name or "num_batches" in name), name


@pytest.mark.parametrize(("factor", "said"), [(0.0, "freezes every parameter in epoch 0"), (-1.0, "rate factor -1.0")])
def test_rates_that_cannot_be_are_refused_in_a_sentence(factor, said):
    class Wrong(Base):
        def rate(self, name, context):
            return factor

    with pytest.raises(TrainingError, match=said):
        weights(Wrong)


def test_a_step_without_a_gradient_is_refused_in_a_sentence():
    class Idle(Base):
        def step(self, turn):
            pass

    with pytest.raises(TrainingError, match=r"step\(\) of hooked takes no gradient"):
        weights(Idle)


def test_the_index_of_an_image_is_its_place_in_the_training_set():
    seen = []

    class Looking(Base):
        def loss(self, model, x, x_adv, y, context):
            seen.append((context.index.clone(), y.clone()))
            return super().loss(model, x, x_adv, y, context)

    spec, method = tiny_cell(Looking, {}, 1)
    run(spec, method, 16)
    assert sorted(torch.cat([index for index, _ in seen]).tolist()) == list(range(16))
    assert all(torch.equal(noise_data(16).train_labels[index], y) for index, y in seen)
    assert CLASSES == 4


# ------------------------------------------------------------------------------------------------- as whole cells


def cells(text, **more):
    axes = {"datasets": ("digitslt",), "attacks": ("clean",), "epochs": 2, "limit": 6, **more}
    return expand(Axes(methods=(text,), **axes))


def done(task, root):
    events = []
    run_cell(task, Settings(results=root), events.append)
    return events[-1]


def known(task, root):
    return read_cell(root / task.spec.id)


def kept(task, root):
    return load_checkpoint(root / task.spec.id / "checkpoint.pt")


def test_averaged_weights_are_deployed_also_by_a_later_process(tmp_path):
    with registered(Target("methods", "hooked", Averaging)):
        (task,) = cells("hooked[steps=1]")
        assert done(task, tmp_path)["event"] == "done"
        state = kept(task, tmp_path)
        assert torch.equal(state["network"]["head.bias"], state["method"]["mean"]["head.bias"])
        (later,) = cells("hooked[steps=1]", attacks=("clean", "fgsm"))
        assert done(later, tmp_path)["event"] == "done"
    assert set(known(later, tmp_path)["evaluations"]) == {"long-tailed/clean", "long-tailed/fgsm"}


def test_a_teacher_is_a_finished_cell_and_part_of_the_id(tmp_path):
    with registered(Target("methods", "hooked", Student)):
        teacher, student = cells("hooked[steps=1]")
        assert student.spec.cells == (("teacher", teacher.spec.id),)
        assert (teacher.spec.method, teacher.want.evaluations) == ("ce", ())
        waits = done(student, tmp_path)
        assert waits["event"] == "elsewhere"
        assert waits["message"].endswith("is not made yet; run the same command again.")
        assert done(teacher, tmp_path)["event"] == done(student, tmp_path)["event"] == "done"
        other = cells("hooked[steps=1]", seeds=(1,))[-1]
    assert other.spec.cells != student.spec.cells
    assert known(student, tmp_path)["before"]["teacher"]["cell"] == teacher.spec.id


def test_extra_images_come_from_the_data_set_or_are_asked_for_in_a_sentence(tmp_path, monkeypatch):
    with registered(Target("methods", "hooked", Widening)):
        (task,) = cells("hooked[steps=1]")
        assert "data set 'digitslt' has no extra images" in done(task, tmp_path / "none")["message"]
        images = DigitsLT().load().test_images[:40]
        extra = Extra(images, torch.arange(40).numpy() % 11 - 1)
        monkeypatch.setattr(DigitsLT, "extra", lambda self: extra)
        assert done(task, tmp_path)["event"] == "done"
        assert known(task, tmp_path)["data"]["extra_hash"]
        wrong = Extra(images[:, :4], extra.labels)
        monkeypatch.setattr(DigitsLT, "extra", lambda self: wrong)
        assert "uint8 of shape N x 8 x 8 x 1 with N labels are needed" in done(task, tmp_path / "wrong")["message"]


def test_an_archive_brings_extra_images_which_are_part_of_what_a_cell_is_made_from(tmp_path):
    digits, path = DigitsLT().load(), tmp_path / "more.npz"
    parts = {name: getattr(digits, name) for name in ("train_images", "train_labels", "test_images", "test_labels")}

    def write(count):
        np.savez(path, **parts, extra_images=digits.test_images[:count], extra_labels=digits.test_labels[:count])

    write(40)
    with registered(Target("methods", "hooked", Widening)):
        axes = {"datasets": (f"archive:{path}",), "irs": ("3",), "epochs": 1, "limit": 4, "attacks": ("clean",)}
        (task,) = expand(Axes(methods=("hooked[steps=1]",), models=("small-cnn",), **axes))
        assert done(task, tmp_path / "runs")["event"] == "done"
        mark = known(task, tmp_path / "runs")["data"]["extra_hash"]
        facts = dataset_facts(task.spec.dataset, None)
        assert facts.extra == 40
        more, less = (_data_mib(task.spec, dataclasses.replace(facts, extra=n)) for n in (40, 0))
        assert more - less == pytest.approx(40 * 64 / 2**20)
        assert plan([task], tmp_path / "runs") == []
        write(39)
        (work,) = plan([task], tmp_path / "runs")
        assert f"its extra images are others now (hash {mark} then" in work.stale


@pytest.mark.parametrize(
    ("name", "learns"),
    [("crt", {"head.weight", "head.bias"}), ("lws", {"head.scale"}), ("rw-fine", None)],
)
def test_a_second_stage_goes_on_from_the_finished_base(name, learns, tmp_path):
    base, stage = cells(f"{name}[steps=2]")
    assert (base.spec.method, base.spec.recipe.epochs, stage.spec.recipe.epochs) == ("plain", 2, 1)
    assert not stage.spec.recipe.reduced
    assert stage.spec.recipe.lr_at(0) == 0.1
    assert done(base, tmp_path)["event"] == done(stage, tmp_path)["event"] == "done"
    before, after = kept(base, tmp_path)["network"], kept(stage, tmp_path)["network"]
    parameters = {n for n in after if "running" not in n and "num_batches" not in n}
    changed = {n for n in parameters if n not in before or not torch.equal(before[n], after[n])}
    assert changed == (parameters if learns is None else learns)
    assert any("running" in n and not torch.equal(before[n], after[n]) for n in after)
    if learns is not None:  # n_max C draws of balanced classes
        counts = known(stage, tmp_path)["data"]["train_counts"]
        images = known(stage, tmp_path)["stages"]["train"]["images"]
        assert images == max(counts) * len(counts)


def test_another_base_is_another_cell_and_one_that_changed_is_noticed(tmp_path):
    *_, plain = cells("crt[steps=2]")
    base, own = cells("crt[steps=2,base=at-bsl[steps=1]+ema]")
    assert plain.spec.id != own.spec.id
    assert (base.spec.trained, base.spec.variant) == ("at-bsl+ema", "steps=1")
    (first, _), (second, _) = cells("crt[steps=2]"), cells("crt[steps=2]", seeds=(1,))
    assert first.spec.id != second.spec.id
    assert len({t.spec.id for t in expand(Axes(("plain", "crt", "lws"), ("digitslt",), attacks=("clean",)))}) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("crt[base=crt]", "crt cannot go on from 'crt', which is itself"),
        ("crt[base=nosuch]", "unknown method 'nosuch'"),
        ("crt+balanced-sampler", "'crt' and 'balanced-sampler' both change the order"),
    ],
)
def test_what_a_second_stage_cannot_be_is_one_sentence(text, said):
    with pytest.raises(UsageError) as raised:
        cells(text)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
