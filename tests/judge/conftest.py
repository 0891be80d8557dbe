"""A results folder in miniature: cells with bits, counts and cell.json that belong together."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from bench.config import BENCHMARK_VERSION, SCHEMA_VERSION, CellSpec, Recipe, ThreatModel, parse_variant, to_plain
from bench.seeding import numpy_stream
from bench.store.parts.record import understood
from bench.store.rows import build_rows
from bench.store.schema import CELL, PER_CLASS, ROWS, SAMPLES

TEST_COUNTS = {"long-tailed": [40, 20, 10, 5], "balanced": [40, 40, 40, 40]}
NAMES = ["zero", "one", "two", "three"]
#: chance of staying correct under each attack; bits are nested, so the order of strength holds image by image
ATTACKS = {"clean": 0.8, "fgsm": 0.6, "pgd-20": 0.5, "aa": 0.4}


class Maker:
    """Writes cells into `root`."""

    def __init__(self, root):
        self.root = root

    def cell(
        self,
        method="taet",
        seed=0,
        *,
        shift=0.0,
        draw=None,
        source="digits",
        attacks=ATTACKS,
        variant="",
        flags=(),
        **spec,
    ):
        """One finished cell; `shift` is added to every chance, `draw` names the noise of the bits."""
        recipe = spec.pop("recipe", Recipe())
        spec = {"dataset": "digitslt", "ir": 10.0, "model": "small-cnn"} | spec
        hparams = tuple(sorted(parse_variant(f"x[{variant}]")[1].items()))
        full = CellSpec(
            method=method, seed=seed, recipe=recipe, variant=variant, hparams=hparams, threat=ThreatModel(0.1), **spec
        )
        folder = self.root / full.id
        folder.mkdir(parents=True)
        samples, evaluations = {}, {}
        for split, counts in TEST_COUNTS.items():
            label = np.repeat(np.arange(4), counts)
            hard = numpy_stream(seed, "bits", draw if draw is not None else method, split).random(len(label))
            samples |= {f"{split}/index": np.arange(len(label)) + 1000, f"{split}/label": label}
            for strength, (attack, chance) in enumerate(attacks.items()):
                samples[f"{split}/{attack}"] = (hard < chance + shift - 0.05 * label).astype(np.uint8)
                evaluations[f"{split}/{attack}"] = {
                    "engine": "bench",
                    "params": {},
                    "notes": [],
                    "flags": [*flags],
                    "strength": strength,
                    "norm": "linf" if strength else "none",
                    "eps": 0.1 if strength else None,
                }
        cell = {
            "schema": SCHEMA_VERSION,
            "benchmark": BENCHMARK_VERSION,
            "id": full.id,
            "spec": to_plain(full),
            "status": "done",
            "history": [],
            "failure": None,
            "seeds": {},
            "versions": {},
            "device": {},
            "stages": {},
            "data": {
                "source": source,
                "data_hash": "d" * 16,
                "subset_hash": "s" * 16,
                "class_names": NAMES,
                "train_counts": [100, 46, 21, 10],
                "test_counts": TEST_COUNTS,
            },
            "evaluations": evaluations,
            "flags": [],
        }
        self.write(folder, cell)
        np.savez_compressed(folder / SAMPLES, **samples)
        build_rows(understood(cell), samples).to_csv(folder / ROWS, index=False, lineterminator="\n")
        return folder

    @staticmethod
    def write(folder, cell):
        (folder / CELL).write_text(json.dumps(cell, indent=1, sort_keys=True) + "\n")

    @staticmethod
    def read(folder):
        return json.loads((folder / CELL).read_text())

    @staticmethod
    def edit(folder, change, alone=False):
        """Apply `change` to the frame of per_class.csv (in place, or by returning another) and write it back.

        `alone`: as the rows of a store without bits, which would speak against them.
        """
        if alone:
            (folder / SAMPLES).unlink(missing_ok=True)
        frame = pd.read_csv(folder / ROWS, dtype=dict(PER_CLASS), keep_default_na=False)
        changed = change(frame)
        frame = frame if changed is None else changed
        frame.to_csv(folder / ROWS, index=False, lineterminator="\n")


@pytest.fixture
def maker(tmp_path):
    return Maker(tmp_path / "runs")


@pytest.fixture
def another(tmp_path):
    return Maker(tmp_path / "other")


@pytest.fixture
def short_recipe():
    return dataclasses.replace(Recipe(), epochs=3)
