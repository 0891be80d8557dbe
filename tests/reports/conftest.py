"""A generator of results folders in the documented layout, with plausible made-up counts. No training."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rich.style  # noqa: F401 - draws a number when it is first imported, which scikit-learn does

from bench.config import BENCHMARK_VERSION, SCHEMA_VERSION, CellSpec, Recipe, ThreatModel, parse_variant, to_plain
from bench.seeding import numpy_stream
from bench.store.schema import CELL, CURVES, EPOCHS, PER_CLASS, ROWS

CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ATTACKS = ("clean", "fgsm", "pgd-20", "pgd-100", "cw-l2", "cw-linf", "aa")
STRENGTH = {"clean": 1.0, "fgsm": 0.53, "pgd-20": 0.45, "pgd-100": 0.44, "cw-l2": 0.7, "cw-linf": 0.42, "aa": 0.4,
            "aa-10": 0.41}  # fmt: skip
SPEC_FIELDS = ("recipe", "threat", "limit", "precision", "selection", "class_order")


def law(largest: int, ratio: float, classes: int) -> list[int]:
    """Counts of the long-tail law, class 0 first."""
    return [int(largest * ratio ** (-i / (classes - 1))) for i in range(classes)]


def engine(attack: str) -> str:
    """Which implementation ran."""
    return "pyautoattack 0.2.0" if attack.startswith("aa") else "bench"


def write_cell(
    root: Path,
    method: str,
    *,
    dataset: str = "cifar10lt",
    source: str = "cifar10",
    ir: float = 10.0,
    model: str = "resnet18",
    seed: int = 0,
    variant: str = "",
    names: tuple[str, ...] = CIFAR,
    attacks: tuple[str, ...] = ATTACKS,
    splits: tuple[str, ...] = ("long-tailed",),
    status: str = "done",
    largest: tuple[int, int] = (5000, 1000),
    flags: str = "",
    epochs: bool = False,
    features: bool = False,
    spec: CellSpec | None = None,
    level: float | None = None,
    natural: bool = False,
) -> str:
    """One cell's folder; returns its id. Counts depend only on the arguments."""
    params = parse_variant(f"x[{variant}]")[1] if variant else {}
    name, *tricks = method.split("+")
    base = spec or CellSpec(name, dataset, ir, model, seed)
    cell = replace(
        base,
        method=name,
        enhancers=tuple((trick, ()) for trick in sorted(tricks)) or base.enhancers,
        enhanced="".join(f"+{trick}" for trick in sorted(tricks)) or base.enhanced,
        dataset=dataset,
        ir=None if natural else ir,
        model=model,
        seed=seed,
        variant=variant,
        hparams=tuple(sorted(params.items())),
    )
    folder = root / cell.id
    folder.mkdir(parents=True, exist_ok=True)
    train, test = law(largest[0], ir, len(names)), law(largest[1], ir, len(names))
    counts = {"long-tailed": test, "balanced": [largest[1]] * len(names)}
    rng = numpy_stream(seed, "synthetic", method, dataset, str(ir), model, variant)
    quality = level if level is not None else 0.72 + 0.05 * float(rng.random())
    recall = np.clip(quality + 0.2 * np.cos(np.arange(len(names)) * 1.7) - 0.012 * np.arange(len(names)), 0.05, 0.97)
    failure = None
    if status == "failed":
        failure = {"stage": "train", "message": "the loss became NaN in epoch 3", "traceback": "Traceback ...\nNaN"}
    else:
        with (folder / ROWS).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(PER_CLASS))
            writer.writeheader()
            for split in splits:
                for attack in attacks:
                    got = rng.binomial(counts[split], np.clip(recall * STRENGTH.get(attack, 0.4), 0, 1))
                    for i, name in enumerate(names):
                        writer.writerow(
                            {
                                "benchmark": BENCHMARK_VERSION,
                                "cell": cell.id,
                                "method": cell.trained,
                                "variant": variant,
                                "recipe": cell.recipe.name,
                                "reduced": cell.reduced,
                                "dataset": dataset,
                                "source": source,
                                "data_hash": "0123456789abcdef",
                                "ir": ir,
                                "selection": cell.selection,
                                "class_order": cell.class_order,
                                "model": model,
                                "seed": seed,
                                "precision": cell.precision,
                                "test_split": split,
                                "attack": attack,
                                "engine": engine(attack),
                                "eps": repr(cell.threat.eps),
                                "flags": flags if attack != "clean" else "",
                                "class_index": i,
                                "class_name": name,
                                "train_count": train[i],
                                "n": counts[split][i],
                                "correct": int(got[i]),
                            }
                        )
    document: dict[str, Any] = {
        "schema": SCHEMA_VERSION,
        "benchmark": BENCHMARK_VERSION,
        "id": cell.id,
        "spec": to_plain(cell),
        "status": status,
        "history": [{"status": status, "at": "2026-01-01T00:00:00+00:00", "stage": ""}],
        "failure": failure,
        "seeds": {"init": 11 + seed, "order": 12 + seed},
        "data": {
            "source": source,
            "data_hash": "0123456789abcdef",
            "subset_hash": "fedcba9876543210",
            "class_names": list(names),
            "train_counts": train,
            "test_counts": {s: counts[s] for s in splits},
        },
        "versions": {"bench": "0.1.0", "python": "3.11.7", "torch": "2.15.0", "numpy": "2.4.0"},
        "device": {"name": "CPU", "kind": "cpu"},
        "stages": {
            "train": {
                "seconds": 100.0,
                "peak_memory_mib": 512.0,
                "forward": 1000,
                "backward": 900,
                "images": 20431,
                "epochs": cell.recipe.epochs,
            }
        },
        "evaluations": {
            f"{s}/{a}": {
                "engine": engine(a),
                "notes": [],
                "params": {"steps": 20, "step": 1 / 255} if "pgd" in a else {},
                "flags": flags.split() if a != "clean" else [],
            }
            for s in splits
            for a in attacks
            if not failure
        },
        "flags": flags.split(),
    }
    if epochs:
        document["weights"] = "0123456789abcdef"
    (folder / CELL).write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    if epochs:
        write_curves(folder, method, names, test, params)
    if features:
        write_features(folder, names, test, seed)
    return cell.id


