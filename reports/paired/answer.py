"""What the page opens with: for every setting, ratio and network, who is best under attack and who only seems worse."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.config import format_value
from bench.judge.doubt import doubtful
from bench.judge.evaluations import Evaluation
from bench.judge.stats import Estimate
from bench.reports import paper, text
from bench.reports.drawing import draw
from bench.reports.marks import flag
from bench.reports.model import Card, Figure, Footnote, Number
from bench.reports.paired.pairing import AHEAD, BEST, TIED, UNPAIRED, WORSE, Pairs, Standing
from bench.reports.source import Config, Source
from bench.store.where import Where

#: attacks by how much a number under them says, the most first
STRENGTH = ("aa", "aa-audited", "aa-plus", "malt", "pma", "aa-10", "cw-linf", "pgd-100", "pgd-20", "fgsm")
#: how a sentence begins that names those of a standing
SAID = {
    TIED: "Not distinguishable from it",
    AHEAD: "Better on the seeds that both have, though its mean over all its seeds is lower",
    WORSE: "Worse",
    UNPAIRED: "Not paired with it",
}
#: more methods than this get no words of their own in a sentence
MOST = 12


@dataclass(frozen=True)
class Rival:
    """A method of a card: its number under the attack, how it stands there, and the clean one where there is one."""

    config: Config
    clean: Estimate | None
    robust: Estimate
    standing: Standing | None
    flags: tuple[str, ...]

    @property
    def label(self) -> str:
        """As tables call it."""
        return paper.method_label(self.config.label)


def cards(source: Source, settings: Sequence[Where], suffixes: Sequence[str]) -> tuple[list[Card], dict[Number, str]]:
    """A card a setting, ratio and network with an attack on two methods or more; and how single numbers stand."""
    pairs, made, stands = Pairs(source), [], dict[Number, str]()
    for setting in sorted(settings, key=lambda s: (s.recipe != "paper", s.test_split != "long-tailed")):
        configs = source.configs(setting)
        rivals = Counter(c.model for c in configs)  # the network that most methods share is asked about first
        places = dict.fromkeys((c.ir, c.model) for c in configs)
        for ir, model in sorted(places, key=lambda place: -rivals[place[1]]):
            own = [c for c in configs if (c.ir, c.model) == (ir, model) or (math.isnan(ir) and c.model == model)]
            card = _card(source, setting, own, pairs, suffixes, stands)
            if card is not None:
                made.append(card)
    return made, stands


def _card(
    source: Source,
    setting: Where,
    configs: Sequence[Config],
    pairs: Pairs,
    suffixes: Sequence[str],
    stands: dict[Number, str],
) -> Card | None:
    attack = strongest(source, setting, configs)
    found = {a: {c: source.evaluations(setting, c, a) for c in configs} for a in ("clean", attack) if a}
    attacked = [c for c in configs if attack and found[attack][c]]
    if not any(found["clean"][c] for c in attacked):
        return None
    standing = {a: pairs.standings(setting.test_split, some) for a, some in found.items()}
    for a, some in standing.items():
        for config, one in some.items() if len(some) > 1 else ():  # a lone number is not a best
            evaluations = found[a][config]
            value = 100 * source.estimate(evaluations, "balanced").value
            stands[(setting.test_split, a), tuple(e.cell for e in evaluations), round(value, 6)] = one.word
    rivals = [
        Rival(
            c,
            source.estimate(found["clean"][c], "balanced") if found["clean"][c] else None,
            source.estimate(found[attack][c], "balanced"),
            standing[attack].get(c),
            _flags(found[attack][c]),
        )
        for c in attacked
    ]
    config = attacked[0]
    classes = len(found[attack][config][0].counts.names)
    what = (
        paper.DATA_LABEL[setting.dataset] if setting.source == paper.ORIGINAL.get(setting.dataset) else setting.dataset
    )
    ratio = "natural ratio" if math.isnan(config.ir) else f"IR {format_value(config.ir)}"
    key = text.slug(f"answer-{setting.dataset}-{setting.digest}-{ratio}-{config.model}")
    name = paper.attack_label(attack)
    title = (what, ratio, paper.MODEL_LABEL.get(config.model, config.model), *setting.title())
    used = [e for some in found.values() for c in attacked for e in some[c]]
    return Card(
        key=key,
        heading=" · ".join(title),
        data=f"{setting.dataset}, pixels from {setting.source}, {setting.heading()}",
        sentences=tuple(_sentences(rivals, name, 100 / classes)),
        reduced=_reduced(used),
        flags=_footnotes(rivals),
        figure=_figure(key, rivals, name, 100 / classes) if "svg" in suffixes else Figure(key, "", "", ""),
    )


def strongest(source: Source, setting: Where, configs: Sequence[Config]) -> str:
    """The attack to judge by: the strongest that two methods have, else that any has; empty when none was run."""
    known = sorted((a for a in source.attacks([setting]) if a.partition("[")[0] in STRENGTH), key=strength)
    count = {a: sum(bool(source.evaluations(setting, c, a)) for c in configs) for a in known}
    return next((a for least in (2, 1) for a in known if count[a] >= least), "")


def strength(attack: str) -> tuple[int, str]:
    """Sorts attacks: no attack, then the strongest first, then those that this version has no opinion of."""
    name = attack.partition("[")[0]
    place = -1 if name == "clean" else STRENGTH.index(name) if name in STRENGTH else len(STRENGTH)
    return place, attack


def _flags(evaluations: Sequence[Evaluation]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(f for e in evaluations for f in e.flags))


# ---------------------------------------------------------------------------------------------------- in words


def _sentences(rivals: Sequence[Rival], attack: str, chance: float) -> list[str]:
    """Who is best, who cannot be told apart from it, who is worse; who is no better than a constant answer."""
    best = next((r for r in rivals if r.standing and r.standing.word == BEST), None)
    told = []
    if best is None:
        told.append(f"No method has a number under {attack} that may be a measure of robustness: all are flagged.")
    elif len(rivals) == 1:
        told.append(f"{best.label} alone was measured: {_percent(best.robust)} under {attack}.")
    else:
        told.append(
            f"Highest under {attack}: {best.label}, {_percent(best.robust)} balanced accuracy "
            f"({_percent(best.clean) if best.clean else 'not measured'} clean)."
        )
        for word, text_ in SAID.items():
            some = [r for r in rivals if r.standing and r.standing.word == word]
            if some:
                told.append(f"{text_}: {_listed(some)}.")
        if not any(r.standing and r.standing.pair for r in rivals):
            told.append(
                "Nothing is said of differences: the bits of each image, or seeds that two methods share, are missing."
            )
    low = [r for r in rivals if 100 * r.robust.value <= chance + 1e-9]
    near = [r for r in rivals if r not in low and 100 * r.robust.sampling.low <= chance]
    if low:
        told.append(f"At or below a constant answer ({text.number(chance)}\u00a0%): {_names(low)}.")
    if near:
        told.append(f"Not clearly above a constant answer ({text.number(chance)}\u00a0%): {_names(near)}.")
    return told


def _percent(one: Estimate) -> str:
    return f"{text.number(100 * one.value)}\u00a0%"


def _listed(rivals: Sequence[Rival]) -> str:
    """Names with their difference to the best, in points."""
    ordered = sorted(rivals, key=lambda r: -r.robust.value)
    parts = [
        r.label
        + (
            f" ({text.number(-100 * r.standing.pair.result.difference, signed=True)})"
            if r.standing and r.standing.pair
            else ""
        )
        for r in ordered[:MOST]
    ]
    return ", ".join(parts) + (f" and {len(ordered) - MOST} more" if len(ordered) > MOST else "")


def _names(rivals: Sequence[Rival]) -> str:
    return ", ".join(r.label for r in rivals[:MOST]) + (f" and {len(rivals) - MOST} more" if len(rivals) > MOST else "")


def _reduced(used: Sequence[Evaluation]) -> str:
    return "; ".join(sorted({e.where.reduced for e in used if e.where.reduced}))


def _footnotes(rivals: Sequence[Rival]) -> tuple[Footnote, ...]:
    """Every flag with the methods that carry it, first those by which a number may be no measure of robustness."""
    names = sorted({f for r in rivals for f in r.flags}, key=lambda f: (not doubtful([f]), f))
    notes = []
    for name in names:
        some = [r for r in rivals if name in r.flags]
        whose = "all methods" if len(some) == len(rivals) else _names(some)
        out = [r for r in some if r.standing is None and doubtful([name])]
        more = "; takes no part" if len(out) == len(some) else f"; without part: {_names(out)}" if out else ""
        notes.append(Footnote(flag(name).mark, f"{flag(name).text}: {whose}{more}"))
    return tuple(notes)


# -------------------------------------------------------------------------------------------------- as a drawing


def _figure(key: str, rivals: Sequence[Rival], attack: str, chance: float) -> Figure:
    """Clean against robust, a marker a method: thin bars over test images, thick ones over seeds, lines at chance.

    A method without a clean number has no place in it.
    """
    drawn = [(rival, rival.clean) for rival in rivals if rival.clean is not None]
    with draw.figure(4.8, 3.9) as (made, axes):
        axis = axes[0][0]
        axis.axhline(chance, color="#6b6b6b", linewidth=1.0, linestyle=(0, (4, 2)))
        axis.axvline(chance, color="#6b6b6b", linewidth=1.0, linestyle=(0, (4, 2)))
        axis.annotate(
            "a constant answer",
            (1.0, chance),
            xycoords=("axes fraction", "data"),
            xytext=(-2, 3),
            textcoords="offset points",
            ha="right",
            fontsize=7,
            color="#555555",
        )
        for i, (rival, clean) in enumerate(drawn):
            _point(axis, i, rival, clean)
        axis.set_xlabel("clean, balanced accuracy in %")
        axis.set_ylabel(f"{attack}, balanced accuracy in %")
        axis.margins(0.08)
        axis.set_ylim(bottom=min(0.0, axis.get_ylim()[0]))
        made.legend(
            *axis.get_legend_handles_labels(),
            loc="outside lower center",
            ncols=min(4, len(drawn)),
            columnspacing=1.0,
            handletextpad=0.4,
        )
        alt = f"Balanced accuracy in per cent, clean / {attack}: " + ", ".join(
            f"{r.label} {100 * clean.value:.1f} / {100 * r.robust.value:.1f}" for r, clean in drawn
        )
        files = draw.files(made, key=key, suffixes=["svg"])
    return Figure(key, "", "", f"{alt}. A constant answer has {chance:.1f}.", files)


def _point(axis: Any, i: int, rival: Rival, clean: Estimate) -> None:
    colour = draw.COLOURS[i % len(draw.COLOURS)]
    x, y = 100 * clean.value, 100 * rival.robust.value
    for kind, width, alpha in (("sampling", 0.8, 0.55), ("seeds", 2.4, 0.4)):
        ends = [_reach(getattr(one, kind), one.value) for one in (clean, rival.robust)]
        if all(ends):
            axis.errorbar([x], [y], xerr=ends[0], yerr=ends[1], linestyle="", ecolor=(colour, alpha), elinewidth=width)
    best = rival.standing is not None and rival.standing.word in (BEST, TIED, AHEAD)
    axis.plot(
        [x],
        [y],
        linestyle="",
        marker=draw.MARKERS[i % len(draw.MARKERS)],
        markersize=7.5,
        color=colour,
        markerfacecolor=colour if best else "white",
        markeredgewidth=1.4,
        label=rival.label,
    )


def _reach(interval: Any, value: float) -> list[list[float]] | None:
    """How far an interval goes down and up, in per cent; None without one."""
    return None if interval is None else [[100 * (value - interval.low)], [100 * (interval.high - value)]]
