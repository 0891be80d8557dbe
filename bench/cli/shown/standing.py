"""How one cell stands, in words and as plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.store.status import Standing


def detail(standing: Standing) -> str:
    """Where a cell runs and how far it is, since when it is not, or why it failed; begins with two spaces."""
    from bench.cli.shown.format import duration

    parts = [standing.where]
    if standing.state == "running":
        far = f"{standing.stage} {standing.at}/{standing.of}" if standing.of else standing.stage
        parts += [far, f"since {standing.since}"]
        parts += [f"silent for {duration(standing.silent)}"] if standing.silent > 60 else []
    elif standing.state == "interrupted":
        parts += [f"in {standing.stage}" if standing.stage else "", f"since {standing.since}"]
    parts.append(standing.reason)
    said = "; ".join(part for part in parts if part)
    return f"  {said}" if said else ""


def plain(standing: Standing) -> dict[str, object]:
    """A cell as JSON's own types."""
    import msgspec

    found: dict[str, object] = msgspec.to_builtins(standing)
    return found
