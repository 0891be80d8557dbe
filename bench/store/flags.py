"""When a robustness number must not be taken at its word: validity flags, as data, from what is stored with a cell.

Nothing here needs the network: the inputs are one bit per image and attack, the facts of each attack, and the probes
(`bench.engine.verdicts.probes`). `docs/flags.md` is this table as a page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.config import TEST_SPLITS
from bench.store.parts.record import CellRecord, EvaluationFacts, understood

#: test images below which a class accuracy is too coarse
SMALL_CLASS = 30
#: part of the test set that may stand, or fall, where it should not, without a word
SLACK = 0.002
#: how often chance alone may raise a flag
CHANCE = 0.01


@dataclass(frozen=True)
class Evidence:
    """What is known of one evaluated split.

    `attacks`: their facts by label. `correct`: bool N by label. `labels`: N classes. `probes`: facts about the network.
    `eps`: radius of the threat model.
    """

    attacks: Mapping[str, EvaluationFacts]
    correct: Mapping[str, np.ndarray]
    labels: np.ndarray
    probes: Mapping[str, Any]
    eps: float

    def outlasts(self, label: str, others: Sequence[str]) -> bool:
        """Whether an attack leaves more images standing than one of the others, by more than slack and chance allow.

        Paired, image by image: a one-sided sign test over the images on which the two differ, `CHANCE` shared among
        the others.
        """
        from scipy import special  # the verbs that only read rows start without it

        for other in others:
            mine, its = self.correct[label], self.correct[other]
            stands, falls = int(np.sum(mine & ~its)), int(np.sum(its & ~mine))
            by_chance = float(special.bdtrc(stands - 1, stands + falls, 0.5)) if stands else 1.0
            if stands - falls > SLACK * len(self.labels) and by_chance < CHANCE / len(others):
                return True
        return False

    def many(self, broken: int) -> bool:
        """Whether so many images broken are more than `SLACK` of the set, and more than chance makes of that."""
        from scipy import special

        return bool(broken and special.bdtrc(broken - 1, len(self.labels), SLACK) < CHANCE)

    def bounded(self) -> dict[str, EvaluationFacts]:
        """The l_inf attacks of the threat model's radius."""
        return {k: a for k, a in self.attacks.items() if a.within(self.eps)}

    def white(self) -> list[str]:
        """Labels of attacks that use gradients."""
        return [k for k, a in self.attacks.items() if a.white_box]


Rule = Callable[[Evidence], Iterable[str]]


@dataclass(frozen=True)
class Flag:
    """One validity flag. `rule` names the attacks it is raised for; `text` is its footnote under a table.

    `invalid`: the number may be no measure of robustness, so it is never called best; else it is only imprecise.
    """

    name: str
    mark: str
    text: str
    raised: str
    meaning: str
    action: str
    rule: Rule
    invalid: bool = True


def _order(e: Evidence) -> Iterable[str]:
    graded = {
        k: a.strength for k, a in e.attacks.items() if a.strength is not None and (k in e.bounded() or not a.strength)
    }
    for strong, strength in graded.items():
        if e.outlasts(strong, [k for k, other in graded.items() if other < strength]):
            yield strong
    for label in e.bounded().keys() - graded.keys():  # of no known place, but no attack is weaker than none
        if e.outlasts(label, [k for k, strength in graded.items() if not strength]):
            yield label


def _aa_beaten(e: Evidence) -> Iterable[str]:
    others = [k for k, a in e.bounded().items() if a.name not in {"aa", "aa-plus"}]
    for label, a in e.bounded().items():
        if a.name == "aa" and e.outlasts(label, others):
            yield label


def _black_box(e: Evidence) -> Iterable[str]:
    white = [k for k, a in e.bounded().items() if a.white_box]
    for label, a in e.bounded().items():
        blind = [s for s in a.stages if not s.white_box]
        if a.white_box and any(e.many(int(s.broken)) for s in blind):
            yield label
        if not a.white_box and white and all(e.outlasts(k, [label]) for k in white):
            yield label


def _adaptive(e: Evidence) -> Iterable[str]:
    plus = [k for k, a in e.bounded().items() if a.name == "aa-plus"]
    for label, a in e.bounded().items():
        seen_blind, after = False, 0
        for stage in a.stages:
            after += int(stage.broken) if seen_blind else 0
            seen_blind |= not stage.white_box
        if e.many(after) or (a.name == "aa" and e.outlasts(label, plus)):
            yield label


