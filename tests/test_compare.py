"""Rows are compared seed by seed and scene by scene, and the verdict follows the rule."""

import numpy as np
import pytest
from scipy import stats

from mimo import campaign, compare, record
from mimo.compare import VERDICTS, Effect, effect, holm, verdicts
from mimo.plan import CLAIMS, PAPER_CLAIMS, Claim
from mimo.rows import ABLATION, CAMPAIGNS, Row


def drawn(rng, seeds, scenes, sd_seed, sd_scene, sd_rest, mean=0.3):
    a = rng.normal(0, sd_seed, (seeds, 1)) + rng.normal(0, sd_scene, (1, scenes))
    return mean + a + rng.normal(0, sd_rest, (seeds, scenes))


@pytest.mark.parametrize(
    "seeds, scenes, sds",
    [(5, 20, (0.1, 0.1, 0.1)), (5, 20, (0.1, 0.0, 0.2)), (3, 20, (0.05, 0.3, 0.1))],
)
def test_intervals_cover_the_true_difference_as_often_as_they_say(seeds, scenes, sds):
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(2_000):
        found = effect(drawn(rng, seeds, scenes, *sds)).interval()
        covered += found.low <= 0.3 <= found.high
    assert 0.94 <= covered / 2_000 <= 0.985


def test_the_variance_is_that_of_seeds_and_that_of_scenes():
    rng = np.random.default_rng(3)
    found = [effect(drawn(rng, 5, 20, 0.2, 0.2, 0.5)).error ** 2 for _ in range(2_000)]
    of_seeds, of_scenes = (0.2**2 + 0.5**2 / 20) / 5, (0.2**2 + 0.5**2 / 5) / 20
    assert np.mean(found) == pytest.approx(of_seeds + of_scenes, rel=0.05)


def test_seeds_alone_would_promise_too_much_where_scenes_differ():
    rng = np.random.default_rng(1)
    few = drawn(rng, 3, 20, 0.05, 0.3, 0.1)
    assert effect(few).error > 2 * few.mean(axis=1).std(ddof=1) / 3**0.5


def test_an_effect_needs_two_seeds_and_two_scenes():
    for shape in ((1, 20), (5, 1)):
        with pytest.raises(ValueError, match="needs two of each"):
            effect(np.zeros(shape))


def test_a_p_value_is_that_of_the_interval():
    found = effect(drawn(np.random.default_rng(2), 5, 20, 0.1, 0.1, 0.1))
    interval = found.interval()
    assert found.p(interval.low) == pytest.approx(0.05)
    assert found.p(interval.high) == pytest.approx(0.05)
    assert found.p(found.mean) == 1


def test_holm_corrects_each_for_those_not_yet_rejected():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def certain(mean, error=0.001):
    return Effect(mean, error, freedom=10.0, seeds=5, scenes=20)


@pytest.mark.parametrize(
    "mean, error, verdict",
    [
        (0.3, 0.001, VERDICTS[0]),
        (0.3, 0.5, VERDICTS[2]),
        (0.02, 0.001, VERDICTS[1]),  # above zero, and less than what matters
        (0.02, 0.05, VERDICTS[2]),
        (0.045, 0.01, VERDICTS[2]),  # above zero, and perhaps what matters
        (-0.3, 0.001, VERDICTS[1]),
        (-0.3, 0.5, VERDICTS[2]),
    ],
)
def test_verdicts_follow_the_rule_of_the_plan(mean, error, verdict):
    assert verdicts([certain(mean, error)], smallest=0.05) == [verdict]


def test_a_verdict_rests_on_a_p_value_of_the_side_that_its_mean_is_on():
    family = [certain(0.3, 0.1), certain(0.02, 0.02), certain(-0.3, 0.2)]
    above, below = (holm([e.p(value) for e in family]) for value in (0.0, 0.05))
    assert compare.corrected(family, 0.05) == [above[0], below[1], below[2]]
    assert all(a != b for a, b in zip(above, below, strict=True))


