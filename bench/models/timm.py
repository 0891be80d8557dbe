"""Any model of the package timm by its name: `timm:convnext_tiny`; from scratch, at timm's own input size.

Images of another size are enlarged inside the network; where timm lets the input size be chosen (`img_size`), write it
after an @: `timm:vit_tiny_patch16_224@32`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.api import Model, ModelError, UsageError, register

if TYPE_CHECKING:
    from torch import nn


@register("models")
class Timm(Model):
    """Wightman, pytorch-image-models. Needs the extra `models`."""

    name = "timm"
    argument_name = "NAME or timm:NAME@SIDE"
    small = "test_vit@32"

    def _parts(self) -> tuple[str, int | None]:
        name, _, side = self.argument.partition("@")
        if not name or (side and not side.isdecimal()):
            raise UsageError(f"model 'timm:{self.argument}' cannot be read; write timm:NAME or timm:NAME@SIDE.")
        return name, int(side) if side else None

    def _timm(self) -> Any:
        try:
            import timm
        except ImportError:
            raise ModelError(
                "the package timm is not installed; run `pip install 'robust-longtail-bench[models]'`."
            ) from None
        name, _ = self._parts()
        if not timm.is_model(name):
            close = timm.list_models(f"*{name}*")[:3]
            hint = f"; perhaps {', '.join(close)}" if close else ""
            raise UsageError(f"timm has no model '{name}'{hint}.")
        return timm

    def input_size(self, image: tuple[int, int, int]) -> tuple[int, int, int]:
        """The side after the @, else timm's own for the model, else the image's."""
        name, side = self._parts()
        default = self._timm().models.get_pretrained_cfg(name)
        height, width = (side, side) if side else (default.input_size[1:] if default else image[1:])
        return image[0], height, width

    def build(self, image: tuple[int, int, int]) -> tuple[nn.Module, int]:
        """The pooled features before timm's classifier."""
        name, side = self._parts()
        timm = self._timm()
        sized = {"img_size": side} if side else {}
        try:
            net = timm.create_model(name, pretrained=False, num_classes=0, in_chans=image[0], **sized)
        except (TypeError, RuntimeError, ValueError, AssertionError) as error:
            raise ModelError(
                f"timm cannot build '{self.argument}' for {image[1]}x{image[2]} images: {error}."
            ) from error
        return net, int(net.num_features)
