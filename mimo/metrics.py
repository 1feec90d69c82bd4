"""PSNR and SSIM, and means over test images with an interval that respects their scenes."""

from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats
from skimage.metrics import structural_similarity

Picture = Float[np.ndarray, "h w 3"]


def psnr_db(restored: Picture, sharp: Picture) -> float:
    """Peak signal-to-noise ratio in dB of images in [0, 1]: one mean over pixels and channels.

    `restored` is clamped to [0, 1] and not rounded to bytes, the convention of the authors' code
    and of most of the field. Infinite for equal images.
    """
    error = np.mean((np.clip(restored, 0, 1) - sharp) ** 2, dtype=np.float64)
    return float("inf") if error == 0 else float(-10 * np.log10(error))


def ssim(restored: Picture, sharp: Picture) -> float:
    """Structural similarity of images in [0, 1], the mean over the three channels.

    Gaussian window of 11 pixels, sigma 1.5, as its inventors have it. Numbers of other definitions
    (uniform window, luma alone, one window over all channels) can't be compared with it.
    """
    return float(
        structural_similarity(
            np.clip(restored, 0, 1),
            sharp,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1,
            channel_axis=-1,
        )
    )


@dataclass(frozen=True)
class Mean:
    """A mean with its 95 % confidence interval, `low` to `high`, and the clusters behind it."""

    mean: float
    low: float
    high: float
    clusters: int

    def __str__(self) -> str:
        return f"{self.mean:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"

    def rounded(self) -> dict[str, float | None]:
        """For a record: to four decimals, more than is measured here; infinity as null."""
        return {k: round(v, 4) if np.isfinite(v) else None for k, v in asdict(self).items()}


def clustered_mean(values: Sequence[float | int], clusters: Sequence[Hashable]) -> Mean:
    """The mean over clusters (scenes) of the mean within each, with a t interval.

    Images of one scene are alike: counted one by one, they would make an interval too narrow.
    One cluster gives an interval of infinite width.
    """
    groups: dict[Hashable, list[float]] = {}
    for value, cluster in zip(values, clusters, strict=True):
        groups.setdefault(cluster, []).append(value)
    means = np.array([np.mean(g) for g in groups.values()])
    n = len(means)
    half = stats.t.ppf(0.975, n - 1) * means.std(ddof=1) / np.sqrt(n) if n > 1 else np.inf
    middle = float(means.mean())
    return Mean(middle, middle - float(half), middle + float(half), n)
