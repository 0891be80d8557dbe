"""The benchmark from Python: five functions, typed and stable, with the words of the command line.

    import bench

    scores = bench.run(["ce", "at"], "digitslt", epochs=2, limit=30, attacks=["clean", "pgd-20"])
    scores.pivot(index="method", columns="attack", values="balanced").plot.bar()

Every argument is an option of the verb of the same name, with `_` for `-`; what a signature does not name may be given
as a further keyword (`class_order="reversed"`). A list stands for words with commas. Progress goes to standard error as
on the command line, and what a user can mend is a `bench.BenchError` with the same sentence. Numbers of tables are
pandas frames of the store: nothing lives in the process alone.
"""

from __future__ import annotations

import io
import json
import signal
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError, UsageError, did_you_mean

if TYPE_CHECKING:
    import click
    import pandas as pd
    from torch import nn

Words = str | Sequence[str]
Numbers = float | str | Sequence[float | str]
RUNS = "results/runs"


def run(
    methods: Words | None = None,
    datasets: Words | None = None,
    *,
    preset: str | None = None,
    irs: Numbers | None = None,
    models: Words | None = None,
    seeds: Numbers | None = None,
    attacks: Words | None = None,
    recipe: Words | None = None,
    test_split: Words | None = None,
    epochs: int | None = None,
    limit: int | None = None,
    results: str | Path = RUNS,
    data_root: str | Path | None = None,
    device: str = "auto",
    jobs: int | str = "auto",
    quiet: bool = False,
    **more: Any,
) -> pd.DataFrame:
    """Train and attack every cell of a grid that is not done yet: `bench run`. Gives `results` of the grid's cells.

    A method that is defined in the notebook itself needs `jobs=0`: other processes cannot import it. Raises UsageError
    before anything is computed, and BenchError when a cell failed; what was finished is stored all the same.
    """
    given = {
        "methods": methods,
        "datasets": datasets,
        "preset": preset,
        "irs": irs,
        "models": models,
        "seeds": seeds,
        "attacks": attacks,
        "recipe": recipe,
        "test_split": test_split,
        "epochs": epochs,
        "limit": limit,
        "results": results,
        "data_root": data_root,
        "device": device,
        "jobs": jobs,
        "quiet": quiet,
        "yes": True,
    }
    told, code = _call("run", [], {**given, **more, "json": True})
    found = json.loads(told)
    failed = [f"{c['cell']} in {c['stage']}: {c['message']}" for c in found["cells"] if c["event"] == "failed"]
    if failed:
        raise BenchError(f"{len(failed)} of {len(found['grid'])} cells failed; the first is {failed[0]}")
    if code:
        raise BenchError("some cells are stale, see above; give retrain=True to begin them anew.")
    return _of(results, found["grid"])


def evaluate(
    model: nn.Module | str | Path,
    datasets: Words,
    *,
    name: str | None = None,
    attacks: Words = "clean,fgsm,pgd-20,aa",
    irs: Numbers = 10,
    test_split: Words = "long-tailed",
    architecture: str | None = None,
    weights: str | Path | None = None,
    normalize: str | tuple[Sequence[float], Sequence[float]] | None = None,
    ranked: bool = False,
    seed: int = 0,
    batch_size: int | None = None,
    threads: int = 1,
    retrain: bool = False,
    results: str | Path = RUNS,
    data_root: str | Path | None = None,
    device: str = "auto",
    quiet: bool = False,
) -> pd.DataFrame:
    """Attack a network that was trained elsewhere: `bench evaluate`. Gives `results` of its cells.

    `model`: an `nn.Module` (images N x channels x H x W in [0,1] -> logits N x C; it is copied, not changed), a file of
    weights for `architecture`, `package.module:factory`, `hf:OWNER/NAME` or `robustbench:NAME`. `name`: what tables
    call it, a plain word; by default from its class or file. `normalize`: (means, standard deviations) that it expects,
    a number a channel. `ranked`: its outputs are in this benchmark's class order. Raises UsageError, ModelError and
    StoreError before anything is computed, BenchError when an attack failed.
    """
    from torch import nn

    from bench.cli.evaluate import Given, attack, label_of, resolved

    axes: dict[str, Any] = {
        "datasets": _list(datasets),
        "irs": _list(irs),
        "attacks": _list(attacks),
        "test_splits": _list(test_split),
        "seeds": (seed,),
    }
    if architecture:
        axes["models"] = (architecture,)
    is_text = isinstance(model, str | Path)
    if not is_text and not isinstance(model, nn.Module):
        raise UsageError(f"{type(model).__name__} is no network; give an nn.Module, a file of weights, or a name.")
    text = str(model) if is_text else f"{type(model).__module__}:{type(model).__name__}"
    scales = normalize if normalize is None or isinstance(normalize, str) else _scales(normalize)
    given = Given(
        text,
        name or label_of(text),
        None if weights is None else Path(weights),
        scales,
        ranked,
        None if is_text else model,
    )
    root = None if data_root is None else Path(data_root)
    with _as_before():
        given, known = resolved(given, architecture, root)
        cells, progress = attack(
            given,
            known | axes,
            quiet=quiet,
            results=Path(results),
            data_root=root,
            device=device,
            batch_size=batch_size,
            threads=threads,
            retrain=retrain,
        )
    progress.raise_first()
    return _of(results, cells)


