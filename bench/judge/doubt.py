"""Numbers that must not be called best: their validity flags say that they may be no measure of robustness."""

from __future__ import annotations

from collections.abc import Iterable

from bench.store.flags import FLAGS

#: flags that say nothing against a number
HARMLESS = {flag.name for flag in FLAGS if not flag.invalid}


def doubtful(names: Iterable[str]) -> bool:
    """Whether a number has a flag by which it must not be called best; one this version does not know is one."""
    return bool(set(names) - HARMLESS)


def disqualified(seeds: Iterable[Iterable[str]]) -> bool:
    """Whether a mean over seeds, given by each one's flags, must not be called best: most of its seeds must not."""
    each = [doubtful(flags) for flags in seeds]
    return 2 * sum(each) > len(each)


def against(seeds: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """The flags by which such a mean must not be called best, sorted; none where most of its seeds may."""
    each = [set(flags) for flags in seeds]
    return tuple(sorted(set[str]().union(*each) - HARMLESS)) if disqualified(each) else ()
