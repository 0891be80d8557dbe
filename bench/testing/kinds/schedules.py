"""Cases of learning-rate schedules: rates at given times, as the authors' code names and counts them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bench.recipe import schedules
from bench.testing.words import UnsupportedError

#: ours of a time or epoch and the largest rate; the settings that it takes are popped from the dictionary given
Rate = Callable[[float], float]
Settings = dict[str, Any]
#: what the number of batches of an epoch may be called
PER_EPOCH = (
    "steps_per_epoch", "batches_per_epoch", "updates_per_epoch", "update_steps", "batches", "steps", "num_batches",
)  # fmt: skip


def rice(family: str, given: Settings) -> Rate:
    """Schedules of Rice et al. and what descends from them (AWP, UDR, Bag of Tricks), at fractional epochs."""
    lr, epochs, name = given.pop("lr_max"), given.pop("epochs"), given.pop("lr_schedule")
    if name == "cosine":
        return lambda t: schedules.cosine(t, lr, epochs)
    if name == "linear":
        return lambda t: schedules.linear(t, lr, epochs)
    if name == "superconverge":
        return lambda t: schedules.triangle(t, lr, epochs, epochs * 2 // 5)
    if name == "multipledecay":
        return lambda t: schedules.multi_decay(t, lr, epochs)
    if name == "onedrop":
        low, at = given.pop("lr_one_drop", 0.01), given.pop("lr_drop_epoch", 100)
        return lambda t: schedules.steps(t, lr, [(at, low / lr)])
    if name == "cyclic":
        if family == "BoT":
            return lambda t: schedules.cycles(t, lr)
        return lambda t: schedules.triangle(t, lr, epochs, 0.4 * epochs)
    if name == "piecewise":
        if family == "BoT":
            return bag_of_tricks(lr, given)
        return lambda t: schedules.steps(t, lr, [(0.5 * epochs, 0.1), (0.75 * epochs, 0.01)])
    raise UnsupportedError(
        f"lr_schedule={name!r}; known: piecewise, cosine, linear, superconverge, cyclic, multipledecay, onedrop"
    )


def bag_of_tricks(lr: float, given: Settings) -> Rate:
    """Drops at absolute epochs from 100 on, in four forms, after an optional warm-up."""
    warm = given.pop("warmup_lr_epoch", 15)
    warm = warm if given.pop("warmup_lr", False) else 0
    form = given.pop("lrdecay", "base")
    second = {"base": 105, "intenselr": 102, "looselr": 150}
    if form not in (*second, "lineardecay"):
        raise UnsupportedError(f"lrdecay={form!r}; known: base, intenselr, looselr, lineardecay")

    def rate(t: float) -> float:
        if t < warm:
            return (t + 1) / warm * lr
        if form == "lineardecay" and t >= 100:
            return max(lr * 0.02 * (105 - t), 0.0)
        return schedules.steps(t, lr, [(100, 0.1), (second.get(form, 105), 0.01)])

    return rate


def by_epoch(method: str, given: Settings) -> Rate:
    """Schedules that count epochs from 1 and state their rate in words of their own."""
    lr, epochs = given.pop("lr"), given.pop("epochs", 0)
    if method == "RoBal":
        warmup, first = given.pop("warmup_epochs", 0), given.pop("first_epoch", 1)
        falls = [(at, 0.1 ** (i + 1)) for i, at in enumerate(sorted(given.pop("drops")))]
        return lambda e: schedules.compounding(int(e), lr, falls, warmup, first)
    if method == "WA-cosine":
        return lambda e: schedules.cosine(e - 1, lr, epochs)
    if method in ("MultiStep", "WA-step"):  # stepped after each epoch, so a drop is seen one epoch later
        gamma = given.pop("gamma", 0.1)
        passed = [(m + 1, gamma ** (i + 1)) for i, m in enumerate(sorted(given.pop("milestones", [100, 105])))]
    elif method == "AWP-TRADES":
        passed = [(m, 0.1 ** (i + 1)) for i, m in enumerate(given.pop("drops"))]
    else:
        shares = {"trades": (0.75, 0.9, 1.0), "madry": (0.5, 0.75, 1.0)}
        name = method.removeprefix("CGRm-")
        if name != "bag_of_tricks" and name not in shares:
            raise UnsupportedError(f"schedule {method!r}; known of CGRm: bag_of_tricks, {', '.join(shares)}")
        at = [share * epochs for share in shares[name]] if name in shares else [epochs - 10, epochs - 5]
        passed = [(when, 0.1 ** (i + 1)) for i, when in enumerate(at)]
    return lambda e: schedules.steps(e, lr, passed)


def one_cycle(method: str, given: Settings) -> Callable[[float], tuple[float, float]]:
    """Torch's OneCycleLR, an epoch (WA-cosinew) or a batch (WA-cyclic) a step, counted from 1."""
    lr, total = given.pop("lr"), given.pop("epochs")
    if method == "WA-cyclic":
        word = next((word for word in PER_EPOCH if word in given), "total_steps")
        if word not in given:
            raise UnsupportedError(f"{method} without batches an epoch; known: {', '.join(PER_EPOCH)}, or total_steps")
        total = given.pop(word) * (1 if word == "total_steps" else total)
    rise = given.pop("pct_start", 0.25 if method == "WA-cyclic" else 0.025)
    return lambda k: schedules.one_cycle(int(k) - 1, lr, total, rise)


def schedule(case: Mapping[str, Any], _: Mapping[str, Any]) -> dict[str, Any]:
    """The rate at each point, and the momentum that one-cycle moves with it."""
    method, points = case["method"], case["inputs"]["points"]
    given = {key: value for key, value in case["params"].items() if key != "note"}
    got: dict[str, Any] = {}
    if method in ("WA-cosinew", "WA-cyclic"):
        cycle = one_cycle(method, given)
        got["lr"], got["momentum"] = (list(values) for values in zip(*(cycle(point) for point in points), strict=True))
    else:
        rate = rice(method.partition("-")[0], given) if "lr_schedule" in given else by_epoch(method, given)
        got["lr"] = [rate(point) for point in points]
    if given:
        raise UnsupportedError(f"{method} has no setting {min(given)!r} here")
    return got


KINDS = {"schedule": schedule}
