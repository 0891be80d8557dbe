"""Which command measures what is missing, in as few lines as possible."""

from __future__ import annotations

import math
import shlex
from collections import defaultdict
from collections.abc import Iterable, Sequence

from bench.config import format_value
from bench.reports.source import Config, Setting
from bench.store.rows import COMPILED, DETERMINISTIC

Want = tuple[Config, str]

#: word behind a precision -> option that gives it
ARITHMETIC = {COMPILED: "--compile", DETERMINISTIC: "--deterministic"}


def run(setting: Setting, wants: Iterable[Want], seeds: Sequence[int] = (), *more: str) -> list[str]:
    """Commands that measure (configuration, attack) pairs under a setting; pairs that form a grid share one line.

    `more`: words added to every line, such as `--track clean,pgd-20`.
    """
    attacks: dict[Config, list[str]] = defaultdict(list)
    for config, attack in wants:
        if attack and attack not in attacks[config]:
            attacks[config].append(attack)
    by_method: dict[tuple[str, str, tuple[str, ...]], list[float]] = defaultdict(list)
    for config, labels in attacks.items():
        by_method[config.label, config.model, tuple(labels)].append(config.ir)
    lines: dict[tuple[str, tuple[str, ...], tuple[float, ...]], list[str]] = defaultdict(list)
    for (method, model, labels_), irs in by_method.items():
        lines[model, labels_, tuple(irs)].append(method)
    return [_line(setting, methods, *key, seeds, more) for key, methods in lines.items()]


def _line(
    setting: Setting, methods: Sequence[str], model: str, attacks: Sequence[str], irs: Sequence[float],
    seeds: Sequence[int], more: Sequence[str],
) -> str:  # fmt: skip
    words = ["--methods", ",".join(methods), "--datasets", setting.dataset]
    ratios = ["natural" if setting.natural or math.isnan(ir) else f"{ir:g}" for ir in irs]
    words += ["--irs", ",".join(dict.fromkeys(ratios)), "--models", model, "--attacks", ",".join(attacks)]
    if seeds:
        words += ["--seeds", ",".join(map(str, seeds))]
    if setting.recipe != "paper":
        words += ["--recipe", setting.recipe]
    if setting.test_split != "long-tailed":
        words += ["--test-split", setting.test_split]
    precision, *more_arithmetic = setting.precision.split(", ")
    if precision != "fp32":
        words += ["--precision", precision]
    words += [ARITHMETIC[word] for word in more_arithmetic]
    if setting.selection not in ("seeded", "natural"):
        words += ["--selection", setting.selection]
    if setting.class_order != "natural":
        words += ["--class-order", setting.class_order]
    for part in setting.reduced.split(", ") if setting.reduced else []:
        name, _, value = part.partition("=")
        words += [f"--{name}", value]
    words += more
    return "bench run " + " ".join(shlex.quote(w) for w in words)


def label_of(config: Config) -> str:
    """`IR 10, resnet18, taet[beta=0.05]` for headings."""
    ratio = "natural" if math.isnan(config.ir) else format_value(config.ir)
    return f"IR {ratio}, {config.model}, {config.label}"
