"""A folder of images, one sub-folder a class: `folder:PATH`, or `folder:PATH@32` to scale every image to 32x32.

A folder that is itself called `PATH@32` is meant before that.

With `train` and `test` inside PATH those are the splits. Otherwise the classes lie in PATH itself, and of each class,
in the order of the file names, every fifth image (the 5th, 10th, ...) is the test set. Images of a class may lie in
folders below it. All images must have one size unless a size is given; then they are scaled by Pillow's box filter.
Files that are no images are left out, counted and named in the source; hidden ones and those that systems leave behind
(`._x`, `Thumbs.db`, `__MACOSX`) are no part of the data.
"""

from __future__ import annotations

import os
import re
import stat
import warnings
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from bench.api import Arrays, DataError, Dataset, DatasetFacts, UsageError, in_full, register

from ._files import unreadable
from ._pixels import GREY, read_image

#: names of splits, which are no classes: alone, or as a word of a name (`seg_train`, `Training`, `test-set`)
SPLIT = re.compile(r"(.*[^a-z])?(train(ing)?|test(ing)?|val(id(ation)?)?|eval(uation)?|dev)([^a-z]?(set|data|images))?")
#: the largest side to scale to
LARGEST = 4096
#: a folder and the side to scale to, as the argument has them
SCALED = re.compile(r"(.+)@(\d{1,9})", re.DOTALL)
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp", ".gif")
#: what systems leave beside images
LEFT = ("thumbs.db", "desktop.ini")
EVERY = 5

Listing = dict[str, list[list[Path]]]  # split -> files of each class


@register("datasets")
class Folder(Dataset):
    """Images read by Pillow as RGB, or as grey where all are grey."""

    name = "folder"
    argument_name = "PATH"

    @property
    def place(self) -> tuple[Path, int | None]:
        """(folder, side to scale to or None) from the argument."""
        whole, scaled = in_full(self.argument), SCALED.fullmatch(self.argument)
        if whole.is_dir():
            scaled = None
        path = in_full(scaled[1]) if scaled else whole
        if not path.is_dir():
            raise UsageError(f"data set 'folder:{self.argument}' needs a folder that exists: write folder:PATH.")
        if not scaled:
            return path, None
        side = int(scaled[2])
        if not 1 <= side <= LARGEST:
            raise UsageError(f"'folder:{self.argument}' scales to {side} pixels; give a side of 1 to {LARGEST}.")
        return path, side

    def listing(self) -> tuple[list[str], Listing]:
        """Class names and the files of each split. Raises DataError when a split lacks a class."""
        path, _ = self.place
        split = {part: path / part for part in ("train", "test")}
        found = _classes(path)
        kin = {name for name in found if name.lower() in ("train", "test", "val", "valid", "validation")}
        kin |= {*found} if len(found) > 1 and all(SPLIT.fullmatch(name.lower()) for name in found) else set()
        if kin and not all(part.is_dir() for part in split.values()):
            raise DataError(
                f"{path} holds {', '.join(sorted(kin))}, which are splits and no classes; name the folders of the two "
                "splits `train` and `test`."
            )
        if not all(part.is_dir() for part in split.values()):
            names = _classes(path)
            files = [_images(path / name) for name in names]
            train = [[f for i, f in enumerate(part, 1) if i % EVERY] for part in files]
            return names, {"train": train, "test": [part[EVERY - 1 :: EVERY] for part in files]}
        names = _classes(split["train"])
        if _classes(split["test"]) != names:
            raise DataError(f"{path}: train has classes {names}, test {_classes(split['test'])}; make them equal.")
        return names, {part: [_images(folder / name) for name in names] for part, folder in split.items()}

    def facts(self) -> DatasetFacts:
        """From the file names, the first image, and where that is grey the headers of the others."""
        names, files = self.listing()
        first = next((f for part in files["train"] for f in part), None)
        if first is None:
            raise DataError(f"{self.place[0]} has no image; {', '.join(SUFFIXES)} are read.")
        height, width, channels = read_image(first, self.place[1]).shape
        if channels == 1 and _colour_among(file for parts in files.values() for part in parts for file in part):
            channels = 3
        own = {split: tuple(len(part) for part in parts) for split, parts in files.items()}
        return DatasetFacts(
            len(names),
            (channels, height, width),
            min(own["train"]),
            min(own["test"]),
            own_train=own["train"],
            own_test=own["test"],
        )

    def files(self) -> list[Path]:
        """Every image of both splits."""
        return [file for parts in self.listing()[1].values() for part in parts for file in part]

    def load(self) -> Arrays:
        """Both splits. Raises DataError naming an image that cannot be read or has another size."""
        path, side = self.place
        names, files = self.listing()
        every = [f for parts in files.values() for part in parts for f in part]
        if not every:
            raise DataError(f"{path} has no image; {', '.join(SUFFIXES)} are read.")
        pixels = {f: read_image(f, side) for f in every}
        if len({one.shape[-1] for one in pixels.values()}) > 1:  # grey among colour
            pixels = {f: np.repeat(one, 3, axis=-1) if one.shape[-1] == 1 else one for f, one in pixels.items()}
        for before, after in pairwise(every):
            if pixels[before].shape != pixels[after].shape:
                raise DataError(
                    f"{after} is {pixels[after].shape[:2]}, {before} is {pixels[before].shape[:2]}; all images must "
                    "have one size; write folder:PATH@32 to scale them to 32x32."
                )
        images = {split: [pixels[f] for part in parts for f in part] for split, parts in files.items()}
        labels = {split: np.repeat(np.arange(len(names)), [len(p) for p in parts]) for split, parts in files.items()}
        stacked = {k: np.stack(v) if v else np.zeros((0, 1, 1, 1), np.uint8) for k, v in images.items()}
        scaled = f", scaled to {side}x{side}" if side else ""
        others = _others(path, set(every))
        some = f" ({', '.join(map(_shown, others[:3]))}{', ...' if len(others) > 3 else ''})" if others else ""
        scaled += f", {len(others)} files left out{some}" if others else ""
        return Arrays(
            stacked["train"],
            labels["train"],
            stacked["test"],
            labels["test"],
            tuple(map(_shown, names)),
            f"folder {_shown(path.name)}{scaled}",
        )


