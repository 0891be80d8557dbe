"""What a grid costs: passes from recipes and attacks, seconds and memory from rates, and how many processes fit."""

from __future__ import annotations

import dataclasses
import json

import pytest

from bench.api import DatasetFacts
from bench.config import AttackSpec, CellSpec, Recipe, Request, Task
from bench.engine.cell import run_cell
from bench.engine.grid import Axes, expand
from bench.engine.host import device
from bench.engine.life.settings import Settings
from bench.engine.plan import plan
from bench.engine.price import cost, rates
from bench.engine.price.cost import Cost, Known, cell_cost, class_counts, estimate
from bench.engine.price.rates import Line, Rate, key, read_calibration, write_calibration
from bench.plugins import dataset_facts
from bench.sizes import read_facts
from bench.store.folders import read_cell

FACTS = DatasetFacts(classes=4, image=(1, 8, 8), train_max=40, test_max=10)
TRAIN, TEST = sum(class_counts(40, (), 4.0, 4, None)), sum(class_counts(10, (), 4.0, 4, None))
RATE = Rate(
    step=Line(1.0, 0.1),
    attack=Line(0.5, 0.05),
    forward=Line(0.2, 0.01),
    gradient=Line(0.3, 0.02),
    evaluation=7.0,
    cell=11.0,
    startup=13.0,
    first=5.0,
    memory_mib=500.0,
    base_mib=300.0,
    weights_mib=4.0,
)


def task(method: str = "at", *attacks: str, splits: tuple[str, ...] = ("long-tailed",), **recipe: object) -> Task:
    settings = {"epochs": 5, "full_epochs": 5, "batch_size": 16, "steps": 10, **recipe}
    spec = CellSpec(method, "digitslt", 4.0, "small-cnn", 0, recipe=Recipe(**settings))
    return Task(spec, Request.product([AttackSpec(a) for a in attacks], splits))


def known(**more: object) -> Known:
    return Known({key("small-cnn", (1, 8, 8), "fp32"): RATE}, **more)


def lacks(task: Task) -> list[str]:
    return ["train", *(e.key for e in task.want.evaluations)]


