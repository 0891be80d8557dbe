"""Any array archive: `archive:NAME` (DATA_ROOT/NAME.npz) or `archive:PATH`, in MedMNIST's key convention.

Made long-tailed by the law when an imbalance ratio is given, else used with its own counts. The pixels' origin is the
archive's own `source` text, or its file name where it has none. Methods that need extra images get the archive's
`extra_images`, with `extra_labels` where they are known (-1 elsewhere).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.api import Arrays, Dataset, DatasetFacts, Extra, in_full, register

from ._files import data_root, missing
from ._npz import count_extra, read_arrays, read_extra, read_labels

_MEND = "write it again"


@register("datasets")
class Archive(Dataset):
    """A `.npz` file with train_images, train_labels, test_images, test_labels."""

    name = "archive"
    argument_name = "NAME or archive:PATH"

    @property
    def path(self) -> Path:
        """The file: the argument as a path when there is one, else NAME.npz in the data folder."""
        direct = in_full(self.argument)
        in_root = data_root(self.root) / f"{self.argument.removesuffix('.npz')}.npz"
        for candidate in (direct, in_root):
            if candidate.is_file():
                return candidate
        raise missing(f"archive:{self.argument}", in_root, fetchable=False)

    def facts(self) -> DatasetFacts:
        """From the archive's labels and the shape of its images."""
        train, test, shape = read_labels(self.path, _MEND)
        sizes = np.bincount(train)
        tests = np.bincount(test, minlength=len(sizes))
        height, width, channels = (*shape[1:], 1)[:3]
        return DatasetFacts(
            classes=len(sizes),
            image=(channels, height, width),
            train_max=int(sizes.min()),
            test_max=int(tests.min()),
            own_train=tuple(sizes.tolist()),
            own_test=tuple(tests.tolist()),
            extra=count_extra(self.path, _MEND),
            default_model="small-cnn" if max(height, width) < 16 else "resnet18",
        )

    def files(self) -> tuple[Path, ...]:
        """The archive."""
        return (self.path,)

    def load(self) -> Arrays:
        """Both splits of the file. Raises DataError naming what is wrong with it."""
        return read_arrays(self.path, f"archive {self.path.name}", None, _MEND)

    def extra(self) -> Extra | None:
        """The archive's extra images. Raises DataError naming what is wrong with them."""
        return read_extra(self.path, _MEND)