def _colour_among(files: Iterator[Path]) -> bool:
    """Whether an image is read in colour, by its header alone; what is wrong with one is said where it is read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return any(map(_is_colour, files))


def _is_colour(path: Path) -> bool:
    try:
        state = path.stat()
        mode = _mode(path, state.st_mtime_ns, state.st_size) if stat.S_ISREG(state.st_mode) else "L"
    except Exception:  # each format's reader has its own for a damaged file
        return False
    return not (mode in GREY or mode.startswith("I") or mode == "F")


@cache
def _mode(path: Path, _changed: int, _size: int) -> str:
    """Pillow's mode of an image; a grid asks for it more than once."""
    from PIL import Image

    with Image.open(path) as image:
        return str(image.mode)


def _classes(path: Path) -> list[str]:
    return sorted(part.name for part in path.iterdir() if part.is_dir() and not _is_stray(part))


def _images(path: Path) -> list[Path]:
    return sorted(f for f in _below(path) if f.suffix.lower() in SUFFIXES)


def _others(path: Path, read: set[Path]) -> list[str]:
    """Files below a folder that are not read, but those that are nobody's data."""
    return sorted(f.name for f in _below(path) if f not in read and f.is_file())


def _below(path: Path) -> Iterator[Path]:
    """Everything below a folder that is no folder, through links, without strays. Raises DataError for a closed one."""

    def closed(error: OSError) -> None:
        raise unreadable(Path(error.filename), error)

    seen = set[str]()
    for at, folders, files in os.walk(path, followlinks=True, onerror=closed):
        real = os.path.realpath(at)
        folders[:] = [] if real in seen else [name for name in folders if not _is_stray(Path(name))]
        yield from (Path(at, name) for name in files if real not in seen and not _is_stray(Path(name)))
        seen.add(real)


def _shown(name: str) -> str:
    """A name on one line; bytes that are no UTF-8 as escapes."""
    return " ".join(name.encode("utf-8", "backslashreplace").decode().split())


def _is_stray(path: Path) -> bool:
    return path.name.startswith(".") or path.name == "__MACOSX" or path.name.lower() in LEFT
