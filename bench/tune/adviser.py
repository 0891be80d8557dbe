"""Which settings come next, and whether a trial is hopeless: by Optuna, which is imported here alone.

Nothing of Optuna is stored. Each trial asks a study made anew from the trials before it, with a sampler seeded by the
trial's number: what is asked next is a function of what is known, so a tuning that was stopped goes on as if it had not
been. The first trial has the default settings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.errors import UsageError
from bench.seeding import stream_seed
from bench.store.parts.tunings import Trial
from bench.tune.space import Dimension

#: finished trials before any is given up, and the share of the epochs in which none is
SAFE_TRIALS, SAFE_EPOCHS = 4, 1 / 3


class Advice:
    """One trial as the sampler sees it: `settings` to try, and the judgement of its curve."""

    def __init__(self, live: Any, space: Sequence[Dimension], prune: bool) -> None:
        self._live, self._prune = live, prune
        self.settings: dict[str, Any] = {d.name: d.rounded(live.params[d.name]) for d in space}

    def hopeless(self, epoch: int, value: float) -> bool:
        """Whether the trial's best so far lies below the median of the trials before it at this epoch (0-based)."""
        self._live.report(value, epoch)
        return self._prune and bool(self._live.should_prune())


def client() -> Any:
    """Optuna. Raises UsageError where it is not installed."""
    try:
        import optuna
    except ImportError:
        raise UsageError("optuna is not installed; pip install 'robust-longtail-bench[tune]'.") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def advise(space: Sequence[Dimension], known: Sequence[Trial], seed: int, epochs: int, prune: bool = True) -> Advice:
    """The trial after those that are known. `seed`: root seed of the tuning; `epochs`: of every trial."""
    optuna = client()
    distributions = {d.name: _distribution(optuna, d) for d in space}
    states = {
        "done": optuna.trial.TrialState.COMPLETE,
        "pruned": optuna.trial.TrialState.PRUNED,
        "failed": optuna.trial.TrialState.FAIL,
    }
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=stream_seed(seed, "tune", len(known)) % 2**32),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=SAFE_TRIALS, n_warmup_steps=int(epochs * SAFE_EPOCHS)),
    )
    for trial in known:
        study.add_trial(
            optuna.trial.create_trial(
                state=states[trial.state],
                value=trial.value,
                params=_inside(space, trial.settings),
                distributions=distributions,
                intermediate_values=dict(enumerate(trial.curve)),
            )
        )
    if not known:
        study.enqueue_trial({d.name: d.default for d in space if _holds(d)})
    return Advice(study.ask(distributions), space, prune)


def _distribution(optuna: Any, d: Dimension) -> Any:
    kinds = optuna.distributions
    if d.choices:
        return kinds.CategoricalDistribution(d.choices)
    made = kinds.IntDistribution if d.whole else kinds.FloatDistribution
    return made(d.low, d.high, log=d.log)


def _holds(d: Dimension) -> bool:
    """Whether the default lies in the room; what it does not is drawn in the first trial too."""
    return d.default in d.choices if d.choices else d.default is not None and d.low <= d.default <= d.high


def _inside(space: Sequence[Dimension], settings: Mapping[str, Any]) -> dict[str, Any]:
    return {d.name: settings[d.name] for d in space}
