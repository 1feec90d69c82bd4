"""Restore a test set: a row for each image, then the mean gain with its interval."""

from collections.abc import Iterable

import numpy as np

from mimo.data import BANDS_PX, Pair
from mimo.metrics import clustered_mean, psnr_db, ssim
from mimo.network import MIMOUNet
from mimo.restore import restore

PROTOCOL = (
    "PSNR over RGB of the float output clamped to [0, 1], mean over images within a scene, then "
    "over scenes; 95 % t interval over scenes. SSIM with a Gaussian window, sigma 1.5."
)


def evaluate(net: MIMOUNet, pairs: Iterable[Pair], *, ensemble: int = 1) -> list[dict]:
    """A row for each pair: scene, kind, strength, PSNR and SSIM of the blurred and the restored."""
    rows = []
    for pair in pairs:
        sharp, blurred = (i.astype(np.float32) / 255 for i in (pair.sharp, pair.blurred))
        restored = restore(blurred, net, ensemble=ensemble)
        rows.append(
            {
                "name": pair.name,
                "scene": pair.scene,
                "kind": pair.kind,
                "strength_px": pair.strength_px,
                "blurred_psnr_db": round(psnr_db(blurred, sharp), 4),
                "psnr_db": round(psnr_db(restored, sharp), 4),
                "blurred_ssim": round(ssim(blurred, sharp), 5),
                "ssim": round(ssim(restored, sharp), 5),
            }
        )
    return rows


def summary(rows: list[dict]) -> dict:
    """The result of a run: means over all rows, and the gain in dB by strength of the blur."""

    def mean(key: str, among: list[dict]) -> dict:
        return clustered_mean([r[key] for r in among], [r["scene"] for r in among]).rounded()

    rows = [r | {"gain_db": r["psnr_db"] - r["blurred_psnr_db"]} for r in rows]
    bands = {
        f"{low}-{high}": [r for r in rows if low <= r["strength_px"] < high]
        for low, high in BANDS_PX
    }
    return {
        "images": len(rows),
        "blurred_psnr_db": mean("blurred_psnr_db", rows),
        "psnr_db": mean("psnr_db", rows),
        "gain_db": mean("gain_db", rows),
        "blurred_ssim": mean("blurred_ssim", rows),
        "ssim": mean("ssim", rows),
        "gain_db_by_reach_px": {k: mean("gain_db", v) for k, v in bands.items() if v},
    }
