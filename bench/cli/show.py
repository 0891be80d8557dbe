"""`bench show`: one thing in full: a cell with its provenance, or a method, model, data set or attack."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from bench.cli._format import duration
from bench.cli._options import results_option
from bench.errors import UsageError


@click.command("show")
@click.argument(
    "words", nargs=-1, required=True, metavar="CELL | method NAME | model NAME | dataset NAME | attack NAME"
)
@click.option("--json", "as_json", is_flag=True, help="The cell's stored facts as JSON.")
@results_option
def command(words: tuple[str, ...], as_json: bool, results: Path) -> None:
    """Show one cell (its id or a unique beginning or end of it), or what a plug-in means and does."""
    if len(words) == 2 and words[0] in KINDS:
        KINDS[words[0]](words[1])
    elif len(words) == 1:
        _cell(results, words[0], as_json)
    else:
        raise UsageError(
            f"'{' '.join(words)}' cannot be shown; write a cell id, or one of {', '.join(KINDS)} and a name."
        )


def _cell(results: Path, prefix: str, as_json: bool) -> None:
    from bench.config import canonical_json, cell_from_plain
    from bench.judge.metrics import METRICS, summarise
    from bench.store import query
    from bench.store.folders import read_cell
    from bench.store.schema import ROWS

    folder = query.find(results, prefix)
    cell = read_cell(folder)
    if as_json:
        click.echo(json.dumps(cell, indent=1, sort_keys=True))
        return
    spec = cell_from_plain(cell["spec"])
    click.echo(f"{cell['id']}   {cell['status']}   {folder}")
    if cell.get("failure"):
        click.echo(f"  failed in {cell['failure']['stage']}: {cell['failure']['message']}")
    _pairs("spec", {
        "method": spec.method + (f"[{spec.variant}]" if spec.variant else ""), "recipe": spec.recipe.name,
        "dataset": spec.dataset, "imbalance ratio": "natural" if spec.ir is None else f"{spec.ir:g}",
        "model": spec.model, "seed": spec.seed, "reduced": spec.reduced or "no", "precision": spec.precision,
        "selection": spec.selection, "class order": spec.class_order,
        "radius": f"{spec.threat.norm} {spec.threat.eps:.6g}",
        "recipe in full": canonical_json(spec.recipe), "hyper-parameters": canonical_json(dict(spec.hparams)),
    })  # fmt: skip
    data = cell.get("data")
    if data:
        _pairs("data", {
            "source": data["source"], "data hash": data["data_hash"], "subset hash": data["subset_hash"],
            "training images": f"{sum(data['train_counts'])}: {_list(data['train_counts'])}",
            **{f"test, {k}": f"{sum(v)}: {_list(v)}" for k, v in data["test_counts"].items()},
        })  # fmt: skip
        _pairs("seeds of the streams", cell["seeds"])
        _pairs("made with", cell["versions"] | {"device": f"{cell['device']['name']} ({cell['device']['kind']})"})
    for key, stage in cell.get("stages", {}).items():
        click.echo(f"  {key}: {duration(stage['seconds'])}, peak {stage['peak_memory_mib']:.0f} MiB")
    for key, facts in cell.get("evaluations", {}).items():
        notes = "; ".join([*facts["notes"], *(f"flag {flag}" for flag in facts["flags"])])
        click.echo(f"  {key}: {facts['engine']} {canonical_json(facts['params'])}" + (f" ({notes})" if notes else ""))
    if (folder / ROWS).exists():
        rows = query.read_rows(folder / ROWS)
        table = summarise(rows)
        click.echo("accuracies in percent")
        click.echo(
            f"  {'test split':12} {'attack':16} " + " ".join(f"{m:>9}" for m in METRICS) + "  correct/n by class"
        )
        for line in table.itertuples():
            own = rows[(rows.test_split == line.test_split) & (rows.attack == line.attack)]
            counts = " ".join(f"{r.correct}/{r.n}" for r in own.itertuples())
            values = " ".join(f"{100 * getattr(line, m):9.2f}" for m in METRICS)
            click.echo(f"  {line.test_split:12} {line.attack:16} {values}  {counts}")


def _method(name: str) -> None:
    from bench.engine.explain import explain_method

    click.echo(explain_method(name))


def _model(name: str) -> None:
    from bench.engine.explain import explain_model

    click.echo(explain_model(name))


def _dataset(name: str) -> None:
    from bench.engine.plugins import dataset_facts
    from bench.registry import registry

    origin = registry("datasets").origin(name)
    click.echo(f"{name}: {origin.describe()}")
    _pairs("facts", vars(dataset_facts(name, None)))


def _attack(name: str) -> None:
    import dataclasses
    import inspect

    from bench.config import format_value, parse_variant
    from bench.registry import registry

    cls = registry("attacks").get(parse_variant(name)[0])
    module = inspect.getmodule(cls)
    click.echo(inspect.cleandoc(module.__doc__ or "") if module else "")
    _pairs("parameters (at the reference radius 8/255; scaled to the data set's)", {
        f.name: f"{format_value(f.default)}  {f.metadata.get('help', '')}" for f in dataclasses.fields(cls.Params)
    })  # fmt: skip


def _pairs(title: str, values: dict[str, object]) -> None:
    click.echo(title)
    width = max(map(len, values), default=0)
    for key, value in values.items():
        click.echo(f"  {key:{width}}  {value}")


def _list(values: Sequence[int]) -> str:
    return " ".join(map(str, values))


KINDS: dict[str, Callable[[str], None]] = {"method": _method, "model": _model, "dataset": _dataset, "attack": _attack}