def test_a_claim_is_supported_from_the_least_mean_on():
    number, error = 4, 0.04
    least = compare.least_supported(certain(0.0, error), number, 0.05)
    assert least > 0.05 == compare.least_supported(certain(0.0, 0.001), number, 0.05)
    nothing = [certain(0.0, error)] * (number - 1)
    for mean, verdict in ((least + 1e-6, VERDICTS[0]), (least - 1e-6, VERDICTS[2])):
        assert verdicts([certain(mean, error), *nothing], 0.05)[0] == verdict


def test_what_scenes_make_of_a_variance_is_left_by_many_seeds():
    rng = np.random.default_rng(0)
    few = drawn(rng, 3, 20, 0.1, 0.3, 0.0)
    many = np.tile(few, (400, 1))  # the same seeds again and again: what is theirs goes away
    expected = (effect(many).error / effect(few).error) ** 2
    assert compare.from_scenes(few) == pytest.approx(expected, rel=0.01)
    assert 0.1 < expected < 0.95


def test_a_verdict_alone_may_not_hold_in_a_family():
    alone = certain(0.3, 0.3 / 2.5)  # p = 0.03
    assert verdicts([alone], 0.05) == [VERDICTS[0]]
    assert verdicts([alone] * 3, 0.05) == [VERDICTS[2]] * 3


def test_rows_are_paired_by_seed_and_scene(tmp_path, monkeypatch):
    monkeypatch.setattr(campaign, "RUNS", tmp_path)

    def run(name, gains):
        folder = tmp_path / "table" / name
        folder.mkdir(parents=True)
        rows = [
            {"step": step, "name": f"{scene}-{reach}", "scene": scene, "kind": kind}
            | {"strength_px": reach, "blurred_psnr_db": 20.0}
            | {"psnr_db": 20.0 + gain * step * (3 if reach > 8 else 1)}
            for step in (50, 100)
            for kind in ("shake", "rotation")
            for scene, gain in gains.items()
            for reach in (2, 10)
        ]
        record.write_rows(folder / "images.csv", rows)
        record.write_json(folder / "run.json", {})

    run("good-seed0", {"a": 0.05, "b": 0.02})
    run("good-seed1", {"a": 0.04, "b": 0.02})
    run("good-seed2", {"a": 9.0, "b": 9.0})  # the other row has no such seed
    run("bad-seed0", {"b": 0.02, "a": 0.01})  # in another order
    run("bad-seed1", {"a": 0.02, "b": 0.02})
    good, bad = compare.means("table/good"), compare.means("table/bad")
    np.testing.assert_allclose(compare.paired(good, bad), [[4, 0], [2, 0]])
    where = {"budget": 0.5, "reach_px": (8.0, 30.0)}
    np.testing.assert_allclose(
        compare.differences("table/good", "table/bad", **where), [[6, 0], [3, 0]]
    )
    np.testing.assert_allclose(
        compare.differences("table/good", "table/bad", without="b"), [[4], [2]]
    )
    gains = compare.means("table/good", measure="gain_db", kind="rotation")
    assert gains[0] == pytest.approx({"a": 5.0, "b": 2.0})
    words = Claim("good is better", "table/good", "table/bad")
    monkeypatch.setitem(CLAIMS, "table", [words])
    planned = {"good": Row(ABLATION, "", seeds=4), "bad": Row(ABLATION, "", seeds=2)}
    monkeypatch.setitem(CAMPAIGNS, "table", planned)
    (found,) = compare.judged("table", **where)
    assert found.claim == words and found.effect.mean == pytest.approx(2.25)
    assert (
        found.verdict == VERDICTS[2]
    )  # 2.25 from two seeds and two scenes, whose mean is 4.5 or 0
    monkeypatch.setitem(planned, "bad", Row(ABLATION, "", seeds=3))
    assert compare.judged("table")[0].verdict == compare.AWAITED


