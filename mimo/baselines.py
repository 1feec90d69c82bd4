"""What one would have used before deep learning, from scikit-image, judged by the same protocol.

Wiener's filter and the Richardson-Lucy iteration are told the true kernel of the blur (where it
varies over the picture, the kernel in the middle); the unsharp mask is told nothing. The first two
work on light, in which blur is a convolution. The parameters of all three are the best of a few on
the validation photos: `python -m mimo.baselines` tries them, and records what each method gives.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Float
from skimage import filters, restoration

from mimo import record
from mimo.blur import GAMMA
from mimo.data import DATA, Pair
from mimo.evaluate import evaluate, summary, write
from mimo.testset import pairs, source

Picture = Float[np.ndarray, "h w 3"]

WIENER_BALANCE = 0.001
RICHARDSON_LUCY_STEPS = 40
UNSHARP_RADIUS_PX, UNSHARP_AMOUNT = 0.7, 0.3


def _in_light(stored: Picture, deconvolve: Callable[[np.ndarray], np.ndarray], px: int) -> Picture:
    """Apply `deconvolve` to the light of each channel, with mirrored borders of `px` pixels."""
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
    """The Richardson-Lucy iteration with the true kernel; more steps are sharper and noisier."""
    return _in_light(
        pair.blurred / 255,
        lambda light: restoration.richardson_lucy(light, pair.kernel, steps, clip=False),
        len(pair.kernel) // 2,
    )


def unsharp(
    pair: Pair, radius_px: float = UNSHARP_RADIUS_PX, amount: float = UNSHARP_AMOUNT
) -> Picture:
    """The unsharp mask: the photo plus `amount` times what a Gaussian blur takes away."""
    # channel_axis=-1 would mistake rows for channels (scikit-image 0.26).
    return filters.unsharp_mask(pair.blurred / 255, radius_px, amount, channel_axis=2)


BASELINES: dict[str, Callable[[Pair], Picture]] = {
    "wiener": wiener,
    "richardson-lucy": richardson_lucy,
    "unsharp": unsharp,
}

TRIED: dict[str, list[dict[str, float]]] = {
    "wiener": [{"balance": b} for b in (0.0003, 0.001, 0.003, 0.01, 0.03)],
    "richardson-lucy": [{"steps": n} for n in (10, 20, 40)],
    "unsharp": [
        {"radius_px": r, "amount": a} for r in (0.7, 1.0, 1.5, 2.0) for a in (0.3, 0.6, 1.0)
    ],
}


def record_all() -> None:
    """Record how all parameters do on the validation photos, then each method on the test set."""
    folder, tried = DATA / "runs" / "baselines", []
    for name, choices in TRIED.items():
        for choice in choices:
            rows = evaluate(partial(BASELINES[name], **choice), pairs("validation"))
            parameters = ", ".join(f"{k} {v}" for k, v in choice.items())
            tried.append({"name": f"{name}: {parameters}", **summary(rows)["gain_db"]})
            print(*tried[-1].values(), flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    record.write_rows(folder / "validation.csv", tried)
    for name, method in BASELINES.items():
        rows = evaluate(method, pairs("test"))
        command = "python -m mimo.baselines"
        write(folder / f"{name}.json", rows, command, "authors", source("test"))


if __name__ == "__main__":
    record_all()
