"""One image file as bytes, exactly, or not at all: every way in which a picture could be read as another is refused.

Upright by its EXIF orientation. Sixteen bits and floats become eight only where no value is lost (multiples of 257;
multiples of 1/255 in [0, 1]); transparency is taken only where there is none; a file of several pictures is refused.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from bench.api import DataError

from ._files import unreadable

#: tags of TIFF, and what one of them says
PHOTOMETRIC, BITS, SAMPLE_FORMAT, WHITE_IS_ZERO = 262, 258, 339, 0
#: modes of Pillow that hold one grey channel of eight bits or less
GREY = ("L", "1", "LA", "La")
#: modes that convert to RGB without loss
COLOUR = ("RGB", "RGBX", "P", "CMYK", "YCbCr", "HSV", "LAB")


def read_image(path: Path, side: int | None = None) -> np.ndarray:
    """uint8, height x width x 1 (grey) or 3 (colour); scaled to `side` x `side` by Pillow's box filter where given.

    Raises DataError naming the file, what is wrong with it and the mend.
    """
    from PIL import Image, ImageOps

    if path.exists() and not path.is_file():
        raise DataError(f"{path} is no plain file; remove or replace it.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about what is written beside the pixels
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(path) as image:
                _one_picture(image, path)
                _as_it_looks(image, path)
                deep = _is_deep(image)
                plain = eight_bits(ImageOps.exif_transpose(image), path, deep)
        except DataError:
            raise
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise DataError(f"{path} is too large for a training image ({error}); scale it down first.") from None
        except PermissionError as error:
            raise unreadable(path, error) from None
        except Exception as error:  # each format's reader has its own for a damaged file
            raise DataError(f"{path} cannot be read ({' '.join(str(error).split())}); remove or replace it.") from None
    if side is not None and plain.size != (side, side):
        plain = plain.resize((side, side), Image.Resampling.BOX)
    return np.atleast_3d(np.asarray(plain))


def _one_picture(image: Any, path: Path | str) -> None:
    if getattr(image, "n_frames", 1) > 1:
        raise DataError(f"{path} holds {image.n_frames} pictures; save the one that is meant as a file of its own.")


def _as_it_looks(image: Any, path: Path | str) -> None:
    """Refuse a TIFF whose numbers Pillow takes for others: signed bytes, and deep ones whose zero is white."""
    tags = getattr(image, "tag_v2", {})
    if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO and (image.mode.startswith("I") or image.mode == "F"):
        raise DataError(f"{path} stores white as zero in more than 8 bits; save it with black as zero.")
    signed = tags.get(SAMPLE_FORMAT, (1,))
    if 2 in (signed if isinstance(signed, tuple) else (signed,)) and set(tags.get(BITS, (8,))) == {8}:
        raise DataError(f"{path} has signed pixels; save it with values from 0 to 255.")


def _is_deep(image: Any) -> bool:
    """Whether the file stores more than eight bits a channel, which Pillow cuts off in colour images."""
    if any(";16" in str(part) for tile in image.tile for part in tile) or ";16" in image.mode:
        return True
    portable = [tile[-1] for tile in image.tile if str(tile[0]).startswith("ppm")]  # the largest value, at the end
    return any((part[-1] if isinstance(part, tuple) else part) > 255 for part in portable)


def eight_bits(image: Any, path: Path | str, deep: bool = False) -> Any:
    """The picture in mode L or RGB, exactly. Raises DataError naming `path`."""
    if image.mode.startswith("I") or image.mode == "F":
        return _exact(image, path)
    if deep:
        raise DataError(f"{path} has 16 bits a colour; convert it to 8 bits, which decides how values are rounded.")
    image = _opaque(image, path)
    if image.mode in GREY:
        return image.convert("L")
    if image.mode not in COLOUR:
        raise DataError(f"{path} is of the kind {image.mode}, which has no exact form in 8 bits; convert it first.")
    return image.convert("RGB")


def _exact(image: Any, path: Path | str) -> Any:
    """Sixteen bits or floats in eight, where nothing is lost."""
    from PIL import Image

    values = np.asarray(image)
    if "transparency" in image.info and (values == image.info["transparency"]).any():
        raise DataError(f"{path} has transparent pixels; flatten it onto the background that is meant.")
    if image.mode == "F":
        scaled = values.astype(np.float64) * 255
        lost = not np.isfinite(scaled).all() or scaled.min() < 0 or scaled.max() > 255.001
        lost = lost or bool(np.abs(scaled - np.rint(scaled)).max() > 1e-3)
        wanted = "multiples of 1/255 in [0, 1]"
    else:
        scaled = values.astype(np.int64) / 257
        lost = bool((values.astype(np.int64) % 257).any()) or values.min() < 0 or values.max() > 65535
        wanted = "16-bit values that are multiples of 257"
    if lost:
        raise DataError(
            f"{path} has pixels from {values.min():g} to {values.max():g} that do not fit into 8 bits without loss "
            f"({wanted} do); convert it first."
        )
    return Image.fromarray(np.rint(scaled).astype(np.uint8))


def _opaque(image: Any, path: Path | str) -> Any:
    """The picture without its alpha channel, of which nothing may be transparent."""
    bands = image.getbands()
    if "transparency" in image.info and bands[-1] not in ("A", "a"):  # a palette, or one colour, stands for it
        alpha = image.convert("RGBA").getchannel("A")
    elif bands[-1] in ("A", "a"):
        alpha = image.getchannel(len(bands) - 1)
    else:
        return image
    if np.asarray(alpha).min() < 255:
        raise DataError(f"{path} has transparent pixels; flatten it onto the background that is meant.")
    return image.convert("L" if image.mode in GREY else "RGB")