def write_curves(folder: Path, method: str, names: tuple[str, ...], test: list[int], params: dict[str, Any]) -> None:
    """epochs.csv with tracked clean and PGD-20 counts."""
    total, steps = 20, int(params.get("steps", 10))
    first = {"taet": round(int(params.get("ce_epochs", 40)) * total / 100)}.get(method, 0)
    cost = {"at-bsl": 1.0, "trades": 1.35, "robal": 1.1}.get(method, 1.0)
    rng = numpy_stream(5, "curves", method)
    with (folder / CURVES).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        tracked = [f"{a}:{i}" for a in ("clean", "pgd-20") for i in range(len(names))]
        writer.writerow([*EPOCHS, *tracked])
        for epoch in range(total):
            natural = epoch < first
            rise = 1 - 0.7 * np.exp(-(epoch + 1) / 5)
            counts = []
            for strength in (0.75, 0.02 if natural else 0.35):
                for i, n in enumerate(test):
                    level = np.clip(strength * rise * (1 + 0.3 * np.cos(1.7 * i)) + 0.01 * rng.normal(), 0, 1)
                    counts.append(int(n * level))
            seconds = 23.0 if natural else (23.0 + 6.2 * steps) * cost
            row = {
                "epoch": epoch,
                "phase": "natural" if natural else "adversarial",
                "lr": 0.1,
                "loss": round(2.3 - rise, 4),
                "seconds": seconds,
                "images": 20431,
                "peak_memory_mib": 700 if natural else 1900 + 10 * len(method),
            }
            writer.writerow([*(row[name] for name in EPOCHS), *counts])


def write_features(folder: Path, names: tuple[str, ...], test: list[int], seed: int) -> None:
    """features.npz: one cloud a class."""
    rng = numpy_stream(seed, "features")
    labels = np.repeat(np.arange(len(names)), np.minimum(test, 40))
    centres = rng.normal(size=(len(names), 12)) * 2
    features = centres[labels] + rng.normal(size=(len(labels), 12))
    logits = features @ rng.normal(size=(12, len(names)))
    np.savez_compressed(
        folder / "features.npz",
        features=features.astype("float32"),
        logits=logits.astype("float32"),
        label=labels.astype("int64"),
        index=np.arange(len(labels)),
    )


DIGITS = tuple(f"digit {i}" for i in range(10))


def write_digits(
    root: Path, methods: tuple[str, ...] = ("ce", "at", "at-bsl", "taet"), seeds: int = 3, **more: Any
) -> None:
    """The quick preset's shape: four methods, two ratios, three seeds, reduced, on digits."""
    spec = CellSpec("x", "digitslt", 10.0, "small-cnn", 0, Recipe(epochs=30), threat=ThreatModel(eps=0.15))
    for method in methods:
        for ir in (10.0, 50.0):
            for seed in range(seeds):
                write_cell(
                    root,
                    method,
                    dataset="digitslt",
                    source="scikit-learn digits 8x8",
                    ir=ir,
                    model="small-cnn",
                    seed=seed,
                    names=DIGITS,
                    largest=(142, 36),
                    spec=spec,
                    **more,
                )


@pytest.fixture
def make_cell() -> Any:
    """`write_cell`."""
    return write_cell


@pytest.fixture
def make_digits() -> Any:
    """`write_digits`."""
    return write_digits
