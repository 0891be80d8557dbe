"""Columns of the stored tables. Counts are the only truth; every percentage is a query.

`per_class.csv` holds one row an attack, test split and class of a cell. Nothing in it depends on when, where or how
fast it was computed, so the same cell gives the same bytes.
"""

from __future__ import annotations

#: name -> pandas dtype of `per_class.csv`, in file order
PER_CLASS: dict[str, str] = {
    "benchmark": "string",  # BENCHMARK_VERSION
    "cell": "string",  # CellSpec.id
    "method": "string",
    "variant": "string",  # settings that differ from the recipe's: `beta=3,steps=20`, empty for none
    "recipe": "string",  # paper | official
    "reduced": "string",  # how the run falls short of its recipe: `epochs=3 of 100, limit=50`, empty for none
    "dataset": "string",
    "source": "string",  # where the pixels come from
    "data_hash": "string",  # SHA-256 (16 hex digits) of the train and test images and labels used
    "ir": "Float64",  # imbalance ratio n_max / n_min of the training set
    "selection": "string",
    "class_order": "string",
    "model": "string",
    "seed": "Int64",
    "precision": "string",  # of training: `fp32`, `bf16`, ..., then `, compiled`, `, deterministic` where they were on
    "test_split": "string",  # long-tailed | balanced
    "attack": "string",  # label of the attack: `pgd-20`, `pgd-20[step=2/255]`, `worst` for the worst case
    "engine": "string",  # which implementation ran: `bench`, `pyautoattack 0.2.0`, `torch` ...
    "eps": "Float64",  # radius of the threat model on the [0,1] scale
    "flags": "string",  # validity flags of this attack, sorted, separated by a space; empty for none
    "class_index": "Int64",
    "class_name": "string",
    "train_count": "Int64",
    "n": "Int64",  # test images of the class
    "correct": "Int64",  # of those, classified correctly (under attack: still correctly)
}

#: Columns that came later, name -> pandas dtype: behind the others, and only in the files of cells where they do not
#: hold their usual value (`bench.store.where.USUAL`), which is what a file without them means
LATER: dict[str, str] = {
    "init": "string",  # mark of the given weights that training started from
}

#: First columns of `epochs.csv`, one row an epoch; the scalars a method logs follow as `log:<name>`, then per-class
#: correct counts on the long-tailed test split of tracked attacks as `<attack>:<class index>`
EPOCHS = ("epoch", "phase", "lr", "loss", "seconds", "images", "peak_memory_mib")

#: no class has more images than this, and no set more classes
MOST = 2**40

STATUSES = ("planned", "running", "done", "failed")

#: Files of a cell's folder
CELL, ROWS, CURVES, SAMPLES, CHECKPOINT = "cell.json", "per_class.csv", "epochs.csv", "per_sample.npz", "checkpoint.pt"
FEATURES = "features.npz"
#: folder beside the cells: states that several trainings go on from
PREFIXES = "prefixes"
#: What stands behind an audit's key in per_sample.npz: twice the stages that an image stood, one more unless the next
#: one broke it. Where a stage was not run on an image, its plain bit only says that nothing has broken it so far.
REACHED = "#reached"