def test_rows_without_a_seed_or_with_other_scenes_are_not_compared():
    row = {0: {"b": 3.0, "a": 1.0}, 1: {"a": 2.0, "b": 4.0}}
    same = {s: {"a": 0.0, "b": 0.0} for s in row}
    assert compare.paired(row, same).tolist() == [[3, 1], [4, 2]]  # a column for each scene
    for other in ({0: {"a": 0.0}}, {0: same[0] | {"c": 0.0}}, same | {1: {"a": 0.0}}):
        for pair in ((row, other), (other, row)):
            with pytest.raises(ValueError, match="not all rows and seeds have the same scenes"):
                compare.paired(*pair)
    with pytest.raises(ValueError, match=r"seeds \[0, 1\] and \[7\]: none in common"):
        compare.paired(row, {7: row[0]})


def test_a_scene_is_the_mean_of_its_images_of_one_kind_and_reach():
    keys = ("scene", "kind", "strength_px", "psnr_db", "blurred_psnr_db")
    images = [("a", "shake", 1.0, 30.0, 29.0), ("a", "shake", 7.0, 28.0, 25.0)]
    images += [("a", "shake", 9.0, 0.0, 0.0), ("a", "rotation", 2.0, 0.0, 0.0)]
    rows = [dict(zip(keys, r, strict=True)) for r in [*images, ("b", "shake", 2.0, 20.0, 21.0)]]
    assert compare.by_scene(rows) == {"a": 29.0, "b": 20.0}
    assert compare.by_scene(rows, measure="gain_db", without="b") == {"a": 2.0}
    assert compare.by_scene(rows, reach_px=(4.0, 8.0)) == {"a": 28.0}
    of_gopro = dict(zip(keys, ("c", "blur", float("nan"), 26.0, 25.0), strict=True))
    assert compare.by_scene([*rows, of_gopro], kind="blur") == {"c": 26.0}
    with pytest.raises(KeyError, match="smim"):
        compare.by_scene(rows, measure="smim")


def test_a_verdict_that_hangs_on_one_seed_or_scene_is_counted(monkeypatch):
    """One scene, then one seed, lies far from the rest."""
    even = np.full((4, 20), 0.2) + np.random.default_rng(4).normal(0, 0.01, (4, 20))
    far = even - 5.0 * (np.arange(20) == 3)
    monkeypatch.setitem(CLAIMS, "table", [Claim("", "even", ""), Claim("", "far", "")])
    monkeypatch.setattr(compare, "differences", lambda row, other: {"even": even, "far": far}[row])
    assert compare.turns("table") == [(0, 0), (0, 1)]
    seed = even - 0.3 * (np.arange(4)[:, None] == 2)
    monkeypatch.setattr(compare, "differences", lambda row, other: {"even": even, "far": seed}[row])
    assert compare.turns("table") == [(0, 0), (1, 0)]


def test_gains_are_the_means_of_each_seed():
    found = compare.means("components/full", measure="gain_db", budget=0.5)
    assert compare.gains("components/full", budget=0.5) == [
        pytest.approx(sum(scenes.values()) / len(scenes)) for scenes in found.values()
    ]
    assert len(found) == 6 and min(compare.gains("components/full")) > 1


def test_the_bootstrap_draws_seeds_and_scenes_anew():
    rng = np.random.default_rng(3)
    for by_seed, by_scene in ((1.0, 0.0), (0.0, 1.0), (1.0, 2.0)):
        drawn = rng.normal(0, by_seed, (6, 1)) + rng.normal(0, by_scene, (1, 20)) + 0.3
        found = compare.bootstrap(drawn)
        # Without a rest the two variances add up; a bootstrap's are those of the population.
        parts = drawn.mean(axis=1).var() / 6 + drawn.mean(axis=0).var() / 20
        assert found.error == pytest.approx(parts**0.5, rel=0.03)
        assert found.mean == pytest.approx(drawn.mean())
        low, high = found.interval().low, found.interval().high
        assert [found.p(low), found.p(high)] == pytest.approx([0.05, 0.05], abs=0.003)
        assert np.array_equal(found.drawn, compare.bootstrap(drawn).drawn)


