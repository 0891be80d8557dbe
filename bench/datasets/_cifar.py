"""CIFAR-10 and CIFAR-100 as published: torchvision's classes, addresses and checksums."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from bench.api import Arrays, Dataset

from ._download import download, free_name
from ._files import damaged, data_root, md5, missing


class Cifar(Dataset):
    """A CIFAR set. `published` names torchvision's class, `source` goes into every row."""

    published: ClassVar[str]
    source: ClassVar[str]

    @property
    def torchvision(self) -> Any:
        """The class of torchvision, which knows files, checksums and address."""
        import torchvision.datasets

        return getattr(torchvision.datasets, self.published)

    @property
    def folder(self) -> Path:
        """The unpacked folder."""
        return data_root(self.root) / str(self.torchvision.base_folder)

    def lacks(self) -> str:
        """The first file that is not there; whether it is right is seen when it is loaded."""
        known = self.torchvision
        names = [name for name, _ in (*known.train_list, *known.test_list)] + [known.meta["filename"]]
        absent = next((self.folder / name for name in names if not (self.folder / name).is_file()), None)
        return "" if absent is None else str(missing(self.name, absent))

    def load(self) -> Arrays:
        """Both splits, every file's MD5 verified."""
        known, folder = self.torchvision, self.folder
        for name, checksum in [*known.train_list, *known.test_list, (known.meta["filename"], known.meta["md5"])]:
            path = folder / name
            if not path.is_file():
                raise missing(self.name, path)
            if md5(path) != checksum:
                raise damaged(path, "wrong MD5", f"run `bench fetch {self.name}` again")
        train, test = (known(root=folder.parent, train=part, download=False) for part in (True, False))
        labels = [np.asarray(part.targets, dtype=np.int64) for part in (train, test)]
        return Arrays(train.data, labels[0], test.data, labels[1], tuple(train.classes), self.source)

    def fetch(self, progress: Callable[[int, int], None] | None = None) -> Path:
        """Download and unpack; files that are right already, and those of others, are left as they are."""
        known, folder = self.torchvision, self.folder
        files = [*known.train_list, *known.test_list, (known.meta["filename"], known.meta["md5"])]
        lacking = [n for n, checksum in files if not (folder / n).is_file() or md5(folder / n) != checksum]
        if not lacking:
            return folder
        packed = download(known.url, folder.parent / known.filename, known.tgz_md5, progress)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            with tarfile.open(packed) as tar:
                tar.extractall(scratch, filter="data")
            folder.mkdir(exist_ok=True)
            for name in lacking:
                if (folder / name).exists():
                    (folder / name).rename(free_name(folder / name))
                (Path(scratch) / folder.name / name).rename(folder / name)
        return folder
