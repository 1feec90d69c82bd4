"""The test set: four kinds, held out, the same bits everywhere."""

import hashlib
import itertools
from collections import Counter

import numpy as np
import pytest

from mimo import testset, video
from mimo.data import BANDS_PX, DATA, listing_hash, photo_paths

SHA256 = {
    "rotation": "e24d2c7832eecbbacbfdbf9711b44143a5f0b0e0e0b2e95f8976b578ce0b7e66",
    "panorama": "c466cb0a3242c12bc34d78f7849a313d2b63e2f712fba9df0829e9f2666fbedf",
    "frames": "1ff68db3248ace0750eb1ded08276d82792c475ecdbc9acfa6d004dd70f5becb",
}


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
