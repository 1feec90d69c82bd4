"""The test set: pairs that no training has seen, of four kinds of blur; the same bits everywhere.

Everything is made in seconds, in float64: the last bits, in which machines differ, are lost in the
rounding to bytes; a test compares hashes. The strength of a pair is its reach, the largest distance
between two points of the path; where the reach varies over the picture, it is the mean.
"""

from collections.abc import Callable, Iterator
from functools import cache

import numpy as np

from mimo import blur, camera, video
from mimo.data import (
    BANDS_PX,
    DATA,
    TEST_SEED,
    Pair,
    listing_hash,
    most_textured,
    photo_paths,
    read_photo,
    shake_test,
)

SIDE_PX = 320  # of the pairs made from photos
FOCAL_PX = 920.0  # of a phone's main camera, for photos of 1280 pixels
VIEW = (192, 256)  # h, w of a view of a panorama: about as many pixels as it holds there
VIEW_FOCAL_PX = VIEW[1] / 2 / np.tan(np.radians(40))  # 80 degrees wide
FRAMES = 9  # in an average
# First frames of the averages: in each, a frame lies within 0.3 px of the middle of the motion.
STARTS = (0, 6, 11, 14, 16, 17, 18, 22, 31)
KERNEL_PX = 63
CLEAN_BANDS_PX = ((1, 2), (2, 3), (3, 4))  # of the reach


def rotation_test() -> Iterator[Pair]:
    """Each test photo, taken by a camera that turns about three axes, at two strengths."""
    margin_px = BANDS_PX[-1][1] + 1
    window_px = SIDE_PX + 2 * margin_px
    for i, path in enumerate(photo_paths("test")):
        photo = read_photo(path)
        y, x = most_textured(photo, window_px)
        window = photo[y : y + window_px, x : x + window_px]
        for band, (low, high) in enumerate(BANDS_PX[1:3]):
            rng = np.random.default_rng([TEST_SEED, 1, i, band])
            angles = camera.turns(rng, rng.uniform(low, high), (SIDE_PX, SIDE_PX), FOCAL_PX)
            blurred, sharp = camera.turn_photo(
                window, angles, rng, margin_px=margin_px, focal_px=FOCAL_PX
            )
            places = camera.grid(SIDE_PX, SIDE_PX)[::32, ::32]
            yield Pair(
                name=f"{path.stem}-rotation-{low}-{high}",
                scene=path.stem,
                kind="rotation",
                strength_px=_mean_reach(places, angles, FOCAL_PX),
                blurred=blurred,
                sharp=sharp,
                kernel=_middle_kernel(angles, FOCAL_PX),
            )


def panorama_test() -> Iterator[Pair]:
    """Four views of each panorama, at two strengths, with highlights as bright as they were."""
    for i, path in enumerate(sorted((DATA / "panoramas").glob("*.npz"))):
        with np.load(path) as file:
            panorama = file["light"].astype(np.float64)
        for quarter in range(4):
            for band, (low, high) in enumerate(BANDS_PX[1:3]):
                rng = np.random.default_rng([TEST_SEED, 2, i, quarter, band])
                angles = camera.turns(rng, rng.uniform(low, high), VIEW, VIEW_FOCAL_PX)
                blurred, sharp = camera.turn_panorama(
                    panorama,
                    angles,
                    rng,
                    shape=VIEW,
                    focal_px=VIEW_FOCAL_PX,
                    heading=quarter * np.pi / 2,
                )
                yield Pair(
                    name=f"{path.stem}-{90 * quarter}-{low}-{high}",
                    scene=path.stem,
                    kind="panorama",
                    strength_px=_mean_reach(camera.grid(*VIEW)[::32, ::32], angles, VIEW_FOCAL_PX),
                    blurred=blurred,
                    sharp=sharp,
                    kernel=_middle_kernel(angles, VIEW_FOCAL_PX),
                )


def frames_test() -> Iterator[Pair]:
    """Nine averages, each of nine frames of the clip."""
    frames = video.read_frames(DATA / "frames")
    path = video.motion(frames)
    for start in STARTS:
        part = slice(start, start + FRAMES)
        blurred, sharp, reach_px = video.smooth_pair(frames[part], path[part])
        centred = path[part] - path[part].mean(axis=0)
        yield Pair(
            name=f"dog-{start:02d}",
            scene="dog",
            kind="frames",
            strength_px=reach_px,
            blurred=blurred,
            sharp=sharp,
            kernel=blur.kernels(centred[None], KERNEL_PX)[0],
        )


def _mean_reach(places: camera.Places, angles: camera.Angles, focal_px: float) -> float:
    return float(blur.reach(camera.paths_at(places, angles, focal_px)).mean())


def _middle_kernel(angles: camera.Angles, focal_px: float) -> np.ndarray:
    return blur.kernels(camera.paths_at(np.zeros((1, 1, 2)), angles, focal_px), KERNEL_PX)[0]


def validation() -> Iterator[Pair]:
    """Camera shake on the validation photos, at full and at half size, where they are sharper."""
    yield from shake_test("validation")
    yield from shake_test("validation", crop_px=192, halve=True)


def training() -> Iterator[Pair]:
    """Camera shake on the training photos, for the gain on scenes that were seen in training."""
    return shake_test("train")


def clean() -> Iterator[Pair]:
    """Weak shake of the test photos, without noise or lamps, as in an average of frames."""
    return shake_test(bands_px=CLEAN_BANDS_PX, shot_noise=0.0, highlight_gain=1.0)


KINDS: dict[str, Callable[[], Iterator[Pair]]] = {
    "shake": shake_test,
    "rotation": rotation_test,
    "panorama": panorama_test,
    "frames": frames_test,
}
OTHERS = {"clean": clean, "validation": validation, "train": training}


def source(name: str) -> dict[str, str]:
    """What a record says about the pairs `name`: this name, and a SHA-256 of the split's photos."""
    split = name if name in ("validation", "train") else "test"
    return {"test": name, "test_sha256": listing_hash(photo_paths(split))}


@cache
def pairs(name: str) -> tuple[Pair, ...]:
    """A kind of the test set, all of it (`test`), or one of `OTHERS`; made once."""
    if name == "test":
        return tuple(pair for kind in KINDS for pair in pairs(kind))
    return tuple((KINDS | OTHERS)[name]())