def results(path: str | Path = RUNS) -> pd.DataFrame:
    """Every evaluation of a results folder, a line each (cell, test split, attack).

    Columns: the coordinates of `per_class.csv` (method, variant, dataset, ir, model, seed, ...), `n` and `correct`
    images, in [0, 1] `balanced`, `standard`, `head`, `tail`, `tail-80` and `worst-class` accuracy, and in `worst_class`
    the name of that class.
    Raises StoreError when there is no such folder; warns of every cell or file that is left out, with the reason.
    """
    from bench.judge.metrics import summarise
    from bench.store.results import Results

    found = Results(Path(path))
    for problem in found.problems:
        warnings.warn(f"left out: {problem}", stacklevel=2)
    return summarise(found.rows)


def compare(
    a: str,
    b: str = "",
    *,
    results: str | Path = RUNS,
    across: str | None = None,
    attack: Words | None = None,
    dataset: str | None = None,
    ir: float | str | None = None,
    test_split: str | None = None,
    **more: Any,
) -> pd.DataFrame:
    """Method `a` minus method `b` on the same images, a line a comparison: `bench compare`, as its JSON has it.

    `across`: in place of `b`, a setting of the protocol with two values, as in `precision=bf16,fp32`. Differences and
    intervals are in percentage points. Raises UsageError and StoreError as the command does.
    """
    import pandas as pd

    given = {
        "results": results,
        "across": across,
        "attack": attack,
        "dataset": dataset,
        "ir": ir,
        "test_split": test_split,
    }
    told, _ = _call("compare", [a, b] if b else [a], {**given, **more, "format": "json"})
    return pd.DataFrame(
        [
            {key: value for key, value in line.items() if not isinstance(value, Mapping) and key != "classes"}
            for line in json.loads(told)["comparisons"]
        ]
    )


def report(results: str | Path = RUNS, *, output: str | Path = "report", format: Words = "html", **more: Any) -> Path:
    """Write the tables and figures of a results folder: `bench report`. Gives the first file that it wrote."""
    told, _ = _call("report", [], {"results": results, "output": output, "format": format, **more})
    return Path(told.splitlines()[0])


# ------------------------------------------------------------------------------------------- the command line, called


def _call(verb: str, words: Sequence[str], options: Mapping[str, Any]) -> tuple[str, int]:
    """(what a verb prints, its exit code). Raises its errors as they are, click's as UsageError."""
    import click

    from bench.cli import group

    command = group.get_command(click.Context(group), verb)
    assert command is not None
    printed = io.StringIO()
    try:
        with _as_before(), redirect_stdout(printed):
            code = command.main([*_options(command, options), *words], prog_name=f"bench {verb}", standalone_mode=False)
    except click.Abort:
        raise KeyboardInterrupt from None
    except click.ClickException as error:
        raise UsageError(error.format_message()) from None
    return printed.getvalue(), code if isinstance(code, int) else 0


def _options(command: click.Command, given: Mapping[str, Any]) -> Iterator[str]:
    """Keywords as the words of a command line. Raises UsageError for one that the command does not have."""
    known: dict[str, Any] = {
        word.removeprefix("--").replace("-", "_"): p for p in command.params for word in p.opts if word.startswith("--")
    }
    for name, value in given.items():
        if name not in known:
            raise UsageError(f"bench.{command.name} has no argument '{name}'. {did_you_mean(name, known)}")
        option, word = known[name], f"--{name.replace('_', '-')}"
        if value is None or value is False:
            continue
        if option.is_flag:
            yield word
        elif option.multiple and not isinstance(value, str | Path):
            yield from (part for one in value for part in (word, str(one)))
        elif option.nargs > 1:
            yield from (word, *map(str, value))
        else:
            yield from (word, ",".join(_list(value)))


def _list(value: Any) -> tuple[str, ...]:
    """`"a,b"`, `["a", "b"]` or a number as words."""
    from bench.config import split_list

    if isinstance(value, str):
        return tuple(split_list(value))
    return tuple(map(_word, value)) if isinstance(value, Iterable) else (_word(value),)


def _word(value: Any) -> str:
    from bench.variants import format_number

    return format_number(value) if isinstance(value, float) else str(value)


def _scales(pair: tuple[Sequence[float], Sequence[float]]) -> str:
    """`MEANS/STDS` as the command line has it. Raises UsageError."""
    try:
        means, stds = (",".join(f"{float(value):.17g}" for value in values) for values in pair)
    except (TypeError, ValueError):
        raise UsageError(
            f"normalize={pair!r} is no pair of lists; give (means, standard deviations), a number a channel."
        ) from None
    return f"{means}/{stds}"


def _of(path: str | Path, cells: Sequence[str]) -> pd.DataFrame:
    frame = results(path)
    return frame[frame["cell"].isin(list(cells))].reset_index(drop=True)


@contextmanager
def _as_before() -> Iterator[None]:
    """What a run sets for its whole process is put back: signals, the number of threads."""
    import threading

    from bench.engine.host.stop import SIGNALS

    main = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in SIGNALS} if main else {}
    threads = sys.modules["torch"].get_num_threads() if "torch" in sys.modules else None
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if threads is not None:
            sys.modules["torch"].set_num_threads(threads)
