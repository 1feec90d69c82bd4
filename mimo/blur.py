"""Camera shake on a sharp photo: the path of a camera, its kernel, and light added up along it.

A sensor adds up light, so blur is linear in light and not in the stored values, which a response
curve has compressed. Everything here is a batch: `b` photos, each with a path of its own.
"""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from numpy.random import Generator
from scipy.fft import next_fast_len
from torch import Tensor

GAMMA = 2.2  # the response curve: stored value = light ** (1 / GAMMA)


def trajectories(
    rng: Generator, reach_px: Float[np.ndarray, " b"], moments: int = 128
) -> Float[np.ndarray, "b t 2"]:
    """Paths (y, x) of a shaken camera, in pixels, one for each reach.

    A hand pushes the camera about: its velocity is a random walk that forgets its past after a time
    drawn for each path, so that some paths are nearly straight and others tangled. Moments are
    equally spaced in time: where the camera lingers, points are dense and the blur is bright.

    The reach of a path is the largest distance between two of its points; the mean of its points
    is (0, 0), so that a sharp photo and its blurred version are aligned.
    """
    b = len(reach_px)
    memory = np.exp(-1 / (moments * 10 ** rng.uniform(-1, 0.5, (b, 1))))
    push = rng.standard_normal((b, moments, 2))
    velocity = np.empty_like(push)
    velocity[:, 0] = push[:, 0]
    for t in range(1, moments):
        velocity[:, t] = memory * velocity[:, t - 1] + np.sqrt(1 - memory**2) * push[:, t]
    path = velocity.cumsum(axis=1)
    path -= path.mean(axis=1, keepdims=True)
    return path * (reach_px / reach(path))[:, None, None]


def reach(path: Float[np.ndarray, "b t 2"]) -> Float[np.ndarray, " b"]:
    """The largest distance between two points of each path."""
    y, x = path[:, :, 0], path[:, :, 1]
    square = (y[:, :, None] - y[:, None]) ** 2 + (x[:, :, None] - x[:, None]) ** 2
    return np.sqrt(square.max(axis=(1, 2)))


def kernels(path: Float[np.ndarray, "b t 2"], side_px: int) -> Float[np.ndarray, "b k k"]:
    """Point spread functions of paths: each moment adds its share of light at its place.

    A point between pixels is shared among the four around it, which keeps the centroid at the
    middle of the kernel. Each kernel sums to one. Raises ValueError if a path leaves the kernel,
    or if `side_px` is even.
    """
    b, moments, _ = path.shape
    at = path + (side_px - 1) / 2
    if side_px % 2 == 0 or at.min() < 0 or at.max() > side_px - 1:
        raise ValueError(f"a kernel of {side_px} pixels does not hold a path to {abs(path).max()}")
    low = np.minimum(np.floor(at).astype(int), side_px - 2)
    part = at - low
    out = np.zeros((b, side_px, side_px))
    which = np.arange(b)[:, None]
    for dy in (0, 1):
        for dx in (0, 1):
            weight = abs(1 - dy - part[:, :, 0]) * abs(1 - dx - part[:, :, 1])
            np.add.at(out, (which, low[:, :, 0] + dy, low[:, :, 1] + dx), weight / moments)
    return out


def linearise(stored: Tensor, gamma: float = GAMMA) -> Tensor:
    """Light (0 to 1) from stored values (0 to 1)."""
    return stored**gamma


def respond(light: Tensor, gamma: float = GAMMA) -> Tensor:
    """Stored values (0 to 1) from light; what is too bright is clipped."""
    return light.clamp(0, 1) ** (1 / gamma)


def lift_highlights(light: Tensor, gain: Float[Tensor, " b"], gamma: float = GAMMA) -> Tensor:
    """Give clipped pixels back light: full white becomes `gain` times as bright.

    A lamp is brighter than the sensor could store; blurred, it draws a streak and not a grey veil.
    Only pixels with all channels within four of 255 levels of white are lifted: a white wall that
    is not clipped stays as it is, or thin dark lines on it would drown in light that was not there.
    """
    floor = (251 / 255) ** gamma
    over = ((light.amin(dim=1, keepdim=True) - floor) / (1 - floor)).clamp(min=0)
    return light * (1 + (gain[:, None, None, None] - 1) * over)


