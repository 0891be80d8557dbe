"""Evaluations that belong together, compared pairwise: two methods, one method in two settings, one cell in two stores.

Each of the three finds its pairs of cells and says what it lacks; `pairs.lines` makes the lines of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.errors import StoreError
from bench.judge.pairs.across import Across
from bench.judge.pairs.cells import Cell, finished
from bench.judge.pairs.lines import Line, lines_of, place_of
from bench.judge.pairs.partners import apart, full, rivals
from bench.judge.pairs.wanted import Wanted
from bench.judge.selected import check_attacks, label, of_method, run_command
from bench.store.results import Results, opened
from bench.store.rows import WORST

#: all evaluations of all cells
ALL = Wanted()


def compare_methods(store: Path | Results, a: str, b: str, wanted: Wanted = ALL) -> list[Line]:
    """Method `a` minus method `b` (each `name` or `name[setting=value]`) for every seed, and pooled over seeds.

    Raises UsageError for a method, data set or ratio that is not in the store and an attack that does not exist,
    StoreError when no two evaluations belong together, which names what keeps the nearest apart.
    """
    found = opened(store)
    everywhere = finished(found)
    cells = wanted.of(everywhere, found.root)
    first, second = of_method(cells, a, everywhere), of_method(cells, b, everywhere)
    pairs = rivals(first, second)
    _check((*first, *second), wanted)
    lacking = wanted.lacking(pairs)
    lines = [] if lacking else lines_of(pairs, wanted)
    if not lines:
        split = wanted.test_split
        where = f" on the {split} test split" if split else ""
        attacks = wanted.attacks or first[0].evaluated()
        command = run_command(first, (a, b), attacks, {split} if split else first[0].splits(), found.root)
        why = _why_not(first, second, pairs, wanted, (a, b))
        raise StoreError(
            f"{found.root} holds no evaluations of {a} and {b}{_under(lacking)}{where} that belong together: {why}; "
            f"run `{command}`."
        )
    return lines


def compare_across(store: Path | Results, method: str, across: str, wanted: Wanted = ALL) -> list[Line]:
    """One method in two settings of the protocol, the first minus the second: `across` is `precision=bf16,fp32`.

    All but that coordinate is equal, so the difference is what it does. Raises UsageError for a coordinate or a value
    that there is not, StoreError when no two evaluations belong together.
    """
    between = Across.parse(across)
    found = opened(store)
    everywhere = finished(found)
    cells = of_method(wanted.of(everywhere, found.root), method, everywhere)
    first, second = between.sides(cells)
    pairs = between.pairs(first, second)
    _check(cells, wanted)
    lines = [] if wanted.lacking(pairs) else lines_of(pairs, wanted, between.place)
    if not lines:
        names = (f"{between.name} {between.first}", f"{between.name} {between.second}")
        why = "" if pairs else apart(first, second, names, besides=between.name)
        raise StoreError(
            f"{found.root} holds no evaluations of {method} that differ in {between.name} alone: "
            f"{why or 'its cells share no evaluation'}."
        )
    return lines


def compare_stores(a: Path | Results, b: Path | Results, wanted: Wanted = ALL) -> list[Line]:
    """Every cell of store A minus the same cell (same method, settings and seed) of store B, and pooled over seeds.

    Raises StoreError when they share no evaluation.
    """
    store_a, store_b = opened(a), opened(b)
    other = {full(c.spec): c for c in finished(store_b)}
    mine = wanted.of(finished(store_a), store_a.root)
    pairs = [(c, other[full(c.spec)]) for c in mine if full(c.spec) in other]
    _check((*mine, *other.values()), wanted)
    lacking = wanted.lacking(pairs)
    lines = [] if lacking else lines_of(pairs, wanted, lambda spec: {"method": label(spec)} | place_of(spec))
    if not lines:
        why = "" if pairs else apart(mine, other.values(), (str(store_a.root), str(store_b.root)))
        raise StoreError(
            f"{store_a.root} and {store_b.root} share no evaluation of one cell{_under(lacking)}"
            f"{f' ({why})' if why else ''}; give two stores of one grid."
        )
    return lines


def _check(cells: Sequence[Cell], wanted: Wanted) -> None:
    """Raises UsageError for an attack that none of these was evaluated with and that does not exist."""
    check_attacks(wanted.attacks, set[str]().union(*(cell.evaluated() for cell in cells)))


def _under(lacking: Sequence[str]) -> str:
    return f" under {', '.join(lacking)}" if lacking else ""


def _why_not(
    first: Sequence[Cell],
    second: Sequence[Cell],
    pairs: Sequence[tuple[Cell, Cell]],
    wanted: Wanted,
    names: tuple[str, str],
) -> str:
    """What keeps two methods' cells, or their evaluations, apart."""
    if not pairs:
        return apart(first, second, names)
    if wanted.attacks == (WORST,):
        told = [", ".join(cell.over(wanted.test_split or sorted(cell.splits())[0])) or "no attack" for cell in pairs[0]]
        return f"the worst case is over {told[0]} in {names[0]}, over {told[1]} in {names[1]}"
    told = [", ".join(sorted(cell.evaluated(wanted.test_split))) or "nothing" for cell in pairs[0]]
    return f"{names[0]} was evaluated under {told[0]}, {names[1]} under {told[1]}"
