"""Networks of RobustBench's zoo: `robustbench:NAME[dataset=cifar100,threat=L2]`. Its package is imported here alone.

Its own loader builds a network and downloads its weights, once, into the data folder. What it gives takes images in
[0,1] and answers in the order of the data set's own labels.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import ModelError, UsageError, did_you_mean, in_words
from bench.paths import data_folder, offline
from bench.seeding import isolated
from bench.variants import parse_variant, variant_label

PREFIX = "robustbench:"
#: data set of the zoo -> the one here that a network of it is attacked on where none is named
HERE = {"cifar10": "cifar10lt", "cifar100": "cifar100lt", "imagenet": None}
THREATS = ("Linf", "L2", "corruptions", "corruptions_3d")


@dataclass(frozen=True)
class Named:
    """A network of the zoo: what it was trained on, and against which perturbations."""

    name: str
    dataset: str = "cifar10"
    threat: str = "Linf"

    @property
    def text(self) -> str:
        """As it is written: settings only where they are not the usual ones."""
        usual = {f.name: f.default for f in dataclasses.fields(self)}
        given = {k: v for k, v in vars(self).items() if k != "name" and v != usual[k]}
        return variant_label(PREFIX + self.name, given)

    @property
    def label(self) -> str:
        """One text for each network: the same name can stand in several parts of the zoo."""
        return self.text.removeprefix(PREFIX)


def is_named(text: str) -> bool:
    """Whether a source names a network of the zoo."""
    return text.startswith(PREFIX)


def parse(text: str) -> Named:
    """The network that a text names. Raises UsageError."""
    written, given = parse_variant(text)
    name = written.removeprefix(PREFIX)
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise UsageError(f"'{text}' names no network of RobustBench; write robustbench:NAME[dataset=...,threat=...].")
    closed = {"dataset": HERE, "threat": THREATS}
    for key, value in given.items():
        if key not in closed:
            raise UsageError(f"'{text}' has no setting '{key}'. {did_you_mean(key, closed)}")
        if value not in closed[key]:
            raise UsageError(f"'{text}': {key} '{value}' is not known. {did_you_mean(str(value), closed[key])}")
    return Named(name, **given)


def load(named: Named, data_root: Path | None) -> tuple[Any, str]:
    """(the network, how it came about). Raises UsageError without the package, ModelError for what it does not give."""
    robustbench = _package()
    _known(named)
    folder = data_folder(data_root) / "robustbench"
    stored = folder / named.dataset / named.threat.removesuffix("_3d")
    if offline() and not [*stored.glob(f"{named.name}.pt"), *stored.glob(f"{named.name}_m*.pt")]:
        raise ModelError(
            f"BENCH_OFFLINE is set and {stored} holds no weights of '{named.name}'; unset it, or place RobustBench's "
            f"file as {stored / named.name}.pt."
        )
    with _apart():
        try:
            network = robustbench.load_model(
                named.name, model_dir=folder, dataset=named.dataset, threat_model=named.threat
            )
        except (Exception, SystemExit) as error:  # builds, downloads, unpickles: each in ways of its own
            raise ModelError(
                f"RobustBench could not load '{named.name}' ({in_words(error)}); its weights come from servers of "
                f"others: try again where they can be reached, or place its file as {stored / named.name}.pt."
            ) from error
    called = f"load_model({named.name}, dataset={named.dataset}, threat_model={named.threat})"
    return network, f"{called} of {getattr(robustbench, '__file__', 'robustbench')}"


def _package() -> Any:
    """RobustBench itself. Raises UsageError where it is missing, ModelError where it cannot be imported."""
    if not _here("robustbench"):
        raise UsageError("robustbench is not installed; pip install 'robust-longtail-bench[robustbench]'.")
    with _apart(), _autoattack():
        try:
            return importlib.import_module("robustbench")
        except Exception as error:  # it imports much, and pins old versions of some
            raise ModelError(f"robustbench cannot be imported: {in_words(error)}; install it anew.") from error


def _here(module: str) -> bool:
    """Whether a module is imported already or can be found."""
    return sys.modules[module] is not None if module in sys.modules else importlib.util.find_spec(module) is not None


@contextmanager
def _autoattack() -> Iterator[None]:
    """Its release imports AutoAttack as `autoattack`, and its requirements bring the same code as `pyautoattack`."""
    lacking = (
        {}
        if _here("autoattack")
        else {name: importlib.import_module(f"py{name}") for name in ("autoattack", "autoattack.state")}
    )
    sys.modules.update(lacking)
    try:
        yield
    finally:
        for name in lacking:
            sys.modules.pop(name, None)


def _known(named: Named) -> None:
    """Refuse a name that its part of the zoo does not have. Raises UsageError, which says where it stands instead."""
    with _apart():
        from robustbench.model_zoo import model_dicts

    zoo = {(d.value, t.value): list(names) for d, parts in model_dicts.items() for t, names in parts.items()}
    names = zoo.get((named.dataset, named.threat), [])
    if named.name in names:
        return
    elsewhere = [Named(named.name, *part).text for part, known in zoo.items() if named.name in known]
    what = f"RobustBench has no '{named.name}' for {named.dataset} and {named.threat}"
    if elsewhere:
        raise UsageError(f"{what}; it has {' and '.join(elsewhere)}.")
    raise UsageError(f"{what}. {did_you_mean(named.name, names)}")


@contextmanager
def _apart() -> Iterator[None]:
    """Room for its code: it prints, warns and draws, and none of that reaches the user's output or a stream of ours."""
    with isolated(0, "init"), redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
