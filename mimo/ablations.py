"""The rows of the ablations: each swaps parts of MIMO-UNet, or one setting of its loss.

`VARIANTS` are the networks, `FREQUENCY` the ways to compare spectra.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mimo.losses import frequency_loss
from mimo.network import AFF, Features, HalfImage, Image, MIMOUNet

# Parts that take the place of the paper's


class NoFAM(nn.Identity):
    """The encoder's features alone: the network sees the image at full size only."""

    def forward(self, x: Features, z: Tensor) -> Features:  # type: ignore[override]
        """`x`, unchanged."""
        return x


class ConvSCM(nn.Conv2d):
    """One 3 x 3 convolution in place of the five of SCM."""

    def __init__(self, channels: int):
        super().__init__(3, channels, 3, padding=1)


class SumFAM(nn.Identity):
    """The sum of both sets of features, without attention."""

    def forward(self, x: Features, z: Features) -> Features:  # type: ignore[override]
        """`x + z`."""
        return x + z


class ConcatFAM(nn.Module):
    """A 3 x 3 convolution of both sets of features, concatenated."""

    def __init__(self, channels: int):
        super().__init__()
        self.merge = nn.Conv2d(2 * channels, channels, 3, padding=1)

    def forward(self, x: Features, z: Features) -> Features:
        """Features of the same shape as `x` and `z`."""
        return self.merge(torch.cat([x, z], dim=1))


class NoAFF(nn.Identity):
    """A plain skip connection: the encoder's features of the same scale."""

    def forward(self, encoded: list[Tensor], size: torch.Size) -> Features:  # type: ignore[override]
        """The element of `encoded` that has this `size`."""
        return next(e for e in encoded if e.shape[-2:] == size)


class BilinearAFF(AFF):
    """AFF that resizes without aliasing, where the authors' code takes the nearest pixel."""

    def forward(self, encoded: list[Tensor], size: torch.Size) -> Features:
        """Fuse `encoded` as `AFF` does."""

        def resize(e: Tensor) -> Tensor:
            wide = e.float()  # on a CPU, antialiasing does not support bfloat16
            return F.interpolate(wide, size, mode="bilinear", antialias=True).to(e.dtype)

        resized = [e if e.shape[-2:] == size else resize(e) for e in encoded]
        return self.smooth(self.mix(torch.cat(resized, dim=1)))


# Networks: all other parts are `MIMOUNet`'s, with the same initial values for the same seed


class NoMISE(MIMOUNet):
    """Single input: the encoder reads the blurred image at full size only."""

    SCM, FAM = nn.Identity, NoFAM  # type: ignore[assignment]


class NoMOSD(MIMOUNet):
    """Single output: the image is restored, and supervised, at full size only."""

    OUTPUTS = "1"


class NoAFFNet(MIMOUNet):
    """Skip connections of one scale each."""

    AFF = NoAFF  # type: ignore[assignment]


class UNet(NoMISE, NoMOSD, NoAFFNet):
    """None of MISE, MOSD and AFF: the plain U-Net that they were added to."""


class OnlyMISE(NoMOSD, NoAFFNet):
    """The plain U-Net with inputs at three scales."""


class OnlyMOSD(NoMISE, NoAFFNet):
    """The plain U-Net with outputs at three scales."""


class SumFusion(MIMOUNet):
    """FAM without attention: a sum."""

    FAM = SumFAM  # type: ignore[assignment]


class ConcatFusion(MIMOUNet):
    """FAM without attention: concatenation."""

    FAM = ConcatFAM  # type: ignore[assignment]


class PlainSCM(MIMOUNet):
    """SCM with a single convolution."""

    SCM = ConvSCM  # type: ignore[assignment]


class SmoothAFF(MIMOUNet):
    """AFF that resizes without aliasing."""

    AFF = BilinearAFF


class SmoothInput(MIMOUNet):
    """Smaller inputs without aliasing, on the grid of the targets."""

    def smaller(self, image: Image) -> HalfImage:
        """The image at half size, by a bilinear filter wide enough to prevent aliasing."""
        return F.interpolate(image, scale_factor=0.5, mode="bilinear", antialias=True)


VARIANTS: dict[str, type[MIMOUNet]] = {
    "full": MIMOUNet,
    "unet": UNet,
    "mise": OnlyMISE,
    "mosd": OnlyMOSD,
    "no-aff": NoAFFNet,
    "no-mise": NoMISE,
    "no-mosd": NoMOSD,
    "fam-sum": SumFusion,
    "fam-concat": ConcatFusion,
    "scm-conv": PlainSCM,
    "aff-bilinear": SmoothAFF,
    "input-antialiased": SmoothInput,
}


FrequencyLoss = Callable[[Sequence[Tensor], Sequence[Tensor]], Tensor]


def msfr_by(size: Callable[[Tensor], Tensor]) -> FrequencyLoss:
    """MSFR with `size` replacing its own measure of the difference between two images."""

    def loss(restored: Sequence[Tensor], sharp_pyramid: Sequence[Tensor]) -> Tensor:
        pairs = zip(restored, sharp_pyramid, strict=False)
        return torch.stack([size(r.float() - s).mean() for r, s in pairs]).sum()

    return loss


FREQUENCY: dict[str, FrequencyLoss] = {
    "both-sides": frequency_loss,
    # The modulus of complex numbers, as in some later work.
    "modulus": msfr_by(lambda d: torch.fft.fft2(d).abs()),
    # Half of the spectrum, the other half being its mirror image.
    "one-sided": msfr_by(lambda d: torch.view_as_real(torch.fft.rfft2(d)).abs()),
    # An orthonormal transform: smaller by the square root of the number of pixels.
    "orthonormal": msfr_by(lambda d: torch.view_as_real(torch.fft.fft2(d, norm="ortho")).abs()),
}
