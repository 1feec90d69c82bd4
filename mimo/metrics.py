"""PSNR and SSIM, and means over test images with an interval that respects their scenes."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy import stats
from skimage.metrics import structural_similarity

Picture = Float[np.ndarray, "h w 3"]
WINDOW_PX = 11  # of the Gaussian in SSIM: smaller images have none
LUMA = np.array([[0.299], [0.587], [0.114]])  # weights of red, green and blue in ITU-R BT.601


def clamped(restored: Picture) -> Picture:
    """An output clamped to the range of a photo, [0, 1]."""
    return np.clip(restored, 0, 1)


def rounded(restored: Picture) -> Picture:
    """An output as a file of bytes would store it, in [0, 1]."""
    return np.round(255 * clamped(restored)) / 255


def psnr_db(restored: Picture, sharp: Picture) -> float:
    """Peak signal-to-noise ratio in dB of images in [0, 1], from one mean over pixels and channels.

    `restored` is clamped to [0, 1] and not rounded to bytes, as in the authors' code.
    Infinite for equal images.
    """
    error = np.mean((clamped(restored) - sharp) ** 2, dtype=np.float64)
    return float("inf") if error == 0 else float(-10 * np.log10(error))


def ssim(
    restored: Picture,
    sharp: Picture,
    definition: Literal["gaussian", "uniform", "luma"] = "gaussian",
) -> float:
    """Structural similarity of images in [0, 1]; different definitions can't be compared.

    gaussian: window of 11 pixels, sigma 1.5, as its inventors defined it; mean over three channels.
    uniform: scikit-image's default, a flat window of 7 pixels and sample covariance.
    luma: like gaussian, but on BT.601 luma alone.
    """
    images = clamped(restored), sharp
    if definition == "uniform":
        return float(structural_similarity(*images, data_range=1, channel_axis=-1))
    if definition == "luma":
        images = images[0] @ LUMA, images[1] @ LUMA
    return float(
        structural_similarity(
            *images,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1,
            channel_axis=-1,
        )
    )


@dataclass(frozen=True)
class Protocol:
    """What is done to an output before it is compared, and how a record describes it."""

    output: Callable[[Picture], Picture]
    words: str


PROTOCOLS = {
    "authors": Protocol(clamped, "the float output clamped to [0, 1]"),
    "bytes": Protocol(rounded, "the output rounded to 8 bits"),
}


@dataclass(frozen=True)
class Mean:
    """A mean with its 95 % confidence interval, `low` to `high`, and the clusters behind it."""

    mean: float
    low: float
    high: float
    clusters: int

    def __format__(self, spec: str) -> str:
        mean, low, high = (format(v, spec or "+.2f") for v in (self.mean, self.low, self.high))
        return f"{mean} [{low}, {high}]"

    def __str__(self) -> str:
        return format(self, "")

    def rounded(self) -> dict[str, float | None]:
        """For a record: four decimals, finer than is measured here; infinity as null."""
        return {k: round(v, 4) if np.isfinite(v) else None for k, v in asdict(self).items()}


def clustered_mean(values: Sequence[float | int], clusters: Sequence[Hashable]) -> Mean:
    """The mean over clusters (scenes) of the mean within each, with a t interval.

    Images of one scene are alike: counted one by one, they would make the interval too narrow.
    One cluster gives an interval of infinite width.
    """
    groups: dict[Hashable, list[float]] = {}
    for value, cluster in zip(values, clusters, strict=True):
        groups.setdefault(cluster, []).append(value)
    means = np.array([np.mean(g) for g in groups.values()])
    n = len(means)
    with np.errstate(invalid="ignore"):  # an infinite value: the interval is not a number
        half = stats.t.ppf(0.975, n - 1) * means.std(ddof=1) / np.sqrt(n) if n > 1 else np.inf
    middle = float(means.mean())
    return Mean(middle, middle - float(half), middle + float(half), n)
