"""A whole tuning: what the user asked for as a study, and its trials one after another, each from those before it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.api import Enhancer, Method
from bench.config import CellSpec, Recipe, Task, parse_method, variant_label
from bench.engine.cell import Emit
from bench.engine.grid import Axes, expand
from bench.engine.life.settings import Settings
from bench.errors import UsageError
from bench.registry import registry
from bench.store.asked import command
from bench.store.parts import tunings
from bench.store.parts.tunings import Study, Trial, Tuning
from bench.store.where import Where
from bench.tune.adviser import Advice, advise, client
from bench.tune.space import Dimension, Field, declared, fields_of, space
from bench.tune.trial import run_trial


class Search:
    """One tuning. `axes`: one data set, ratio, network and seed; its methods are left to `method`.

    `over`: what is searched, None: see `bench.tune.space`. `prune`: give hopeless trials up. Raises UsageError.
    """

    def __init__(
        self,
        method: str,
        axes: Axes,
        *,
        validation: float,
        objective: str,
        over: str | None = None,
        prune: bool = True,
        data_root: Path | None = None,
    ) -> None:
        client()
        self.axes, self.data_root = axes, data_root
        self.parts = parse_method(method)
        (name, fixed), *_ = self.parts
        self.judged = {"validation": validation, "select": f"best[{objective}]"}
        if own := sorted({*fixed} & {*self.judged, "epochs"}):
            raise UsageError(f"'{own[0]}' belongs to the tuning; write --{_OPTION[own[0]]} instead.")
        plain = self._expanded({}).spec
        if plain.cells:
            raise UsageError(
                f"{name} goes on from a cell that is trained on all images, so nothing would be held out of it; tune "
                f"the method of that cell instead: {', '.join(cell for _, cell in plain.cells)}."
            )
        self.space: tuple[Dimension, ...] = space(self._own(plain), self._recipe(plain, fixed), over, name)
        self.study = Study(
            Where.of(plain).label,
            tunings.place(plain),
            plain.seed,
            validation,
            objective,
            [dimension.text for dimension in self.space],
            prune,
        )
        self.epochs = plain.recipe.epochs
        self.task({})

    def go(
        self,
        trials: int,
        settings: Settings,
        emit: Emit,
        told: Callable[[int, Trial], None],
        begun: Callable[[Task], None] | None = None,
    ) -> Tuning:
        """Trials until there are so many; those that are known are only looked at.

        `begun` hears of each new one before, `told` after it; `emit` of all that happens to its cell.
        Raises BenchError where no trial can be made and StoppedError when told to stop; what was done is kept.
        """
        tuning = tunings.load(settings.results, self.study)
        for number in range(trials):
            before = tuning.trials[:number]
            known = tuning.trials[number] if number < len(tuning.trials) else None
            if known is not None and not self._changed(known, settings):
                continue
            advice = Known(known) if known else self._advice(before)
            task = self.task(advice.settings)
            if begun is not None:
                begun(task)
            trial = run_trial(task, self.label(advice.settings), advice, settings, emit)
            rest = tuning.trials[number + 1 :]
            tuning = Tuning(self.study, [*before, trial, *rest])
            tunings.keep(settings.results, tuning)
            told(number, trial)
        return tuning

    def _advice(self, before: Sequence[Trial]) -> Advice:
        return advise(self.space, before, self.study.seed, self.epochs, self.study.prune)

    def _changed(self, known: Trial, settings: Settings) -> bool:
        """Whether a finished trial has to be looked at again: the cell is the truth, as long as it is there."""
        return known.state == "done" and not tunings.agrees(settings.results, known)

    def task(self, settings: Mapping[str, Any]) -> Task:
        """The cell of a trial with these settings. Raises UsageError."""
        return self._expanded({**settings, **self.judged})

    def label(self, settings: Mapping[str, Any]) -> str:
        """Method and settings as the row of a table has them: trained on all images, the last epoch kept."""
        return Where.of(self._expanded(settings).spec).label

    def command(self, settings: Mapping[str, Any], *more: str) -> str:
        """The `bench run` that makes that row."""
        return command([Where.of(self._expanded(settings).spec)], *more)

    def _expanded(self, settings: Mapping[str, Any]) -> Task:
        *_, task = expand(dataclasses.replace(self.axes, methods=(self._written(settings),)), self.data_root)
        if task.skip:
            raise UsageError(f"{task.spec.dataset} cannot be used: {task.skip.rstrip('.')}.")
        return task

    def _written(self, settings: Mapping[str, Any]) -> str:
        """`method[...]+enhancer[...]` with these settings beside those of the user."""
        (name, fixed), *enhancers = self.parts
        mine: dict[str, dict[str, Any]] = {trick: {} for trick, _ in enhancers}
        own: dict[str, Any] = {}
        for key, value in settings.items():
            trick, dot, inner = key.partition(".")
            (mine[trick] if dot else own)[inner if dot else key] = value
        return "+".join(
            [variant_label(name, {**fixed, **own}), *(variant_label(n, {**given, **mine[n]}) for n, given in enhancers)]
        )

    def _own(self, spec: CellSpec) -> list[Field]:
        """Settings of the method and of its enhancers, with the values that they have by the recipe and the user."""
        cls: type[Method] = registry("methods").get(spec.method)
        found = fields_of(cls.Hparams, dict(spec.hparams), self.parts[0][1], rooms=declared("methods", spec.method))
        given = dict(self.parts[1:])
        for name, values in spec.enhancers:
            trick: type[Enhancer] = registry("enhancers").get(name)
            rooms = declared("enhancers", name)
            found += fields_of(trick.Hparams, dict(values), given[name], f"{name}.", rooms)
        return found

    def _recipe(self, spec: CellSpec, fixed: Mapping[str, Any]) -> list[Field]:
        """Fields of the recipe that are no settings of the method."""
        own = {f.name for f in dataclasses.fields(registry("methods").get(spec.method).Hparams)}
        return [field for field in fields_of(Recipe, vars(spec.recipe), fixed) if field.name not in own]


class Known(Advice):
    """A trial that was made before: its settings are given, and it is not given up again."""

    def __init__(self, trial: Trial) -> None:
        self.settings = dict(trial.settings)

    def hopeless(self, epoch: int, value: float) -> bool:
        """Never."""
        return False


#: setting of the recipe -> option of `bench tune` that decides it
_OPTION = {"validation": "validation", "select": "objective", "epochs": "epochs"}
