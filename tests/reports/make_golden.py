"""Write the small committed store and the golden report again: `python tests/reports/make_golden.py`.

Run it only after an intended change of the report, and read the difference before committing it.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

#: names that would break a format that does not escape
NASTY = (
    "air_plane",
    "50%",
    "cats & dogs",
    "<script>alert(1)</script>",
    "mañana",
    "猫",
    "$x^2$",
    "back\\slash",
    "a|b",
    "#1 ~ {z}",
)


def store(root: Path) -> None:
    """A dozen cells: the paper's own data with several seeds, a variant, a failure, and a stand-in."""
    from conftest import write_cell

    attacks = ("clean", "pgd-20", "cw-l2", "cw-linf", "aa")
    for seed in (0, 1):
        for method in ("at-bsl", "taet"):
            write_cell(root, method, seed=seed, attacks=attacks)
    write_cell(root, "trades", attacks=attacks, flags="small-class")
    write_cell(root, "taet", variant="beta=0.05", attacks=("clean", "pgd-20"))
    write_cell(root, "taet", ir=50.0, status="failed")
    for method in ("at-bsl", "my_método"):
        write_cell(
            root,
            method,
            dataset="archive:odd_&_names",
            source="made up <b>&</b> 100% synthetic",
            ir=10.0,
            model="small-cnn",
            names=NASTY,
            attacks=("clean", "pgd-20"),
            largest=(500, 100),
        )


def report(root: Path, folder: Path) -> None:
    """Every text format of the report of the store, without figures."""
    from bench.reports import render
    from bench.reports.report import make

    with contextlib.chdir(root.parent):  # the page names the folder as it was given
        made = make(Path(root.name), tables=["overview", "table01", "table02", "table04", "table05"], figures=[])
    render.write(made, folder, ["markdown", "csv", "latex"])


if __name__ == "__main__":
    for folder, fill in ((HERE / "store", store),):
        shutil.rmtree(folder, ignore_errors=True)
        fill(folder)
    shutil.rmtree(HERE / "golden", ignore_errors=True)
    report(HERE / "store", HERE / "golden")
