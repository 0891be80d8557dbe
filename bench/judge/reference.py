"""What a number is compared with: the paper's tables, the golden store, or any stored folder or file.

    paper_tables()   a table of results/paper as a data frame, values as printed and as numbers; paper_claims() in text
    place(where)     the folder or file of a reference: `golden`, a results folder, or one per_class.csv
    read(path)       its rows and audits, as those of what is compared with it

Nothing here imports torch.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from bench.errors import StoreError
from bench.judge.audits import Audited, audits
from bench.store import query
from bench.store.results import Results
from bench.store.schema import ROWS


def shipped(name: str) -> Path:
    """A folder of the results that come with the project: `paper`, `golden`, `measured`. It may be absent."""
    found = find_spec("bench.results")  # not imported: `bench.results` is a function of the package
    assert found is not None
    assert found.submodule_search_locations
    return Path(found.submodule_search_locations[0]) / name


@cache
def _paper(name: str) -> pd.DataFrame:
    path = shipped("paper") / name
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error}); install the project again.") from error


def paper_tables() -> pd.DataFrame:
    """The 440 numbers of Tables 1 to 11 in the paper's order; columns in results/paper/README.md.

    All columns are text as printed, besides `table` (int), `ir` (float) and `number`, the value as a fraction.
    """
    frame = _paper("tables.csv")
    return frame.assign(
        table=frame["table"].astype(int), ir=frame["ir"].astype(float), number=frame["value"].astype(float) / 100
    )


def robustlt_tables() -> pd.DataFrame:
    """The 54 numbers that third parties report of RobustLT's paper, all columns text."""
    return _paper("robustlt.csv").copy()


def paper_claims() -> pd.DataFrame:
    """The 60 statements of prose, captions and formulas, all columns text."""
    return _paper("claims.csv").copy()


def place(where: str | Path) -> Path:
    """The folder or file of a reference. Raises StoreError when it does not exist."""
    path = shipped("golden") if str(where) == "golden" else Path(where)
    if not path.exists():
        raise StoreError(
            f"reference {path} does not exist; give a results folder, a per_class.csv, 'golden' or 'paper' with "
            "--against."
        )
    return path


def read(path: Path) -> tuple[pd.DataFrame, list[Audited]]:
    """The rows, and the audited evaluations, of which a file of rows has none. Raises StoreError, as for any damage."""
    rows, audited, problems = seen(path)
    if problems:
        raise StoreError(problems[0])
    return rows, audited


def seen(path: Path) -> tuple[pd.DataFrame, list[Audited], list[str]]:
    """What `read` gives of the sound cells, and a sentence for each that is left out. Raises StoreError."""
    if not path.exists():
        raise StoreError(f"{path} does not exist; run `bench run` first, or give a results folder with --results.")
    if path.is_dir() and (path / ROWS).is_file():
        path = path / ROWS
    if path.is_file():
        return query.read_rows(path), [], []
    found = Results(path)
    return found.rows, list(audits(found.cells)), found.problems
