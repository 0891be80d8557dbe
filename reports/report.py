"""A store as a `Report`: every table and figure asked for, and a page a cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from bench import registry as registries
from bench.config import BENCHMARK_VERSION
from bench.errors import UsageError, did_you_mean
from bench.reports.extracts.summary import CELLS, notice, summary
from bench.reports.model import Figure, Report, Table
from bench.reports.pages import cell_pages
from bench.reports.paired.answer import cards
from bench.reports.source import Source
from bench.reports.text import INTERVALS
from bench.store.asked import fits, read, said
from bench.store.provenance.inputs import changed


def make(
    root: Path,
    *,
    interval: str = "both",
    tables: Sequence[str] | None = None,
    figures: Sequence[str] | None = None,
    dataset: str | None = None,
    test_split: str | None = None,
    suffixes: Sequence[str] = ("svg", "pdf"),
    only: Mapping[str, Sequence[str]] = MappingProxyType({}),
    whole: bool = False,
) -> Report:
    """The report of a results folder (or of one per_class.csv).

    `tables`, `figures`: registered names, None for all. `dataset`, `test_split`: show only these settings. `suffixes`:
    kinds of files that figures are drawn as. `only`: words by coordinate (see `asked.fits`), what else to show only.
    Of more cells than a page shows (`summary.CELLS`) it is a summary, unless `whole`. Raises
    StoreError for a folder that does not exist or is of a newer schema, UsageError for an unknown choice and for a
    setting of which the folder holds nothing.
    """
    _check(interval)
    source = Source(root)
    _held(source, dataset, test_split)
    _narrow(source, dataset, only)
    chosen = [s for s in source.index if dataset in (None, s.dataset) and test_split in (None, s.test_split)]
    blank = Report(
        title="Adversarial training on long-tailed data",
        origin=str(root),
        interval=interval,
        tables=(),
        figures=(),
        cells=(),
        versions=_versions(source),
    )
    if len(source.cells) > CELLS and not whole:
        shown = summary(source, chosen)
        used = {cell for table in shown for one in table.cells for cell in one.provenance}
        return replace(
            blank,
            tables=tuple(shown),
            figures=(),
            cells=tuple(cell_pages(source, used)),
            problems=tuple(source.problems),
            notice=notice(source, chosen, shown),
        )
    made: list[Table] = []
    for name in names("tables") if tables is None else tables:
        made += registries.registry("tables").get(name)().tables(source, dataset, test_split)
    drawn: list[Figure] = []
    for name in names("figures") if figures is None else figures:
        drawn += registries.registry("figures").get(name)().figures(source, dataset, test_split, suffixes)
    answers, standing = cards(source, chosen, suffixes)
    return replace(
        blank,
        tables=tuple(made),
        figures=tuple(drawn),
        cells=tuple(cell_pages(source)),
        problems=tuple(source.problems),
        cards=tuple(answers),
        standing=standing,
    )


def _versions(source: Source) -> str:
    """What the numbers mean, how many cells there are, and how many of them what is installed here would make anew."""
    older = {cell: set(changed(record)) for cell, record in source.cells.items()}
    count, what = sum(map(bool, older.values())), ", ".join(sorted(set[str]().union(*older.values())))
    before = f", {count} of them made before changes to the code of {what}" if count else ""
    return f"Benchmark version {BENCHMARK_VERSION}, {len(source.cells)} cells{before}."


def names(kind: str) -> list[str]:
    """Registered tables or figures in the order of a report: the overview, then by number."""
    found = registries.registry(kind).names()
    return sorted(found, key=lambda n: (n != "overview", not n[-1].isdecimal(), n))


def compare(
    root_a: Path, root_b: Path, *, interval: str = "both", dataset: str | None = None, test_split: str | None = None
) -> Report:
    """Two results folders side by side. Raises StoreError when they share no evaluation, UsageError as `make`."""
    from bench.reports.paired.compare import (
        tables as comparison,  # it needs the paired tests, which no other report does
    )

    _check(interval)
    a, b = Source(root_a), Source(root_b)
    for source in (a, b):
        _held(source, dataset, test_split)
    pages = {page.id: page for source in (b, a) for page in cell_pages(source)}
    return Report(
        title="Two results folders side by side",
        origin=f"A: {root_a}, B: {root_b}",
        interval=interval,
        tables=tuple(comparison(a, b, dataset, test_split)),
        figures=(),
        cells=tuple(pages[k] for k in sorted(pages)),
        problems=(*a.problems, *b.problems),
        heading="Comparison",
        versions=f"Benchmark version {BENCHMARK_VERSION}.",
    )


def _check(interval: str) -> None:
    if interval not in INTERVALS:
        raise UsageError(f"--interval {interval} is not one of {', '.join(INTERVALS)}.")


def _narrow(source: Source, dataset: str | None, only: Mapping[str, Sequence[str]]) -> None:
    """Leave in the source what has these coordinates. Raises UsageError when nothing has one of them."""
    for name, words in only.items():
        asked = [read(name, word) for word in words]
        there = {said(name, where) for where in source.places.values()}
        for word in asked:
            if not any(fits(where, name, (word,)) for where in source.places.values()):
                raise UsageError(f"no cell of {name} '{word}' in {source.root}; {did_you_mean(word, there)}")
        source.keep({cell for cell, where in source.places.items() if fits(where, name, asked)})
    if dataset is not None and len(source.cells) > CELLS:
        source.keep({cell for cell, where in source.places.items() if where.dataset == dataset})


def _held(source: Source, dataset: str | None, test_split: str | None) -> None:
    """Raises UsageError when nothing of the store is of this data set, or was attacked on this test split."""
    datasets = {s.dataset for s in source.index} | {cell.made.dataset for cell in source.cells.values()}
    _among(dataset, datasets, "cell of data set", source)
    _among(
        test_split, {s.test_split for s in source.index if dataset in (None, s.dataset)}, "number of test split", source
    )


def _among(wanted: str | None, there: set[str], what: str, source: Source) -> None:
    if wanted is not None and wanted not in there:
        raise UsageError(f"no {what} '{wanted}' in {source.root}; it holds {', '.join(sorted(there)) or 'none'}.")