def test_the_p_value_of_a_bootstrap_is_never_less_than_one_of_its_draws():
    found = compare.bootstrap(np.full((2, 2), 0.5), draws=100)
    assert found.p(0.0) == found.p(1.0) == 0.02 and found.p(0.5) == 1.0
    assert str(found) == "+0.500\xa0[+0.500,\xa0+0.500]" and found.half_width == 0


def test_rows_that_agree_everywhere_differ_by_nothing_for_certain():
    found = effect(np.zeros((2, 3)))
    assert str(found) == "+0.000\xa0±\xa00.000" and (found.p(0.0), found.p(0.05)) == (1.0, 0.0)
    assert verdicts([found], 0.05) == [VERDICTS[1]]


def test_the_difference_of_two_groups_is_welchs():
    a, b = np.array([1.0, 4.0, 2.0, 9.0]), np.array([3.0, 3.5, 2.0])
    parts = [(float(of.var(ddof=1)), len(of)) for of in (a, b)]
    found = compare.of_parts(a.mean() - b.mean(), parts, seeds=1, scenes=7).interval()
    welch = stats.ttest_ind(a, b, equal_var=False).confidence_interval()
    assert np.allclose((found.low, found.high), (welch.low, welch.high))


def test_a_claim_is_found_by_its_rows_and_judged_in_its_family():
    found = compare.claimed("components/full", "fusion/scm-conv")
    assert found in compare.judged("fusion") and found.claim.other == "fusion/scm-conv"
    with pytest.raises(StopIteration):
        compare.claimed("fusion/fam-sum", "components/full")


# Rows that came after the claims of their table, and without one.
ADDED = {f"{on}ledger/{row}" for on in ("", "clean-") for row in ("targets-nearest", "mirrored")}


def test_every_claim_is_about_two_rows_and_every_row_is_in_a_claim():
    claims = [c for of in CLAIMS.values() for c in of]
    rows = {f"{name}/{row}" for name in CLAIMS for row in CAMPAIGNS[name]}
    assert {r for c in claims for r in (c.row, c.other)} == rows - ADDED and ADDED < rows
    assert len({c.words for c in claims}) == len(claims)
    primary = [c.row for c in claims if c.primary]
    whole = ("components", "long", "size", "clean", "clean-long", "clean-size")
    twice = [[f"{of}/full"] * 2 for of in whole]
    assert primary == sum(twice, [])


def test_the_tables_at_the_papers_scale_have_the_same_claims_and_are_judged(tmp_path, monkeypatch):
    """Of records made up: each row's photos gain what its place in its table says."""
    assert [family.removesuffix("-paper") for family in PAPER_CLAIMS] == list(CLAIMS)[:5]
    monkeypatch.setattr(campaign, "RUNS", tmp_path)
    for family in PAPER_CLAIMS:
        for place, (name, row) in enumerate(CAMPAIGNS[family].items()):
            for seed in range(row.seeds):
                folder = tmp_path / family / f"{name}-seed{seed}"
                folder.mkdir(parents=True)
                rows = [
                    {"step": 9, "name": f"{scene}-1", "scene": scene, "kind": "blur"}
                    | {"strength_px": float("nan"), "blurred_psnr_db": 25.0}
                    | {"psnr_db": 30.0 + place + 0.01 * (seed + 1) * (place + len(scene))}
                    for scene in ("a", "bb", "ccc")
                ]
                record.write_rows(folder / "images.csv", rows)
                record.write_json(folder / "run.json", {})
    for family, small in zip(PAPER_CLAIMS, list(CLAIMS.values())[:5], strict=True):
        found = compare.judged(family, kind="blur")
        places = {name: place for place, name in enumerate(CAMPAIGNS[family])}
        places.setdefault("full", list(CAMPAIGNS["components-paper"]).index("full"))
        assert [j.claim.primary for j in found] == [c.primary for c in small]
        for j in found:
            first, second = (places[r.split("/")[1]] for r in (j.claim.row, j.claim.other))
            assert j.verdict == VERDICTS[first < second], j
    words = {c.words for c in PAPER_CLAIMS["depth-paper"]}
    assert words == {"8 residual blocks beat 4", "16 residual blocks beat 8"}
