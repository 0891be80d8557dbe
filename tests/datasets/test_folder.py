"""Image folders: a picture is read as it is, or refused by name; nothing is read as another picture."""

from __future__ import annotations

import os
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from bench.engine.images.subset import check
from bench.errors import DataError, UsageError
from bench.plugins import make_dataset

SLOPE = np.tile(np.linspace(0, 255, 12).astype(np.uint8), (12, 1))
COLOUR = np.stack([SLOPE, SLOPE.T, 255 - SLOPE], axis=-1)


def folder(root: Path, write, classes=("ant", "bee"), n=5) -> Path:
    """A folder of classes whose images `write(path without suffix, number)` makes."""
    for name in classes:
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(n):
            write(root / name / f"{i:02d}", i)
    return root


def load(root: Path):
    """Its arrays, checked as a cell checks them, without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        arrays = make_dataset(f"folder:{root}", None).load()
    check(arrays, "folder")
    return arrays


def grey(path: Path, i: int) -> None:
    """A plain picture."""
    Image.fromarray(np.roll(SLOPE, i)).save(f"{path}.png")


def upright(path: Path, i: int) -> None:
    """Every second one stored lying on its side."""
    exif, image = Image.Exif(), Image.fromarray(COLOUR)
    if i % 2:
        image, exif[0x0112] = image.transpose(Image.Transpose.ROTATE_90), 6
    image.save(f"{path}.png", exif=exif)


EXACT = {
    "16 bits": lambda p, i: Image.fromarray(SLOPE.astype(np.uint16) * 257).save(f"{p}.png"),
    "16 bits tiff": lambda p, i: Image.fromarray(SLOPE.astype(np.uint16) * 257).save(f"{p}.tif"),
    "float tiff": lambda p, i: Image.fromarray((SLOPE / 255).astype(np.float32)).save(f"{p}.tif"),
    "opaque grey": lambda p, i: Image.fromarray(SLOPE).convert("LA").save(f"{p}.png"),
    "gif": lambda p, i: Image.fromarray(SLOPE).save(f"{p}.gif"),
}


@pytest.mark.parametrize("kind", EXACT)
def test_what_fits_into_bytes_is_read_exactly(tmp_path, kind):
    arrays = load(folder(tmp_path / "f", EXACT[kind]))
    assert np.unique(arrays.train_images.reshape(8, 12, 12, -1)[:, :, :, 0] - SLOPE).tolist() == [0]


def test_pictures_stand_upright(tmp_path):
    arrays = load(folder(tmp_path / "f", upright))
    assert (arrays.train_images == COLOUR).all()


TRANSPARENT = np.dstack([COLOUR * 0, SLOPE])


def tagged(path, values, **tags):
    """A TIFF of raw pixels, little endian, with these tags instead of the usual ones."""
    height, width = values.shape
    known = {256: width, 257: height, 258: 8 * values.itemsize, 259: 1, 262: 1, 273: 8, 277: 1, 278: height}
    known |= {279: values.nbytes, 339: 1} | {int(name[1:]): value for name, value in tags.items()}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(known.items()))
    head = b"II*\0" + struct.pack("<I", 8 + values.nbytes)
    Path(f"{path}.tif").write_bytes(head + values.tobytes() + struct.pack("<H", len(known)) + entries + bytes(4))


DEEP = SLOPE.astype("<u2") * 257
LOSSY = {
    "deep portable": (
        lambda p, i: Path(f"{p}.ppm").write_bytes(b"P6 12 12 65535\n" + np.dstack([DEEP] * 3).byteswap().tobytes()),
        "16 bits a colour",
    ),
    "white is zero": (lambda p, i: tagged(p, DEEP, t262=0), "stores white as zero"),
    "signed": (lambda p, i: tagged(p, SLOPE, t339=2), "has signed pixels"),
    "a colour is transparent": (
        lambda p, i: Image.fromarray(DEEP).save(f"{p}.png", transparency=int(DEEP[0, 1])),
        "transparent pixels",
    ),
    "damaged in its own way": (lambda p, i: tagged(p, SLOPE, t256=0), "cannot be read"),
    "a pipe": (lambda p, i: os.mkfifo(f"{p}.png"), "is no plain file"),
    "16 bits": (lambda p, i: Image.fromarray(SLOPE.astype(np.uint16) * 16).save(f"{p}.png"), "do not fit into 8 bits"),
    "32 bits": (lambda p, i: Image.fromarray(SLOPE.astype(np.int32) * 99999).save(f"{p}.tif"), "do not fit"),
    "float": (lambda p, i: Image.fromarray(SLOPE.astype(np.float32) / 99).save(f"{p}.tif"), "do not fit"),
    "all in alpha": (lambda p, i: Image.fromarray(TRANSPARENT).save(f"{p}.png"), "transparent pixels"),
    "palette": (
        lambda p, i: Image.fromarray(COLOUR).convert("P").save(f"{p}.png", transparency=bytes(range(256))),
        "transparent pixels",
    ),
    "two pictures": (
        lambda p, i: Image.fromarray(SLOPE).save(f"{p}.tif", save_all=True, append_images=[Image.fromarray(SLOPE.T)]),
        "holds 2 pictures",
    ),
    "no picture": (lambda p, i: Path(f"{p}.png").write_text("<html>"), "cannot be read"),
    "cut": (lambda p, i: (grey(p, i), Path(f"{p}.png").write_bytes(Path(f"{p}.png").read_bytes()[:60])), "cannot be"),
    "black": (lambda p, i: Image.fromarray(SLOPE * 0).save(f"{p}.png"), "every pixel is 0"),
    "a mask": (lambda p, i: Image.fromarray(SLOPE // 128).save(f"{p}.png"), "only 0 and 1"),
}


@pytest.mark.parametrize("kind", LOSSY)
def test_what_does_not_is_refused_by_name(tmp_path, kind):
    write, sentence = LOSSY[kind]
    root = folder(tmp_path / "f", write)
    with pytest.raises(DataError, match=sentence):
        load(root)


def test_a_picture_of_two_hundred_megapixels_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DataError, match=r"00\.png is too large"):
        load(folder(tmp_path / "f", grey))


def test_images_below_a_class_count_and_the_rest_is_named(tmp_path):
    root = folder(tmp_path / "f", grey)
    (root / "ant" / "more").mkdir()
    grey(root / "ant" / "more" / "x", 1)
    (root / "ant" / "notes.txt").write_text("mine")
    for stray in ("ant/._00.png", "ant/Thumbs.db", ".DS_Store"):
        (root / stray).write_bytes(b"x")
    (root / "__MACOSX" / "ant").mkdir(parents=True)
    (root / "__MACOSX" / "ant" / "00.png").write_bytes(b"x")
    arrays = load(root)
    assert (len(arrays.train_images) + len(arrays.test_images), arrays.class_names) == (11, ("ant", "bee"))
    assert arrays.source == "folder f, 1 files left out (notes.txt)"


@pytest.mark.parametrize(
    "splits",
    ["train val", "Train Test", "train", "training testing", "seg_train seg_test", "train_set test-set", "dev val"],
)
def test_splits_are_never_taken_for_classes(tmp_path, splits):
    for split in splits.split():
        folder(tmp_path / "f" / split, grey)
    with pytest.raises(DataError, match="which are splits and no classes"):
        load(tmp_path / "f")


def test_what_may_be_sixteen_bits_and_black_is_zero_is_read(tmp_path):
    assert (
        load(folder(tmp_path / "f", lambda p, i: tagged(p, np.roll(DEEP, i)))).train_images[0, ..., 0] == SLOPE
    ).all()


def test_images_behind_a_link_count_once_and_closed_folders_are_named(tmp_path, monkeypatch):
    root = folder(tmp_path / "f", grey)
    elsewhere = folder(tmp_path / "more", grey, ("x",), 3)
    (root / "ant" / "linked").symlink_to(elsewhere)
    (elsewhere / "x" / "round").symlink_to(root / "ant")
    arrays = load(root)
    assert len(arrays.train_images) + len(arrays.test_images) == 13

    def walk(path, onerror, **_):
        onerror(PermissionError(13, "Permission denied", str(path)))
        return iter(())

    monkeypatch.setattr(os, "walk", walk)
    with pytest.raises(DataError, match=r"ant cannot be opened \(permission denied\)"):
        load(root)


def test_names_are_text_on_one_line(tmp_path):
    root = folder(tmp_path / "f", grey, ("a\nb", os.fsdecode(b"caf\xe9")))
    Path(root, os.fsdecode(b"\xff.txt")).write_text("x")
    arrays = load(root)
    assert arrays.class_names == ("a b", "caf\\xe9".replace("\\x", "\\udc"))
    assert arrays.source.encode()


@pytest.mark.parametrize("side", ["0", "9999999"])
def test_a_side_that_cannot_be_is_refused(tmp_path, side):
    with pytest.raises(UsageError, match="give a side of 1 to"):
        make_dataset(f"folder:{folder(tmp_path / 'f', grey)}@{side}", None).load()


@pytest.mark.parametrize("text", ["data@32", "~/data@32", "data@32@4"])
def test_a_folder_that_has_the_whole_name_is_meant(tmp_path, monkeypatch, text):
    folder(tmp_path / "data@32", grey)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    side = 4 if text.endswith("@4") else 12
    assert make_dataset(f"folder:{text}", None).load().train_images.shape[1:] == (side, side, 1)
    (tmp_path / "data@32").rename(tmp_path / "data")
    if not text.endswith("@4"):
        assert make_dataset(f"folder:{text}", None).load().train_images.shape[1:] == (32, 32, 1)


@pytest.mark.parametrize("text", ["data", "data@32", "data@", "@32", f"data@{'9' * 12}", f"data@{'9' * 5000}"])
def test_a_folder_that_is_not_there_is_one_sentence(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"needs a folder that exists|cannot be used as a path"):
        make_dataset(f"folder:{text}", None).load()


KINDS = {
    "palette": lambda p, i: Image.fromarray(COLOUR).convert("P").save(f"{p}.png"),
    "colour": lambda p, i: Image.fromarray(COLOUR).save(f"{p}.jpg"),
    "colour with alpha": lambda p, i: Image.fromarray(COLOUR).convert("RGBA").save(f"{p}.png"),
    "print": lambda p, i: Image.fromarray(COLOUR).convert("CMYK").save(f"{p}.tif"),
    "two values": lambda p, i: Image.fromarray(SLOPE).convert("1").save(f"{p}.png"),
    "grey": grey,
    "portable": lambda p, i: Image.fromarray(SLOPE).save(f"{p}.pgm"),
    "deep portable": lambda p, i: Path(f"{p}.pgm").write_bytes(b"P5 12 12 65535\n" + DEEP.byteswap().tobytes()),
    **EXACT,
}


@pytest.mark.parametrize("last", KINDS)
@pytest.mark.parametrize("first", ["grey", "colour"])
def test_the_channels_that_are_told_are_those_of_training(tmp_path, first, last):
    root = folder(tmp_path / "f", KINDS[first])
    for old in (root / "bee").glob("04.*"):  # the only test image of the last class
        old.unlink()
    KINDS[last](root / "bee" / "04", 4)
    made = make_dataset(f"folder:{root}", None)
    height, width, channels = made.load().train_images.shape[1:]
    assert made.facts().image == (channels, height, width)


def test_only_headers_are_looked_at_and_each_once(tmp_path, monkeypatch):
    root, decoded, opened = folder(tmp_path / "f", grey), [], []
    made, load_image, open_image = make_dataset(f"folder:{root}", None), ImageFile.ImageFile.load, Image.open
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: (decoded.append(image), load_image(image))[1])
    monkeypatch.setattr(Image, "open", lambda path: (opened.append(path), open_image(path))[1])
    assert [made.facts().image for _ in range(3)] == [(1, 12, 12)] * 3
    assert len(set(map(id, decoded))) <= 3  # the first image, each time
    assert len(opened) == 10 + 3
    Image.fromarray(COLOUR).save(root / "bee" / "04.png")
    assert made.facts().image == (3, 12, 12)


@pytest.mark.parametrize("kind", ["a pipe", "no picture", "cut", "black", "damaged in its own way"])
def test_a_damaged_image_is_said_where_it_is_read(tmp_path, kind):
    root = folder(tmp_path / "f", grey)
    (root / "bee" / "04.png").unlink()
    LOSSY[kind][0](root / "bee" / "04", 4)
    made = make_dataset(f"folder:{root}", None)
    assert made.facts().image == (1, 12, 12)
    if kind != "black":
        with pytest.raises(DataError, match=r"04\..* (cannot be read|is no plain file)"):
            made.load()


def test_grey_among_colour_is_colour(tmp_path):
    root = folder(tmp_path / "f", grey)
    Image.fromarray(COLOUR).save(root / "bee" / "00.png")
    arrays = load(root)
    assert arrays.train_images.shape[-1] == 3
    assert (arrays.train_images[0][..., 0] == arrays.train_images[0][..., 2]).all()
