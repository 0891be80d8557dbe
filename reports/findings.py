"""`docs/findings.md`: what the measured numbers say, every number taken from the store.

A question without the cells it needs is answered by "not measured yet" and the command that fills them. Accuracies are
in percent, differences in percent points; intervals are at 95 % and say what they are over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import kendalltau, spearmanr

from bench.errors import BenchError
from bench.judge.compare import Line, compare_methods
from bench.judge.metrics import summarise
from bench.store import query

#: the method a claim of superiority is made for, and against which
OURS, RIVAL = "taet", "at-bsl"


@dataclass(frozen=True)
class Store:
    """What an answer may look at: the folder, its cells, and one line an evaluation with its metrics."""

    root: Path
    cells: list[dict[str, Any]]
    lines: Any


def findings(root: Path) -> str:
    """The page for a results folder, as Markdown. Raises StoreError when the folder cannot be read."""
    store = Store(root, query.cells(root), summarise(query.rows(root)))
    parts = ["# Findings", _preface(store.cells, store.lines)]
    for title, answer in QUESTIONS:
        parts += [f"## {title}", *answer(store)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _preface(cells: list[dict[str, Any]], lines: Any) -> str:
    done = [c for c in cells if c["status"] == "done"]
    text = [
        "This page is written by `bench findings` from the stored counts; no number in it is typed.",
        f"{len(done)} cells are measured, {len(cells) - len(done)} failed or unfinished.",
    ]
    for (source, reduced, model), own in lines.groupby(["source", "reduced", "model"], sort=True):
        hours = sum(s["seconds"] for c in done if c["id"] in set(own["cell"]) for s in c["stages"].values()) / 3600
        devices = sorted({f"{c['device']['kind'].upper()}" for c in done if c["id"] in set(own["cell"])})
        text.append(
            f"\n\n- **{own['cell'].nunique()} cells** of {model}, {_reduced(reduced)}; pixels: {source}; "
            f"{hours:.1f} hours of one process on {', '.join(devices)}."
        )
    if lines["source"].nunique() and not lines["source"].eq("cifar10").any():
        text.append("\n\nNothing here was measured on CIFAR-10 itself, nor with the full recipe unless a line says so.")
    return " ".join(text[:2]) + "".join(text[2:])


def _reduced(text: str) -> str:
    return f"reduced ({text})" if text else "full recipe"


def _beats(store: Store) -> Iterator[str]:
    yield from _paired(store.root, OURS, RIVAL, "aa")
    lines = store.lines
    if not (lines["source"].eq("cifar10") & lines["reduced"].eq("") & lines["attack"].eq("aa")).any():
        yield (
            f"{OURS} against {RIVAL} under AutoAttack with the full recipe on CIFAR-10-LT at IR 10, 20, 50, 100: "
            "not measured yet (`bench run --preset table5`)."
        )


def _paired(root: Path, a: str, b: str, *attacks: str) -> Iterator[str]:
    """A table of pooled paired differences, or the command that makes it possible."""
    try:
        found = [
            line for line in compare_methods(root, a, b, attacks=attacks) if line.seed is None or len(line.seeds) == 1
        ]
    except BenchError:
        yield f"{a} against {b} under {', '.join(attacks)}: not measured yet (`bench run --methods {a},{b}`)."
        return
    yield (
        f"{a} minus {b}, balanced accuracy on the same images, in points. The first interval is over test images "
        "(stratified paired bootstrap), the second over training seeds (Student t); verdicts are corrected by Holm."
    )
    yield _table(
        ["data", "IR", "test split", "attack", "seeds", "difference", "over images", "over seeds", "verdict"],
        [_difference(line) for line in _once(found)],
    )


def _once(found: Iterable[Line]) -> list[Line]:
    """The pooled line where there is one, else the single seed's."""
    best: dict[tuple[Any, ...], Line] = {}
    for line in found:
        key = (*line.where.values(), line.test_split, line.attack)
        if key not in best or line.seed is None:
            best[key] = line
    return list(best.values())


