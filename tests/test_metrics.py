"""Metrics against known values, and intervals that hold what they promise."""

import time

import numpy as np
import pytest
from scipy import stats

from mimo.config import InputError
from mimo.data import DATA, Pair
from mimo.evaluate import evaluate, report, summary
from mimo.metrics import PROTOCOLS, Mean, clustered_mean, psnr_db, rounded, ssim
from mimo.record import read_json, read_rows

GREY = np.full((16, 16, 3), 0.5)


def test_psnr_of_a_constant_error():
    assert psnr_db(GREY + 0.1, GREY) == pytest.approx(20)
    assert psnr_db(GREY, GREY) == float("inf")


def test_a_mean_is_printed_with_its_interval_in_as_many_decimals_as_asked_for():
    found = Mean(0.1234, -0.05, 0.2, 6)
    assert str(found) == f"{found}" == "+0.12 [-0.05, +0.20]"
    assert f"{found:.3f}" == "0.123 [-0.050, 0.200]"


def test_psnr_clamps_the_restored_image():
    assert psnr_db(np.full((4, 4, 3), 1.7), np.ones((4, 4, 3))) == float("inf")


def test_ssim_is_one_for_equal_images_and_falls_with_noise():
    sharp = np.random.default_rng(0).random((32, 32, 3))
    noise = np.random.default_rng(1).standard_normal(sharp.shape)
    values = [ssim((sharp + s * noise).clip(0, 1), sharp) for s in (0, 0.05, 0.2)]
    assert values[0] == pytest.approx(1) and values[0] > values[1] > values[2]


def test_each_definition_of_ssim_is_what_it_says():
    """Against the means and variances of one window, with the constants of the definition."""
    rng = np.random.default_rng(0)

    def of_window(a, b, weight, sample=1.0):
        means = [(weight * i).sum() for i in (a, b)]
        va, vb, cov = (
            sample * ((weight * i * j).sum() - (weight * i).sum() * (weight * j).sum())
            for i, j in ((a, a), (b, b), (a, b))
        )
        light = (2 * means[0] * means[1] + 1e-4) / (means[0] ** 2 + means[1] ** 2 + 1e-4)
        return light * (2 * cov + 9e-4) / (va + vb + 9e-4)

    # Exactly one window fits, so that its value is the mean over all.
    a, b = rng.random((2, 7, 7, 3))
    flat = [of_window(a[..., c], b[..., c], np.full((7, 7), 1 / 49), 49 / 48) for c in range(3)]
    assert ssim(a, b, "uniform") == pytest.approx(np.mean(flat), abs=1e-6)
    a, b = rng.random((2, 11, 11, 3))
    bell = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    bell = np.outer(bell, bell) / bell.sum() ** 2
    each = [of_window(a[..., c], b[..., c], bell) for c in range(3)]
    assert ssim(a, b) == ssim(a, b, "gaussian") == pytest.approx(np.mean(each), abs=1e-6)
    grey = [0.299 * i[..., 0] + 0.587 * i[..., 1] + 0.114 * i[..., 2] for i in (a, b)]
    assert ssim(a, b, "luma") == pytest.approx(of_window(*grey, bell), abs=1e-6)


def test_a_rounded_output_holds_bytes():
    found = rounded(np.array([[[-0.2, 0.5, 1.3], [0.1, 0.2, 0.3]]]))
    assert np.array_equal(255 * found, [[[0, 128, 255], [26, 51, 76]]])


def test_protocols_differ_by_what_a_file_of_bytes_would_lose():
    """An output half a grey level off is right in the end, or wrong by a whole one."""
    sharp = np.full((32, 32, 3), 100, np.uint8)
    pair = Pair("a", "a", "shake", 1.0, sharp, sharp, np.ones((1, 1)))
    psnr = {
        (protocol, off): evaluate(
            lambda p, off=off: (p.sharp + off) / 255, [pair], protocol=protocol
        )
        for protocol in PROTOCOLS
        for off in (0.49, 0.51)
    }
    psnr = {k: rows[0]["psnr_db"] for k, rows in psnr.items()}
    assert psnr["authors", 0.49] == pytest.approx(20 * np.log10(255 / 0.49), abs=0.01)
    assert psnr["bytes", 0.49] == float("inf")
    assert psnr["bytes", 0.51] == pytest.approx(20 * np.log10(255), abs=0.01)


def test_few_restored_photos_wait_to_be_judged(monkeypatch):
    """On a GPU photos are restored faster than judged, and a large test set would fill memory."""
    grey = np.full((16, 16, 3), 127, np.uint8)
    pairs = [Pair(str(i), "a", "shake", 1.0, grey, grey, np.ones((1, 1))) for i in range(60)]
    waiting, most = set(), []

    def judge(pair, restored, protocol):
        time.sleep(0.01)
        waiting.discard(pair.name)
        return {"name": pair.name}

    def restored(pair):
        waiting.add(pair.name)
        most.append(len(waiting))
        return GREY

    monkeypatch.setattr("mimo.evaluate._row", judge)
    monkeypatch.setattr("mimo.evaluate.AHEAD", 3)
    assert [row["name"] for row in evaluate(restored, pairs)] == [pair.name for pair in pairs]
    assert 1 < max(most) <= 4


