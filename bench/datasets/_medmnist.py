"""MedMNIST's published files: addresses and checksums from its package, the arrays read by us."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bench.api import Arrays, DataError, DatasetFacts, UsageError

from ._download import download
from ._files import data_root, md5, missing
from ._npz import read_arrays, read_labels


@cache
def catalogue() -> dict[str, Any]:
    """MedMNIST's table of sets.

    Read from the package's source: importing the package takes seconds and makes a folder in the user's home.
    """
    spec = importlib.util.find_spec("medmnist")
    if spec is None or spec.origin is None:
        raise DataError("the package medmnist is not installed; run `pip install medmnist`.")
    for statement in ast.parse(Path(spec.origin).with_name("info.py").read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "INFO":
            table: dict[str, Any] = ast.literal_eval(statement.value)
            return table
    raise DataError("the package medmnist has no table of sets where it was; install medmnist 3.")


class Published:
    """One 2D single-label set of MedMNIST, `bloodmnist` or, at another size, `bloodmnist_64`."""

    def __init__(self, name: str, root: Path | None) -> None:
        base, _, side = name.partition("_")
        known = [n for n, facts in catalogue().items() if _fits(facts)]
        if base not in known or side not in ("", "64", "128", "224"):
            raise UsageError(f"'{name}' is not a 2D single-label set of MedMNIST; write one of {', '.join(known)}.")
        self.name, self.info, self.side = name, catalogue()[base], int(side or 28)
        self.suffix = f"_{side}" if side else ""
        self.path = data_root(root) / f"{name}.npz"
        self.class_names = list(self.info["label"].values())
        self.again = f"fetch medmnist:{name} again"

    def facts(self, **known: Any) -> DatasetFacts:
        """From the catalogue, and from the file's labels where it is there."""
        classes, image = len(self.class_names), (self.info["n_channels"], self.side, self.side)
        sizes: dict[str, Any] = {"train_max": 0, "test_max": 0}
        if self.path.is_file():
            train, test, _ = read_labels(self.path, self.again)
            for part, labels in (("train", train), ("test", test)):
                own = np.bincount(labels, minlength=classes)
                sizes |= {f"{part}_max": int(own.min()), f"own_{part}": tuple(own.tolist())}
        return DatasetFacts(classes=classes, image=image, **(sizes | known))

    def load(self, plugin: str) -> Arrays:
        """Both splits (the validation images are left out). The source says when the file is not the published one."""
        if not self.path.is_file():
            raise missing(plugin, self.path)
        source = self.name
        if (found := md5(self.path)) != self.info[f"MD5{self.suffix}"]:
            source += f" (not the published file: MD5 {found})"
        return read_arrays(self.path, source, self.class_names, self.again)

    def fetch(self, progress: Callable[[int, int], None] | None) -> Path:
        """Download to DATA_ROOT/<name>.npz and verify the published MD5."""
        return download(self.info[f"url{self.suffix}"], self.path, self.info[f"MD5{self.suffix}"], progress)


def _fits(facts: dict[str, Any]) -> bool:
    """Two-dimensional (those are offered at 224 pixels) with one label an image."""
    return "url_224" in facts and not facts["task"].startswith("multi-label")
