"""Files of weights as people keep them: read for what they are, the one entry that is meant, nothing run."""

from __future__ import annotations

import argparse
import gzip
import io
import types
import zipfile
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from bench.engine.life.normalise import beside_weights, parse_normalisation
from bench.engine.nets.files import read_file
from bench.engine.nets.network import build_network
from bench.engine.nets.weights import Entry, load_weights
from bench.errors import ModelError, UsageError


def network(seed: int = 3) -> nn.Module:
    return build_network("small-cnn", (1, 8, 8), 10, None, seed)


NET, OTHER = network(), network(4)
STATE, OTHERS = NET.state_dict(), OTHER.state_dict()


class Schedule:
    """An object of the user's own training script."""

    def __init__(self) -> None:
        self.steps = [1, 2]


def under(prefix: str, state: dict[str, torch.Tensor] = STATE) -> dict[str, torch.Tensor]:
    return OrderedDict((prefix + name, value) for name, value in state.items())


def read(path: Path, entry: str | None = None) -> tuple[Entry, tuple[str, ...]]:
    """Where the weights of a new network were found; asserts that they are those of NET, or of OTHER for `ema`."""
    net, stored = network(0), read_file(path)
    found = load_weights(net, stored.tensors, "'small-cnn'", level=stored.level, entry=entry)
    want = OTHERS if "ema" in found.key else STATE
    assert all(torch.allclose(value, want[name].to(value.dtype), atol=1e-2) for name, value in net.state_dict().items())
    return found, stored.objects


