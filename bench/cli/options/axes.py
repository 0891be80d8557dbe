"""Options that describe a grid, the same for every verb that takes one: an axis is one line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from bench.cli.options.common import data_root_option, device_option, results_option, text_option
from bench.config import PRECISIONS

AXES = (
    text_option(
        "--preset",
        metavar="NAME",
        help="A named grid, see `bench ls presets`, or a file of your own in that form (mine.toml); "
        "an option below replaces its axis in all of it. Default: quick; "
        "with both --methods and --datasets none: then what is not given has its default, one ratio and seed.",
    ),
    text_option("--methods", metavar="A,B[x=1]", help="Methods, settings in brackets: `taet,trades[beta=3]`."),
    text_option("--datasets", metavar="A,B", help="Data sets: digitslt, cifar10lt, archive:PATH, ..."),
    text_option("--irs", metavar="10,50", help="Imbalance ratios above 1, or `natural` for a set's own."),
    text_option("--models", metavar="A,B", help="Networks. Default: the data set's own."),
    text_option("--seeds", metavar="0,1,2", help="Root seeds, integers."),
    text_option("--attacks", metavar="A,B", help="Evaluation attacks. Default: all of the paper."),
    text_option(
        "--recipe",
        "recipes",
        metavar="paper|official",
        help="Training settings (both: `paper,official`), for all methods in brackets: `paper[schedule=cosine]`.",
    ),
    text_option("--test-split", "test_splits", metavar="long-tailed|balanced", help="Test images (both: by a comma)."),
    click.option("--epochs", type=int, help="Shorten training; the cell is marked as reduced."),
    click.option("--limit", type=int, metavar="N", help="At most N images a class; the cell is marked as reduced."),
    text_option(
        "--selection", metavar="seeded|official-builder|robustlt:SEED|file:PATH", help="Which images are chosen."
    ),
    text_option("--class-order", metavar="natural|reversed|seed:N", help="Which classes are the tail."),
    text_option("--precision", metavar="|".join(PRECISIONS), help="Arithmetic of training; recorded. Default fp32."),
    click.option("--compile", is_flag=True, default=None, help="Compile the attack step; recorded."),
    click.option("--deterministic", is_flag=True, default=None, help="Deterministic kernels on a GPU; recorded."),
    text_option("--track", metavar="clean,pgd-20", help="Attacks evaluated after every epoch, for curves."),
    click.option("--features", is_flag=True, default=None, help="Store features of the test images, for t-SNE."),
    text_option("--init", metavar="FILE", help="Weights that every training starts from; a mark of them is recorded."),
)


def axes_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command with the options of a grid, of its folders and of the device."""
    for option in reversed((*AXES, data_root_option, results_option, device_option)):
        command = option(command)
    return command
