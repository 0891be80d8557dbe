"""The one line under a manuscript's table: what its numbers are and rest on, without a command or a path."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.config import format_value, parse_variant
from bench.judge.evaluations import Evaluation
from bench.judge.metrics import PRIOR
from bench.reports import paper
from bench.reports.extracts.choice import Choice
from bench.reports.footnote import radius, scaled
from bench.store.rows import WORST
from bench.store.where import Where

METRIC = {
    "balanced": "Balanced accuracy",
    "standard": "Standard accuracy",
    "head": "Accuracy of the head classes",
    "tail": "Accuracy of the tail classes",
    "tail-80": "Accuracy of the rarest 80 % of the classes",
    "worst-class": "Accuracy of the worst class",
}
BEHIND = {
    "std": "mean ± standard deviation over {}",
    "images": "mean over {} ± the farther end of the 95 % interval over test images",
    "seeds": "mean ± the farther end of the 95 % interval over {}",
    "none": "mean over {}",
}
#: how attacks are called at length
ATTACK = {
    "aa": "AA: AutoAttack",
    "aa-10": "AA-10: AutoAttack with 10 iterations",
    "cw-l2": "CW (ℓ₂): unbounded",
    "worst": "worst case: correct under every attack of this radius",
}

#: AutoAttack, whole, further, or on a sample
CHAINS = {"aa", "aa-plus", "aa-audited"}


def caption(
    used: Sequence[tuple[Where, Sequence[Evaluation]]],
    choice: Choice,
    networks: Sequence[str],
    groups: Sequence[tuple[str, float]],
    attacks: Sequence[str],
    tested: bool | None,
) -> str:
    """Metric, data, network, threat model, recipe, spread, how short the runs are, and what bold means.

    `tested`: whether a paired test chose what is bold; None where nothing is.
    """
    settings = list(dict.fromkeys(setting for setting, _ in used))
    parts = [
        f"{_metric(choice.metric)} in % on the {settings[0].test_split} test split of {_data(settings, groups)}"
        if settings
        else "No number"
    ]
    if len(networks) == 1:
        parts.append(paper.MODEL_LABEL.get(networks[0], networks[0]))
    radii = list(dict.fromkeys(radius(s.eps) for s in settings if not math.isnan(s.eps)))
    parts += [f"ℓ∞, ε = {' and '.join(radii)}"] if radii else []
    if any("eps=" in a or "step=" in a for a in attacks) and any(scaled(s.eps) for s in settings):
        parts.append("radii and steps of attacks stated at 8/255 and scaled to it")
    said = [[t for n, t in s.said().items() if n not in ("recipe", "reduced")] for s in settings]
    unusual = {t: t if all(t in those for those in said) else f"in part {t}" for some in said for t in some}
    parts += [f"recipe {_recipes(used)}", *unusual.values(), _seeds(used, choice)]
    parts += [ATTACK[a] for a in attacks if a in ATTACK]
    reduced = sorted({e.where.reduced for _, found in used for e in found})
    parts += (
        [f"{'in part ' * ('' in reduced)}reduced runs ({'; '.join(filter(None, reduced))})"] if any(reduced) else []
    )
    names = {parse_variant(attack)[0] for attack in attacks} - {"clean", WORST}
    if names and not names & CHAINS:
        parts.append("without AutoAttack, so robustness may be overstated")
    if tested is not None:
        parts.append(
            "bold: highest mean and what is not worse than it on the same images and seeds (paired, Holm)"
            if tested
            else "bold: highest mean"
        )
    return "; ".join(parts) + "."


def _metric(name: str) -> str:
    if name.startswith(PRIOR):
        return f"Accuracy with classes as frequent as at IR {name.removeprefix(PRIOR)}"
    return METRIC[name]


def _data(settings: Sequence[Where], groups: Sequence[tuple[str, float]]) -> str:
    named = []
    for dataset in dict.fromkeys(d for d, _ in groups):
        ratios = [ir for d, ir in groups if d == dataset]
        sources = sorted({s.source for s in settings if s.dataset == dataset} - {paper.ORIGINAL.get(dataset)})
        told = ", ".join("natural" if math.isnan(ir) else format_value(ir) for ir in ratios)
        pixels = f", pixels from {' and '.join(sources)}" if sources and dataset in paper.DATA_LABEL else ""
        named.append(f"{paper.DATA_LABEL.get(dataset, dataset)} (imbalance ratio {told}{pixels})")
    return " and ".join(named)


def _recipes(used: Sequence[tuple[Where, Sequence[Evaluation]]]) -> str:
    """`paper`, or which recipes are mixed."""
    return ", ".join(
        dict.fromkeys(
            {"external": "of its own for a network trained elsewhere"}.get(s.recipe, s.recipe) for s, _ in used
        )
    )


def _seeds(used: Sequence[tuple[Where, Sequence[Evaluation]]], choice: Choice) -> str:
    counts = sorted({len(found) for _, found in used})
    if counts == [1]:
        alone = "one seed"
        return (
            alone if choice.spread != "images" else f"{alone}, ± the farther end of the 95 % interval over test images"
        )
    number = f"{counts[0]} seeds" if len(counts) == 1 else f"{' or '.join(map(str, counts))} seeds"
    return BEHIND[choice.spread].format(number)
