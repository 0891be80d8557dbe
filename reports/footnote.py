"""The settings footnote: what a table's numbers rest on, collected from the runs that went into it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from bench.config import REFERENCE_EPS, format_value
from bench.judge.evaluations import Evaluation
from bench.reports.source import Source
from bench.reports.tuned import tuned
from bench.store.parts.record import EvaluationFacts, Key
from bench.store.provenance.inputs import changed
from bench.store.rows import WORST
from bench.store.where import Where


def settings_lines(
    source: Source, setting: Where, used: Sequence[Evaluation], attacks: Iterable[str]
) -> tuple[tuple[str, str], ...]:
    """(name, value) lines: data, test split, recipe, seeds, attacks, engines, versions."""
    lines = [
        ("Data", f"{setting.dataset}, pixels from {setting.source}" + _hashes({e.where.data_hash for e in used})),
        ("Test split", setting.test_split + _sizes(source, used)),
        ("Recipe", setting.recipe + (f", reduced: {', '.join(_exact(used))}" if setting.reduced else "")),
        ("Threat model", f"ℓ∞, ε = {radius(setting.eps)}" + _scaled(setting.eps)),
    ]
    if setting.precision != "fp32":
        lines.append(("Precision", setting.precision))
    if (setting.selection, setting.class_order) != ("seeded", "natural"):
        lines.append(("Subset", f"selection {setting.selection}, class order {setting.class_order}"))
    if used:
        lines.append(("Seeds", ", ".join(map(str, sorted({e.seed for e in used})))))
        lines.append(("Attacks", "; ".join(_attacks(source, setting, used, attacks))))
        lines += [("Tuning", told)] if (told := tuned(source, {e.cell for e in used})) else []
        lines += [("Code", told)] if (told := older(source, used)) else []
        lines.append(("Versions", ", ".join([f"benchmark {setting.benchmark}", *_versions(source, used)])))
    return tuple(lines)


def radius(eps: float) -> str:
    """`8/255` where it is a multiple of 1/255, else the number."""
    levels = round(eps * 255)
    return f"{levels}/255" if levels and abs(eps * 255 - levels) < 1e-5 else f"{eps:g}"


def scaled(eps: float) -> bool:
    """Whether a radius is another than the one at which radii and steps of attacks are stated."""
    return not abs(eps - REFERENCE_EPS) < 1e-6


def _scaled(eps: float) -> str:
    return "; radii and steps of attacks are stated at 8/255 and scaled to it" if scaled(eps) else ""


def _hashes(hashes: set[str]) -> str:
    known = sorted(h for h in hashes if h)
    return f" (content {', '.join(known[:3])}{', …' if len(known) > 3 else ''})" if known else ""


def _sizes(source: Source, used: Sequence[Evaluation]) -> str:
    """`, 870 images`, or with the ratio each number belongs to: `, 352 images at IR 10, 213 at IR 100`."""
    found: dict[float, set[int]] = {}
    for e in used:
        found.setdefault(source.ratios[e.cell], set()).add(int(e.n.sum()))
    texts = {ir: " / ".join(map(str, sorted(sizes))) for ir, sizes in sorted(found.items())}
    if len(set(texts.values())) < 2:
        return "".join(f", {text} images" for text in list(texts.values())[:1])
    return "".join(f", {text} images at IR {format_value(ir)}" for ir, text in texts.items())


def _exact(used: Sequence[Evaluation]) -> list[str]:
    return sorted({e.where.reduced for e in used if e.where.reduced})


def _attacks(source: Source, setting: Where, used: Sequence[Evaluation], attacks: Iterable[str]) -> list[str]:
    lines = []
    for attack in attacks:
        runs = [e for e in used if e.where.attack == attack]
        if not runs:
            continue
        if attack == WORST:
            lines.append(f"{attack} (image by image, over the attacks of radius {radius(setting.eps)})")
            continue
        known = (evaluation(source, e.cell, setting.test_split, attack) for e in runs)
        detail = next((facts for facts in known if facts is not None), EvaluationFacts())
        params = ", ".join(f"{k} {_value(v)}" for k, v in sorted(detail.params.items()))
        engines = "/".join(sorted({e.engine for e in runs if e.engine}))
        lines.append(f"{attack} ({', '.join(p for p in (params, engines) if p)})" if params or engines else attack)
    return lines


def older(source: Source, used: Iterable[Evaluation]) -> str:
    """`made before changes to the code of method 'taet'`: what ran then was not what is here; nothing, as a rule."""
    keys: dict[str, set[str]] = {}
    for e in used:
        keys.setdefault(e.cell, set()).add(str(Key(e.where.test_split, e.where.attack)))
    known = [(source.cells[cell], some) for cell, some in keys.items() if cell in source.cells]
    found = sorted({words for cell, some in known for words in changed(cell, some)})
    return f"made before changes to the code of {', '.join(found)}" if found else ""


def evaluation(source: Source, cell: str, split: str, attack: str) -> EvaluationFacts | None:
    """What cell.json holds about one evaluation; None when there is no cell.json."""
    return source.cells[cell].evaluations.get(str(Key(split, attack))) if cell in source.cells else None


def _value(value: Any) -> str:
    if isinstance(value, float) and math.isfinite(value):
        return format_value(value)
    return str(value)


def _versions(source: Source, used: Sequence[Evaluation]) -> list[str]:
    seen: dict[str, set[str]] = {}
    for cell in {e.cell for e in used} & source.cells.keys():
        for name, version in source.cells[cell].versions.items():
            seen.setdefault(name, set()).add(version)
    wanted = ("bench", "robust-longtail-bench", "git", "python", "torch", "torchvision", "numpy", "pyautoattack")
    names = [n for n in wanted if n in seen] or sorted(seen)
    return [f"{name} {'/'.join(sorted(seen[name]))}" for name in names]
