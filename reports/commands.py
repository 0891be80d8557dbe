"""Which command measures what is missing, in as few lines as possible, and asks for nothing else."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

from bench.judge.evaluations import Evaluation
from bench.reports.footnote import evaluation
from bench.reports.source import Config, Source
from bench.store.asked import command
from bench.store.rows import WORST
from bench.store.where import Where

Want = tuple[Config, str]
Seeds = tuple[int, ...]

#: a method, and its settings as rows have them
Named = tuple[str, str]
#: where `bench run` writes when it is not told
DEFAULT_RESULTS = Path("results/runs")


def fill(source: Source, setting: Where, wants: Iterable[Want], *more: str) -> list[str]:
    """Commands that measure what a store lacks, each pair with the seeds of the numbers it would stand beside.

    `more`: words added to every line, such as `--track clean,pgd-20`.
    """
    parts = ((config, attack, part) for config, attack in wants for part in _parts(source, setting, config, attack))
    # Of the worst case's attacks some may be there; an attack itself can be there and lack its curves.
    pairs = dict.fromkeys((c, p) for c, attack, p in parts if p == attack or not source.evaluations(setting, c, p))
    asked = [(config, attack, _beside(source, setting, config, attack)) for config, attack in pairs]
    return _lines(setting, asked, (*more, *_where(source, setting)))


def again(source: Source, setting: Where, config: Config, attack: str) -> str:
    """The command that a measured number came from."""
    asked = []
    for part in _parts(source, setting, config, attack):
        found = source.evaluations(setting, config, part)
        asked.append((config, part, tuple(sorted({e.seed for e in found}))))
    return " && ".join(_lines(setting, asked, _where(source, setting)))


def preset(source: Source, name: str) -> str:
    """The command that fills a table or figure of which nothing is there."""
    return " ".join(["bench run --preset", name, *map(shlex.quote, _folder(source))])


def run(setting: Where, wants: Iterable[Want], seeds: Sequence[int] = (), *more: str) -> list[str]:
    """Commands that measure (configuration, attack) pairs under a setting, all with the same seeds."""
    return _lines(setting, [(config, attack, tuple(seeds)) for config, attack in wants], more)


# ------------------------------------------------------------------------------------------- what is asked for


def _parts(source: Source, setting: Where, config: Config, attack: str) -> list[str]:
    """The attack, or those that the worst case is taken over: it is derived and cannot be asked for."""
    if attack != WORST:
        return [attack]
    there = source.index.get(setting, {})
    own, others = [there.get(config, {})], list(there.values())
    # The configuration's own attacks say it best; one that has no worst case yet gets those of its neighbours.
    return next((parts for some in (own, others) if (parts := _bounded(source, setting, some))), [])


def _bounded(source: Source, setting: Where, runs: Iterable[Mapping[str, Sequence[Evaluation]]]) -> list[str]:
    """The l_inf attacks of the threat model's radius among these evaluations, and `clean`; [] without the former."""
    stored = {
        attack: evaluation(source, found[0].cell, setting.test_split, attack)
        for attacks in runs
        for attack, found in attacks.items()
    }
    known = {attack: facts for attack, facts in stored.items() if facts is not None}
    inside = {attack for attack, facts in known.items() if facts.within(setting.eps)}
    clean = {attack for attack, facts in known.items() if facts.norm == "none"}
    return [a for a in source.attacks([setting]) if a in inside | clean] if inside else []


def _beside(source: Source, setting: Where, config: Config, attack: str) -> Seeds:
    """Seeds of the same attack at the same ratio and network, as far as the configuration was trained with them.

    Where none of its neighbours has the attack: all seeds it was trained with, or else those of its neighbours.
    """
    there = source.index.get(setting, {})
    near = {c: a for c, a in there.items() if (c.ir, c.model) == (config.ir, config.model)} or there
    column = {e.seed for attacks in near.values() for e in attacks.get(attack, ())}
    any_column = {e.seed for attacks in near.values() for found in attacks.values() for e in found}
    own = _trained(source, setting, config)
    return tuple(sorted(column & own or own or column or any_column))


def _trained(source: Source, setting: Where, config: Config) -> set[int]:
    """Seeds of a configuration's cells, whichever test split they were attacked on."""
    same = [s for s in source.index if replace(s, test_split=setting.test_split) == setting]
    return {e.seed for s in same for found in source.index[s].get(config, {}).values() for e in found}


def _where(source: Source, setting: Where) -> tuple[str, ...]:
    # A data set named with an argument (`archive:NAME`) is nobody's download: only its owner knows the folder.
    return (*_folder(source), *(("--data-root", "DIR") if ":" in setting.dataset else ()))


def _folder(source: Source) -> tuple[str, ...]:
    return ("--results", str(source.root)) if source.is_folder and source.root != DEFAULT_RESULTS else ()


# ---------------------------------------------------------------------------------------------- how it is written


def _lines(setting: Where, asked: Iterable[tuple[Config, str, Seeds]], more: Sequence[str]) -> list[str]:
    """One line for all that forms a grid: methods x ratios x attacks x seeds, and nothing besides."""
    attacks: dict[tuple[Config, Seeds], list[str]] = defaultdict(list)
    for config, attack, seeds in asked:
        if attack and attack not in attacks[config, seeds]:
            attacks[config, seeds].append(attack)
    ratios: dict[tuple[Named, str, tuple[str, ...], Seeds], list[float]] = defaultdict(list)
    for (config, seeds), labels in attacks.items():
        ratios[(config.method, config.variant), config.model, tuple(labels), seeds].append(config.ir)
    methods: dict[tuple[str, tuple[str, ...], tuple[float, ...], Seeds], list[Named]] = defaultdict(list)
    for (method, model, labels_, seeds), irs in ratios.items():
        methods[model, labels_, tuple(irs), seeds].append(method)
    return [_line(setting, names, *key, more) for key, names in methods.items()]


def _line(
    setting: Where,
    methods: Sequence[Named],
    model: str,
    attacks: Sequence[str],
    irs: Sequence[float],
    seeds: Seeds,
    more: Sequence[str],
) -> str:
    """The grid of all of these, whose axes are written in the order given."""
    grid = product(methods, irs, attacks, seeds or (None,))
    return command(
        [
            replace(setting, method=method, variant=variant, ir=ir, model=model, attack=attack, seed=seed)
            for (method, variant), ir, attack, seed in grid
        ],
        *more,
    )
