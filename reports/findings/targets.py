"""The project's targets of speed for one H100, beside what cells of the paper's own settings took on a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.reports.findings.block import RECIPE, SPLIT, Store
from bench.reports.findings.layout import ABSENT, table
from bench.reports.findings.question import Answer
from bench.reports.findings.stages import COLUMNS, Stage, numbers


@dataclass(frozen=True)
class Target:
    """At most `seconds` for a stage at `IR` with batches of `BATCH`; an empty method means any."""

    text: str
    stage: str
    method: str
    seconds: float


TARGETS = (
    Target("100 epochs of AT", "train", "at", 180.0),
    Target("100 epochs of TAET", "train", "taet", 120.0),
    Target("AutoAttack of the 4,084 long-tailed test images", f"{SPLIT}/aa", "", 60.0),
)
CARD, IR, BATCH = "H100", 10.0, 128
COMMAND = "bench run --methods at,taet --datasets cifar10lt --irs 10 --models resnet18 --attacks aa --device cuda"


def targets(store: Store) -> Answer:
    """Each target beside what was measured; what measures those that were not."""
    found = [(target, list(_measured(store, target))) for target in TARGETS]
    met = [any(row[-1] == "yes" for row in rows) for _, rows in found]
    known = [any(row[-1] for row in rows) for _, rows in found]
    body = [
        f"Targets for one {CARD} (CIFAR-10-LT at IR {IR:g}, ResNet-18, the full recipe, batches of {BATCH}):",
        table(["target", "at most s", *COLUMNS, "device", "precision", "met"],
              [row for _, rows in found for row in rows]),
    ]  # fmt: skip
    if not all(known):
        body.append(
            f"What measures them: `{COMMAND}`; without a store, `python benchmarks/gpu.py --full --data-root DIR`."
        )
    said = f"met {sum(met)} of {len(met)}" if any(known) else ABSENT
    return Answer(f"Targets for one {CARD}: {said}.", tuple(body))


def _measured(store: Store, target: Target) -> Iterator[list[str]]:
    """A row for each device and precision, or one that says that there is none."""
    found: dict[tuple[str, str], list[Stage]] = {}
    for block in store.blocks:
        for cell, (config, recipe) in block.runs.items() if block.own else ():
            facts, stage = block.facts(cell), block.stage(cell, target.stage)
            suits = (
                config.ir == IR and recipe == RECIPE and not config.params and target.method in ("", config.method)
                and facts["device"]["kind"] == "cuda" and facts["spec"]["recipe"]["batch_size"] == BATCH
            )  # fmt: skip
            if suits and stage:
                found.setdefault((facts["device"]["name"], block.setting.precision), []).append(stage)
    first = [target.text, f"{target.seconds:g}"]
    if not found:
        yield [*first, ABSENT, *[""] * 5]
    for (device, precision), stages in sorted(found.items()):
        within = all(s["seconds"] <= target.seconds for s in stages)
        verdict = ("yes" if within else "no") if CARD in device else "another card"
        yield [*first, *numbers(stages), device, precision, verdict]
