"""The attack suite: resumption, budget, bookkeeping and bad input."""

from __future__ import annotations

import copy
import itertools
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.api import Attack
from bench.config import AttackSpec, ThreatModel
from bench.engine.life.record import attack_facts
from bench.engine.suite import evaluate
from bench.engine.verdicts.chunks import ChunkFolder, Partial
from bench.engine.verdicts.results import SuiteResult
from bench.engine.verdicts.way import Way
from bench.errors import BenchError, DataError, DeviceError, ModelError, UsageError
from bench.registry import registry
from bench.seeding import isolated, torch_stream
from bench.store.parts.record import EvaluationFacts
from bench.store.rows import worst_case

SPECS = ["clean", "fgsm", "pgd-20[steps=4]", "cw-l2[steps=10]", "aa[queries=40,steps=5]"]


def setting(count: int = 20, classes: int = 4) -> tuple[nn.Module, Tensor, Tensor, Tensor]:
    """(net, uint8 images N x H x W x channels, labels, names)."""
    with isolated(5, "suite"):
        net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten(), nn.Linear(20, classes))
        images = torch.randint(0, 256, (count, 4, 4, 3), dtype=torch.uint8)
    with torch.no_grad():
        labels = net.eval()(images.permute(0, 3, 1, 2) / 255).argmax(1)
    labels[::7] = (labels[::7] + 1) % classes
    return net, images, labels, torch.arange(count) * 3 + 1


def run(specs: list[str] = SPECS, **changes: object) -> SuiteResult:
    net, images, labels, names = setting()
    options: dict = {"threat": ThreatModel(0.03), "num_classes": 4, "root_seed": 0, "batch_size": 6}
    given = {"network": net, "images": images, "labels": labels, "indices": names} | options | changes
    first = [given.pop(k) for k in ("network", "images", "labels", "indices")]
    return evaluate(*first, [AttackSpec.parse(s) for s in specs], **given)


def bits(result: SuiteResult) -> dict[str, list[bool]]:
    return {label: attack.correct.tolist() for label, attack in result.attacks.items()}


class Dies(ChunkFolder):
    """Stops the evaluation at its n-th save."""

    def __init__(self, path: Path, after: int) -> None:
        super().__init__(path)
        self.left = after

    def save(self, key: str, arrays: dict[str, np.ndarray]) -> None:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        super().save(key, arrays)


class Counts(ChunkFolder):
    """Counts saves."""

    saves = 0

    def save(self, key: str, arrays: dict[str, np.ndarray]) -> None:
        self.saves += 1
        super().save(key, arrays)


def test_resumes_at_the_last_chunk_wherever_it_was_stopped(tmp_path: Path) -> None:
    want, whole = run(), Counts(tmp_path / "whole")
    assert bits(run(store=whole)) == bits(want)
    assert whole.saves > 15
    for after in range(0, whole.saves, 3):
        with pytest.raises(KeyboardInterrupt):
            run(store=Dies(tmp_path / str(after), after))
        again = Counts(tmp_path / str(after))
        result = run(store=again)
        assert bits(result) == bits(want)
        assert again.saves == whole.saves - after
        assert result.probes == want.probes
        assert [s.forwards for a in result.attacks.values() for s in a.stages] == [
            s.forwards for a in want.attacks.values() for s in a.stages
        ]


def test_a_finished_evaluation_is_not_computed_again(tmp_path: Path) -> None:
    run(store=ChunkFolder(tmp_path))
    again = Counts(tmp_path)
    run(store=again)
    assert again.saves == 0
    run(store=again, batch_size=3)
    assert again.saves == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"root_seed": 1},
        {"threat": ThreatModel(0.02)},
        {"labels": torch.zeros(20).long()},
        {"indices": torch.arange(20)},
        {"network": "other"},
    ],
)
def test_partial_verdicts_of_another_evaluation_are_not_used(tmp_path: Path, changes: dict) -> None:
    run(store=ChunkFolder(tmp_path))
    if "network" in changes:
        changes = {"network": setting()[0]}
        with torch.no_grad():
            changes["network"][4].bias.add_(torch.tensor([0.0, 0.2, 0.0, 0.0]))
    assert bits(run(store=ChunkFolder(tmp_path), **changes)) == bits(run(**changes))


def test_damaged_partial_verdicts_are_recomputed(tmp_path: Path) -> None:
    want = run(store=ChunkFolder(tmp_path))
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:50])
    assert bits(run(store=ChunkFolder(tmp_path))) == bits(want)


