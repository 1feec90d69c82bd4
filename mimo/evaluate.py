"""Restore a test set: a row for each image, then the mean gain with its interval."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mimo import record
from mimo.config import InputError
from mimo.data import BANDS_PX, Pair
from mimo.metrics import PROTOCOLS, WINDOW_PX, Mean, clustered_mean, psnr_db, ssim
from mimo.network import MIMOUNet
from mimo.restore import restore

PROTOCOL = (
    "PSNR over RGB of {}, mean over images within a scene, then "
    "over scenes; 95 % t interval over scenes. SSIM with a Gaussian window, sigma 1.5."
)
AHEAD = 16  # restored photos that may wait to be judged: a GPU is faster than SSIM
FEW_SCENES = 5  # with fewer, a record lists each scene and gives no interval
MEASURES = ("blurred_psnr_db", "psnr_db", "gain_db", "blurred_ssim", "ssim")


def evaluate(
    restored: Callable[[Pair], np.ndarray],
    pairs: Iterable[Pair],
    protocol: str = "authors",
) -> list[dict]:
    """A row for each pair: scene, kind, strength, and PSNR and SSIM before and after restoring.

    restored: the method to judge, a function from a pair to an image h w 3 in [0, 1]; `by_network`
    makes one from a network. It may use the kernel of the pair, but not the sharp image.
    protocol: a name of `mimo.metrics.PROTOCOLS`.
    """
    rows: list[Future[dict]] = []
    with ThreadPoolExecutor() as pool:  # one is judged while the next is restored
        for pair in pairs:
            h, w = pair.sharp.shape[:2]
            if min(h, w) < WINDOW_PX:
                raise InputError(f"{pair.name}: {w} x {h}; SSIM needs {WINDOW_PX} pixels each way")
            rows.append(pool.submit(_row, pair, restored(pair), protocol))
            if len(rows) > AHEAD:
                rows[-AHEAD - 1].result()  # its error, if any, ends this now
    return [row.result() for row in rows]


def _row(pair: Pair, restored: np.ndarray, protocol: str) -> dict:
    sharp, blurred = (i.astype(np.float32) / 255 for i in (pair.sharp, pair.blurred))
    found = PROTOCOLS[protocol].output(restored.astype(np.float32))
    return {
        "name": pair.name,
        "scene": pair.scene,
        "kind": pair.kind,
        "strength_px": round(pair.strength_px, 4),
        "blurred_psnr_db": round(psnr_db(blurred, sharp), 4),
        "psnr_db": round(psnr_db(found, sharp), 4),
        "blurred_ssim": round(ssim(blurred, sharp), 5),
        "ssim": round(ssim(found, sharp), 5),
    }


def by_network(net: MIMOUNet, *, ensemble: int = 1) -> Callable[[Pair], np.ndarray]:
    """A function that restores a pair's blurred image with a network."""
    return lambda pair: restore(pair.blurred.astype(np.float32) / 255, net, ensemble=ensemble)


def _mean(key: str, rows: list[dict]) -> dict:
    return clustered_mean([r[key] for r in rows], [r["scene"] for r in rows]).rounded()


def _means(rows: list[dict]) -> dict:
    return {"images": len(rows)} | {key: _mean(key, rows) for key in MEASURES}


def summary(rows: list[dict]) -> dict:
    """The result of a run: means over its first kind (`shake` in the test set), with the gain in dB
    by strength; under `kinds`, each kind by itself, since their scenes differ."""
    rows = [r | {"gain_db": r["psnr_db"] - r["blurred_psnr_db"]} for r in rows]
    kinds = {k: [r for r in rows if r["kind"] == k] for k in dict.fromkeys(r["kind"] for r in rows)}
    first = kinds[next(iter(kinds))]
    bands = {
        f"{low}-{high}": [r for r in first if low <= r["strength_px"] < high]
        for low, high in BANDS_PX
    }
    return _means(first) | {
        "gain_db_by_reach_px": {k: _mean("gain_db", v) for k, v in bands.items() if v},
        "kinds": {k: _kind(v) for k, v in kinds.items()},
    }


def _kind(rows: list[dict]) -> dict:
    scenes = list(dict.fromkeys(r["scene"] for r in rows))
    result = _means(rows)
    if len(scenes) < FEW_SCENES:
        for key in MEASURES:
            result[key] |= {"low": None, "high": None}
        result["scenes"] = {
            s: _mean("gain_db", [r for r in rows if r["scene"] == s])["mean"] for s in scenes
        }
    return result


def _db(value: float | None, spec: str, infinite: str = "infinite") -> str:
    return infinite if value is None else format(value, spec)


def report(result: dict) -> list[str]:
    """A line for each kind in a result."""
    lines = []
    for kind, found in result["kinds"].items():
        gain = _db(found["gain_db"]["mean"], "+.2f")
        same = found["blurred_psnr_db"]["mean"] is None  # there, no restoring gains anything
        if "scenes" in found:
            word = "not finite" if same else "infinite"
            each = ", ".join(f"{s} {_db(db, '+.2f', word)}" for s, db in found["scenes"].items())
            behind = f"{found['images']} pairs; by scene: {each}"
        else:
            if found["gain_db"]["mean"] is not None:
                gain = str(Mean(**found["gain_db"]))
            behind = f"{found['images']} pairs, {found['gain_db']['clusters']} scenes"
        psnr = f"{_db(found['psnr_db']['mean'], '.2f')} dB"
        gain = f"{gain} dB over the blurred photo"
        if same:
            gain = "gain not finite, as a blurred photo equals its sharp one"
        lines.append(f"{kind}: {psnr}, {gain} ({behind})")
    return lines


def write(
    path: Path, rows: list[dict], command: str, protocol: str, source: dict[str, str]
) -> None:
    """Record an evaluation: what was run, on which pairs, and each row."""
    content = {
        "command": command,
        "git": record.git_state(),
        "versions": record.versions(),
        "hardware": record.hardware(),
        "data": source,
        "protocol": f"{protocol}: {PROTOCOL.format(PROTOCOLS[protocol].words)}",
        "result": summary(rows),
        "images": rows,
    }
    record.write_json(path, content)