def _difference(line: Line) -> list[str]:
    result = line.comparison
    over_seeds = "-" if result.seeds is None else _span(result.seeds.low, result.seeds.high, sign=True)
    return [
        line.where["dataset"], f"{line.where['ir']:g}" if line.where["ir"] else "natural", line.test_split, line.attack,
        str(len(line.seeds)), f"{100 * result.difference:+.2f}",
        _span(result.images.low, result.images.high, sign=True),
        over_seeds, line.verdict,
    ]  # fmt: skip


def _columns(store: Store) -> Iterator[str]:
    """cw-l2 beside cw-linf and aa, with the logit margin."""
    wide = _wide(store.lines, ("clean", "cw-l2", "cw-linf", "aa"))
    if wide.empty:
        yield "Not measured yet (`bench run --preset table1`)."
        return
    probes = {c["id"]: c.get("probes", {}).get("long-tailed", {}) for c in store.cells}
    margins = {cell: found.get("margin", np.nan) for cell, found in probes.items()}
    wide = wide.assign(margin=[margins.get(cell, np.nan) for cell in wide["cell"]])
    mean = wide.groupby(["dataset", "ir", "label"])[["clean", "cw-l2", "cw-linf", "aa", "margin"]].mean()
    yield "Balanced accuracy, mean over seeds, and the median distance between the two largest logits of clean images."
    yield _table(
        ["data", "IR", "method", "clean", "cw-l2", "cw-linf", "aa", "logit margin"],
        [[d, f"{ir:g}", m, *(f"{100 * v:.2f}" for v in row[:4]), f"{row[4]:.3g}"]
         for (d, ir, m), row in zip(mean.index, mean.to_numpy(), strict=True)],
    )  # fmt: skip
    attacked = wide[wide["label"] != "ce"].dropna()
    if len(attacked) >= 5:
        rank = spearmanr(attacked["margin"], attacked["cw-l2"])
        same = spearmanr(attacked["aa"], attacked["cw-l2"])
        above = int((attacked["cw-l2"] > attacked["cw-linf"]).sum())
        yield (
            f"cw-l2 is above cw-linf in {above} of {len(attacked)} adversarially trained cells. Spearman's rank "
            f"correlation of cw-l2 with the logit margin is {rank.statistic:+.2f} (p = {rank.pvalue:.2g}), with aa "
            f"{same.statistic:+.2f} (p = {same.pvalue:.2g}), over {len(attacked)} cells."
        )
    both = _wide(store.lines, ("aa", "aa-10"))
    if both.empty:
        yield "aa-10 against aa: not measured yet (`bench run --preset table1 --attacks aa,aa-10`)."
    else:
        gap = 100 * (both["aa-10"] - both["aa"])
        yield (
            f"aa-10, the chain with 10 iterations, leaves {gap.mean():+.2f} points more than aa on average "
            f"({gap.min():+.2f} to {gap.max():+.2f} over {len(gap)} cells)."
        )


def _splits(store: Store) -> Iterator[str]:
    """Does the ranking change between the two test splits?"""
    answered = False
    for attack in ("clean", "pgd-20", "aa"):
        own = store.lines[store.lines["attack"].eq(attack)].assign(label=_labels)
        mean = own.pivot_table(index=["dataset", "ir", "label"], columns="test_split", values="balanced")
        if not {"long-tailed", "balanced"} <= set(mean.columns):
            continue
        for (dataset, ir), group in mean.dropna().groupby(level=["dataset", "ir"]):
            if len(group) < 3:
                continue
            answered = True
            tau = kendalltau(group["long-tailed"], group["balanced"])
            order = {s: ", ".join(group[s].sort_values(ascending=False).index.get_level_values("label")) for s in group}
            shift = 100 * (group["balanced"] - group["long-tailed"]).mean()
            yield (
                f"**{dataset}, IR {ir:g}, {attack}**: Kendall's tau between the two rankings is {tau.statistic:+.2f} "
                f"over {len(group)} methods; the balanced split gives {shift:+.2f} points. "
                f"Long-tailed: {order['long-tailed']}. Balanced: {order['balanced']}."
            )
    if not answered:
        yield "Not measured yet (`bench run --preset table1 --test-split long-tailed,balanced`)."


