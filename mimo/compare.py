"""Compare rows of a table: paired by seed and by scene, with interval, p value and verdict."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

from mimo import campaign, record
from mimo.metrics import Mean
from mimo.plan import CLAIMS, PAPER_CLAIMS, SMALLEST_DB, Claim
from mimo.rows import ABLATION, named

Differences = Float[np.ndarray, "seeds scenes"]
VERDICTS = ("supported", "contradicted", "not resolved at this scale")


@dataclass(frozen=True)
class Effect:
    """A mean difference, its standard error, and the degrees of freedom of that error."""

    mean: float
    error: float
    freedom: float
    seeds: int
    scenes: int

    def p(self, value: float = 0.0) -> float:
        """Two-sided chance, if the difference were `value`, of a mean at least as far from it."""
        if self.error == 0:  # the rows agree in everything they restore
            return float(self.mean == value)
        return float(2 * stats.t.sf(abs(self.mean - value) / self.error, self.freedom))

    @property
    def half_width(self) -> float:
        """Half the width of the 95 % interval: a t interval, so it is symmetric."""
        return float(stats.t.ppf(0.975, self.freedom)) * self.error

    def interval(self) -> Mean:
        """The mean with its 95 % interval."""
        low, high = self.mean - self.half_width, self.mean + self.half_width
        return Mean(self.mean, low, high, self.seeds)

    def __str__(self) -> str:
        return f"{self.mean:+.3f}\xa0±\xa0{self.half_width:.3f}"


def of_parts(mean: float, parts: Sequence[tuple[float, int]], *, seeds: int, scenes: int) -> Effect:
    """An effect whose variance sums those of several means, each given as (variance, count).

    Degrees of freedom are Satterthwaite's.
    """
    errors = [(variance / n, n) for variance, n in parts]
    total = sum(e for e, _ in errors)
    freedom = total**2 / sum(e**2 / (n - 1) for e, n in errors) if total else np.inf
    return Effect(float(mean), float(total**0.5), float(freedom), seeds, scenes)


def effect(differences: Differences) -> Effect:
    """The mean over seeds and scenes, both taken as samples from many.

    Its variance is the sum of two: that from the means of seeds and that from the means of scenes.
    What is due to neither is counted in both: rather too much than too little.
    Raises ValueError with fewer than two seeds or two scenes.
    """
    n, m = differences.shape
    if min(n, m) < 2:
        raise ValueError(f"{n} seeds and {m} scenes: an interval needs two of each")
    by_seed, by_scene = differences.mean(axis=1), differences.mean(axis=0)
    parts = [(by_seed.var(ddof=1), n), (by_scene.var(ddof=1), m)]
    return of_parts(differences.mean(), parts, seeds=n, scenes=m)


def from_scenes(differences: Differences) -> float:
    """The share of `effect`'s variance from scenes: the most that many seeds would leave of it."""
    by_scene = differences.mean(axis=0)
    return float(by_scene.var(ddof=1) / len(by_scene) / effect(differences).error ** 2)


@dataclass(frozen=True)
class Resampled(Effect):
    """An effect whose p values and interval come from `drawn`: resampled means, sorted."""

    drawn: np.ndarray

    def p(self, value: float = 0.0) -> float:
        """Twice the share of the means on the smaller side of `value`, counting at least one mean.

        This is the chance of error at which an interval would just reach `value`."""
        n = len(self.drawn)
        below = int(np.searchsorted(self.drawn, value, side="right"))
        above = n - int(np.searchsorted(self.drawn, value, side="left"))
        return min(1.0, 2 * max(1, min(below, above)) / n)

    def interval(self) -> Mean:
        """The mean, and the range of the middle 95 % of the resampled means."""
        low, high = np.quantile(self.drawn, (0.025, 0.975))
        return Mean(self.mean, float(low), float(high), self.seeds)

    @property
    def half_width(self) -> float:
        """Half the width of the interval; the mean need not be in its middle."""
        found = self.interval()
        return (found.high - found.low) / 2

    def __str__(self) -> str:
        found = self.interval()
        return f"{self.mean:+.3f}\xa0[{found.low:+.3f},\xa0{found.high:+.3f}]"


