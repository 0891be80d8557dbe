"""`bench show`: one thing in full: a cell with its provenance, or a method, model, data set or attack."""

from __future__ import annotations

import importlib
import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options.common import results_option
from bench.cli.shown.format import duration, size
from bench.errors import StoreError, UsageError

if TYPE_CHECKING:
    from bench.config import CellSpec
    from bench.store.parts.record import CellRecord, EvaluationFacts

#: kind -> the function of `bench.cli.shown.explain` that says what a plug-in of it is
KINDS = {
    "method": "explain_method",
    "enhancer": "explain_enhancer",
    "model": "explain_model",
    "dataset": "explain_dataset",
    "attack": "explain_attack",
}


@click.command("show")
@click.argument(
    "words",
    nargs=-1,
    required=True,
    metavar="CELL | method NAME | enhancer NAME | model NAME | dataset NAME | attack NAME",
)
@click.option("--json", "as_json", is_flag=True, help="The cell's stored facts as JSON.")
@results_option
def command(words: tuple[str, ...], as_json: bool, results: Path) -> None:
    """Show one cell (its id or a unique beginning or end of it), or what a plug-in means and does."""
    kind, *names = words
    if kind in KINDS and len(names) == 1:
        if as_json:
            raise UsageError(f"--json is for cells; `bench ls {kind}s --json` lists every {kind} for programs.")
        click.echo(getattr(importlib.import_module("bench.cli.shown.explain"), KINDS[kind])(names[0]))
    elif kind in KINDS and not names:
        raise UsageError(f"'{kind}' lacks a name; write `bench show {kind} NAME`, names are in `bench ls {kind}s`.")
    elif kind.strip() and not names:
        _cell(_find(results, kind), as_json)
    else:
        raise UsageError(
            f"'{' '.join(words)}' cannot be shown; write a cell id, or one of {', '.join(KINDS)} and a name."
        )


def _find(results: Path, text: str) -> Path:
    """The folder of the one cell that is meant. Raises UsageError when it is the name of something else."""
    from bench.registry import registry
    from bench.store import query

    try:
        return query.find(results, text)
    except StoreError as error:
        base = text.partition("[")[0].partition(":")[0]
        for kind in KINDS:
            if base in registry(f"{kind}s").names():
                raise UsageError(
                    f"'{text}' names no single cell of {results}; did you mean `bench show {kind} {shlex.quote(text)}`?"
                ) from error
        raise


def _cell(folder: Path, as_json: bool) -> None:
    from bench.judge.intact import hurt
    from bench.store.folders import read_record
    from bench.store.results import look_at
    from bench.store.schema import ROWS

    cell = read_record(folder)
    if as_json:
        click.echo(json.dumps(cell.document, indent=1, sort_keys=True))
        return
    _facts(folder, cell)
    damage = hurt(folder)
    if ROWS in damage:
        raise StoreError(f"{folder}: {damage[ROWS]}")
    wrong, _ = look_at(folder)
    if wrong:
        raise StoreError(wrong)
    if (folder / ROWS).exists():
        _accuracies(folder / ROWS)


def _facts(folder: Path, cell: CellRecord) -> None:
    """Everything of a cell, by what it is about."""
    spec, data, device = cell.made, cell.data, cell.device
    click.echo(f"{cell.id}   {_status(folder, cell.status)}   {folder}")
    if cell.failure:
        click.echo(f"  failed in {cell.failure.stage}: {cell.failure.message}")
        for line in cell.failure.traceback.splitlines():
            click.echo(f"    {line}")
    _settings(spec)
    if data:
        _pairs(
            "data",
            {
                "source": data.source,
                "data hash": data.data_hash,
                "subset hash": data.subset_hash,
                "training images": f"{sum(data.train_counts)}: {_list(data.train_counts)}",
                **({"validation images": _list(data.validation_counts)} if data.validation_counts else {}),
                **{f"test, {k}": f"{sum(v)}: {_list(v)}" for k, v in data.test_counts.items()},
            },
        )
        _pairs("seeds of the streams", cell.seeds)
        _pairs("made with", cell.versions | ({"device": f"{device.name} ({device.kind})"} if device else {}))
    kept = cell.stages["train"].kept_epoch if "train" in cell.stages else None
    _pairs("weights", {} if kept is None else {"of epoch": f"{kept + 1} of {spec.recipe.epochs}, {spec.recipe.select}"})
    _pairs(
        "time and memory",
        {key: f"{duration(stage.seconds)}, peak {size(stage.peak_memory_mib)}" for key, stage in cell.stages.items()},
    )
    _pairs(
        "evaluations",
        {
            key: "; ".join(
                [
                    _in_words(facts.params, spec.threat.scale) or "no settings",
                    f"by {facts.engine}",
                    *facts.notes,
                    *(f"flag {flag}" for flag in _flags(cell, key, facts)),
                ]
            )
            for key, facts in cell.evaluations.items()
        },
    )


