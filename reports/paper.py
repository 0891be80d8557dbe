"""The paper's numbers as tables ask for them, its names for things, and the verdict on a measured number."""

from __future__ import annotations

import math
import re
from functools import cache
from typing import Any

from bench.judge import reference
from bench.judge.verdict import against_print
from bench.reports.model import PaperNumber, Verdict

#: data set -> the pixel source that is the paper's own; anything else is a stand-in
ORIGINAL = {"cifar10lt": "cifar10", "cifar100lt": "cifar100", "dermamnist": "dermamnist"}
#: classes of the paper's data sets; a data set with as many may stand in for one
CLASSES = {"cifar10lt": 10, "cifar100lt": 100, "dermamnist": 7}
#: those that have an imbalance ratio of their own
NATURAL = ("dermamnist",)
#: how sources of the images of Table 3 begin: themselves, and what they were made from
MEDICAL = ("dermamnist", "HAM10000")
#: how the paper's data sets are called in headings
DATA_LABEL = {"cifar10lt": "CIFAR-10-LT", "cifar100lt": "CIFAR-100-LT", "dermamnist": "DermaMNIST"}
#: methods in the order of Table 1
TABLE1 = ("at-bsl", "robal", "trades", "at", "mart", "adt", "reat", "las-at", "he", "gairat", "taet")
METHOD_LABEL = {m: m.upper() for m in (*TABLE1, "ce", "harl")} | {"robal": "RoBal"}
MODEL_LABEL = {"resnet18": "ResNet-18", "resnet50": "ResNet-50", "vit-b-16": "ViT-B/16"}
ATTACK_LABEL = {
    "clean": "Clean", "fgsm": "FGSM", "pgd-20": "PGD-20", "pgd-100": "PGD-100", "cw-l2": "CW (ℓ₂)",
    "cw-linf": "CW (ℓ∞)", "aa": "AA", "aa-audited": "AA, audited", "aa-10": "AA-10", "worst": "Worst case",
}  # fmt: skip
#: our column -> the paper's column it is set beside; `cw-linf` and `aa-10` are ours alone
PAPER_ATTACK = {"clean": "clean", "fgsm": "fgsm", "pgd-20": "pgd-20", "pgd-100": "pgd-100", "cw-l2": "cw", "aa": "aa"}
#: what a reader must know of a column, printed under every table that has it
ATTACK_NOTE = {
    "cw-l2": "CW (ℓ₂) is the paper's CW column: unbounded in ℓ₂, it follows the scale of the logits and is reported, "
    "not judged. CW (ℓ∞) is the margin loss inside the ℓ∞ ball; the two are different attacks.",
    "aa": "AA is AutoAttack at its reference settings (100 iterations, up to 9 targets). The paper's released "
    "notebook most likely ran a 10-iteration chain, which is AA-10 here.",
}
Key = tuple[str, ...]


_KEY = ("model", "method", "class_name", "attack", "variable")
_PRINTED = ("value", "standing", "reason", "emphasis")


@cache
def numbers() -> dict[Key, PaperNumber]:
    """(table, ir, model, method, class, attack, variable) -> the printed number."""
    return {
        (str(r["table"]), f"{r['ir']:g}", *(str(r[k]) for k in _KEY)): PaperNumber(*(str(r[k]) for k in _PRINTED))
        for r in reference.paper_tables().to_dict("records")
    }


def number(table: int, **key: Any) -> PaperNumber | None:
    """The paper's number of a table, or None. Keys: ir, model, method, class_name, attack (ours), variable."""
    attack = PAPER_ATTACK.get(str(key.get("attack")))
    if attack is None:
        return None
    ir = key.get("ir")
    ratio = "" if ir is None or math.isnan(ir) else f"{ir:g}"
    return numbers().get(
        (
            str(table),
            ratio,
            str(key.get("model")),
            str(key.get("method")),
            str(key.get("class_name") or ""),
            attack,
            str(key.get("variable") or ""),
        )
    )


def verdict(
    paper: PaperNumber | None, comparable: Verdict | None, metric: str, n: Any, correct: Any
) -> tuple[float | None, Verdict]:
    """(difference in points, verdict) of counts S x C (seeds, classes) beside a printed number.

    `comparable`: None when data and settings are the paper's, else the verdict that says they are not. The rule is
    `bench.judge.verdict`'s, as in `bench check`.
    """
    if paper is None or comparable is not None:
        return None, comparable or Verdict.NO_PAPER
    kind = "balanced" if metric == "class" else metric
    value, _, found = against_print(paper.value / 100, kind, n, correct, standing=paper.standing)
    return 100 * value - paper.value, Verdict(found)


def method_label(config_label: str) -> str:
    """`taet[beta=0.05]` -> `TAET[beta=0.05]`; a method the paper doesn't know keeps its name."""
    name = re.split(r"[\[+]", config_label, maxsplit=1)[0]
    return METHOD_LABEL.get(name, name) + config_label.removeprefix(name)


def attack_label(attack: str) -> str:
    """Column head of an attack: `pgd-20[step=2/255]` -> `PGD-20[step=2/255]`."""
    name, bracket, rest = attack.partition("[")
    return ATTACK_LABEL.get(name, name) + bracket + rest
