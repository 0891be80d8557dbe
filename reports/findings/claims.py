"""The paper's claims: a verdict on each from the differences that it is about, at the scale that measured most of them.

holds                 every difference of the claim lies on its side, by the tests over images and over seeds
fails                 one of them lies on the other side, or is none: both intervals stay where two numbers match
cannot be told here   neither
not measured          there is none

A difference does not count of which neither number is above a constant answer, of one seed alone, which is about two
networks and not about two methods, or of a number whose flags forbid to call it best (a network that collapsed).
Verdicts are corrected (Holm) over the claim's own differences, not over the table in which they stand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from bench.judge.doubt import disqualified
from bench.judge.pairs.needed import images_needed, seeds_needed
from bench.judge.reference import paper_claims
from bench.judge.stats import LEVEL
from bench.judge.verdict import TOLERANCE
from bench.reports.findings.attribution import CLASSES
from bench.reports.findings.factors import LOSS, SIZES, STEPS
from bench.reports.findings.gap import BETTER, WORSE, Case, Gap, judged
from bench.reports.findings.questions import IN_FULL, MEDICAL, OTHERS, OURS, OWN, RATIOS, RIVAL, Paired, strongest
from bench.reports.findings.setting import SPLIT, Setting
from bench.reports.source import params_of

HOLDS, FAILS, OPEN, UNMEASURED = "holds", "fails", "cannot be told here", "not measured"
#: a claim that two things are the same
EQUAL = "equal"


@dataclass(frozen=True)
class Claim:
    """`question`: of whose rows those decide that are `about` it, under the strongest attack and those that are `also`.

    `expected`: what each should be. `printed`: ids of the paper's own numbers, `a-b` of two: their difference.
    `medical`: of images like those of the paper's Table 3, with their own imbalance. `weaker`: the strongest attack
    that was run decides. `command`: where the question's own is of others. `sides`: what the two numbers of a row are.
    """

    key: str
    text: str
    question: str
    about: Callable[[Case], bool] = bool
    also: tuple[str, ...] = ()
    expected: str = BETTER
    printed: tuple[str, ...] = ()
    medical: bool = False
    weaker: bool = False
    command: str = ""
    sides: tuple[str, str] = ("TAET", "AT-BSL")

    @property
    def anchor(self) -> str:
        """Where the page answers it at length."""
        return f"claim-{self.key}"

    @property
    def paper(self) -> str:
        """The claim's numbers as the paper prints them: `+5.31`."""
        values = paper_claims().set_index("id")["value"]

        def told(key: str) -> str:
            first, minus, second = key.partition("-")
            return f"{Decimal(values[first]) - Decimal(values[second])}" if minus else values[key]

        return " and ".join(f"+{told(key)}" for key in self.printed)

    def deciding(self, cases: Sequence[Case], setting: Setting) -> list[Case]:
        """Those of a question's cases that decide, on the paper's test split."""
        about = [case for case in cases if case.a.split == SPLIT and self.about(case)]
        top = strongest(about, setting) if self.weaker else setting.strongest
        return [case for case in about if case.a.attack in (*self.also, top)]


def _first_ratio(case: Case) -> bool:
    return case.a.config.ir == RATIOS[0]


def _all_others(ir: float) -> Callable[[Case], bool]:
    """Whether a case is about one of the paper's other methods, not whatever else was measured, at a ratio."""
    return lambda case: case.a.config.ir == ir and case.b.config.method in (RIVAL, *OTHERS)


def _of_table_3(case: Case) -> bool:
    return case.b.config.method in MEDICAL


def _averaged_at_its_cost(case: Case) -> bool:
    return (case.a.config.method, case.b.config.method) == (OWN[-1], OURS)


def _one_part(case: Case) -> bool:
    return len(case.a.config.params) == 1


def _loss(case: Case) -> bool:
    return case.labels[1] in LOSS


def _settings(texts: tuple[str, str]) -> Callable[[Case], bool]:
    """Whether a case is about these two settings of one method."""
    asked = tuple(map(params_of, texts))
    return lambda case: (case.a.config.params, case.b.config.params) == asked


def _equal_tricks(case: Case) -> bool:
    return all("+" in spot.config.method for spot in (case.a, case.b))


def _tail(case: Case) -> bool:
    return case.scope == CLASSES[0]


