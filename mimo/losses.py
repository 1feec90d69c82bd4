"""The losses of MIMO-UNet: L1 on images and on their spectra, at every scale; pure, in float32.

`restored` and `sharp_pyramid` are sequences of images b 3 h w, scale 1 first. Only the scales
in `restored` are compared: for a network with a single output, full size alone.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mimo.network import Image, Pyramid

Loss = Float[Tensor, ""]


def pyramid(sharp: Image, mode: str = "bilinear") -> Pyramid:
    """Sharp targets S_1, S_2, S_3: bilinear at half and quarter size, without anti-aliasing.

    This follows the authors' code. Its blurred inputs are decimated instead, so their pixels lie
    above and to the left of these: by half a pixel of the full image at scale 2, by one and a half
    at scale 3. With `mode` "nearest" the targets are decimated too.
    """
    return (
        sharp,
        F.interpolate(sharp, scale_factor=0.5, mode=mode),
        F.interpolate(sharp, scale_factor=0.25, mode=mode),
    )


def content_loss(restored: Sequence[Tensor], sharp_pyramid: Sequence[Tensor]) -> Loss:
    """Multi-scale content loss: the mean absolute error, summed over scales."""
    pairs = zip(restored, sharp_pyramid, strict=False)
    return torch.stack([F.l1_loss(r.float(), s) for r, s in pairs]).sum()


def frequency_loss(restored: Sequence[Tensor], sharp_pyramid: Sequence[Tensor]) -> Loss:
    """Multi-scale frequency reconstruction loss (MSFR), before its weight of 0.1.

    The mean absolute error of the two-dimensional Fourier transform, with real and imaginary parts
    as separate values, summed over scales. The transform is not normalised, and both its halves
    count, as in the authors' code. Since it is linear, it is taken once, of the difference.
    """
    pairs = zip(restored, sharp_pyramid, strict=False)
    spectra = [torch.view_as_real(torch.fft.fft2(r.float() - s)) for r, s in pairs]
    return torch.stack([z.abs().mean() for z in spectra]).sum()


def total_loss(
    restored: Sequence[Tensor], sharp_pyramid: Sequence[Tensor], frequency_weight: float = 0.1
) -> Loss:
    """Content loss plus `frequency_weight` times MSFR."""
    loss = content_loss(restored, sharp_pyramid)
    if frequency_weight:
        loss = loss + frequency_weight * frequency_loss(restored, sharp_pyramid)
    return loss
