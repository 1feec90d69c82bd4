"""The test set: four kinds, held out, the same bits everywhere."""

import hashlib
import itertools
from collections import Counter

import numpy as np
import pytest

from mimo import data, testset, video
from mimo.data import BANDS_PX, DATA, listing_hash, photo_paths
from mimo.rows import CAMPAIGNS

SHA256 = {
    "rotation": "e24d2c7832eecbbacbfdbf9711b44143a5f0b0e0e0b2e95f8976b578ce0b7e66",
    "panorama": "c466cb0a3242c12bc34d78f7849a313d2b63e2f712fba9df0829e9f2666fbedf",
    "frames": "1ff68db3248ace0750eb1ded08276d82792c475ecdbc9acfa6d004dd70f5becb",
}
CLEAN_SHA256 = "9b808d58cea80877d560b9f60502e72c99ec9200ea272c1de55afab6722f3dd2"


def digest(pairs):
    found = hashlib.sha256()
    for pair in pairs:
        found.update(f"{pair.name} {pair.strength_px:.3f}".encode())
        found.update(pair.blurred.tobytes() + pair.sharp.tobytes())
    return found.hexdigest()


@pytest.fixture(scope="module")
def pairs():
    return {kind: testset.pairs(kind) for kind in testset.KINDS}


def test_there_are_four_kinds(pairs):
    assert {k: len(v) for k, v in pairs.items()} == {
        "shake": 80, "rotation": 40, "panorama": 32, "frames": 9}  # fmt: skip
    assert all(p.kind == kind for kind, found in pairs.items() for p in found)
    names = Counter(p.name for found in pairs.values() for p in found)
    assert max(names.values()) == 1


@pytest.mark.parametrize("kind", SHA256)
def test_a_kind_is_the_same_bits_everywhere(pairs, kind):
    assert digest(pairs[kind]) == SHA256[kind]


def test_no_scene_of_the_test_set_is_trained_on(pairs):
    scenes = {p.scene for found in pairs.values() for p in found}
    trained = {p.stem for split in ("train", "validation") for p in photo_paths(split)}
    assert not scenes & trained
    panoramas = {p.stem for p in (DATA / "panoramas").glob("*.npz")}
    assert scenes == {p.stem for p in photo_paths("test")} | panoramas | {"dog"}


def test_strength_is_recorded_and_lies_in_its_band(pairs):
    for kind in ("rotation", "panorama"):
        for pair in pairs[kind]:
            low, high = map(int, pair.name.rsplit("-", 2)[1:])
            assert 0.95 * low <= pair.strength_px <= 1.05 * high
    assert max(p.strength_px for p in pairs["frames"]) > 8


def test_the_sharp_image_lies_at_the_centroid_of_the_blur(pairs):
    for found in pairs.values():
        for pair in found:
            at = np.arange(len(pair.kernel)) - len(pair.kernel) // 2
            centroid = (pair.kernel.sum(1) * at).sum(), (pair.kernel.sum(0) * at).sum()
            assert np.hypot(*centroid) < 0.05
    # Of frames, the nearest to the centroid is taken.
    frames = video.read_frames(DATA / "frames")
    path = video.motion(frames)
    for start in testset.STARTS:
        part = path[start : start + testset.FRAMES]
        assert np.linalg.norm(part - part.mean(axis=0), axis=1).min() < 0.3


def test_validation_pairs_are_of_the_validation_photos():
    found = testset.pairs("validation")
    assert {p.scene for p in found} == {p.stem for p in photo_paths("validation")}
    assert len(found) == 2 * 4 * len(photo_paths("validation"))


def test_clean_pairs_are_of_the_test_photos_and_have_no_noise():
    found = testset.pairs("clean")
    assert [p.scene for p in found] == [p.stem for p in photo_paths("test") for _ in range(3)]
    for pair, (low, high) in zip(found, testset.CLEAN_BANDS_PX * 20, strict=True):
        assert pair.kind == "shake" and low <= pair.strength_px < high
    assert digest(found) == CLEAN_SHA256
    hardly = data.shake_test(bands_px=testset.CLEAN_BANDS_PX, shot_noise=1e-9, highlight_gain=1.0)
    step = next(hardly).blurred.astype(int) - found[0].blurred
    assert abs(step).max() == 1 and (step != 0).mean() < 0.01  # noise, as little as it is, shows
    trained = CAMPAIGNS["clean"]["full"].config.blur
    assert trained.reach_px == (testset.CLEAN_BANDS_PX[0][0], testset.CLEAN_BANDS_PX[-1][1])
    assert trained.shot_noise == (0, 0) and trained.highlight_gain == (1, 1)


def test_training_pairs_are_of_the_training_photos_at_four_strengths():
    first, second, *_ = (path.stem for path in photo_paths("train"))
    found = list(itertools.islice(testset.training(), 8))
    assert [pair.scene for pair in found] == [first] * 4 + [second] * 4
    for pair, (low, high) in zip(found, BANDS_PX * 2, strict=True):
        assert pair.kind == "shake" and low <= pair.strength_px < high


def test_frames_and_panoramas_are_the_files_that_were_shipped():
    found = {n: listing_hash(sorted((DATA / n).glob("*.[jn]p*"))) for n in ("frames", "panoramas")}
    assert found == FILES


FILES = {
    "frames": "f49041053cb80091473315ee3887f43a40c664e84d8813c2d1844c0b27b90696",
    "panoramas": "51ff76ea4632fdc0efeb0852ff5bce094b31b7e8efeaba78eaaa623351e7df99",
}