def test_partial_verdicts_that_lost_a_part_or_are_of_no_kind_that_can_be_read_are_recomputed(tmp_path: Path) -> None:
    want = run(store=ChunkFolder(tmp_path))
    first, second, *_ = sorted(tmp_path.iterdir())
    with np.load(first) as archive:
        held = {name: archive[name] for name in archive.files if name != "counts"}
    np.savez(first, **held)
    body = bytearray(second.read_bytes())
    place = body.rindex(b"PK\x01\x02")  # the directory's last entry: a method that no reader has
    body[place + 10 : place + 12] = (99).to_bytes(2, "little")
    second.write_bytes(body)
    assert bits(run(store=ChunkFolder(tmp_path))) == bits(want)


def test_partial_verdicts_of_what_is_stored_are_cleared_and_of_nothing_else(tmp_path: Path) -> None:
    partial = Partial(tmp_path)
    for key, code in (("a/fgsm", "old"), ("a/fgsm", ""), ("a/aa", "1"), ("a/fgsm[eps=0.1]", "1")):
        partial.of(key, code).save("0", {"done": np.ones(1)})
    partial.clear(["a/fgsm", "b/fgsm"])
    assert partial.of("a/fgsm", "").load("0") is None
    assert partial.of("a/aa", "1").load("0") is not None
    assert len(list((tmp_path / "partial").iterdir())) == 2
    partial.clear(["a/aa", "a/fgsm[eps=0.1]"])
    assert list(tmp_path.iterdir()) == []


def test_kill_minus_nine_loses_at_most_a_chunk(tmp_path: Path) -> None:
    program = textwrap.dedent(f"""
        import sys, time
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        import test_suite
        from bench.engine.verdicts.chunks import ChunkFolder
        class Slow(ChunkFolder):
            def save(self, key, arrays):
                super().save(key, arrays)
                print(key, flush=True)
                time.sleep(0.05)
        test_suite.run(store=Slow({str(tmp_path)!r}))
    """)
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    seen = [child.stdout.readline() for _ in range(9)]
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    child.stdout.close()
    assert "cw-l2" in seen[-1] or "pgd" in seen[-1]
    again = Counts(tmp_path)
    assert bits(run(store=again)) == bits(run())
    whole = Counts(tmp_path / "whole")
    run(store=whole)
    assert again.saves <= whole.saves - 9


@dataclass(frozen=True)
class _None:
    """No parameters."""


class Cheat(Attack):
    """Leaves the ball."""

    name = "cheat"
    Params = _None

    def run(self, oracle: object, x: Tensor, y: Tensor, noise: object) -> Tensor:
        return 1 - x


class Wild(Cheat):
    """Leaves the box, and reality."""

    name, norm = "wild", "l2"

    def run(self, oracle: object, x: Tensor, y: Tensor, noise: object) -> Tensor:
        out = -3 * x
        out[0] = torch.nan
        return out


class Few(Cheat):
    """Leaves the ball with the first image of a batch."""

    name = "few"

    def run(self, oracle: object, x: Tensor, y: Tensor, noise: object) -> Tensor:
        return torch.cat([1 - x[:1], x[1:]])


class Crop(Cheat):
    """Answers with images of another size."""

    name = "crop"

    def run(self, oracle: object, x: Tensor, y: Tensor, noise: object) -> Tensor:
        return x[..., 1:]


@pytest.fixture
def cheats():
    attacks = registry("attacks")
    for cls in (Cheat, Wild, Few, Crop):
        attacks.add(cls.name, cls)
    yield
    for cls in (Cheat, Wild, Few, Crop):
        attacks.discard(cls.name)


@pytest.mark.usefixtures("cheats")
@pytest.mark.parametrize("name", ["cheat", "wild"])
def test_an_attack_that_leaves_the_budget_failed(name: str) -> None:
    with pytest.raises(ModelError, match=rf"'{name}' failed: 20 of 20 answers"):
        run(["clean", name])


