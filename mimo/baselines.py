"""What a reader would have used before deep learning, from scikit-image, by the same protocol.

Wiener's filter and Richardson-Lucy's iteration are told the true kernel of the blur, in the middle
of the picture where it differs from place to place; the unsharp mask is told nothing. The first
two work on light, in which blur is a convolution. Their parameters are the best of a few on the
validation photos (`data/runs/baselines`).
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from skimage import filters, restoration

from mimo.blur import GAMMA
from mimo.data import Pair

Picture = Float[np.ndarray, "h w 3"]

WIENER_BALANCE = 0.001
RICHARDSON_LUCY_STEPS = 80
UNSHARP_RADIUS_PX, UNSHARP_AMOUNT = 0.7, 0.3


def _in_light(stored: Picture, deconvolve: Callable[[np.ndarray], np.ndarray], px: int) -> Picture:
    """Apply to each channel's light, with mirrored borders of `px` in place of what lies beyond."""
    light = np.pad(stored.astype(np.float64) ** GAMMA, ((px, px), (px, px), (0, 0)), "reflect")
    parts = [deconvolve(light[..., c])[px:-px, px:-px] for c in range(3)]
    return np.stack(parts, axis=-1).clip(0, 1) ** (1 / GAMMA)


def wiener(pair: Pair, balance: float = WIENER_BALANCE) -> Picture:
    """Wiener's filter with the true kernel; `balance` weighs smoothness against the data."""
    return _in_light(
        pair.blurred / 255,
        lambda light: restoration.wiener(light, pair.kernel, balance, clip=False),
        len(pair.kernel) // 2,
    )


def richardson_lucy(pair: Pair, steps: int = RICHARDSON_LUCY_STEPS) -> Picture:
    """Richardson and Lucy's iteration with the true kernel; more steps, sharper and noisier."""
    return _in_light(
        pair.blurred / 255,
        lambda light: restoration.richardson_lucy(light, pair.kernel, steps, clip=False),
        len(pair.kernel) // 2,
    )


def unsharp(
    pair: Pair, radius_px: float = UNSHARP_RADIUS_PX, amount: float = UNSHARP_AMOUNT
) -> Picture:
    """The unsharp mask: the photo plus `amount` times what a Gaussian blur takes away."""
    # channel_axis=-1 would take rows for channels (scikit-image 0.26).
    return filters.unsharp_mask(pair.blurred / 255, radius_px, amount, channel_axis=2)


BASELINES: dict[str, Callable[[Pair], Picture]] = {
    "wiener": wiener,
    "richardson-lucy": richardson_lucy,
    "unsharp": unsharp,
}
