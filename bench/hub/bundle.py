"""A published network: a folder whose manifest names every file with its size and hash, and how the network is built.

    bench.json           the manifest: specification, classes, image shape, hash of the weights, size and hash of files
    model.safetensors    the weights that were evaluated
    cell.json, per_class.csv    what was measured, and from what
    README.md            the model card (`bench.hub.card`); people edit it, so it is not verified and stays as edited

The specification says which method built the head and which form it has at inference, so the network is rebuilt by the
method's own code and computes what was measured.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import msgspec

from bench.config import CellSpec, cell_from_plain
from bench.errors import BenchError, ModelError, StoreError, UsageError
from bench.registry import registry
from bench.store.folders import atomic_write, read_done
from bench.store.parts.files import mark, read
from bench.store.schema import CELL, CHECKPOINT, ROWS

FORMAT = 1
MANIFEST, WEIGHTS, CARD = "bench.json", "model.safetensors", "README.md"
VERIFIED = (WEIGHTS, CELL, ROWS)


class File(msgspec.Struct, forbid_unknown_fields=True):
    """Bytes and SHA-256 of one file."""

    size: int
    sha256: str


class Manifest(msgspec.Struct, forbid_unknown_fields=True):
    """What a published network is. `image`: channels, height, width; `weights`: the hash that cell.json holds."""

    format: int
    spec: dict[str, Any]
    classes: list[str]
    image: list[int]
    weights: str
    files: dict[str, File]

    @property
    def cell(self) -> CellSpec:
        """The specification of the cell."""
        return cell_from_plain(self.spec)


def build(folder: Path, image: tuple[int, int, int], card: str) -> dict[str, bytes]:
    """The files of a finished cell's network, by name. `image`: channels, height, width as the network sees them.

    Raises StoreError when the cell is not done or has no checkpoint, UsageError for a network from elsewhere.
    """
    from safetensors.torch import save

    from bench.engine.life.record import same_weights
    from bench.engine.resume.checkpoint import load_checkpoint

    cell = read_done(folder)
    spec = cell.made
    if spec.method not in registry("methods").origins:
        raise UsageError(f"{folder.name} is a network from elsewhere; publish it where it was trained.")
    if not (folder / CHECKPOINT).exists():
        raise StoreError(f"{folder} holds no checkpoint, so there are no weights to publish; train the cell here.")
    state = load_checkpoint(folder / CHECKPOINT)["network"]
    made = Manifest(FORMAT, cell.spec, cell.seen.class_names, [*image], cell.weights, {})
    network = _filled(made, state)
    same_weights(cell.document, network)
    files = {
        WEIGHTS: save({name: value.clone().contiguous() for name, value in state.items()}, {"format": "pt"}),
        CELL: (folder / CELL).read_bytes(),
        ROWS: (folder / ROWS).read_bytes(),
    }
    made.files = {name: File(len(body), hashlib.sha256(body).hexdigest()) for name, body in files.items()}
    return {
        **files,
        CARD: _signed(card.encode()),
        MANIFEST: msgspec.json.format(msgspec.json.encode(made), indent=1) + b"\n",
    }


def write(files: dict[str, bytes], target: Path) -> list[str]:
    """Put the files into a folder, the manifest last. Returns what stays of the user's: a card that was not written so.

    Raises UsageError where another network is there, or files that would be lost.
    """
    there = {name: read(target / name, sys.maxsize) for name in files if (target / name).exists()}
    if MANIFEST in there and there[MANIFEST] != files[MANIFEST]:
        raise UsageError(f"{target} holds another network; give another folder.")
    foreign = [name for name in there if name != CARD and there[name] != files[name]]
    if foreign and MANIFEST not in there:
        raise UsageError(f"{target} holds a {foreign[0]} that is not of this network; give another folder.")
    stays = [CARD] if CARD in there and there[CARD] != _signed(_unsigned(there[CARD])) else []
    for name, body in files.items():
        if name not in stays:
            atomic_write(target / name, body)
    return stays


def _signed(card: bytes) -> bytes:
    """A card with the mark of its text in a last line, which tells one that was edited since."""
    return card + f"\n<!-- bench publish {mark(card)}: once the text is another, it is yours and stays -->\n".encode()


def _unsigned(card: bytes) -> bytes:
    """A card without its last line."""
    return card[: card.rstrip().rfind(b"\n")]


def manifest(body: bytes, where: str) -> Manifest:
    """The manifest of a published network. Raises StoreError."""
    try:
        made = msgspec.json.decode(body, type=Manifest)
        spec = made.cell
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, BenchError, TypeError, KeyError) as error:
        raise StoreError(f"{where} is no manifest of `bench publish` ({error}); give what that wrote.") from error
    if made.format != FORMAT:
        raise StoreError(f"{where} has format {made.format}, and this version reads {FORMAT}; install a newer one.")
    if set(made.files) != set(VERIFIED) or len(made.image) != 3 or len(made.classes) < 2:
        raise StoreError(f"{where} does not name its files, classes and image shape; publish the cell again.")
    if spec.method not in registry("methods").origins:
        raise UsageError(f"{where} needs the method '{spec.method}', which is not here; install its package.")
    return made


def verified(made: Manifest, folder: Path, where: str) -> None:
    """Raise StoreError for the first file that is not what the manifest says."""
    for name, facts in made.files.items():
        path = folder / name
        try:
            size = path.stat().st_size
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest() if size == facts.size else ""
        except OSError as error:
            raise StoreError(f"{where} lacks {name} ({error.strerror}); fetch it again.") from error
        if size != facts.size:
            raise StoreError(f"{name} of {where} has {size} bytes, not {facts.size}; fetch it again.")
        if digest != facts.sha256:
            raise StoreError(f"{name} of {where} is not the published one (SHA-256 {digest[:16]}...); fetch it again.")


def network(made: Manifest, folder: Path) -> Any:
    """The network in the form in which it was attacked, on the CPU, in eval mode. Raises ModelError."""
    from safetensors.torch import load_file

    from bench.engine.life.record import weights_hash
    from bench.plugins import make_method

    net = _filled(made, load_file(folder / WEIGHTS))
    if made.weights and weights_hash(net) != made.weights:
        raise ModelError(f"{folder / WEIGHTS} does not hold the weights whose numbers were published.")
    make_method(made.cell).deploy(net, True)
    return net.eval()


def _filled(made: Manifest, state: dict[str, Any]) -> Any:
    """The network of a specification with these weights, in its training form. Raises ModelError."""
    from bench.engine.nets.network import build_network
    from bench.engine.train import dtype_of
    from bench.plugins import make_method

    spec = made.cell
    channels, height, width = made.image
    net = build_network(
        spec.model, (channels, height, width), len(made.classes), make_method(spec).build_head, spec.seed
    ).to(dtype_of(spec))
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(f"the weights do not fit {spec.method} on {spec.model}: {error}.") from error
    return net
