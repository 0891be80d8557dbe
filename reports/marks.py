"""Footnote marks: validity flags, the standing of the paper's numbers, numbers from fewer seeds than their table's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.reports.model import Footnote, PaperNumber

FEW_SEEDS = "§"
AUDITED = "au"
_STANDING = {"target": "", "report": "shown, not a target: ", "never": "never a target: "}


def flag(name: str) -> Footnote:
    """Mark and text of a validity flag; a flag this version does not know is shown by its own name."""
    from bench.store.flags import FLAGS

    known = {f.name: f for f in FLAGS}
    if name in known:
        return Footnote(known[name].mark, known[name].text)
    return Footnote(f"[{name}]", f"validity flag '{name}'")


def audit_note(chains: Iterable[str]) -> str:
    """What an audited number is."""
    names = ", ".join(chains)
    return (
        f"audited: the stages of {names} on a sample of the images, never {names} itself; the interval over test "
        "images holds what the sample may hide"
    )


class Ledger:
    """Collects the marks of one table; what is noted twice gets one mark."""

    def __init__(self) -> None:
        self._flags: dict[str, Footnote] = {}
        self._reasons: dict[str, str] = {}
        self._few: set[int] = set()
        self._over: dict[str, str] = {}
        self._audits: dict[str, None] = {}

    def flags(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Marks of validity flags."""
        for name in names:
            self._flags.setdefault(name, flag(name))
        return tuple(self._flags[name].mark for name in names)

    def paper(self, number: PaperNumber | None) -> str:
        """Mark of a printed number that is not a plain target: `p1`, `p2`, ..."""
        if number is None or not number.reason:
            return ""
        text = _STANDING.get(number.standing, number.standing + ": ") + number.reason
        return self._reasons.setdefault(text, f"p{len(self._reasons) + 1}")

    def few(self, count: int) -> str:
        """Mark of a number from `count` seeds where its neighbours have more."""
        self._few.add(count)
        return FEW_SEEDS

    def audited(self, chains: Iterable[str]) -> tuple[str, ...]:
        """Mark of a number that comes from a part of the images: of these full attacks."""
        self._audits |= dict.fromkeys(chains)
        return (AUDITED,)

    def over(self, attacks: Sequence[str]) -> str:
        """Mark of a worst case over other attacks than its neighbours': `w1`, `w2`, ..."""
        text = f"worst case over {', '.join(attacks) or 'no attack'} alone; ranked with its like only"
        return self._over.setdefault(text, f"w{len(self._over) + 1}")

    def footnotes(self) -> list[Footnote]:
        """What the marks mean, in the order in which they came."""
        notes = list(self._flags.values())
        if self._few:
            counts = " or ".join(map(str, sorted(self._few)))
            notes.append(Footnote(FEW_SEEDS, f"from fewer seeds ({counts}) than other numbers of this table"))
        notes += [Footnote(mark, text) for text, mark in self._over.items()]
        if self._audits:
            notes.append(Footnote(AUDITED, audit_note(self._audits)))
        return notes + [Footnote(mark, f"paper's number, {text}") for text, mark in self._reasons.items()]