def bootstrap(differences: Differences, draws: int = 10_000) -> Resampled:
    """The mean over seeds and scenes, with the hierarchical bootstrap's interval.

    Each draw takes as many seeds and scenes as there are, with replacement: the same scenes for all
    of its seeds, since all seeds are tested on the same scenes (the two are crossed, not nested).
    """
    rng, (n, m) = np.random.default_rng(0), differences.shape
    seeds = rng.multinomial(n, np.full(n, 1 / n), draws) / n
    scenes = rng.multinomial(m, np.full(m, 1 / m), draws) / m
    drawn = np.sort(((seeds @ differences) * scenes).sum(axis=1))
    return Resampled(float(differences.mean()), float(drawn.std()), np.inf, n, m, drawn)


def holm(p: Sequence[float]) -> list[float]:
    """p values of a family, each corrected for the others (Holm's step-down procedure)."""
    adjusted, largest = [0.0] * len(p), 0.0
    for rank, i in enumerate(np.argsort(p)):
        largest = max(largest, min(1.0, (len(p) - rank) * p[i]))
        adjusted[int(i)] = largest
    return adjusted


def corrected(effects: Sequence[Effect], smallest: float) -> list[float]:
    """The corrected p value on which each verdict of a family rests.
    For zero if the effect reaches `smallest`, else for `smallest`; both corrected separately."""
    above = holm([e.p(0.0) for e in effects])
    below = holm([e.p(smallest) for e in effects])
    return [a if e.mean >= smallest else b for e, a, b in zip(effects, above, below, strict=True)]


def verdicts(effects: Sequence[Effect], smallest: float) -> list[str]:
    """The verdict on each claim of a family, namely that a difference is at least `smallest`.
    Supported if it is, and is certainly above zero; contradicted if it is certainly below
    `smallest`; otherwise not resolved. Certain means a corrected p below 0.05."""
    p_values = corrected(effects, smallest)
    certain = [VERDICTS[0] if e.mean >= smallest else VERDICTS[1] for e in effects]
    return [v if p < 0.05 else VERDICTS[2] for v, p in zip(certain, p_values, strict=True)]


def least_supported(of: Effect, number: int, smallest: float) -> float:
    """The smallest mean at which a claim with the scatter of `of` is supported.
    The claim is taken to be the only one above zero in its family of `number` claims."""
    return max(smallest, float(stats.t.isf(0.025 / number, of.freedom)) * of.error)


@cache
def _images(folder: Path) -> tuple[dict, ...]:
    return tuple(record.read_rows(folder / "images.csv"))


Means = Mapping[int, Mapping[str, float]]  # by seed, by scene


def by_scene(
    rows: Iterable[Mapping[str, Any]],
    *,
    measure: str = "psnr_db",
    kind: str = "shake",
    reach_px: tuple[float, float] = ABLATION.blur.reach_px,
    without: str = "",
) -> dict[str, float]:
    """The mean of `measure` by scene, over a record's images of one kind and range of reach.
    `gain_db` is a measure too; `without` is a scene to leave out.

    By default it is what verdicts rest on: PSNR on shaken photos, within the range of reach of the
    tables' training.
    """
    scenes: dict[str, list[float]] = {}
    for r in rows:
        beyond = r["strength_px"] < reach_px[0] or r["strength_px"] >= reach_px[1]  # NaN: not known
        if r["kind"] == kind and not beyond and r["scene"] != without:
            gain = measure == "gain_db"
            value = r["psnr_db"] - r["blurred_psnr_db"] if gain else r[measure]
            scenes.setdefault(r["scene"], []).append(value)
    return {scene: float(np.mean(values)) for scene, values in scenes.items()}


