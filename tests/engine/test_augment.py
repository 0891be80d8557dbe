"""Batched augmentation against torchvision's functional operations, image by image."""

import math

import numpy as np
import pytest
import torch
from torchvision.transforms import functional as tv

from bench.engine.images import augment as module
from bench.engine.images.augment import AUGMENTATIONS, augment, crop_flip, padding, to_float
from bench.engine.images.distort import OPERATIONS, SPACE, distort
from bench.errors import UsageError
from bench.seeding import numpy_stream


def pictures(n: int, side: int = 32, channels: int = 3, seed: int = 0) -> torch.Tensor:
    """Half noise, half smooth, one flat and one with two values: uint8 N x side x side x channels."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (n, side, side, channels))
    ramp = np.linspace(20, 180, side)[None, :, None, None] + rng.integers(0, 9, (n, side, side, channels))
    images = np.where((np.arange(n) % 2 == 0)[:, None, None, None], noise, ramp).astype(np.uint8)
    images[0] = 77
    images[1, : side // 2] = 10
    return torch.from_numpy(images)


def reference(image: torch.Tensor, name: str, s: float) -> torch.Tensor:
    """torchvision on one image, channels x H x W."""
    still = {"translate": [0, 0], "scale": 1.0, "angle": 0.0, "shear": [0.0, 0.0]}
    degrees = math.degrees(math.atan(s))
    return {
        "Identity": lambda: image,
        "ShearX": lambda: tv.affine(image, **still | {"shear": [degrees, 0.0]}, center=[0, 0]),
        "ShearY": lambda: tv.affine(image, **still | {"shear": [0.0, degrees]}, center=[0, 0]),
        "TranslateX": lambda: tv.affine(image, **still | {"translate": [int(s), 0]}),
        "TranslateY": lambda: tv.affine(image, **still | {"translate": [0, int(s)]}),
        "Rotate": lambda: tv.rotate(image, s),
        "Brightness": lambda: tv.adjust_brightness(image, 1 + s),
        "Color": lambda: tv.adjust_saturation(image, 1 + s),
        "Contrast": lambda: tv.adjust_contrast(image, 1 + s),
        "Sharpness": lambda: tv.adjust_sharpness(image, 1 + s),
        "Posterize": lambda: tv.posterize(image, int(s)),
        "Solarize": lambda: tv.solarize(image, s),
        "AutoContrast": lambda: tv.autocontrast(image),
        "Equalize": lambda: tv.equalize(image),
        "Invert": lambda: tv.invert(image),
    }[name]()


@pytest.mark.parametrize(("level", "bins"), [(8, 31), (0, 10), (3, 10), (9, 10)])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_operation_equals_torchvision(level, bins, channels):
    n = 12
    images = pictures(n, channels=channels).permute(0, 3, 1, 2)
    for kind, name in enumerate(OPERATIONS):
        strength = SPACE[name].strength(level, bins, (32, 32))
        signs = np.where(np.arange(n) % 2, -1.0, 1.0) if SPACE[name].signed else np.ones(n)
        got = distort(images, np.full(n, kind), signs * strength)
        want = torch.stack([reference(image, name, s * strength) for image, s in zip(images, signs, strict=True)])
        assert torch.equal(got, want), f"{name}: {(got != want).sum()} pixels differ"


def test_mixed_operations_touch_only_their_images():
    images = pictures(30, side=28).permute(0, 3, 1, 2)
    kinds = np.arange(30) % len(OPERATIONS)
    strengths = np.array([SPACE[OPERATIONS[k]].strength(5, 31, (28, 28)) for k in kinds])
    got = distort(images, kinds, strengths)
    for image, kind, strength, result in zip(images, kinds, strengths, got, strict=True):
        assert torch.equal(result, reference(image, OPERATIONS[kind], strength))


@pytest.mark.parametrize(("side", "pad"), [(8, 1), (16, 2), (28, 4), (32, 4), (224, 4)])
def test_padding(side, pad):
    assert padding(side, side) == pad


@pytest.mark.parametrize("shape", [(32, 32, 3), (8, 8, 1), (28, 20, 3)])
def test_crop_flip_is_torchvisions_pad_crop_and_flip(shape):
    height, width, _ = shape
    n, pad = 40, padding(height, width)
    images = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (n, *shape), dtype=np.uint8))
    got = crop_flip(images, numpy_stream(3, "augment", 0))
    rng = numpy_stream(3, "augment", 0)
    top, left = rng.integers(0, 2 * pad + 1, size=(2, n))
    flip = rng.random(n) < 0.5
    for i in range(n):
        image = tv.pad(images[i].permute(2, 0, 1), [pad])
        image = tv.crop(image, int(top[i]), int(left[i]), height, width)
        image = tv.hflip(image) if flip[i] else image
        assert torch.equal(got[i].permute(2, 0, 1), image)
    assert len({(int(a), int(b), bool(c)) for a, b, c in zip(top, left, flip, strict=True)}) > 10


@pytest.mark.parametrize("kind", AUGMENTATIONS)
def test_augment_is_repeatable_and_in_range(kind):
    images = pictures(16)
    first = augment(images, kind, numpy_stream(0, "augment", 1))
    again = augment(images, kind, numpy_stream(0, "augment", 1))
    other = augment(images, kind, numpy_stream(0, "augment", 2))
    assert torch.equal(first, again)
    assert torch.equal(first, other) == (kind == "none")
    assert first.shape == (16, 3, 32, 32)
    assert first.dtype == torch.float32
    assert first.is_contiguous()
    assert 0 <= float(first.min()) <= float(first.max()) <= 1


def test_augment_leaves_global_generators_alone():
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    for kind in AUGMENTATIONS:
        augment(pictures(4), kind, numpy_stream(0, "augment", 0))
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(numpy_before, np.random.get_state()[1])  # noqa: NPY002


def test_to_float_is_the_official_conversion():
    images = pictures(3)
    assert torch.equal(to_float(images)[2], tv.to_tensor(images[2].numpy()))
    assert to_float(images, dtype=torch.float64).dtype == torch.float64


def test_resize_comes_before_the_crop_and_matches_pil():
    images = pictures(2, side=32)
    enlarged = to_float(images, resize=64)
    assert enlarged.shape == (2, 3, 64, 64)
    pil = tv.to_tensor(tv.resize(tv.to_pil_image(images[1].permute(2, 0, 1)), [64, 64]))
    assert float((enlarged[1] - pil).abs().max()) <= 1 / 255 + 1e-6
    assert augment(images, "crop-flip", numpy_stream(0, "augment", 0), resize=64).shape == (2, 3, 64, 64)


def test_auto_augment_uses_the_published_policy_at_its_rates():
    policy = module._cifar10_policy()
    assert len(policy) == 25
    assert policy[0] == (("Invert", 0.1, None), ("Contrast", 0.2, 6))
    images = pictures(500, side=8)
    changed = (AUGMENTATIONS["autoaugment"](images, numpy_stream(0, "a")) != images).flatten(1).any(1)
    assert 0.9 < float(changed.float().mean()) <= 1


def test_unknown_name_is_one_sentence():
    with pytest.raises(UsageError, match=r"crop-flop.*Did you mean 'crop-flip'"):
        augment(pictures(2), "crop-flop", numpy_stream(0, "a"))