def test_training_passes_and_seconds_of_adversarial_training():
    at = task()
    got = cost.training(at.spec, FACTS, RATE)
    assert (got.forward, got.backward) == (5 * TRAIN * 11, 5 * TRAIN * 11)
    calls = -(-TRAIN // 16)
    assert got.seconds == pytest.approx(5 * ((calls * 1.0 + TRAIN * 0.1) + 10 * (calls * 0.5 + TRAIN * 0.05)))


@pytest.mark.parametrize(
    "method",
    [
        "crt",
        "lws",
        "at+class-aware-sampler",
        "at+class-aware-sampler[length=images]",
        "at+balanced-sampler",
        "at+cfol",
        "at[validation=0.2]",
    ],
)
def test_the_images_of_an_estimate_are_those_that_a_training_sees(method, tmp_path):
    axes = Axes(methods=(method,), datasets=("digitslt",), irs=("2",), epochs=2, limit=8, attacks=("clean",))
    tasks = expand(axes)
    for task in tasks:
        run_cell(task, Settings(results=tmp_path, device="cpu"), lambda _: None)
    spec = tasks[-1].spec
    stage = read_cell(tmp_path / spec.id)["stages"]["train"]
    found = cell_cost(
        dataclasses.replace(tasks[-1], want=Request()), dataset_facts("digitslt", None), ["train"], Known()
    )
    assert (found.forward, found.backward) == pytest.approx((stage["forward"], stage["backward"]))


def test_a_set_used_as_it_is_counts_its_own_images():
    own = dataclasses.replace(FACTS, native_ir=10.0, own_train=(40, 20, 8, 4), own_test=(10, 5, 2, 1))
    clean = task("ce", "clean", splits=("long-tailed", "balanced"))
    clean = dataclasses.replace(clean, spec=dataclasses.replace(clean.spec, ir=None))
    got = cell_cost(clean, own, lacks(clean), known())
    balanced = 4 * own.test_max
    assert got.forward == 5 * 72 + 18 + balanced
    shorter = dataclasses.replace(clean, spec=dataclasses.replace(clean.spec, limit=20))
    assert cost.training(shorter.spec, own, RATE).forward == 5 * (20 + 10 + 4 + 2)


def test_forward_passes_beyond_the_backward_ones_are_cheap():
    """TRADES: three outer passes and a forward for the clean prediction."""
    at, trades = (cost.training(task(m).spec, FACTS, RATE) for m in ("at", "trades"))
    calls = -(-TRAIN // 16)
    attack, forward = calls * 0.5 + TRAIN * 0.05, calls * 0.2 + TRAIN * 0.01
    assert trades.seconds - at.seconds == pytest.approx(5 * (2 * attack + forward))


def test_an_attack_of_one_stage_runs_on_every_image():
    pgd = task("at", "pgd-20")
    got = cost.evaluation(pgd.spec, FACTS, AttackSpec("pgd-20"), [TEST], RATE, known())
    assert got.backward == 20 * TEST
    assert got.seconds >= 7.0 + 20 * (0.3 + TEST * 0.02)


def test_finished_cells_tell_how_many_passes_survivors_cost():
    aa = task("at", "aa")
    assumed = cost.evaluation(aa.spec, FACTS, AttackSpec("aa"), [TEST], RATE, known())
    measured = cost.evaluation(
        aa.spec, FACTS, AttackSpec("aa"), [TEST], RATE, known(passes={("digitslt", "aa"): (900.0, 400.0)})
    )
    assert (measured.forward, measured.backward) == (900 * TEST, 400 * TEST)
    assert measured.seconds == pytest.approx(7.0 + 400 * (0.3 + TEST * 0.02) + 500 * (0.2 + TEST * 0.01))
    assert assumed.forward > measured.forward


def test_an_attacks_own_arithmetic_stretches_its_passes():
    slow = Rate(**{**RATE.__dict__, "slowdown": {"fgsm": 3.0}})
    one, three = (
        cost.evaluation(task().spec, FACTS, AttackSpec("fgsm"), [TEST], rate, known()).seconds for rate in (RATE, slow)
    )
    assert three - 7.0 == pytest.approx(3 * (one - 7.0))


def test_a_cell_is_the_sum_of_what_it_lacks():
    both = task("at", "clean", "fgsm", splits=("long-tailed", "balanced"))
    whole = cell_cost(both, FACTS, lacks(both), known())
    rest = cell_cost(both, FACTS, lacks(both)[1:], known())
    assert whole.seconds - rest.seconds == pytest.approx(cost.training(both.spec, FACTS, RATE).seconds)
    assert rest.seconds > 11.0 + 4 * 7.0
    assert cell_cost(both, FACTS, [], known()) == Cost()
    assert whole.disk_mib == pytest.approx(0.2 + 2 * 4.0)


def test_attacks_that_are_followed_cost_an_evaluation_an_epoch():
    plain = task("at")
    followed = dataclasses.replace(plain, want=dataclasses.replace(plain.want, track=("clean", "pgd-20")))
    dear, cheap = (cell_cost(t, FACTS, ["train"], known()) for t in (followed, plain))
    images = sum(cost.split_counts(plain.spec, FACTS, "long-tailed"))
    assert dear.backward - cheap.backward == 20 * images * plain.spec.recipe.epochs


def test_choosing_the_best_epoch_counts_its_judgements():
    chosen = task("at", validation=0.2, select="best[pgd-20]")
    last = task("at", validation=0.2)
    dear, cheap = (cell_cost(t, FACTS, ["train"], known()) for t in (chosen, last))
    held_out = round(0.2 * TRAIN)
    assert dear.backward - cheap.backward == 5 * 20 * held_out
    assert dear.forward > cheap.forward


@pytest.mark.parametrize(("batch", "peak"), [(64, 500.0), (128, 500.0), (256, 700.0)])
def test_memory_grows_with_the_batch_above_the_evaluations(batch, peak):
    got = cell_cost(task(batch_size=batch), FACTS, ["train"], known()).memory_mib
    pixels = (TRAIN + 40) * 64 / 2**20
    assert got == pytest.approx(peak + pixels)


def test_without_a_measurement_seconds_are_unknown_but_passes_are_not():
    got = cell_cost(task("at", "fgsm"), FACTS, lacks(task("at", "fgsm")), Known())
    assert got.seconds is None
    assert got.memory_mib is None
    assert got.forward > 0


def test_arithmetic_and_disk_are_told_of_listed_networks_that_nobody_measured():
    asked, listed = task("at", "clean"), read_facts()["small-cnn"]
    got = cell_cost(asked, FACTS, lacks(asked), Known())
    assert got.gflop == pytest.approx(listed.gflop_forward * 64 / 1024 * (got.forward + 2 * got.backward))
    assert got.disk_mib == pytest.approx(cost.FILES_MIB + 2 * listed.parameters * 4 / 2**20)
    assert (got + got).gflop == 2 * got.gflop


def test_a_resized_network_has_a_rate_of_its_own():
    assert cost._image(task(resize=32).spec, FACTS) == (1, 32, 32)
    assert known().rate(task(resize=32).spec, FACTS, "fp32") is None


def price(tasks, results, device):
    return estimate(plan(tasks, results), results, None, device).seconds


def test_estimate_reads_the_calibration_and_starts_a_command_and_its_worker(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CALIBRATION", str(tmp_path / "c.json"))
    tasks = [task("at", "fgsm"), task("taet", "fgsm")]
    assert price(tasks, tmp_path, "cpu") is None
    write_calibration("cpu", {key("small-cnn", (1, 8, 8), "fp32"): RATE})
    one, two = (price(tasks[:n], tmp_path, "cpu") for n in (1, 2))
    assert one is not None
    assert two is not None
    facts = cost.dataset_facts("digitslt", None)
    learned = cost.learn(tmp_path, None, "cpu")
    assert two - one == pytest.approx(cell_cost(tasks[1], facts, lacks(tasks[1]), learned).seconds)
    assert one == pytest.approx(2 * 13.0 + 5.0 + cell_cost(tasks[0], facts, lacks(tasks[0]), learned).seconds)
    assert price(tasks, tmp_path, "auto") == two
    assert price(tasks, tmp_path, "cuda") is None


# ------------------------------------------------------------------------------------------------ from the store


def finished(seconds: float, kind: str = "cpu") -> dict:
    return {
        "device": {"kind": kind},
        "spec": {"dataset": "digitslt", "model": "small-cnn", "precision": "fp32", "recipe": {"resize": None}},
        "stages": {
            "train": {
                "seconds": seconds,
                "forward": 1000,
                "backward": 1000,
                "images": 100,
                "peak_memory_mib": 70.0,
                "weights_mib": 0.1,
            },
            "long-tailed/aa": {"forward": 5000, "backward": 2000, "images": 10, "peak_memory_mib": 90.0},
        },
    }


def test_rates_of_finished_cells_are_those_of_the_median_one(tmp_path):
    made = [finished(2.0), finished(4.0), finished(40.0), finished(1.0, "cuda"), {"spec": {"dataset": 1}}]
    for number, cell in enumerate(made):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "cell.json").write_text(json.dumps(cell))
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "cell.json").write_text("{")  # neither it nor the one without a model tells anything
    found = cost.learn(tmp_path, None, "cpu")
    rate = found.rates[key("small-cnn", (1, 8, 8), "fp32")]
    assert rate.forward == Line(0.0, 4.0 / 2000)
    assert rate.memory(999) == 90.0
    assert found.passes == {("digitslt", "aa"): (500.0, 200.0)}


# -------------------------------------------------------------------------------------------------- rates, file


def test_a_line_goes_through_both_points_and_is_never_negative():
    line = Line.through((8, 2.0), (128, 14.0))
    assert line.seconds(8, 8) == pytest.approx(2.0)
    assert line.seconds(128, 128) == pytest.approx(14.0)
    assert line.seconds(256, 128) == pytest.approx(28.0)
    assert line.seconds(0, 128) == 0.0
    falling = Line.through((8, 3.0), (128, 2.0))
    assert (falling.call, falling.image) == (3.0, 0.0)
    steep = Line.through((8, 0.1), (128, 12.0))
    assert steep.call == 0.0
    assert steep.seconds(128, 128) == pytest.approx(12.0)


def test_the_calibration_file_keeps_other_rates_and_other_devices(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "c.json"
    monkeypatch.setenv("BENCH_CALIBRATION", str(path))
    write_calibration("cpu", {"a": RATE})
    write_calibration("cuda:1", {"b": RATE})
    write_calibration("cpu", {"c": RATE})
    assert read_calibration("cpu") == {"a": RATE, "c": RATE}
    assert read_calibration("cuda") == read_calibration("auto") == {"b": RATE}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1, "cpu": {}}', '{"version": 2, "cpu": {"a": {"x": 1}}}'])
def test_a_file_that_cannot_be_understood_is_no_measurement(text, tmp_path, monkeypatch):
    (tmp_path / "c.json").write_text(text)
    monkeypatch.setenv("BENCH_CALIBRATION", str(tmp_path / "c.json"))
    assert read_calibration("cpu") == {}
    write_calibration("cpu", {"b": RATE})
    assert read_calibration("cpu") == {"b": RATE}
    assert json.loads((tmp_path / "c.json").read_text())["version"] == rates.VERSION


# ---------------------------------------------------------------------------------------------- processes


@pytest.mark.parametrize(
    ("cores", "threads", "free", "need", "jobs"),
    [(8, 1, 64000, 1000, 8), (8, 2, 64000, 1000, 4), (8, 1, 4000, 1000, 3), (8, 1, 500, 1000, 1), (1, 4, 64000, 1, 1)],
)
def test_auto_fills_cores_until_memory_is_full(cores, threads, free, need, jobs, monkeypatch):
    monkeypatch.setattr(device.os, "sched_getaffinity", lambda _: set(range(cores)))
    monkeypatch.setattr(device, "available_mib", lambda: float(free))
    assert device.resolve_jobs("auto", "cpu", threads, need) == jobs


@pytest.mark.parametrize(("free", "jobs"), [(80000, 2), (5000, 1), (100, 1)])
def test_auto_on_a_gpu_counts_its_memory(free, jobs, monkeypatch):
    monkeypatch.setattr(device.os, "sched_getaffinity", lambda _: set(range(16)))
    monkeypatch.setattr(device, "gpu_free_mib", lambda _: float(free))
    assert device.resolve_jobs("auto", "cuda:0", 1, 2500.0) == jobs


def test_memory_of_this_machine_is_a_plausible_number():
    assert 50 < device.available_mib() < 2**26


def test_worker_processes_are_told_their_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    made = device.environment(2)
    assert {made[name] for name in device.THREAD_VARIABLES} == {"2"}
    assert "PATH" in made


def test_workers_keep_freed_memory_unless_the_user_said_otherwise(monkeypatch):
    first, second = device.ALLOCATOR_VARIABLES
    monkeypatch.delenv(first, raising=False)
    monkeypatch.setenv(second, "131072")
    made = device.environment(1)
    assert made[first] == device.ALLOCATOR_VARIABLES[first]
    assert made[second] == "131072"


def test_workers_take_turns_on_the_visible_gpus(monkeypatch):
    monkeypatch.setattr(device, "visible_gpus", lambda: ["3", "5"])
    made = [device.environment(1, "cuda", worker)["CUDA_VISIBLE_DEVICES"] for worker in range(3)]
    assert made == ["3", "5", "3"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert "CUDA_VISIBLE_DEVICES" not in device.environment(1, "cuda:1", 1)  # one that was asked for by number
    monkeypatch.setattr(device.os, "sched_getaffinity", lambda _: set(range(16)))
    monkeypatch.setattr(device, "gpu_free_mib", lambda name: {"cuda:0": 80000.0, "cuda:1": 5000.0}[name])
    assert device.resolve_jobs("auto", "cuda", 1, 2500.0) == 3


@pytest.mark.parametrize(
    ("named", "wanted"), [("", ["0", "1"]), ("4, 6", ["4", "6"]), ("GPU-a,GPU-b,7", ["GPU-a", "GPU-b"])]
)
def test_visible_gpus_are_named_as_the_driver_wants_them(named, wanted, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert device.visible_gpus() == wanted
