"""Which data sets are here, and what fetches the others."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

from bench.errors import BenchError


def standing(names: Iterable[str], data_root: Path | None) -> list[str]:
    """Lines: those that are here, those that one command fetches, and a sentence for each of the others."""
    from bench.plugins import make_dataset

    here, fetched, others = [], [], []
    for name in dict.fromkeys(names):
        try:
            said = make_dataset(name, data_root).lacks()
        except BenchError as error:
            said = str(error)
        if not said:
            here.append(name)
        elif f"bench fetch {name}" in said:
            fetched.append(name)
        else:
            others.append(f"{name} is not here: {said}")
    lines = [f"here: {', '.join(here)}"] if here else []
    if fetched:
        where = f" --data-root {shlex.quote(str(data_root))}" if data_root else ""
        command = f"bench fetch {' '.join(map(shlex.quote, fetched))}{where}"
        lines.append(f"not here: {', '.join(fetched)}; `{command}` fetches {'it' if len(fetched) == 1 else 'them'}")
    return [*lines, *others]