def _stages(store: Store) -> Iterator[str]:
    """What the cross-entropy epochs give, and at what cost; which part of the loss matters."""
    lines = store.lines
    yield from _paired(store.root, OURS, "harl", "clean", "aa")
    seconds = {
        name: [c["stages"]["train"]["forward"] + c["stages"]["train"]["backward"] for c in store.cells
               if c["spec"]["method"] == name and _plain(c)]
        for name in (OURS, "harl")
    }  # fmt: skip
    if all(seconds.values()):
        share = np.mean(seconds[OURS]) / np.mean(seconds["harl"])
        yield f"Counted in forward and backward passes, training {OURS} costs {share:.3f} of training harl."
    own = lines[lines["method"].eq(OURS) & lines["recipe"].eq("paper")]
    own = own[own["variant"].str.fullmatch(r"|(?:(?:alpha|beta|gamma)=0,?)+")]
    yield from _moves(own, "variant", "", "Which part of HARL matters (BCL, HDL, RCEL): not measured yet "
                      "(`bench run --preset fig6`).")  # fmt: skip


def _recipes(store: Store) -> Iterator[str]:
    """Recipe `paper` against `official`."""
    own = store.lines[store.lines["variant"].eq("")]
    yield from _moves(own, "recipe", "paper", "Not measured yet (`bench run --preset table5 --recipe paper,official`).")


def _moves(lines: Any, axis: str, base: str, absent: str) -> Iterator[str]:
    """How balanced accuracy moves along an axis from its value `base`, seed by seed; `absent` if nothing is paired."""
    own = lines[lines["test_split"].eq("long-tailed") & lines["attack"].isin(["clean", "pgd-20", "aa"])]
    where = ["dataset", "ir", "method", "attack"]
    wide = own.pivot_table(index=[*where, "seed"], columns=axis, values="balanced", sort=False)
    rows = []
    for value in [] if base not in wide else sorted(wide.columns.drop(base)):
        for place, pairs in wide[[base, value]].dropna().groupby(level=where, sort=False):
            gap = pairs[value] - pairs[base]
            dataset, ir, method, attack = place
            rows.append([dataset, f"{ir:g}", method, attack, value, f"{100 * pairs[base].mean():.2f}",
                         f"{100 * pairs[value].mean():.2f}", f"{100 * gap.mean():+.2f}",
                         _span(gap.min(), gap.max(), sign=True), str(len(gap))])  # fmt: skip
    if not rows:
        yield absent
        return
    yield _table(["data", "IR", "method", "attack", axis, f"{base or 'all parts'}", "with it", "difference",
                  "least to most", "seeds"], rows)  # fmt: skip


