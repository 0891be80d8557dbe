"""Figure 2: accuracy of each class through training, clean and under PGD-20, AT-BSL and TAET."""

from __future__ import annotations

from bench.api import register
from bench.reports.drawing import draw, plot
from bench.reports.figures._curves import Curves
from bench.reports.panels import Panel
from bench.reports.source import Config, Source


@register("figures")
class Fig2(Curves):
    """Rows AT-BSL and TAET, columns clean and PGD-20, a line a class and their mean."""

    name = "fig2"
    number = 2
    caption = (
        "Recall of each class after every epoch, clean (left) and under PGD-20 (right), for AT-BSL (top) and TAET "
        "(bottom). The heavy black line is balanced accuracy; light to dark is frequent to rare."
    )
    methods = ("at-bsl", "taet")

    def draw(self, source: Source, panel: Panel, save: plot.Save) -> plot.Drawing | None:
        """Four panels."""
        import matplotlib

        said = []
        with draw.figure(7.2, 5.6, 2, 2, sharex=True, sharey="col") as (made, axes):
            shades = matplotlib.colormaps["cividis_r"]
            for row, method in zip(axes, self.methods, strict=True):
                config = Config(panel.ir, panel.models[0], method)
                for axis, attack in zip(row, ("clean", "pgd-20"), strict=True):
                    axis.set_title(f"{plot.label(config)}, {'clean' if attack == 'clean' else 'PGD-20'}")
                    if not self.curves(source, panel, config):
                        axis.text(0.5, 0.5, "not measured yet", transform=axis.transAxes, ha="center", color="#555555")
                        continue
                    epochs, recall = self.tracked(source, panel, config, attack)
                    for c in range(recall.shape[1]):
                        share = c / max(recall.shape[1] - 1, 1)
                        axis.plot(
                            epochs,
                            recall[:, c],
                            color=shades(0.12 + 0.85 * share),
                            linewidth=1.1,
                            linestyle=draw.DASHES[c % 4],
                            marker=draw.MARKERS[c % 13],
                            markersize=3.4,
                            markevery=(c % 4, max(1, len(epochs) // 5)),
                            label=panel.classes[c],
                        )
                    mean = recall.mean(axis=1)
                    axis.plot(epochs, mean, color="black", linewidth=2.4, label="balanced")
                    axis.set_ylabel("recall, %")
                    said.append(f"{plot.label(config)} {attack} ends at {mean[-1]:.1f}")
            for axis in axes.flat:
                axis.set_ylim(0)
                axis.xaxis.get_major_locator().set_params(integer=True)
            for axis in axes[1]:
                axis.set_xlabel("epoch")
            handles, labels = draw.first_legend(axes)
            step = max(1, len(handles) // 12)
            made.legend(handles[::step], labels[::step], loc="outside lower center", ncols=6)
            return plot.Drawing(save(made), "Balanced accuracy in per cent: " + ", ".join(said) + ".")
