"""Any pair of torch data sets: `torchset:package.module:factory`, where `factory()` returns (training, test).

Each is a map-style data set (`len` and `[i]`), as torchvision's and Hugging Face's are. An item is (image, label), or a
mapping with `image` (or `img`, `pixel_values`, `pixels`) and `label` (or `labels`, `target`). An image is a picture of
Pillow, a uint8 or float tensor channels x H x W (floats: multiples of 1/255 in [0, 1], as `ToTensor` gives them), or a
uint8 array H x W (x channels). Names of the classes come from `classes`, or from `features["label"].names`.

Give the plain pixels: no augmentation, no normalisation, one size. Both would change what the benchmark measures, so
what is random or has no exact form in 8 bits is refused by name.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.api import Arrays, DataError, Dataset, DatasetFacts, UsageError, isolated, register

from ._npz import WHOLE, exact_bytes
from ._opened import watching
from ._pixels import eight_bits

IMAGE = ("image", "img", "pixel_values", "pixels")
LABEL = ("label", "labels", "target")
#: how many items are read twice, to see that nothing about them is random
TWICE = 16
#: factory -> its facts: a grid asks for them more than once, and they take a pass over all images
_KNOWN: dict[str, DatasetFacts] = {}
#: factory -> the files that were read for it
_READ: dict[str, list[Path]] = {}


@register("datasets")
class Torchset(Dataset):
    """A pair of torch data sets from a function of yours."""

    name = "torchset"
    argument_name = "MODULE:FACTORY"

    def factory(self) -> Callable[[], Any]:
        """The function. Raises UsageError when the argument names none, DataError when it cannot be imported."""
        module, colon, name = self.argument.partition(":")
        if not (colon and name.isidentifier() and all(part.isidentifier() for part in module.split("."))):
            raise UsageError(
                f"data set 'torchset:{self.argument}' names no function: write torchset:package.module:factory."
            )
        here = str(Path.cwd())
        if here not in sys.path:  # as `python -m` does: the module may stand beside the results
            sys.path.insert(0, here)
        try:
            found: Callable[[], Any] = getattr(importlib.import_module(module), name)
        except Exception as error:  # code of the user: also what its module does when it is imported
            raise DataError(
                f"'torchset:{self.argument}' cannot be imported ({_line(error)}); write the "
                f"function, and start bench where "
                f"`import {module}` works."
            ) from None
        return found

    def files(self) -> tuple[Path, ...]:
        """The file of the function, and those that it and its data sets open in Python."""
        module = sys.modules.get(self.factory().__module__)
        path = getattr(module, "__file__", None)
        self.facts()
        return (*([Path(path)] if path else []), *_READ[self.argument])

    def facts(self) -> DatasetFacts:
        """From one pass over the images, in each process once."""
        if self.argument not in _KNOWN:
            self.load()
        return _KNOWN[self.argument]

    def load(self) -> Arrays:
        """Both splits. Raises DataError naming the item that is not what it must be."""
        with watching() as opened:
            arrays = self._load()
        _READ[self.argument] = sorted(path for path in opened if path.is_file())
        return arrays

    def _load(self) -> Arrays:
        factory = self.factory()
        with isolated(0, "torchset"):
            try:
                pair = factory()
            except (Exception, SystemExit) as error:  # code of the user: anything, and its own words say best what
                raise DataError(
                    f"'torchset:{self.argument}' failed ({_line(error)}); write it so that it returns "
                    "the training and the test data set."
                ) from error
            if not isinstance(pair, tuple | list) or len(pair) != 2:
                raise DataError(
                    f"'torchset:{self.argument}' returned {type(pair).__name__}; write `return training, test`."
                )
            names, others = map(_names, pair)
            if names and others and names != others:
                raise DataError(
                    f"'torchset:{self.argument}' has other classes in its test set ({', '.join(others[:3])}) than in "
                    f"its training set ({', '.join(names[:3])}); write both alike."
                )
            splits = [self._split(one, what) for one, what in zip(pair, ("training", "test"), strict=True)]
        (train, train_labels), (test, test_labels) = splits
        if train.shape[1:] != test.shape[1:]:
            raise DataError(
                f"'torchset:{self.argument}' has training images {train.shape[1:]}, test images {test.shape[1:]}; "
                "write it so that all have one size."
            )
        highest = int(max(train_labels.max(), test_labels.max()))
        if names and len(names) <= highest:
            raise DataError(
                f"'torchset:{self.argument}' has {len(names)} names of classes and labels up to {highest}; "
                "name each class."
            )
        classes = names or tuple(map(str, range(highest + 1)))
        sizes = [np.bincount(labels, minlength=len(classes)) for labels in (train_labels, test_labels)]
        height, width, channels = train.shape[1:]
        _KNOWN[self.argument] = DatasetFacts(
            classes=len(classes),
            image=(channels, height, width),
            train_max=int(sizes[0].min()),
            test_max=int(sizes[1].min()),
            own_train=tuple(sizes[0].tolist()),
            own_test=tuple(sizes[1].tolist()),
            default_model="small-cnn" if max(height, width) < 16 else "resnet18",
        )
        return Arrays(train, train_labels, test, test_labels, classes, f"torchset {self.argument}")

    def _split(self, data: Any, what: str) -> tuple[np.ndarray, np.ndarray]:
        """(uint8 N x H x W x channels, int64 N) of one split."""
        who = f"'torchset:{self.argument}', {what} item"
        try:
            size = len(data)
        except TypeError:
            raise DataError(
                f"the {what} set of 'torchset:{self.argument}' is {type(data).__name__} without a length; write one "
                "that has `len` and `[i]`."
            ) from None
        if not size:
            raise DataError(f"the {what} set of 'torchset:{self.argument}' is empty; write one with images.")
        images: list[np.ndarray] = []
        labels = np.zeros(size, np.int64)
        twice = {*np.linspace(0, size - 1, TWICE).astype(int).tolist()}
        for i in range(size):
            image, labels[i] = _item(data, i, f"{who} {i}")
            if images and image.shape != images[0].shape:
                raise DataError(f"{who} {i} is {image.shape}, item 0 {images[0].shape}; write all in one size.")
            if i in twice and not np.array_equal(image, _item(data, i, f"{who} {i}")[0]):
                raise DataError(f"{who} {i} changes from one reading to the next; write it without augmentation.")
            images.append(image)
        if labels.max() >= size:  # each class below the highest has an image, so there are not more of them
            raise DataError(
                f"the {what} set of 'torchset:{self.argument}' has the label {labels.max()} among {size} images; "
                "number the classes 0, 1, 2, ... without gaps."
            )
        return np.stack(images), labels


def _item(data: Any, i: int, who: str) -> tuple[np.ndarray, int]:
    """(uint8 H x W x channels, class) of one item."""
    try:
        item = data[i]
    except Exception as error:  # code of the user
        raise DataError(f"{who} cannot be read ({_line(error)}); write it anew.") from error
    if isinstance(item, Mapping):
        image, label = (next((item[k] for k in keys if k in item), None) for keys in (IMAGE, LABEL))
    else:
        image, label = item if isinstance(item, tuple | list) and len(item) == 2 else (None, None)
    if image is None or label is None:
        raise DataError(f"{who} is no (image, label) and has no keys `image` and `label`; write it so.")
    number = _array(label, who)
    if number.size != 1 or number.dtype.kind not in WHOLE or number.item() < 0:
        raise DataError(f"{who} has the label {_short(label)}; write a whole number from 0.")
    return _bytes(image, who), int(number.item())


def _bytes(image: Any, who: str) -> np.ndarray:
    """An image as uint8 H x W x channels, exactly."""
    if hasattr(image, "getbands"):  # a picture of Pillow
        return np.atleast_3d(np.asarray(eight_bits(image, who)))
    values = _array(image, who)
    if values.ndim not in (2, 3):
        raise DataError(f"{who} has an image of shape {values.shape}; write height x width, with channels or without.")
    if hasattr(image, "detach"):  # a tensor: channels first
        values = np.moveaxis(values[None] if values.ndim == 2 else values, 0, -1)
    (pixels,) = exact_bytes((values[..., None] if values.ndim == 2 else values)[None], who, "image")
    return np.asarray(pixels)


def _array(value: Any, who: str) -> np.ndarray:
    """A tensor, array or number as an array. Raises DataError for what holds no plain values."""
    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu()
            value = value.float() if value.is_floating_point() and value.element_size() < 4 else value
        values: np.ndarray = np.asarray(value)
    except Exception as error:  # sparse tensors, tensors without memory, lists of unequal length
        raise DataError(f"{who} holds no plain values ({_line(error)}); write arrays or dense tensors.") from error
    return values


def _line(error: BaseException) -> str:
    """Its type and words on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 40 else f"{text[:40]}..."


def _names(data: Any) -> tuple[str, ...]:
    """Names of the classes, where a data set says them."""
    names = getattr(data, "classes", None)
    features = getattr(data, "features", None)
    if names is None and isinstance(features, Mapping):
        names = next((getattr(features[key], "names", None) for key in LABEL if key in features), None)
    if isinstance(names, Mapping):  # label -> name, or name -> label
        numbered = all(isinstance(key, int) for key in names)
        names = [names[key] for key in sorted(names)] if numbered else sorted(names, key=names.__getitem__)
    if not isinstance(names, list | tuple | np.ndarray):
        return ()
    return tuple(" ".join(str(name).split()) for name in names)