def test_an_error_in_judging_ends_the_evaluation_soon(monkeypatch):
    grey = np.full((16, 16, 3), 127, np.uint8)
    pairs = [Pair(str(i), "a", "shake", 1.0, grey, grey, np.ones((1, 1))) for i in range(60)]
    monkeypatch.setattr("mimo.evaluate.AHEAD", 3)
    monkeypatch.setattr("mimo.evaluate._row", lambda *_: [][0])
    restored = []
    with pytest.raises(IndexError):
        evaluate(lambda pair: restored.append(pair) or GREY, pairs)
    assert len(restored) == 4


def test_a_pair_too_small_for_ssim_is_refused_in_one_line():
    for sides in ((10, 16), (16, 10), (11, 11)):
        grey = np.full((*sides, 3), 127, np.uint8)
        pairs = [Pair("s/000001", "s", "blur", 1.0, grey, grey, np.ones((1, 1)))]
        if min(sides) < 11:
            with pytest.raises(InputError, match="s/000001: .* SSIM needs 11 pixels each way"):
                evaluate(lambda pair: pair.sharp / 255, pairs)
    assert evaluate(lambda pair: pair.sharp / 255, pairs)[0]["ssim"] == 1


def test_images_of_one_scene_count_once():
    mean = clustered_mean([1, 1, 1, 1, 3], list("aaaab"))
    assert (mean.mean, mean.clusters) == (2, 2)
    assert (mean.high - mean.low) / 2 == pytest.approx(stats.t.ppf(0.975, 1) * 1)
    assert clustered_mean([1, 2], "aa").high == float("inf")
    assert clustered_mean([1, 2], "aa").rounded()["high"] is None


def test_the_interval_covers_the_truth_19_times_in_20():
    """Scenes differ by a standard deviation of 1, images of a scene by a tenth of it."""
    rng = np.random.default_rng(0)
    scenes = np.repeat(np.arange(20), 4)
    hits = 0
    for _ in range(2000):
        values = rng.standard_normal(20)[scenes] + 0.1 * rng.standard_normal(80)
        mean = clustered_mean(list(values), list(scenes))
        hits += mean.low <= 0 <= mean.high
    assert 0.935 < hits / 2000 < 0.965


def test_a_summary_gives_the_gain_by_strength_of_the_blur():
    base = {
        "kind": "shake",
        "scene": "a",
        "blurred_psnr_db": 20.0,
        "blurred_ssim": 0.5,
        "ssim": 0.6,
    }
    rows = [
        base | {"strength_px": 1.0, "psnr_db": 23.0},
        base | {"strength_px": 20.0, "psnr_db": 21.0},
    ]
    result = summary(rows)
    assert result["gain_db"]["mean"] == 2
    by_band = {k: v["mean"] for k, v in result["gain_db_by_reach_px"].items()}
    assert by_band == {"0-4": 3, "16-30": 1}


@pytest.mark.filterwarnings("error")
def test_kinds_stand_by_themselves_and_few_scenes_have_no_interval():
    base = {"strength_px": 5.0, "blurred_psnr_db": 20.0, "blurred_ssim": 0.5, "ssim": 0.6}
    shake = [base | {"kind": "shake", "scene": s, "psnr_db": 21.0 + s} for s in range(6)]
    frames = [base | {"kind": "frames", "scene": "dog", "psnr_db": 40.0 + i} for i in range(2)]
    result = summary(shake + frames)
    assert result["images"] == 6 and result["gain_db"]["mean"] == 3.5
    assert result["kinds"]["shake"]["gain_db"] == result["gain_db"]
    dog = result["kinds"]["frames"]
    assert dog["gain_db"] == {"mean": 20.5, "low": None, "high": None, "clusters": 1}
    assert dog["scenes"] == {"dog": 20.5}
    first, second = report(result)
    assert first.startswith("shake: 23.50 dB, +3.50 [+1.54, +5.46] dB over the blurred photo (6 pa")
    assert second.endswith("+20.50 dB over the blurred photo (2 pairs; by scene: dog +20.50)")
    shake[0] |= {"blurred_psnr_db": np.inf}  # a pair whose photos are the same
    frames[0] |= {"blurred_psnr_db": np.inf}
    first, second = report(summary(shake + frames))
    why = "gain not finite, as a blurred photo equals its sharp one"
    assert first == f"shake: 23.50 dB, {why} (6 pairs, 6 scenes)"
    assert second == f"frames: 40.50 dB, {why} (2 pairs; by scene: dog not finite)"
    exact = [base | {"kind": "frames", "scene": "dog", "psnr_db": np.inf}]
    found = "infinite dB, infinite dB over the blurred photo (1 pairs; by scene: dog infinite)"
    assert report(summary(exact)) == [f"frames: {found}"]


# A record of times has no photos, and so no result.
RECORDS = sorted(p for p in (DATA / "runs").rglob("*.json") if p.parent.name != "bench")


@pytest.mark.parametrize("path", RECORDS, ids=lambda p: str(p.relative_to(DATA / "runs")))
def test_the_result_of_a_record_follows_from_its_rows(path):
    content = read_json(path)
    rows = content.get("images") or read_rows(path.with_name("images.csv"))
    budgets: dict[float, list[dict]] = {}
    for r in rows:
        budgets.setdefault(r.get("step", 0), []).append(r)
    results = [summary(budgets[step]) for step in sorted(budgets)]
    assert content["result"] == results[-1]
    assert list(content.get("budgets", {"": results[-1]}).values()) == results