def _probe(test: Callable[[Mapping[str, float]], bool], whom: Callable[[Evidence], Iterable[str]]) -> Rule:
    return lambda e: whom(e) if e.probes and test(e.probes) else ()


def _everyone(e: Evidence) -> Iterable[str]:
    return e.attacks


def _small(e: Evidence) -> Iterable[str]:
    counts = np.bincount(e.labels)
    return e.attacks if counts[counts > 0].min() < SMALL_CLASS else ()


def raised_gap(facts: EvaluationFacts) -> bool:
    """Whether an audit found that its late stages break too much for a sample to be enough."""
    return facts.audit is not None and facts.audit.gap


FLAGS: tuple[Flag, ...] = (
    Flag("order", "a", "a stronger attack left more images standing than a weaker one",
         "The attack leaves more images classified correctly than a weaker one on the same images, in the order clean, "
         "FGSM, PGD-20, PGD-100, AA, AA+: by more than 0.2 % of the set, and by more than chance allows (a one-sided "
         "sign test over the images on which the two differ, at 1 % for all weaker attacks together).",
         "In a sound evaluation a stronger attack breaks more. The usual cause is a masked gradient: iterated steps "
         "follow a gradient that points nowhere. A method can also bend the loss around the radius of one step.",
         "Do not quote the weaker column as robustness. Read `worst`, add `aa-plus`, and look at the other flags for "
         "the cause.", _order),
    Flag("aa-beaten", "b", "AutoAttack left more images standing than another l_inf attack",
         "Another l_inf attack of the same radius leaves fewer images correct than AutoAttack, by more than 0.2 % of "
         "the set and more than chance allows (as for `order`).",
         "AutoAttack is not near the true robust accuracy of this network.",
         "Quote `worst`, not `aa`. Add `aa-plus`; consider an attack made for this method.", _aa_beaten),
    Flag("black-box", "c", "an attack without gradients broke images that gradient attacks did not",
         "After the gradient attacks of its chain, Square broke more images than 0.2 % of the set and chance allow "
         "(binomial, 1 %), or an attack without gradients beats every one with gradients (as for `order`).",
         "Gradients are the better guide on a sound network, so they do not show the way here: they are masked.",
         "Treat all gradient attacks as too weak. Add `aa-plus`, more queries (`aa[queries=20000]`), or an adaptive "
         "attack.", _black_box),
    Flag("adaptive-gap", "d", "rescaled, large-step or averaged attacks broke images that AutoAttack did not",
         "Beyond AutoAttack, the further stages of `aa-plus` broke more images than 0.2 % of the set and chance allow "
         "(binomial, 1 %), or `aa-plus` leaves fewer correct than `aa` (as for `order`).",
         "Logit scale, plateaus or random outputs hid adversarial images from AutoAttack.",
         "Quote `aa-plus` or `worst`. AutoAttack overstates the robustness of this network.", _adaptive),
    Flag("zero-gradient", "e", "the cross-entropy has no gradient at more than 5 % of the images",
         "The gradient of the cross-entropy is exactly zero at more than 5 % of the probed images.",
         "An attack that follows this gradient does not move there. Causes: saturated softmax, rounding or thresholds "
         "in the network, a forward pass without gradient.",
         "Use attacks on the margin (`cw-linf`, `aa`) and `aa-plus`; remove the step that stops the gradient and "
         "evaluate again.",
         _probe(lambda p: p["zero_gradient_share"] > 0.05, Evidence.white)),
    Flag("probabilities", "f", "the network gives probabilities, not logits",
         "All outputs are between 0 and 1 and every row sums to one.",
         "A second softmax inside the cross-entropy flattens its gradient, and logit margins lose their meaning: all "
         "gradient attacks become weaker.",
         "Remove the final softmax from the network and evaluate again.",
         _probe(lambda p: p["probability_outputs"] > 0, _everyone)),
    Flag("random-outputs", "g", "two forward passes of the same images differ",
         "Logits of the same batch change between two forward passes by more than 0.01 % of the largest logit.",
         "A single draw decides every verdict, and gradients of one draw mislead the attacks.",
         "Evaluate with `aa-plus`, which averages gradients over draws, and repeat over several seeds; or switch the "
         "randomness off in eval mode.",
         _probe(lambda p: p["random_difference"] > 1e-4, _everyone)),
    Flag("batch-statistics", "h", "an image's logits depend on the other images of its batch",
         "A module stays in train mode during evaluation, a batch norm has no running statistics, or the logits of an "
         "image alone and within a batch differ by more than 0.1 % of the largest logit.",
         "Verdicts depend on the batch size and on which images are attacked together; an attack on one image changes "
         "the others.",
         "Put the network into eval mode; give its batch norm running statistics.",
         _probe(lambda p: p["unsettled_norms"] > 0 or p["batch_difference"] > 1e-3, _everyone)),
    Flag("small-logits", "i", "logits so small that cw-l2 stalls at most images",
         "At more than half of the correctly classified probe images the margin m is at least (c/2) times the squared "
         "norm of its gradient (c = 10): on a locally linear network cw-l2 then stops before the boundary. Where every "
         "logit is negative, as after a log-softmax, both are zero.",
         "`cw-l2` weighs distance against logits, so it fails on a network with small logits; its number measures "
         "logit scale, not robustness.",
         "Do not compare `cw-l2` across methods. Read `cw-linf`, `aa` and `worst`.",
         _probe(lambda p: p["cw_blocked_share"] > 0.5,
                lambda e: [k for k, a in e.attacks.items() if a.name == "cw-l2"])),
    Flag("large-logits", "j", "logits so large that the softmax is exactly 0 and 1",
         "At more than half of the probed images the two largest logits are more than 24 ln 2 = 16.6 apart, where "
         "1 - p rounds to 0 in single precision.",
         "The gradient of the cross-entropy has lost its part of the true class (and vanishes near 100), so attacks on "
         "the cross-entropy are weakened.",
         "Read attacks on the margin (`cw-linf`, `aa`); add `aa-plus`, which rescales the logits.",
         _probe(lambda p: p["saturated_share"] > 0.5, Evidence.white)),
    Flag("collapse", "k", "nearly all images are given one class",
         "One class is predicted for at least 95 % of the clean test images while it holds less than 90 % of them.",
         "The network ignores its input. Attacks cannot lower an accuracy that does not depend on the image.",
         "Do not read the robust accuracy. Train longer or look for a diverged run.",
         _probe(lambda p: p["predicted_top_share"] >= 0.95 and p["label_top_share"] < 0.9, _everyone)),
    Flag("small-class", "l", f"a class has fewer than {SMALL_CLASS} test images",
         f"Some class of the test split has fewer than {SMALL_CLASS} images.",
         "One image is more than 3 % of that class's accuracy, and it moves the balanced accuracy by 3 % divided by "
         "the number of classes.",
         "Read the intervals, use several seeds, or use the balanced test split.", _small, invalid=False),
    Flag("pixels", "m", "images outside [0,1]: normalisation outside the model",
         "A pixel of the test images is below 0 or above 1.",
         "The attacks' box and radius are stated on [0,1], so they are meaningless for these images; every answer that "
         "leaves the budget is refused.",
         "Give images in [0,1] and put the normalisation into the model (`bench evaluate --normalize mean/std`).",
         _probe(lambda p: p["pixel_min"] < -1e-6 or p["pixel_max"] > 1 + 1e-6, _everyone)),
    Flag("refused", "n", "answers outside the radius or [0,1] were refused",
         "An attack returned an image outside its radius, outside [0,1] or not finite, measured in float64.",
         "Such an answer is not counted as a success: the clean prediction stands in for it. The attack is at fault, "
         "and its number may be too high.",
         "Mend the attack.",
         lambda e: [k for k, a in e.attacks.items() if a.refused]),
    Flag("audit-gap", "o", "an audit found that the late stages break many images, so everything was attacked",
         "In an audit more than 5 % of what stood after APGD-T was broken by FAB-T or Square.",
         "The early stages do not lead: their gradients may be masked. The audit ran every stage on every image, so "
         "its number is that of the full chain.",
         "Read the other flags; ask for `aa` and `aa-plus`.",
         lambda e: [k for k, a in e.attacks.items() if raised_gap(a)], invalid=False),
    Flag("astray-gradient", "p", "a small step along the gradient leads away from the boundary",
         "At more than a quarter of the probe images the margin grows by a step of 1/255 along the gradient that "
         "should shrink it, although two forward passes agree.",
         "The gradient is not that of what the network computes: its sign is turned round, it is random, or a "
         "replaced backward pass leads astray. Attacks that follow it make the network more often right.",
         "Do not read any attack with gradients. Evaluate the network with its true backward pass, or with attacks "
         "without gradients (`aa-plus`, more queries).",
         _probe(lambda p: p.get("astray_share", 0) > 0.25 and p["random_difference"] <= 1e-4, Evidence.white)),
    Flag("coarse-logits", "q", "logits so large for their number format that their differences are rounded away",
         "At more than half of the probe images the two largest logits are less than 16 steps of their number format "
         "apart.",
         "Losses and their gradients see differences of logits, of which rounding has left a few steps: a common "
         "offset of all logits hides what attacks would follow.",
         "Subtract the offset inside the network, or evaluate it in double precision.",
         _probe(lambda p: p.get("coarse_share", 0) > 0.5, Evidence.white)),
    Flag("dynamic-defence", "r", "the network optimises while it answers",
         "A forward pass without gradients runs a backward pass of its own.",
         "What the network computes is found anew for every image, as in defences that purify or adapt at test time. "
         "Gradients through a few of its steps are no guide to what it will answer, so standard attacks say little.",
         "Evaluate with an attack that is made for this defence; `aa-plus` is the least.",
         _probe(lambda p: p.get("inner_gradient", 0) > 0, _everyone)),
)  # fmt: skip