def convolve(
    light: Float[Tensor, "b c h w"], kernel: Float[Tensor, "b k k"]
) -> Float[Tensor, "b c h2 w2"]:
    """Blur each photo with its own kernel, where the whole kernel fits: sides shrink by k - 1."""
    (h, w), k = light.shape[-2:], kernel.shape[-1]
    s = next_fast_len(h, True), next_fast_len(w, True)
    spectrum = torch.fft.rfft2(light, s) * torch.fft.rfft2(kernel, s)[:, None]
    return torch.fft.irfft2(spectrum, s)[..., k - 1 : h, k - 1 : w]


def shake(
    stored: Float[Tensor, "b 3 h w"],
    kernel: Float[Tensor, "b k k"],
    noise: Float[Tensor, "b 3 h2 w2"],
    shot_noise: Float[Tensor, " b"],
    highlight_gain: Float[Tensor, " b"],
    gamma: float = GAMMA,
) -> Float[Tensor, "b 3 h2 w2"]:
    """What a shaken camera stores: values 0 to 1 in steps of 1/255, sides smaller by k - 1.

    `noise` is standard normal; it is scaled so that its variance in light is `shot_noise` times the
    light, as for photons. After the response curve it is nearly the same at all values.
    """
    light = lift_highlights(linearise(stored, gamma), highlight_gain, gamma)
    light = convolve(light, kernel).clamp(min=0)
    light = light + noise * (shot_noise[:, None, None, None] * light).sqrt()
    return (respond(light, gamma) * 255).round() / 255


def store(light: Float[Tensor, "1 3 h w"], rng: Generator, shot_noise: float) -> Tensor:
    """One picture of light as a camera stores it: noise as in `shake`, response, 256 values."""
    noise = torch.from_numpy(rng.standard_normal(light.shape))
    return (respond(light + noise * (shot_noise * light).sqrt()) * 255).round() / 255


def to_bytes(stored: Float[Tensor, "1 3 h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """One picture of stored values (0 to 1) as a photo of bytes."""
    return (stored[0].permute(1, 2, 0) * 255).round().to(torch.uint8).contiguous().numpy()


def crop_middle(image: Tensor, margin: int) -> Tensor:
    """`image` without `margin` pixels on each side: a sharp photo at the blurred one's size."""
    return F.pad(image, (-margin,) * 4)


def shake_photo(
    photo: UInt8[np.ndarray, "h w 3"],
    path: Float[np.ndarray, "t 2"],
    rng: Generator,
    *,
    margin_px: int = 31,
    shot_noise: float = 5e-5,
    highlight_gain: float = 2.0,
    gamma: float = GAMMA,
) -> tuple[UInt8[np.ndarray, "h2 w2 3"], UInt8[np.ndarray, "h2 w2 3"]]:
    """One photo as a camera on this path stores it, and the sharp photo cut to the same size.

    Computed in float64; both come back as bytes, smaller than `photo` by `margin_px` on each side,
    which must hold the path (ValueError if it does not).
    """
    stored = torch.from_numpy(photo.copy()).permute(2, 0, 1)[None].double() / 255
    sharp = photo[margin_px:-margin_px, margin_px:-margin_px]
    one = torch.ones(1, dtype=torch.float64)
    blurred = shake(
        stored,
        torch.from_numpy(kernels(path[None], 2 * margin_px + 1)),
        torch.from_numpy(rng.standard_normal((1, 3, *sharp.shape[:2]))),
        shot_noise * one,
        highlight_gain * one,
        gamma,
    )
    return to_bytes(blurred), sharp


def average_frames(
    frames: UInt8[np.ndarray, "t h w 3"], gamma: float = GAMMA
) -> UInt8[np.ndarray, "h w 3"]:
    """The mean of consecutive sharp frames, as GoPro was made. Stored values in, stored values out.

    The mean is over light, through the inverse of the response curve and back; gamma 1 averages
    the stored values themselves. Too few frames, too far apart, make a row of ghosts instead of a
    blur: `mimo.video.smooth_pair` measures their distance and refuses them.
    """
    total = np.zeros(frames.shape[1:])
    for frame in frames:
        total += (frame / 255) ** gamma
    return (255 * (total / len(frames)) ** (1 / gamma)).round().astype(np.uint8)