def means(row: str, *, budget: float = 1.0, **where: Any) -> Means:
    """What `by_scene` gives, by seed, after a `budget` (share of the steps). row: CAMPAIGN/ROW."""
    found = {}
    for path in sorted(campaign.RUNS.glob(f"{row}-seed*/run.json")):
        rows = _images(path.parent)
        step = round(budget * max(r["step"] for r in rows))
        seed = int(path.parent.name.rsplit("-seed", 1)[1])
        found[seed] = by_scene((r for r in rows if r["step"] == step), **where)
    return found


def gains(row: str, **where: Any) -> list[float]:
    """The mean gain over the blurred photos in dB, one number per seed; `where`: as in `means`."""
    found = means(row, measure="gain_db", **where)
    return [float(np.mean(list(scenes.values()))) for scenes in found.values()]


def paired(first: Means, second: Means) -> Differences:
    """By how much the first is larger, for each seed that both have and each scene.
    Scenes are in the order of the first row's first seed. Raises ValueError if there is no such
    seed, or if scenes differ."""
    seeds = sorted(first.keys() & second.keys())
    if not seeds:
        raise ValueError(f"seeds {sorted(first)} and {sorted(second)}: none in common")
    scenes = list(first[seeds[0]])
    if any(row[s].keys() != set(scenes) for row in (first, second) for s in seeds):
        raise ValueError("not all rows and seeds have the same scenes")
    return np.array([[first[s][c] - second[s][c] for c in scenes] for s in seeds])


def differences(row: str, other: str, **where: Any) -> Differences:
    """By how much `row` is better than `other`, by seed and scene; `where`: as in `means`."""
    return paired(means(row, **where), means(other, **where))


class Judged(NamedTuple):
    """A claim, what the records say about it, and the verdict."""

    claim: Claim
    effect: Effect
    verdict: str


AWAITED = "seeds are missing"


def judged(
    family: str, *, estimate: Callable[[Differences], Effect] = effect, **where: Any
) -> list[Judged]:
    """The claims of a family, each with its effect and its verdict; `where` is as in `means`.

    estimate: `effect`, which is the plan's, or `bootstrap`. A table at the paper's scale is judged
    with `kind="blur"`, on GoPro's test pairs.

    There is no verdict before the last of the planned runs: whoever looks after every run and
    stops when the result pleases finds what isn't there.
    Raises ValueError if a row has fewer than two seeds.
    """
    claims = (CLAIMS | PAPER_CLAIMS)[family]
    effects = [estimate(differences(c.row, c.other, **where)) for c in claims]
    planned = [min(named(c.row).seeds, named(c.other).seeds) for c in claims]
    complete = all(e.seeds == n for e, n in zip(effects, planned, strict=True))
    found = verdicts(effects, SMALLEST_DB) if complete else [AWAITED] * len(claims)
    return [Judged(*of_claim) for of_claim in zip(claims, effects, found, strict=True)]


def claimed(row: str, other: str) -> Judged:
    """The claim that `row` beats `other`, judged in its family; both CAMPAIGN/ROW.

    Raises StopIteration if there is no such claim.
    """
    pair = (row, other)
    family = next(f for f, of in CLAIMS.items() if pair in [(c.row, c.other) for c in of])
    return next(j for j in judged(family) if (j.claim.row, j.claim.other) == pair)


def turns(family: str) -> list[tuple[int, int]]:
    """For each claim of a family, how many seeds and how many scenes would turn its verdict.
    Each seed or scene is left out alone."""
    pairs = [differences(c.row, c.other) for c in CLAIMS[family]]
    all_in = verdicts([effect(d) for d in pairs], SMALLEST_DB)

    def turned(axis: int) -> list[int]:
        left_out = [
            [effect(np.delete(d, i, axis)) for d in pairs] for i in range(pairs[0].shape[axis])
        ]
        found = [verdicts(effects, SMALLEST_DB) for effects in left_out]
        return [sum(f[i] != verdict for f in found) for i, verdict in enumerate(all_in)]

    return list(zip(turned(0), turned(1), strict=True))