def raised(evidence: Evidence) -> dict[str, list[str]]:
    """Sorted names of the flags of every attack of a split, by label."""
    found: dict[str, list[str]] = {label: [] for label in evidence.attacks}
    for flag in FLAGS:
        for label in dict.fromkeys(flag.rule(evidence)):
            found[label].append(flag.name)
    return {label: sorted(names) for label, names in found.items()}


def flag_cell(cell: Mapping[str, Any], bits: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The cell (cell.json as a mapping) with `flags` set in every evaluation and, all together, in the cell.

    `bits`: per_sample.npz. The argument is not changed.
    """
    record = understood(cell)
    evaluations: dict[str, Any] = {key: dict(facts) for key, facts in cell["evaluations"].items()}
    for split in TEST_SPLITS:
        for label in record.on(split).keys() - record.counted(split).keys():
            evaluations[f"{split}/{label}"]["flags"] = [*audit_flags(record, split, label)]
        attacks = record.counted(split)
        if not attacks:
            continue
        correct = {label: bits[f"{split}/{label}"].astype(bool) for label in attacks}
        probes = record.probes.get(split, {})
        evidence = Evidence(attacks, correct, bits[f"{split}/label"], probes, record.made.threat.eps)
        for label, names in raised(evidence).items():
            evaluations[f"{split}/{label}"]["flags"] = names
    together = sorted({name for facts in evaluations.values() for name in facts["flags"]})
    return {**cell, "evaluations": evaluations, "flags": together}


def audit_flags(record: CellRecord, split: str, label: str) -> tuple[str, ...]:
    """Flags of an evaluation that left images out: those that need no verdict of every image, derived anew."""
    counts = record.seen.test_counts.get(split, [])
    labels, probes = np.repeat(np.arange(len(counts)), counts), record.probes.get(split, {})
    alone = Evidence({label: record.on(split)[label]}, {}, labels, probes, record.made.threat.eps)
    return tuple(raised(alone)[label])


def page() -> str:
    """docs/flags.md: every flag in three parts."""
    parts = [
        "# Validity flags",
        "A flag is stored with a cell and shown as a mark with a footnote wherever its number is shown. It never "
        "changes a number. Probes look at up to 128 test images spread evenly over the split. This page is written "
        "from the table in `bench/store/flags.py`, and a test keeps the two equal.",
    ]
    for flag in FLAGS:
        parts += [
            f"## {flag.mark} · {flag.name}",
            f"*Footnote: {flag.text}.*",
            f"**Raised when.** {flag.raised}",
            f"**What it means.** {flag.meaning}",
            f"**What to do.** {flag.action}",
        ]
    return "\n\n".join(parts) + "\n"
