"""What every data set keeps: its facts fit its arrays, and what is missing is one sentence with a mend."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from bench.api import Dataset
from bench.engine.images.subset import check
from bench.errors import BenchError, DataError, UsageError
from bench.plugins import make_dataset
from bench.registry import registry
from bench.testing.contract import Target, require
from bench.testing.contract.shared import complaint, describes_itself, keeps_the_rules

#: how a sentence says what to do about missing files
MENDS = ("bench fetch", "place it", "write ", "by hand", "nothing to download")

BASE = Dataset


def checks(target: Target) -> Iterator[tuple[str, Callable[[], None]]]:
    """In an empty data folder, with the class's `small` argument unless the name carries one."""
    yield "describes itself", partial(describes_itself, target)
    yield "keeps the rules of a plug-in", partial(keeps_the_rules, target)
    yield "takes its argument", partial(argument, target)
    yield "knows its facts without files", partial(facts, target)
    yield "loads sound arrays or says what to do", partial(load, target)
    yield "says what it lacks", partial(lacks, target)
    yield "fetches or says what to do", partial(fetch, target)


def source(target: Target, root: Path | None) -> Dataset:
    """The data set, with an argument where it wants one."""
    cls: type[Dataset] = target.cls
    wanted = cls.argument_name and ":" not in target.name
    return make_dataset(f"{target.name}:{cls.small or 'none'}" if wanted else target.name, root)


def outcome(action: Callable[[], Any]) -> tuple[Any, str]:
    """(result, "") or (None, the sentence with which it refuses)."""
    try:
        return action(), ""
    except BenchError as error:
        require(isinstance(error, (DataError, UsageError)), f"it raises {type(error).__name__}, not DataError.")
        return None, str(error)


def argument(target: Target) -> None:
    """An argument is wanted or refused."""
    cls: type[Dataset] = target.cls
    said = complaint(lambda: make_dataset(cls.name if cls.argument_name else f"{cls.name}:x", None))
    expected = "lacks its argument" if cls.argument_name else "takes no argument"
    require(expected in said, f"argument_name={cls.argument_name!r}, yet a wrong name is not refused.")


def facts(target: Target) -> None:
    """What the grid must know before anything is loaded; a file that is named and absent is one sentence."""
    with tempfile.TemporaryDirectory() as folder:
        known, said = outcome(source(target, Path(folder)).facts)
    if known is None:
        wanted = target.cls.argument_name and not target.cls.small
        require(wanted, f"facts() must be known without files; it refuses: {said}")
        sentence(said, "facts()")
        return
    require(known.classes >= 2, f"facts() states {known.classes} classes.")
    require(known.image[0] in (1, 3), f"facts() states {known.image[0]} channels; images have 1 or 3.")
    require(0 < known.eps < 1, f"facts() states the radius {known.eps}; it lies between 0 and 1.")
    require(known.train_max >= 0, "facts() states a negative number of images.")
    require(known.native_ir is None or known.native_ir > 1, f"facts() states the own ratio {known.native_ir}.")
    default = known.default_model.partition(":")[0]
    require(default in registry("models").names(), f"facts() names the unknown network '{known.default_model}'.")


def load(target: Target) -> None:
    """Arrays that fit the facts, or a sentence."""
    with tempfile.TemporaryDirectory() as folder:
        made = source(target, Path(folder) if ":" not in target.name else None)
        arrays, said = outcome(made.load)
        if arrays is None:
            sentence(said, "load()")
            return
        check(arrays, target.name)
        known = made.facts()
    require(arrays.source, "load() does not say where the pixels come from.")
    names, image = len(arrays.class_names), (arrays.train_images.shape[3], *arrays.train_images.shape[1:3])
    require(known.classes == names, f"facts() states {known.classes} classes, load() gives {names}.")
    require(tuple(known.image) == image, f"facts() states images {known.image}, load() gives {image}.")


def lacks(target: Target) -> None:
    """A sentence exactly where it cannot be loaded."""
    with tempfile.TemporaryDirectory() as folder:
        made = source(target, Path(folder))
        said = made.lacks()
        arrays, _ = outcome(made.load)
    require(
        bool(said) == (arrays is None), f"lacks() says {said!r}, yet load() {'fails' if arrays is None else 'works'}."
    )
    if said:
        sentence(said, "lacks()")


def fetch(target: Target) -> None:
    """Without a network: a path, or what to do by hand; nothing is left behind."""
    before = os.environ.get("BENCH_OFFLINE")
    os.environ["BENCH_OFFLINE"] = "1"
    try:
        with tempfile.TemporaryDirectory() as folder:
            path, said = outcome(source(target, Path(folder)).fetch)
            left = [entry.name for entry in Path(folder).iterdir()]
            require(not left, f"fetch() without a network leaves {', '.join(left)} behind.")
            require(path is None or path.exists(), f"fetch() gives {path}, which does not exist.")
    finally:
        os.environ.pop("BENCH_OFFLINE")
        os.environ |= {} if before is None else {"BENCH_OFFLINE": before}
    if path is None:
        sentence(said, "fetch()")


def sentence(said: str, who: str) -> None:
    """A refusal is one sentence that says what to do."""
    require("\n" not in said and said.endswith("."), f"{who} refuses with more or less than a sentence: {said!r}.")
    require(any(mend in said for mend in MENDS), f"{who} refuses without a mend (bench fetch, write, place it): {said}")
