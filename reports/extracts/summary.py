"""A page of more cells than can be shown one by one: of each method its highest setting, and how to see the rest."""

from __future__ import annotations

import math
import shlex
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from bench.config import format_value
from bench.reports import paper
from bench.reports.model import Column, Footnote, Table
from bench.reports.paired.answer import strongest
from bench.reports.paired.pairing import accuracies
from bench.reports.source import Config, Source
from bench.reports.table import Grid, RowSpec, place
from bench.reports.text import slug
from bench.store.where import Where

#: cells that a page shows one by one at most, and rows of all its tables where it holds more
CELLS, ROWS = 1000, 200


def summary(source: Source, settings: Sequence[Where]) -> list[Table]:
    """A table a setting while there is room, the paper's own first: a row a ratio, network and method, its highest."""
    made: list[Table] = []
    room = ROWS
    for setting in sorted(settings, key=lambda s: (s.recipe != "paper", s.test_split != "long-tailed")):
        if room:
            made.append(_table(source, setting, f"Overview {len(made) + 1}", room))
            room -= len(made[-1].rows)
    return made


def notice(source: Source, settings: Sequence[Where], tables: Sequence[Table]) -> str:
    """What such a page leaves out, and how to see it."""
    left = len(settings) - len(tables)
    more = f" {left} settings more have no room." if left else ""
    return (
        f"{len(source.cells):,} cells are more than the {CELLS:,} that a page shows one by one: of each method its "
        f"highest setting under the strongest attack stands here.{more} Narrow it for all tables, figures and cells: "
        f"{' '.join(map(shlex.quote, ['bench', 'report', '--results', str(source.root)]))} with --methods, --dataset, "
        "--irs, --models, --seeds, --recipe or --test-split. --format csv writes every number of every table."
    )


def _table(source: Source, setting: Where, title: str, room: int) -> Table:
    attacks, configs = source.attacks([setting]), source.configs(setting)
    attack = strongest(source, setting, configs) or (attacks[0] if attacks else "")
    groups: dict[tuple[float, str, str], list[Config]] = defaultdict(list)
    for config in configs:
        groups[config.ir, config.model, config.method].append(config)
    rows, places = [], []
    for (ir, model, _), some in list(groups.items())[:room]:
        best = max(some, key=lambda c: _mean(source, setting, c, attack))
        cells = {e.cell for c in some for found in source.index[setting][c].values() for e in found}
        ratio = "natural" if math.isnan(ir) else format_value(ir)
        labels = (
            paper.method_label(best.label),
            ratio,
            paper.MODEL_LABEL.get(model, model),
            str(len(some)),
            str(len(cells)),
        )
        rows.append(RowSpec(labels, group=f"{ir} {model}"))
        places.append([place(source, setting, best, {"attack": a}) for a in attacks])
    own = setting.source == paper.ORIGINAL.get(setting.dataset)
    what = paper.DATA_LABEL[setting.dataset] if own else f"{setting.dataset}, pixels from {setting.source}"
    left = len(groups) - len(rows)
    return Grid(source, setting, rows, places).fill(
        Table(
            key=slug(f"summary-{setting.dataset}-{setting.digest}"),
            title=title,
            caption="Balanced accuracy and robustness of each method's highest setting under "
            f"{paper.attack_label(attack)}",
            heads=("Method", "IR", "Model", "Settings", "Cells"),
            columns=tuple(Column(paper.attack_label(a), attack=a) for a in attacks),
            rows=(),
            words=("summary", paper.DATA_LABEL[setting.dataset] if own else setting.dataset, *setting.title()),
            data=f"{what}, {setting.heading()}",
            footnotes=(
                Footnote(
                    "",
                    "The highest of several settings on the same images is too high a number; "
                    "compare settings on seeds that did not choose them.",
                ),
                *((Footnote("", f"{left} rows more have no room."),) if left else ()),
            ),
        )
    )


def _mean(source: Source, setting: Where, config: Config, attack: str) -> float:
    """Mean balanced accuracy over the seeds; a setting that was not attacked so comes last."""
    found = source.evaluations(setting, config, attack)
    return float(np.mean(accuracies(found))) if found else -1.0
