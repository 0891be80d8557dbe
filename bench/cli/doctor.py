"""`bench doctor`: is everything here that a run needs, and how fast is this machine?"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import click

from bench.cli.options.common import data_root_option, device_option, results_option
from bench.cli.shown.format import size


@click.command("doctor")
@click.option("--calibrate", is_flag=True, help="Measure this device, so that --dry-run can predict times.")
@click.option("--models", default="small-cnn,resnet18", show_default=True, help="Models to calibrate.")
@data_root_option
@results_option
@device_option
def command(calibrate: bool, models: str, data_root: Path | None, results: Path, device: str) -> int:
    """Check packages, devices, folders and plug-ins; compute a known answer; with --calibrate measure the device."""
    problems = 0
    for name, check in _checks(results, data_root).items():
        try:
            click.echo(f"ok    {name}: {check()}")
        except Exception as error:
            problems += 1
            click.echo(f"FAIL  {name}: {error}")
    if calibrate:
        from bench.config import split_list
        from bench.engine.host.device import resolve_device
        from bench.engine.price.calibrate import calibrate as measure

        for line in measure(split_list(models), resolve_device(device)):
            click.echo(line)
    click.echo("everything is in order." if not problems else f"{problems} problems; each line above says which.")
    return 1 if problems else 0


def _checks(results: Path, data_root: Path | None) -> dict[str, Callable[[], str]]:
    return {
        "versions": _versions,
        "processors": lambda: f"{len(os.sched_getaffinity(0))} usable cores",
        "GPU": _gpu,
        "plug-ins": _plugins,
        "results folder": lambda: _folder(results),
        "data folder": lambda: (
            str(data_root) if data_root else "not given; data sets are looked for in the cache folder"
        ),
        "data sets": lambda: _data(data_root),
        "AutoAttack": _autoattack,
        "known answer": _known_answer,
    }


def _versions() -> str:
    from bench.versions import versions

    return ", ".join(f"{k} {v}" for k, v in versions().items() if k not in ("platform",))


def _gpu() -> str:
    import torch

    if not torch.cuda.is_available():
        return "none; cells run on the CPU"
    return ", ".join(
        f"{torch.cuda.get_device_name(i)} ({size(torch.cuda.get_device_properties(i).total_memory / 2**20)})"
        for i in range(torch.cuda.device_count())
    )


def _plugins() -> str:
    from bench.registry import FOLDERS, registry

    for kind in ("methods", "attacks", "datasets", "models"):
        for name in registry(kind).names():
            registry(kind).get(name)
    return ", ".join(f"{len(registry(kind).names())} {kind}" for kind in FOLDERS)


def _folder(results: Path) -> str:
    nearest = results.resolve()
    while not nearest.exists():
        nearest = nearest.parent
    if not os.access(nearest, os.W_OK):
        raise PermissionError(f"{nearest} is not writable; give another with --results")
    return f"{results} ({size(shutil.disk_usage(nearest).free / 2**20)} free)"


def _data(data_root: Path | None) -> str:
    """Those that need no argument; what is not here is no problem until a grid asks for it."""
    from bench.cli.images.present import standing
    from bench.registry import registry

    known = registry("datasets")
    return "; ".join(standing((n for n in known.names() if not known.get(n).argument_name), data_root))


def _autoattack() -> str:
    from importlib.metadata import version

    import pyautoattack  # noqa: F401

    return f"pyautoattack {version('pyautoattack')}"


def _known_answer() -> str:
    """A linear two-class network, whose robust accuracy is known exactly, through the real attack suite."""
    from bench.engine.life.known import linear_answer

    exact, measured = linear_answer()
    if exact != measured:
        raise ValueError(f"PGD-20 left {measured} images of a linear network, exactly {exact} are robust")
    return f"PGD-20 leaves exactly the {exact} robust images of a linear network"
