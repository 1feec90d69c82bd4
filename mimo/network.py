"""MIMO-UNet: one U-Net that reads a blurred image at three scales and restores it at all three.

Cho, Ji, Hong, Jung, Ko, "Rethinking Coarse-to-Fine Approach in Single Image Deblurring",
ICCV 2021. Scale k = 1, 2, 3 is full, half and quarter size; a part for scale k is `part[str(k)]`.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Image = Float[Tensor, "b 3 h w"]
HalfImage = Float[Tensor, "b 3 h//2 w//2"]
QuarterImage = Float[Tensor, "b 3 h//4 w//4"]
Pyramid = tuple[Image, HalfImage, QuarterImage] | tuple[Image]  # or scale 1 alone
Features = Float[Tensor, "b c h w"]


class ConvBlock(nn.Sequential):
    """A convolution that keeps the size (or divides it by `stride`), then ReLU."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1):
        conv = nn.Conv2d(c_in, c_out, kernel, stride, padding=kernel // 2)
        super().__init__(conv, nn.ReLU(inplace=True))


class UpBlock(nn.Sequential):
    """A transposed convolution that doubles the size and halves the channels, then ReLU."""

    def __init__(self, c_in: int):
        conv = nn.ConvTranspose2d(c_in, c_in // 2, 4, stride=2, padding=1)
        super().__init__(conv, nn.ReLU(inplace=True))


class ResBlock(nn.Module):
    """Two 3 x 3 convolutions, ReLU between them, plus the input. No normalisation or final ReLU."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = ConvBlock(channels, channels, 3)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Features) -> Features:
        """`x` plus its residual, same shape."""
        return x + self.second(self.first(x))


class EncoderBlock(nn.Sequential):
    """EB_k: a chain of residual blocks, 8 in MIMO-UNet and 20 in MIMO-UNet+."""

    def __init__(self, channels: int, res_blocks: int):
        super().__init__(*(ResBlock(channels) for _ in range(res_blocks)))


class DecoderBlock(EncoderBlock):
    """DB_k: the same chain on the way up."""


class SCM(nn.Module):
    """Shallow convolutional module: features of a smaller blurred image, straight from its pixels.

    From B_k (b 3 h w) to features (b `channels` h w). The image itself makes up three of the
    channels that enter the last, linear 1 x 1 convolution.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.layers = nn.Sequential(
            ConvBlock(3, channels // 4, 3),
            ConvBlock(channels // 4, channels // 2, 1),
            ConvBlock(channels // 2, channels // 2, 3),
            ConvBlock(channels // 2, channels - 3, 1),
        )
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, blurred: Image) -> Features:
        """The features of `blurred`, same size."""
        return self.mix(torch.cat([blurred, self.layers(blurred)], dim=1))


class FAM(nn.Module):
    """Feature attention module: a smaller image's features amplify or suppress the encoder's.

    `x`: the encoder's features, brought down to scale k. `z`: SCM_k's. The result has their shape.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.merge = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Features, z: Features) -> Features:
        """`x` plus a convolution of the product `x z`."""
        return x + self.merge(x * z)


class AFF(nn.Module):
    """Asymmetric feature fusion: encoder features of all scales, mixed for one skip connection.

    From features whose sizes are powers of two apart (`c_in` channels once concatenated) to
    (b `c_out` h w) at the `size` asked for.
    """

    def __init__(self, c_in: int, c_out: int):
        super().__init__()
        self.mix = ConvBlock(c_in, c_out, 1)
        self.smooth = nn.Conv2d(c_out, c_out, 3, padding=1)

    def forward(self, encoded: list[Tensor], size: torch.Size) -> Features:
        """Fuse `encoded` (scale 1 first), resized by nearest neighbour as the authors do."""
        resized = [e if e.shape[-2:] == size else F.interpolate(e, size) for e in encoded]
        return self.smooth(self.mix(torch.cat(resized, dim=1)))


def half(image: Tensor) -> Tensor:
    """Every second pixel of every second row: how B_2 and B_3 are made, without anti-aliasing."""
    return image[..., ::2, ::2]


class MIMOUNet(nn.Module):
    """MIMO-UNet: `net(blurred)` is the tuple of restored images at scales 1, 2, 3.

    width: channels at scale 1 (doubled at each smaller scale). res_blocks: residual blocks in each
    encoder and decoder block, 8 for MIMO-UNet (6.8 M parameters), 20 for MIMO-UNet+ (16.1 M).
    aff_dropout: probability of dropping a channel of an AFF output in training; the authors' code
    uses 0.1 for MIMO-UNet+ and none for MIMO-UNet.

    Input: b 3 h w in [0, 1], h and w multiples of 4. Output: not clamped.
    """

    SCM, FAM, AFF = SCM, FAM, AFF  # an ablation swaps one of these,
    OUTPUTS = "321"  # or leaves out some outputs

    def __init__(self, width: int = 32, res_blocks: int = 8, aff_dropout: float = 0.0):
        super().__init__()
        self.config: dict[str, Any] = {
            "width": width,
            "res_blocks": res_blocks,
            "aff_dropout": aff_dropout,
        }
        c = {"1": width, "2": 2 * width, "3": 4 * width}
        self.stem = ConvBlock(3, width, 3)
        self.down = nn.ModuleDict({k: ConvBlock(c[k] // 2, c[k], 3, stride=2) for k in "23"})
        self.scm = nn.ModuleDict({k: self.SCM(c[k]) for k in "23"})
        self.fam = nn.ModuleDict({k: self.FAM(c[k]) for k in "23"})
        self.encoder = nn.ModuleDict({k: EncoderBlock(c[k], res_blocks) for k in "123"})
        self.aff = nn.ModuleDict({k: self.AFF(sum(c.values()), c[k]) for k in "12"})
        self.drop = nn.Dropout2d(aff_dropout)
        self.up = nn.ModuleDict({k: UpBlock(2 * c[k]) for k in "21"})
        self.merge = nn.ModuleDict({k: ConvBlock(2 * c[k], c[k], 1) for k in "21"})
        self.decoder = nn.ModuleDict({k: DecoderBlock(c[k], res_blocks) for k in "321"})
        self.head = nn.ModuleDict({k: nn.Conv2d(c[k], 3, 3, padding=1) for k in self.OUTPUTS})

    def smaller(self, image: Image) -> HalfImage:
        """The input at the next scale: every second pixel, as in the authors' code."""
        return half(image)

    def forward(self, blurred: Image) -> Pyramid:
        """Restore `blurred` at full, half and quarter size.

        Raises ValueError if a side is not a multiple of 4; `mimo.restore` takes any size.
        """
        if blurred.shape[-1] % 4 or blurred.shape[-2] % 4:
            raise ValueError(f"sides must be multiples of 4, not {tuple(blurred.shape[-2:])}")
        b = {"1": blurred, "2": self.smaller(blurred)}
        b["3"] = self.smaller(b["2"])

        e = {"1": self.encoder["1"](self.stem(blurred))}
        for k, above in (("2", "1"), ("3", "2")):
            x = self.fam[k](self.down[k](e[above]), self.scm[k](b[k]))
            e[k] = self.encoder[k](x)

        d = {"3": self.decoder["3"](e["3"])}
        for k, below in (("2", "3"), ("1", "2")):
            skip = self.drop(self.aff[k](list(e.values()), e[k].shape[-2:]))
            d[k] = self.decoder[k](self.merge[k](torch.cat([self.up[k](d[below]), skip], dim=1)))

        return tuple(b[k] + self.head[k](d[k]) for k in "123" if k in self.head)

    def trace(self, blurred: Image) -> dict[str, Tensor]:
        """Every part's output by name (`stem`, `fam.2`, `encoder.3`, ...), in running order."""
        seen: dict[str, Tensor] = {}
        hooks = [
            m.register_forward_hook(lambda _m, _i, out, n=n: seen.__setitem__(n, out))
            for n, m in self.named_modules()
            if n == "stem" or (n.count(".") == 1 and not n.startswith("stem."))
        ]
        try:
            self(blurred)
        finally:
            for hook in hooks:
                hook.remove()
        return seen