OPTIMIZER = {"state": {0: {"step": torch.tensor(1.0), "exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]}
SEQUENTIAL = {"0.mean": torch.tensor([0.5]), "0.std": torch.tensor([0.25])} | under("1.")


@pytest.mark.parametrize(
    ("content", "key", "beside", "objects"),
    [
        (STATE, "", (), ()),
        ({k: v.bfloat16() if v.is_floating_point() else v for k, v in STATE.items()}, "", (), ()),
        ({k: v.numpy() for k, v in STATE.items()}, "", (), ()),
        ({k: v.numpy().astype(v.numpy().dtype.newbyteorder(">")) for k, v in STATE.items()}, "", (), ()),
        (OrderedDict(STATE) | {"head._extra_state": {"a": 1}}, "", (), ()),
        (under("module._orig_mod."), "module._orig_mod", (), ()),
        ({"anything": STATE, "optimizer": OPTIMIZER, "epoch": 3}, "anything", (), ()),
        ({"checkpoint": {"model": under("module.")}}, "checkpoint.model.module", (), ()),
        ([STATE, 3], "0", (), ()),
        ({"model": STATE, "ema": STATE}, "model", (), ()),  # equal: it is no matter which
        ({"ema": OTHERS, "epoch": 3}, "ema", (), ()),
        (AveragedModel(NET).state_dict(), "module", (), ()),
        (SEQUENTIAL, "1", ("0.mean", "0.std"), ()),
        (
            {"state_dict": under("net.") | {"criterion.weight": torch.ones(10)}, "hyper_parameters": {"lr": 0.1}},
            "state_dict.net",
            ("state_dict.criterion.weight",),
            (),
        ),
        ({"state_dict": STATE, "args": argparse.Namespace(lr=0.1)}, "state_dict", (), ("argparse.Namespace",)),
        (
            {"model": STATE, "sched": Schedule(), "args": types.SimpleNamespace(a=1)},
            "model",
            (),
            (f"{__name__}.Schedule", "types.SimpleNamespace"),
        ),
        (
            {"state_dict": STATE, "best": np.float64(56.1), "seed": np.random.default_rng(0).integers(9, size=3)},
            "state_dict",
            (),
            (),
        ),
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_the_one_entry_that_fits_is_read(
    tmp_path: Path, content: object, key: str, beside: tuple[str, ...], objects: tuple[str, ...], zipped: bool
) -> None:
    torch.save(content, tmp_path / "net.pt", _use_new_zipfile_serialization=zipped)
    found, left = read(tmp_path / "net.pt")
    assert (found.key, found.beside, left) == (key, beside, objects)


def test_entries_that_differ_are_a_question(tmp_path: Path) -> None:
    torch.save({"model": STATE, "ema": OTHERS, "optimizer": OPTIMIZER}, tmp_path / "net.pt")
    with pytest.raises(
        ModelError, match=r"several entries fit 'small-cnn', and they differ: 'model', 'ema'; .*--entry"
    ):
        read(tmp_path / "net.pt")
    assert read(tmp_path / "net.pt", "ema")[0].key == "ema"
    assert read(tmp_path / "net.pt", "model")[0].key == "model"
    with pytest.raises(UsageError, match=r"--entry 'mode' is not in the file; it has 'ema', 'model', 'optimizer"):
        read(tmp_path / "net.pt", "mode")
    torch.save(under("student.") | under("teacher_ema.", OTHERS), tmp_path / "two.pt")  # in one state dict
    with pytest.raises(ModelError, match="'student', 'teacher_ema'"):
        read(tmp_path / "two.pt")
    assert read(tmp_path / "two.pt", "teacher_ema")[0].beside[0].startswith("student.")


def test_a_file_is_read_by_its_content_whatever_it_is_called(tmp_path: Path) -> None:
    save_file = pytest.importorskip("safetensors.torch").save_file
    save_file(dict(STATE), tmp_path / "named.bin")
    torch.save(STATE, tmp_path / "named.safetensors")
    assert {read(tmp_path / name)[0].key for name in ("named.bin", "named.safetensors")} == {""}


def scripted() -> bytes:
    buffer = io.BytesIO()
    with pytest.warns(FutureWarning):
        torch.jit.save(torch.jit.script(nn.Sequential(nn.Flatten(), nn.ReLU()).eval()), buffer)
    return buffer.getvalue()


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("ck/plain.pt", b"PK")
    return buffer.getvalue()


def arrays() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **{k: v.numpy() for k, v in STATE.items()})
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (scripted, "is TorchScript, a program and no state dict"),
        (arrays, "is a NumPy archive"),
        (zipped, r"is a zip archive of files \(ck/plain.pt\); unpack it"),
        (lambda: gzip.compress(b"x"), "but compressed by gzip"),
        (lambda: b"version https://git-lfs.github.com/spec/v1\noid", "a pointer of Git LFS"),
        (lambda: b"<!DOCTYPE html><html>Quota exceeded</html>", "a page of HTML"),
        (lambda: b"", "but empty"),
        (lambda: b"\x89HDF\r\n", "HDF5"),
        (lambda: b"PK\x03\x04rest", "damaged or cut short"),
        (lambda: b"\x80\x02rest", "is refused: it is a pickle|damaged or cut short"),
    ],
)
def test_what_holds_no_weights_is_named_for_what_it_is(tmp_path: Path, content, says: str) -> None:
    (tmp_path / "net.pt").write_bytes(content())
    with pytest.raises(ModelError, match=says) as caught:
        read_file(tmp_path / "net.pt")
    assert "\n" not in str(caught.value)


def test_a_bit_that_turned_within_a_tensor_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.save(STATE, path)
    with zipfile.ZipFile(path) as archive:
        info = max(archive.infolist(), key=lambda one: one.file_size)
    content = bytearray(path.read_bytes())
    content[info.header_offset + 30 + 128 + info.file_size // 2] ^= 64
    path.write_bytes(content)
    with pytest.raises(ModelError, match="is damaged or cut short"):
        read_file(path)


@pytest.mark.parametrize("name", ["absent.pt", "x" * 300, "nul\0.pt", "."])
def test_a_path_that_is_no_file_is_one_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError):
        read_file(tmp_path / name)


def test_stand_ins_run_nothing_and_a_whole_network_is_refused_by_name(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "ran",))

    class Worse:
        def __reduce__(self) -> tuple:
            return (exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",))

    for evil in (Evil(), Worse()):
        torch.save({"state_dict": STATE, "extra": evil}, tmp_path / "evil.pt")
        with suppress(ModelError):
            assert read_file(tmp_path / "evil.pt").objects
        assert not (tmp_path / "ran").exists()
    torch.save(NET, tmp_path / "whole.pt")
    with pytest.raises(ModelError, match=r"pickle of objects \(bench\.engine\.nets\.network\.Network\)"):
        read_file(tmp_path / "whole.pt")


@pytest.mark.parametrize(
    ("constants", "text"),
    [
        ({"0.mean": [0.5], "0.std": [0.25]}, "0.5/0.25"),
        ({"mu": [0.1, 0.2, 0.3], "sigma": [0.5, 0.5, 1.0]}, "0.1,0.2,0.3/0.5,0.5,1"),
        ({"mean": [0.49139968, 0.5, 0.4914], "std": [0.1, 0.2, 1.0]}, "0.49139968,0.5,0.4914/0.1,0.2,1"),
        ({"mean": [8 / 255], "std": [0.00001]}, "0.03137255/1e-05"),
        ({"mean": [0.5 + 0.1j], "std": [0.25]}, "refused"),
        ({"normalize.means": [0.0], "normalize.stds": [1.0]}, None),
        ({"criterion.weight": [3.0]}, None),
        ({"bn.running_mean": [0.5], "bn.weight": [0.5]}, "refused"),
        ({"mean": [125.0], "std": [60.0]}, "refused"),
        ({"mean": [0.5]}, "refused"),
        ({"a.mean": [0.5], "a.std": [0.5], "b.mean": [0.1], "b.std": [0.5]}, "refused"),
    ],
)
def test_constants_of_a_normalisation_beside_the_weights_are_used_or_asked_about(constants, text) -> None:
    tensors = {name: torch.tensor(values).view(1, -1, 1, 1) for name, values in constants.items()}
    if text == "refused":
        with pytest.raises(ModelError, match="--normalize"):
            beside_weights(tensors, tensors, 3)
    else:
        assert beside_weights(tensors, tensors, 3)[0] == text


@pytest.mark.parametrize("kind", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_the_constants_of_a_file_are_used_to_their_last_digit(kind) -> None:
    tensors = {
        "mean": torch.tensor([1 / 3, 8 / 255, 0.4914], dtype=kind),
        "std": torch.tensor([0.1, 0.7, 0.123456789], dtype=kind),
    }
    text, _ = beside_weights(tensors, tensors, 3)
    for read, stored in zip(parse_normalisation(text, 3), tensors.values(), strict=True):
        assert torch.equal(torch.tensor(read, dtype=kind), stored)
        assert torch.equal(torch.tensor(read), stored.float())