@pytest.mark.usefixtures("cheats")
def test_a_success_outside_the_budget_is_refused(tmp_path: Path) -> None:
    result = run(["clean", "few"], store=ChunkFolder(tmp_path))
    attack = result.attacks["few"]
    np.testing.assert_array_equal(attack.correct, result.clean)
    assert attack.total("refused") == 4
    assert attack.eps == 0.03
    assert not [p for p in tmp_path.iterdir() if p.name.startswith("few")]  # no later run takes what only stood in


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_a_network_in_another_precision_is_attacked_as_in_single(dtype: torch.dtype) -> None:
    with isolated(0, "half"):
        net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 4))
    x = torch.rand(24, 1, 8, 8, generator=torch_stream(0, "half"))
    labels = net(x).argmax(1)
    left = {}
    for one in (net, copy.deepcopy(net).to(dtype)):
        result = evaluate(
            one,
            x,
            labels,
            torch.arange(24),
            [AttackSpec(a) for a in ("fgsm", "pgd-20", "cw-l2")],
            threat=ThreatModel(8 / 255),
            num_classes=4,
            root_seed=0,
        )
        assert all(a.total("refused") == 0 for a in result.attacks.values())
        left[one is net] = {label: int(a.correct.sum()) for label, a in result.attacks.items()}
    assert left[True]["pgd-20"] < 20
    assert all(abs(left[True][k] - left[False][k]) <= 2 for k in left[True]), left


@pytest.mark.usefixtures("cheats")
def test_an_answer_of_another_shape_is_an_error() -> None:
    with pytest.raises(ModelError, match="crop"):
        run(["crop"])


def worst_of(result: SuiteResult, eps: float) -> np.ndarray | None:
    facts = {label: msgspec.convert(attack_facts(attack), EvaluationFacts) for label, attack in result.attacks.items()}
    return worst_case(facts, {label: attack.correct for label, attack in result.attacks.items()}, eps)


def test_worst_case_is_image_by_image() -> None:
    result = run(["clean", "fgsm", "pgd-20", "cw-linf", "cw-l2", "fgsm[eps=16/255]"])
    counted = [result.attacks[label].correct for label in ("clean", "fgsm", "pgd-20", "cw-linf")]
    worst = worst_of(result, 0.03)
    assert worst is not None
    np.testing.assert_array_equal(worst, np.logical_and.reduce(counted))
    assert worst.any()
    assert result.attacks["cw-l2"].correct.sum() < worst.sum()
    assert result.attacks["fgsm[eps=16/255]"].eps == pytest.approx(16 / 255 * 0.03 / (8 / 255))
    assert worst_of(run(["clean", "cw-l2"]), 0.03) is None


def test_survivors_are_gathered_over_the_whole_set() -> None:
    progress: list[tuple[str, int, int]] = []
    result = run(["aa[queries=40,steps=5]"], progress=lambda *a: progress.append(a))
    stages = next(iter(result.attacks.values())).stages
    assert [s.name for s in stages] == ["apgd-ce", "apgd-t", "fab-t", "square"]
    assert stages[0].attacked == result.clean.sum() < 20
    for before, after in itertools.pairwise(stages):
        assert after.attacked == before.attacked - before.broken
    assert {of for label, _, of in progress if label.startswith("aa")} == {int(result.clean.sum())}
    assert stages[0].forwards > stages[0].attacked
    assert stages[-1].backwards == 0


def test_progress_is_that_of_the_whole_chain() -> None:
    """Stages cost unlike amounts and meet fewer images each: the share of the work, full at the very end only."""
    progress: list[tuple[str, int, int]] = []
    result = run(["aa[queries=40,steps=5]"], progress=lambda *a: progress.append(a), batch_size=1)
    attack = next(iter(result.attacks.values()))
    told = [at for label, at, _ in progress if label.startswith("aa")]
    assert told == sorted(told)
    assert told[-1] == result.clean.sum()
    assert told.count(told[-1]) == 1
    # the first stage costs 13 passes of 13 + 117 + 135 + 40 = 305 (9 targets), so after it little is done
    assert told[attack.stages[0].attacked - 1] < result.clean.sum() / 2


def test_an_attack_that_breaks_everything_early_is_at_its_end_early() -> None:
    way = Way((10.0, 90.0), 2, 100)
    assert way.at(0, 50, 100, 100) == 5  # 500 of 500 + 500 + 9000
    assert way.at(0, 100, 100, 10) == 52  # 1000 of 1000 + 900
    assert way.at(1, 10, 10, 0) == 100
    assert Way((1.0,), 1, 8).at(0, 3, 8, 8) == 3
    assert Way((1.0,), 2, 8).at(0, 8, 8, 8) == 4  # costs that do not fit the stages: all alike


def test_floats_and_uint8_are_the_same_images() -> None:
    _, images, _, _ = setting()
    assert bits(run(images=images.permute(0, 3, 1, 2) / 255)) == bits(run())


