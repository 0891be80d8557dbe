"""Validity flags from stored bits, facts and probes; no network is needed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from bench.audit.kept import Kept
from bench.config import CellSpec, ThreatModel
from bench.store.flags import FLAGS, Evidence, flag_cell, page, raised
from bench.store.folders import new_cell
from bench.store.parts.record import EvaluationFacts

SOUND = {
    "zero_gradient_share": 0.0, "probability_outputs": 0.0, "random_difference": 0.0, "batch_difference": 1e-7,
    "unsettled_norms": 0.0, "margin": 3.0, "saturated_share": 0.0, "cw_blocked_share": 0.1, "pixel_min": 0.0,
    "pixel_max": 1.0, "predicted_top_share": 0.3, "label_top_share": 0.25,
}  # fmt: skip
ORDER = {"clean": 0, "fgsm": 1, "pgd-20": 2, "pgd-100": 3, "aa": 4, "aa-plus": 5, "cw-linf": None, "cw-l2": None}
STANDING = {
    "clean": 160,
    "fgsm": 100,
    "pgd-20": 90,
    "pgd-100": 89,
    "cw-linf": 88,
    "aa": 80,
    "aa-plus": 80,
    "cw-l2": 150,
}
N = 200


def facts(name: str, **changes: Any) -> dict[str, Any]:
    norm = {"clean": "none", "cw-l2": "l2"}.get(name, "linf")
    stages = [("apgd-ce", True, 70), ("square", False, 0)] if name.startswith("aa") else [(name, name != "clean", 5)]
    stages += [("rescaled", True, 0)] if name == "aa-plus" else []
    return {
        "name": name,
        "norm": norm,
        "white_box": name != "clean",
        "strength": ORDER[name],
        "refused": 0,
        "eps": 0.03 if norm == "linf" else None,
        "flags": [],
        "stages": [{"name": s, "white_box": w, "broken": b, "attacked": 160} for s, w, b in stages],
        **changes,
    }


def audit(gap: bool) -> dict[str, Any]:
    all_ = Kept(whole=True, gap=gap, continues="aa", balanced=0.4, audit=(0.4, 0.4), sampling=(0.3, 0.5))
    kept: dict[str, Any] = msgspec.to_builtins(all_)
    return kept


def typed(facts: dict[str, Any]) -> EvaluationFacts:
    return msgspec.convert(facts, EvaluationFacts)


def evidence(
    standing: dict[str, int] | None = None,
    probes: dict[str, float] | None = None,
    labels: np.ndarray | None = None,
    **changes: dict[str, Any],
) -> Evidence:
    counts = STANDING | (standing or {})
    return Evidence(
        {name: typed(facts(name, **changes.get(name, {}))) for name in counts},
        {name: np.arange(N) < count for name, count in counts.items()},
        np.arange(N) % 4 if labels is None else labels,
        SOUND | (probes or {}),
        0.03,
    )


def who(found: dict[str, list[str]], flag: str) -> set[str]:
    return {label for label, names in found.items() if flag in names}


def stages(*broken: int) -> dict[str, Any]:
    names = [("apgd-ce", True), ("square", False), ("rescaled", True)]
    shown = zip(names, broken, strict=False)
    return {"stages": [{"name": n, "white_box": w, "broken": b, "attacked": 160} for (n, w), b in shown]}


EVERYONE, WHITE = set(STANDING), set(STANDING) - {"clean"}


def test_a_sound_evaluation_has_no_flag() -> None:
    assert not any(raised(evidence()).values())


@pytest.mark.parametrize(
    ("flag", "who_gets_it", "given"),
    [
        ("order", {"pgd-20"}, {"standing": {"pgd-20": 108}}),
        ("order", {"fgsm", "pgd-20"}, {"standing": {"fgsm": 168, "pgd-20": 169}}),
        ("order", {"aa"}, {"standing": {"aa": 99, "aa-plus": 80}}),
        ("aa-beaten", {"aa"}, {"standing": {"cw-linf": 70}}),
        ("black-box", {"aa"}, {"aa": stages(60, 10)}),
        ("black-box", {"cw-linf"}, {"standing": {"cw-linf": 60}, "cw-linf": {"white_box": False}}),
        ("adaptive-gap", {"aa-plus"}, {"aa-plus": stages(60, 0, 9)}),
        ("adaptive-gap", {"aa"}, {"standing": {"aa-plus": 60}}),
        ("zero-gradient", WHITE, {"probes": {"zero_gradient_share": 0.06}}),
        ("probabilities", EVERYONE, {"probes": {"probability_outputs": 1.0}}),
        ("random-outputs", EVERYONE, {"probes": {"random_difference": 2e-4}}),
        ("batch-statistics", EVERYONE, {"probes": {"unsettled_norms": 1.0}}),
        ("batch-statistics", EVERYONE, {"probes": {"batch_difference": 2e-3}}),
        ("small-logits", {"cw-l2"}, {"probes": {"cw_blocked_share": 0.51}}),
        ("large-logits", WHITE, {"probes": {"saturated_share": 0.51}}),
        ("collapse", EVERYONE, {"probes": {"predicted_top_share": 0.96}}),
        ("small-class", EVERYONE, {"labels": np.r_[np.zeros(171), np.ones(29)].astype(int)}),
        ("pixels", EVERYONE, {"probes": {"pixel_min": -0.4}}),
        ("pixels", EVERYONE, {"probes": {"pixel_max": 2.6}}),
        ("refused", {"pgd-20"}, {"pgd-20": {"refused": 1}}),
        ("audit-gap", {"aa"}, {"aa": {"audit": audit(gap=True)}}),
        ("order", {"cw-linf"}, {"standing": {"cw-linf": 169}}),
        ("astray-gradient", WHITE, {"probes": {"astray_share": 0.26}}),
        ("coarse-logits", WHITE, {"probes": {"coarse_share": 0.51}}),
        ("dynamic-defence", EVERYONE, {"probes": {"inner_gradient": 1.0}}),
    ],
)
def test_flag_is_raised_for_whom_it_concerns(flag: str, who_gets_it: set[str], given: dict[str, Any]) -> None:
    assert who(raised(evidence(**given)), flag) == who_gets_it


@pytest.mark.parametrize(
    ("flag", "given"),
    [
        ("order", {"standing": {"pgd-20": 107}}),
        ("order", {"standing": {"fgsm": 162, "pgd-20": 102}}),
        ("order", {"standing": {"fgsm": 60}, "fgsm": {"eps": 0.06}}),
        ("aa-beaten", {"standing": {"cw-linf": 74}}),
        ("aa-beaten", {"standing": {"cw-l2": 10}}),
        ("black-box", {"aa": stages(60, 2)}),
        ("adaptive-gap", {"aa-plus": stages(60, 9, 1)}),
        ("collapse", {"probes": {"predicted_top_share": 0.96, "label_top_share": 0.95}}),
        ("small-class", {"labels": np.r_[np.zeros(170), np.ones(30)].astype(int)}),
        ("zero-gradient", {"probes": {"zero_gradient_share": 0.05}}),
        ("audit-gap", {"aa": {"audit": audit(gap=False)}}),
        ("order", {"standing": {"cw-linf": 162}}),
        ("astray-gradient", {"probes": {"astray_share": 0.25}}),
        ("astray-gradient", {"probes": {"astray_share": 0.5, "random_difference": 2e-4}}),
        ("coarse-logits", {"probes": {"coarse_share": 0.5}}),
    ],
)
def test_flag_is_not_raised_without_reason(flag: str, given: dict[str, Any]) -> None:
    assert not who(raised(evidence(**given)), flag)


def test_every_flag_is_tested_above_and_documented() -> None:
    marks = test_flag_is_raised_for_whom_it_concerns.pytestmark  # type: ignore[attr-defined]
    assert {case[0] for case in marks[0].args[1]} == {f.name for f in FLAGS}
    assert len({f.name for f in FLAGS}) == len({f.mark for f in FLAGS}) == len(FLAGS)
    for flag in FLAGS:
        assert all(len(text) > 20 for text in (flag.text, flag.raised, flag.meaning))
        assert flag.action.endswith(".")


def test_the_page_is_the_table(project: Path) -> None:
    assert (project / "docs" / "flags.md").read_text(encoding="utf-8") == page()


def test_flags_of_a_cell() -> None:
    e = evidence(standing={"pgd-20": 115})
    cell = {
        **new_cell(CellSpec("ce", "digitslt", 10.0, "small-cnn", 0, threat=ThreatModel(0.03))),
        "probes": {"balanced": SOUND},
        "evaluations": {f"balanced/{k}": facts(k) for k in e.attacks},
    }
    bits = {f"balanced/{k}": v.astype(np.uint8) for k, v in e.correct.items()} | {"balanced/label": e.labels}
    flagged = flag_cell(cell, bits)
    assert flagged["flags"] == ["order"]
    assert flagged["evaluations"]["balanced/pgd-20"]["flags"] == ["order"]
    assert flagged["evaluations"]["balanced/aa"]["flags"] == []
    assert cell["flags"] == []
    assert cell["evaluations"]["balanced/pgd-20"]["flags"] == []
    assert flag_cell(cell | {"probes": {}}, bits)["flags"] == ["order"]


def test_needs_no_torch(project: Path) -> None:
    import subprocess

    program = "import sys, bench.store.flags; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_order_is_that_of_images_not_of_counts() -> None:
    """115 against 113 of 175 images is chance where 30 images fall to one attack alone; ten of ten are not."""
    rng = np.random.default_rng(0)

    def order(stands: int, falls: int) -> set[str]:
        weak = np.zeros(175, dtype=bool)
        weak[:113] = True
        strong = weak.copy()
        strong[:falls] = False
        strong[113 : 113 + stands] = True
        shuffled = rng.permutation(175)
        attacks = {name: typed(facts(name)) for name in ("fgsm", "pgd-20")}
        bits = {"fgsm": weak[shuffled], "pgd-20": strong[shuffled]}
        return who(raised(Evidence(attacks, bits, np.zeros(175, dtype=int), SOUND, 0.03)), "order")

    assert order(2, 0) == order(16, 14) == order(6, 0) == order(40, 25) == set()
    assert order(7, 0) == order(10, 0) == order(45, 20) == {"pgd-20"}
