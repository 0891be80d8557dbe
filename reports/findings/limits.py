"""What cannot be said: reduced settings, flags, failures, and what could not be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from bench.reports.findings.block import Store
from bench.reports.text import markdown


def limits(store: Store) -> Iterator[str]:
    """Paragraphs, the gravest first."""
    cells = store.source.cells.values()
    if store.blocks and all(block.setting.reduced for block in store.blocks):
        yield (
            "All cells are reduced: fewer images and epochs than the recipe. They show that the chain works on real "
            "images and what the attacks do to one another; they do not confirm or refute the paper's ranking, which "
            "needs the full recipe (`bench run --preset paper`)."
        )
    counts = Counter(flag for cell in cells for flag in cell.get("flags", ()))
    if counts:
        told = ", ".join(f"{flag} in {count} of {len(cells)} cells" for flag, count in sorted(counts.items()))
        yield f"[Validity flags](flags.md) raised: {told}."
    failed = [f"{c['id']} ({markdown(c['failure']['message'])})" for c in cells if c["status"] == "failed"]
    yield f"Failed cells: {', '.join(failed) or 'none'}."
    bare = sorted({
        one.cell for block in store.blocks for spot, one in block.evaluations
        if store.bits(one.cell, spot.split, spot.attack) is None
    })  # fmt: skip
    if bare:
        yield f"Cells with an evaluation without the bit of each image, left out of differences: {', '.join(bare)}."
    if store.source.problems:
        told = " ".join(store.source.problems).replace(f"{store.root}/", "")
        yield f"Not readable: {markdown(told)}"