def _cost(store: Store) -> Iterator[str]:
    """Seconds, rates and memory of the stages, medians over the cells of a method."""
    rows = []
    for cell in store.cells:
        stages = cell["stages"]
        if not _plain(cell) or "train" not in stages:
            continue
        train, rest = stages["train"], [stage for key, stage in stages.items() if "/" in key]
        whole = [stages[key]["seconds"] for key in stages if key.endswith("/aa")]
        rows.append({
            "data": cell["spec"]["dataset"], "ir": cell["spec"]["ir"] or 0.0, "method": cell["spec"]["method"],
            "train": train["seconds"], "rate": (train["forward"] + train["backward"]) / max(train["seconds"], 1e-9),
            "attacks": sum(stage["seconds"] for stage in rest), "aa": sum(whole) if whole else np.nan,
            "attack_rate": sum(s["forward"] + s["backward"] for s in rest) / max(sum(s["seconds"] for s in rest), 1e-9),
            "mib": max(stage["peak_memory_mib"] for stage in (train, *rest)),
        })  # fmt: skip
    if not rows:
        yield "Not measured yet (`bench run --preset table1`)."
        return
    middle: Any = pd.DataFrame(rows).groupby(["data", "ir", "method"]).median()
    yield (
        "Medians over the cells of a method with the paper's settings, one process each while other processes ran "
        "beside it. A pass is one image forward or backward."
    )
    yield _table(
        ["data", "IR", "method", "training s", "its passes/s", "all attacks s", "of it aa s", "their passes/s",
         "peak MiB"],
        [[r.data, f"{r.ir:g}", r.method, f"{r.train:.0f}", f"{r.rate:.0f}", f"{r.attacks:.0f}",
          "-" if np.isnan(r.aa) else f"{r.aa:.0f}", f"{r.attack_rate:.0f}", f"{r.mib:.0f}"]
         for r in middle.reset_index().itertuples()],
    )  # fmt: skip


def _limits(store: Store) -> Iterator[str]:
    """What cannot be said, and what was flagged."""
    cells = store.cells
    flagged = [c for c in cells if c.get("flags")]
    counts: dict[str, int] = {}
    for cell in flagged:
        for flag in cell["flags"]:
            counts[flag] = counts.get(flag, 0) + 1
    if counts:
        yield "Validity flags raised: " + ", ".join(f"{name} in {n} cells" for name, n in sorted(counts.items())) + "."
    failed = [c for c in cells if c["status"] == "failed"]
    yield "Failed cells: " + (", ".join(f"{c['id']} ({c['failure']['message']})" for c in failed) or "none.")
    if store.lines["reduced"].ne("").all():
        yield (
            "All cells are reduced: fewer images and epochs than the recipe, and a small network. They show that the "
            "chain works on real images and what the attacks do to one another; they do not confirm or refute the "
            "paper's ranking, which needs the full recipe (`bench run --preset paper`)."
        )


QUESTIONS: tuple[tuple[str, Callable[[Store], Iterator[str]]], ...] = (
    ("Does TAET beat AT-BSL in balanced robustness under AutoAttack?", _beats),
    ("What do the CW columns measure, and is aa-10 above aa?", _columns),
    ("Does the ranking change between the long-tailed and the balanced test split?", _splits),
    ("HARL against TAET: what do the cross-entropy epochs give?", _stages),
    ("What does the official recipe change?", _recipes),
    ("What did it cost?", _cost),
    ("What cannot be said", _limits),
)


def _labels(frame: Any) -> Any:
    bracketed = frame["method"].astype(str) + "[" + frame["variant"].astype(str) + "]"
    name = frame["method"].astype(str).where(frame["variant"].eq(""), bracketed)
    return name.where(frame["recipe"].eq("paper"), name + " (" + frame["recipe"].astype(str) + ")")


def _wide(lines: Any, attacks: tuple[str, ...]) -> Any:
    """One line a cell with the balanced accuracy under each attack, cells that lack one left out."""
    own = lines[lines["test_split"].eq("long-tailed") & lines["attack"].isin(attacks)].assign(label=_labels)
    wide = own.pivot_table(index=["cell", "dataset", "ir", "label"], columns="attack", values="balanced", sort=False)
    return wide.dropna().reset_index() if set(attacks) <= set(wide.columns) else pd.DataFrame()


def _plain(cell: dict[str, Any]) -> bool:
    """Whether a cell is a finished one of a method as the paper runs it."""
    return cell["status"] == "done" and not cell["spec"]["variant"] and cell["spec"]["recipe"]["name"] == "paper"


def _span(low: float, high: float, *, sign: bool = False) -> str:
    form = "+.2f" if sign else ".2f"
    return f"{100 * low:{form}} to {100 * high:{form}}"


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join(" --- " for _ in head) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