def test_folding_can_be_turned_off() -> None:
    net, images, labels, names = setting()
    wide = {"network": net.double(), "images": images, "labels": labels, "indices": names}
    assert bits(run(**wide)) == bits(run(**wide, fold=False))


def test_probes_and_modes() -> None:
    net, *_ = setting()
    net.train()
    result = run(network=net)
    assert net.training
    assert result.probes["smallest_class"] >= 1
    assert result.probes["images"] == 20
    assert 0 <= result.probes["pixel_min"] <= result.probes["pixel_max"] <= 1


def test_gradients_that_are_no_numbers_lead_nowhere() -> None:
    class Rootless(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            flat = x.flatten(1)
            return flat[:, :4] + (flat[:, :1] * 0).sqrt()  # its slope at 0 is infinite, times 0

    found = run(network=Rootless()).probes
    assert found["zero_gradient_share"] == 1


class Nothing(nn.Module):
    """Gives what it is told."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output

    def forward(self, x: Tensor) -> Tensor:
        return self.output.expand(len(x), *self.output.shape[1:])


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"labels": torch.full((20,), 4)}, DataError),
        ({"labels": torch.full((20,), -1)}, DataError),
        ({"labels": torch.zeros(19).long()}, DataError),
        ({"indices": torch.arange(3)}, DataError),
        ({"images": torch.zeros(20, 4, 4, dtype=torch.uint8)}, DataError),
        ({"images": torch.zeros(20, 4, 4, 3, dtype=torch.int32)}, DataError),
        (
            {"images": torch.zeros(0, 4, 4, 3, dtype=torch.uint8), "labels": torch.zeros(0), "indices": torch.zeros(0)},
            DataError,
        ),
        ({"images": torch.zeros(20, 6, 6, 3, dtype=torch.uint8)}, ModelError),
        ({"images": torch.zeros(20, 4, 4, 1, dtype=torch.uint8)}, ModelError),
        ({"network": Nothing(torch.zeros(1, 5))}, ModelError),
        ({"network": Nothing(torch.zeros(1, 4, 1))}, ModelError),
        ({"network": Nothing(torch.full((1, 4), torch.nan))}, ModelError),
        ({"specs": ["fgsm[eps=0]"]}, UsageError),
        ({"specs": ["nothing"]}, UsageError),
        ({"threat": ThreatModel(0.0)}, UsageError),
    ],
)
def test_bad_input_is_one_sentence_and_stores_nothing(tmp_path: Path, changes: dict, error: type[BenchError]) -> None:
    with pytest.raises(error) as caught:
        run(**changes, store=ChunkFolder(tmp_path))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


class Greedy(nn.Module):
    """Runs out of memory above some batch size."""

    def __init__(self, net: nn.Module, error: Exception | None = None) -> None:
        super().__init__()
        self.net, self.most, self.sizes = net, 10**6, list[int]()
        self.error = error or torch.OutOfMemoryError("full")

    def forward(self, x: Tensor) -> Tensor:
        self.sizes.append(len(x))
        if len(x) > self.most:
            raise self.error
        return self.net(x)


def test_batches_are_halved_when_memory_runs_out() -> None:
    greedy = Greedy(setting()[0])

    def limit(label: str, done: int, total: int) -> None:
        greedy.most = 7

    wide = ["pgd-20[steps=4]"]
    got = run(wide, network=greedy, batch_size=None, progress=limit, fold=False)
    assert bits(got) == bits(run(wide, network=greedy.net, fold=False))
    assert max(greedy.sizes[-5:]) <= 7
    greedy.most, said = 20, list[str]()
    got = run(wide, network=greedy, batch_size=12, progress=limit, notice=said.append, fold=False)
    assert bits(got) == bits(run(wide, network=greedy.net, fold=False))
    assert said == ["memory ran out with 8 images at once; clean goes on with 4."]  # all that follows goes on so


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("full"), MemoryError(), RuntimeError("can't allocate memory")]
)
def test_memory_that_does_not_hold_one_image_is_a_sentence(error) -> None:
    greedy = Greedy(setting()[0], error)

    def limit(label: str, done: int, total: int) -> None:
        greedy.most = 0

    with pytest.raises(DeviceError, match="memory ran out with one image"):
        run(["fgsm"], network=greedy, progress=limit, fold=False)


def test_a_store_that_is_empty_is_a_store():
    class Memory(dict):
        load = dict.get
        save = dict.__setitem__

    kept = Memory()
    run(store=kept)
    assert any(key.startswith("clean/") for key in kept)
