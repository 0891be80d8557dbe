"""Where a table or figure of the paper is rendered: its own setting, and every other one of the store that suits it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from bench.config import BENCHMARK_VERSION, format_value
from bench.reports import paper
from bench.reports.source import Source
from bench.reports.text import slug
from bench.store.where import PROTOCOL, SETTING, USUAL, Where, off_protocol


@dataclass(frozen=True)
class Panel:
    """One rendering: a setting, and the axes the paper fixes or walks through, as this store has them."""

    setting: Where
    irs: tuple[float, ...]
    models: tuple[str, ...]
    classes: tuple[str, ...]
    is_paper: bool
    extra_methods: tuple[str, ...] = ()
    extra_attacks: tuple[str, ...] = ()

    @property
    def ir(self) -> float:
        """The ratio of a table that has one."""
        return self.irs[0]


def is_paper(setting: Where, dataset: str) -> bool:
    """Whether numbers under this setting may be compared with the paper's on `dataset`."""
    return setting.dataset == dataset and not off_protocol(setting, paper.ORIGINAL[dataset])


def paper_setting(dataset: str) -> Where:
    """The setting of the paper's own numbers, for a store that has none under it."""
    made = Where(
        **(USUAL | PROTOCOL),
        dataset=dataset,
        source=paper.ORIGINAL[dataset],
        benchmark=BENCHMARK_VERSION,
        natural=dataset in paper.NATURAL,
    )
    return replace(made, eps=made.value("eps")).only(SETTING)


class OfPaper:
    """A table or figure of the paper: the data, ratios and networks it is about."""

    name: ClassVar[str]
    number: ClassVar[int]
    caption: ClassVar[str]
    dataset: ClassVar[str] = "cifar10lt"
    irs: ClassVar[tuple[float, ...]] = (10.0,)
    models: ClassVar[tuple[str, ...]] = ("resnet18",)
    methods: ClassVar[tuple[str, ...]] = ()

    def panels(self, source: Source, dataset: str | None, test_split: str | None) -> Iterator[Panel]:
        """All bindings of this table to settings, ratios and models of the store; the paper's first."""
        settings = [s for s in source.index if _chosen(s, dataset, test_split)]
        own = [s for s in settings if is_paper(s, self.dataset)]
        if not own and dataset in (None, self.dataset) and test_split in (None, "long-tailed"):
            own = [paper_setting(self.dataset)]
        for setting in own:
            yield self._panel(source, setting, self.irs, self.models, True)
        for setting in settings:
            if dataset is None and not self._suits(source, setting):
                continue
            for irs, models in self._axes(source, setting):
                covered = setting in own and set(irs) <= set(self.irs) and set(models) <= set(self.models)
                lonely = dataset is None and len(models) < 2 <= len(self.models)
                if not covered and not lonely:
                    yield self._panel(source, setting, irs, models, False)

    def _suits(self, source: Source, setting: Where) -> bool:
        """Whether a setting stands in for this data by itself: as many classes, and not the paper's other data."""
        if setting.source in paper.ORIGINAL.values():
            return setting.source == paper.ORIGINAL[self.dataset]
        counts = {
            len(e.counts.names) for c in source.index[setting].values() for found in c.values() for e in found[:1]
        }
        return counts == {paper.CLASSES[self.dataset]}

    def _axes(self, source: Source, setting: Where) -> Iterator[tuple[tuple[float, ...], tuple[str, ...]]]:
        """Ratios and models of the store: all in one table where the paper walks through them, else one table each."""
        configs = source.configs(setting)
        models = sorted({c.model for c in configs})
        for chosen in [tuple(models)] if len(self.models) > 1 else [(m,) for m in models]:
            irs = sorted({c.ir for c in configs if c.model in chosen})
            yield from ((some, chosen) for some in ([tuple(irs)] if len(self.irs) > 1 else [(ir,) for ir in irs]))

    def _panel(
        self, source: Source, setting: Where, irs: tuple[float, ...], models: tuple[str, ...], own: bool
    ) -> Panel:
        configs = [c for c in source.configs(setting) if c.ir in irs and c.model in models]
        some = next((e for c in configs for found in source.index[setting][c].values() for e in found), None)
        classes = some.counts.names if some is not None else _CLASSES.get(setting.dataset, ())
        extra = sorted({c.method for c in configs if not c.params} - set(self.methods)) if self.methods else []
        has_aa10 = any("aa-10" in source.index[setting][c] for c in configs)
        return Panel(setting, irs, models, classes, own, tuple(extra), ("aa-10",) if has_aa10 else ())

    def data(self, panel: Panel) -> str:
        """What a rendering is of: data, ratio, network, and every setting that is not the plain one."""
        s = panel.setting
        axes = []
        if len(self.irs) == 1:
            axes.append(f"IR {format_value(panel.ir)}")
        if len(self.models) == 1:
            axes.append(paper.MODEL_LABEL.get(panel.models[0], panel.models[0]))
        if s.source == paper.ORIGINAL.get(s.dataset):
            what = paper.DATA_LABEL[s.dataset]
        else:
            what = f"{s.dataset}, pixels from {s.source} — not the paper's data"
        return ", ".join([what, *axes, s.heading()])

    def words(self, panel: Panel) -> tuple[str, ...]:
        """What tells a rendering from its namesakes, for its title."""
        s = panel.setting
        what = paper.DATA_LABEL[s.dataset] if s.source == paper.ORIGINAL.get(s.dataset) else s.dataset
        ratio = [f"IR {format_value(panel.ir)}"] if len(self.irs) == 1 else []
        models = [paper.MODEL_LABEL.get(panel.models[0], panel.models[0])] if len(self.models) == 1 else []
        return (what, *ratio, *models, *s.title())

    def key(self, panel: Panel) -> str:
        """Name of a rendering for files and anchors; the bare name for the paper's own setting."""
        if panel.is_paper and panel.setting == paper_setting(self.dataset):
            return self.name
        ratio = (f"ir{panel.ir:g}",) if len(self.irs) == 1 else ()
        models = panel.models if len(self.models) == 1 else ()
        return slug("-".join((self.name, panel.setting.dataset, *ratio, *models, panel.setting.digest)))


def _chosen(setting: Where, dataset: str | None, test_split: str | None) -> bool:
    return dataset in (None, setting.dataset) and test_split in (None, setting.test_split)


#: class names of data sets whose tables show some of them, for a store without them
_CLASSES = {"cifar10lt": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")}