CLAIMS = (
    Claim("superiority", "TAET is better than AT-BSL under AutoAttack at IR 10", "superiority", _first_ratio,
          printed=("aa_gain_vs_at_bsl",)),
    Claim("rivals", "TAET is better than every other method under AutoAttack at IR 10", "rivals",
          _all_others(IN_FULL[0]), sides=("TAET", "the method")),
    Claim("rivals-50", "TAET is better than every other method under AutoAttack at IR 50", "rivals",
          _all_others(IN_FULL[1]), sides=("TAET", "the method")),
    Claim("ratios", "TAET is better than AT-BSL at every imbalance ratio", "superiority"),
    Claim("stages", "40 % clean epochs first raise clean accuracy and robustness", "stages", also=("clean",),
          printed=("ce40_clean_gain", "ce40_aa_gain"), sides=("TAET", "HARL")),
    Claim("parts", "Every part of the hierarchical loss is needed for robustness", "parts", _one_part, expected=WORSE,
          weaker=True, sides=("without", "whole loss")),
    Claim("loss", "With equal stages the hierarchical loss gives more robustness than AT-BSL's", "origin", _loss,
          sides=("hierarchical", "AT-BSL's")),
    Claim("sizes", "Training steps of 3/255 give more robustness than those of 1/255", "varied", _settings(SIZES),
          printed=("size_aa_to-size_aa_from",), weaker=True, command="bench run --preset table10",
          sides=("3/255", "1/255")),
    Claim("steps", "30 training steps of 1/255 give more robustness than 10", "varied", _settings(STEPS), weaker=True,
          command="bench run --preset table9", sides=("30 steps", "10 steps")),
    Claim("recipes", "The recipe of the text and that of the released code give the same robust accuracy", "recipes",
          expected=EQUAL, weaker=True, sides=("official", "paper")),
    Claim("medical", "On medical images TAET is better than the other methods", "rivals", _of_table_3,
          medical=True, command="bench run --preset table3", sides=("TAET", "the method")),
    Claim("tricks", "With equal tricks TAET is still better than AT-BSL", "tricks", _equal_tricks, weaker=True),
    Claim("rare", "Not the paper's: RobustLT raises robust accuracy of the rarest 80 % of the classes, all else equal",
          "rare", _tail, weaker=True, sides=("with it", "without")),
    Claim("own", "Not the paper's: AT-BSL's loss in TAET's two stages, weights averaged, is better than TAET",
          "own", _averaged_at_its_cost, sides=("two-stage-bsl", "TAET")),
)  # fmt: skip


@dataclass(frozen=True)
class Need:
    """Test images (there are `there`) and seeds (there are `runs`) that would find a difference of `size` (a fraction).

    A size is what was measured, at least the distance in which two numbers match; power 0.8 for each of the two.
    `seeds`: None of a difference of one seed, of which their spread is not known.
    """

    gap: Gap
    size: float
    images: int
    there: int
    seeds: int | None
    runs: int

    @property
    def lacks(self) -> bool:
        """Whether there are too few of either."""
        return self.images > self.there or self.seeds is None or self.seeds > self.runs


@dataclass(frozen=True)
class Answer:
    """What a setting says of a claim: `gaps`, and those of them that do not count, each in one list.

    `low`: neither number is above a constant answer, `flagged`: a number must not be called best, `alone`: of one seed.
    `lacking`: cases of the claim that were not measured, `unpaired`: that were, but share no seed, images or bits.
    `others`: what other scales say that can tell.
    """

    claim: Claim
    word: str
    setting: Setting | None = None
    gaps: Sequence[Gap] = ()
    low: Sequence[Gap] = ()
    flagged: Sequence[Gap] = ()
    alone: Sequence[Gap] = ()
    lacking: Sequence[str] = ()
    unpaired: Sequence[str] = ()
    others: Sequence[Answer] = ()

    @property
    def sure(self) -> list[Gap]:
        """The differences that count."""
        return [gap for gap in self.gaps if gap not in (*self.low, *self.flagged, *self.alone)]

    @property
    def telling(self) -> bool:
        """Whether one of its differences counts."""
        return bool(self.sure)

    @property
    def open(self) -> int:
        """How many cases of the claim this setting leaves without a difference that counts."""
        return len(self.lacking) + len(self.unpaired) + len(self.gaps) - len(self.sure)

    @property
    def against(self) -> list[Answer]:
        """What other scales say that decide it otherwise."""
        return [one for one in self.others if one.word not in (OPEN, self.word)]

    def seen(self, shown: Sequence[Setting]) -> list[Answer]:
        """The answer itself, and what those of other scales say that are among the settings `shown`."""
        return [self, *(other for other in self.others if other.setting in shown)]

    @property
    def needed(self) -> Need | None:
        """What would tell the open difference that needs most, each interval by itself; None where nothing lacks."""
        level = 1 - (1 - LEVEL) / max(len(self.gaps), 1)  # Holm's first step
        told = []
        for gap in self.gaps:
            if self.setting and gap.verdict not in (BETTER, WORSE) and gap not in (*self.low, *self.flagged):
                size = max(abs(gap.value), TOLERANCE)
                there = int(self.setting.at(gap.case.a)[0].n.sum())  # the comparison knows those of its scope
                images = math.ceil(images_needed(gap.result, size, level) * there / gap.result.size)
                seeds = seeds_needed(gap.result, size, level)
                told.append(Need(gap, size, images, there, seeds, len(gap.result.per_seed)))
        lacking = [one for one in told if one.lacks]
        return max(lacking, key=lambda one: (one.seeds or 0, one.images)) if lacking else None

    @property
    def reach(self) -> float:
        """How far from 0 an interval of the differences that count goes (a fraction)."""
        known = [i for gap in self.sure for i in (gap.result.images, gap.result.seeds) if i is not None]
        return max((max(abs(i.low), abs(i.high)) for i in known), default=0.0)