def _flags(cell: CellRecord, key: str, facts: EvaluationFacts) -> Sequence[str]:
    """The validity flags of an evaluation; those of an audit are derived."""
    from bench.store.flags import audit_flags
    from bench.store.parts.record import Key

    return facts.flags if facts.counted else audit_flags(cell, *Key.of(key))


def _status(folder: Path, stored: str) -> str:
    """The stored status, unless whoever wrote `running` is gone."""
    from bench.store.lease import held

    if stored != "running" or held(folder):
        return stored
    return "interrupted; the same `bench run` goes on from there"


def _settings(spec: CellSpec) -> None:
    import dataclasses

    from bench.cli.shown.explain import distance
    from bench.config import format_value
    from bench.store.where import arithmetic

    scale = spec.threat.scale
    _pairs(
        "cell",
        {
            "method": spec.method + (f"[{spec.variant}]" if spec.variant else "") + spec.enhanced,
            "dataset": spec.dataset,
            "imbalance ratio": "natural" if spec.ir is None else f"{spec.ir:g}",
            "model": spec.model,
            "seed": spec.seed,
            "recipe": spec.recipe.name,
            "reduced": spec.reduced or "no",
            "precision": arithmetic(spec),
            "selection": spec.selection,
            "class order": spec.class_order,
            "radius": f"{spec.threat.norm} {distance('eps', spec.threat.eps / scale, scale)}",
            **({"first weights": f"given, mark {spec.init}"} if spec.init else {}),
            **{f"goes on from ({role})": cell for role, cell in spec.cells},
        },
    )
    _pairs(
        "recipe",
        {
            field.name: distance(field.name, getattr(spec.recipe, field.name), scale)
            for field in dataclasses.fields(spec.recipe)
            if field.name != "name"
        },
    )
    _pairs("settings of the method", {name: format_value(value) for name, value in spec.hparams})
    for enhancer, settings in spec.enhancers:
        _pairs(f"settings of {enhancer}", {name: format_value(value) for name, value in settings})


def _in_words(params: Mapping[str, Any], scale: float) -> str:
    from bench.cli.shown.explain import distance

    return ", ".join(f"{name} {distance(name, value, scale)}" for name, value in params.items())


def _accuracies(path: Path) -> None:
    from bench.judge.metrics import METRICS, summarise
    from bench.store import query

    rows = query.read_rows(path)
    click.echo("accuracies in percent")
    click.echo(f"  {'test split':12} {'attack':16} " + " ".join(f"{m:>11}" for m in METRICS) + "  correct/n by class")
    for line in summarise(rows).to_dict("records"):
        own = rows[(rows.test_split == line["test_split"]) & (rows.attack == line["attack"])]
        counts = _list(f"{r.correct}/{r.n}" for r in own.itertuples())
        values = " ".join(f"{100 * line[m]:11.2f}" for m in METRICS)
        click.echo(f"  {line['test_split']:12} {line['attack']:16} {values}  {counts}")


def _pairs(title: str, values: Mapping[str, object]) -> None:
    if not values:
        return
    click.echo(title)
    width = max(map(len, values))
    for key, value in values.items():
        click.echo(f"  {key:{width}}  {value}")


def _list(values: Sequence[int] | Iterable[str]) -> str:
    return " ".join(map(str, values))