def answer(claim: Claim, groups: Sequence[Sequence[Setting]], asked: Callable[[str, Setting], Paired]) -> Answer:
    """From the scale that leaves the fewest of the claim's cases open; `groups`: settings by scale, largest first."""
    found = [
        made
        for group in groups
        for setting in group
        if (setting.medical if claim.medical else not setting.where.natural)
        and (made := _of(claim, setting, asked(claim.question, setting)))
    ]
    if not found:
        return Answer(claim, UNMEASURED)
    best = min(found, key=lambda one: one.open)
    return replace(best, others=[one for one in found if one is not best and one.telling])


def _of(claim: Claim, setting: Setting, paired: Paired) -> Answer | None:
    about = claim.deciding(paired.cases, setting)
    found = judged([gap for gap in paired.found if gap.case in about])
    if not found:
        return None
    flagged = [gap for gap in found if _flagged(gap, setting)]
    low = [gap for gap in found if gap not in flagged and _low(gap, setting)]
    alone = [gap for gap in found if gap not in (*flagged, *low) and gap.alone]
    lacking = [case.name for case in about if case.lacking(setting)]
    compared = {gap.case for gap in found}
    unpaired = [case.name for case in about if case not in compared and not case.lacking(setting)]
    made = Answer(claim, OPEN, setting, found, low, flagged, alone, lacking, unpaired)
    return replace(made, word=verdict(claim.expected, made.sure, incomplete=made.open > 0))


def verdict(expected: str, found: Sequence[Gap], *, incomplete: bool) -> str:
    """The word for differences that are of numbers above chance; `incomplete`: others of the claim are not known."""
    against = {BETTER: (WORSE,), WORSE: (BETTER,), EQUAL: (BETTER, WORSE)}[expected]
    none = [] if expected == EQUAL else [gap for gap in found if gap.verdict != expected and _within(gap)]
    if none or any(gap.verdict in against for gap in found):
        return FAILS
    sure = [_within(gap) if expected == EQUAL else gap.verdict == expected for gap in found]
    return HOLDS if sure and all(sure) and not incomplete else OPEN


def _within(gap: Gap) -> bool:
    """Whether both intervals lie in the distance in which two numbers match."""
    known = [i for i in (gap.result.images, gap.result.seeds) if i is not None]
    return len(known) == 2 and all(max(abs(i.low), abs(i.high)) <= TOLERANCE for i in known)


def _flagged(gap: Gap, setting: Setting) -> bool:
    """Whether one of the two must not be called best by the flags of most of its seeds."""
    return any(disqualified(one.flags for one in setting.at(spot)) for spot in (gap.case.a, gap.case.b))


def _low(gap: Gap, setting: Setting) -> bool:
    """Whether neither of the two is above a constant answer, by its interval over test images."""
    found = [setting.at(spot) for spot in (gap.case.a, gap.case.b)]
    chance = 1 / len(found[0][0].counts.names)
    return all(setting.source.estimate(some, "balanced").sampling.low <= chance for some in found)
