"""Plots and displays that pages share: one look, one colour for each scale."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import yaml
from IPython.display import Markdown
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from mimo.bench import cost
from mimo.compare import Judged
from mimo.data import DATA
from mimo.metrics import Mean
from mimo.plan import CLAIMS
from mimo.rows import CAMPAIGNS

SCALE_COLOURS = {1: "#0072b2", 2: "#d55e00", 3: "#009e73"}  # distinct to the colour-blind too


def source(*parts: Callable) -> Markdown:
    """The code of functions or classes, as it stands in the package."""
    return Markdown("\n".join(f"```python\n{inspect.getsource(part)}```\n" for part in parts))


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> Markdown:
    """A table; columns that hold only numbers, or nothing, are right-aligned."""
    number = re.compile(r"[-+–±×\d.,%/()\[\]\s]*")
    numeric = [all(number.fullmatch(str(cell)) for cell in c) for c in zip(*rows, strict=True)]
    rule = ["--:" if n else ":--" for n in numeric]
    lines = [header, rule, *rows]
    return Markdown("\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines))


def row(images: Sequence[np.ndarray], titles: Sequence[str], width: float = 9.0) -> Figure:
    """Images side by side, each pixel drawn as a square, whatever the size of the image."""
    shape = images[0].shape
    height = width / len(images) * shape[0] / shape[1] + 0.35
    figure, axes = plt.subplots(1, len(images), figsize=(width, height), layout="constrained")
    for axis, image, title in zip(np.atleast_1d(axes), images, titles, strict=True):
        axis.imshow(image, cmap="gray", interpolation="nearest")
        axis.set_title(title, fontsize=9)
        axis.axis("off")
    return figure


def picture(figure: Figure) -> np.ndarray:
    """A figure as an image, h x w x 3 bytes; the figure is closed."""
    figure.canvas.draw()
    drawn = np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()  # type: ignore[attr-defined]
    plt.close(figure)
    return drawn


def intervals(
    means: Mapping[str, Mean], *, smallest: float, ends: tuple[float, float], label: str
) -> Figure:
    """Means with intervals, one below the other; the grey band marks what is too small to matter.

    ends: limits of the axis, to compare figures of several tables; label: what the axis measures.
    """
    figure, axis = plt.subplots(figsize=(7.2, 0.7 + 0.3 * len(means)), layout="constrained")
    axis.axvspan(-smallest, smallest, color="0.9")
    axis.axvline(0, color="0.6", lw=0.8)
    for i, found in enumerate(means.values()):
        axis.plot([found.low, found.high], [i, i], color="0.25", lw=2)
        axis.plot(found.mean, i, "o", color="0.25", ms=5)
    axis.set(xlim=ends, ylim=(len(means) - 0.5, -0.5), xlabel=label)
    axis.set_yticks(range(len(means)), list(means), fontsize=9)
    return figure


def feature_maps(
    rows: Mapping[str, Float[Tensor, "c h w"]], channels: Sequence[int], width: float = 9.0
) -> Figure:
    """The same channels of several tensors, a row for each: red is above zero, blue below.

    The maps of a row share a range, written to its left, which holds 99.5 % of the values.
    """
    height, wide = next(iter(rows.values())).shape[1:]
    size = width, width / len(channels) * height / wide * len(rows) + 0.35
    figure, axes = plt.subplots(
        len(rows), len(channels), figsize=size, squeeze=False, layout="constrained"
    )
    for line, (title, features) in zip(axes, rows.items(), strict=True):
        maps = features.detach()[list(channels)].numpy()
        end = float(np.quantile(abs(maps), 0.995)) or 1.0
        for axis, values in zip(line, maps, strict=True):
            axis.imshow(values, cmap="RdBu_r", vmin=-end, vmax=end, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(f"{title}\n± {end:.2g}", fontsize=9)
    for axis, channel in zip(axes[0], channels, strict=True):
        axis.set_title(f"channel {channel}", fontsize=9)
    return figure


def spectrum_db(image: np.ndarray) -> np.ndarray:
    """Magnitudes of an image's Fourier transform in dB, zero frequency in the middle.

    image: h x w x 3 in [0, 1]; the mean of its channels is windowed (Hann), so that its borders
    do not draw a cross.
    """
    grey = image.mean(axis=2) - image.mean()
    window = np.outer(*(np.hanning(n) for n in grey.shape))
    return 20 * np.log10(abs(np.fft.fftshift(np.fft.fft2(grey * window))) + 1e-3)


def verdicts(judged: Sequence[Judged], weak: Sequence[Judged] = ()) -> Markdown:
    """Claims as a table: the verdict, our difference, and the authors' where it is confirmed.

    weak: the same claims on weak blur, in the same order, for two more columns. Primary claims are
    in bold type; with several families, the last column names each claim's family. The authors'
    column is left out if it is empty.
    """
    families = {of: f"`{family}`" for family, claims in CLAIMS.items() for of in claims}
    mixed = len({families.get(of) for of, _, _ in judged}) > 1
    rows = []
    for i, (of, effect, verdict) in enumerate(judged):
        pair = " over ".join(f"`{row.split('/')[1]}`" for row in (of.row, of.other))
        first, second = (authors(row)["value"] for row in (of.row, of.other))
        printed = "" if None in (first, second) else f"{first - second:+.2f}"
        words = f"**{of.words}**" if of.primary else of.words
        again = (weak[i].verdict, weak[i].effect) if weak else ("", "")
        family = families[of] if mixed else ""
        rows.append([f"{words}: {pair}", verdict, effect, *again, printed, family])
    titles = [
        "Claim",
        "Verdict",
        "Difference, dB ± 95 %",
        "On weak blur",
        "Difference there",
        "Authors', dB",
        "Family",
    ]
    filled = [i for i in range(len(titles)) if any(row[i] for row in rows)]
    return table([titles[i] for i in filled], [[row[i] for i in filled] for row in rows])


def planned_rows(families: Sequence[str]) -> Markdown:
    """The rows of some families as a table, with their sizes and their number of seeds."""
    rows = [
        [f"`{family}`", f"`{name}`", row.what, f"{cost(row.config)[0]:,}", row.seeds]
        for family in families
        for name, row in CAMPAIGNS[family].items()
    ]
    return table(["Table", "Row", "What it is", "Parameters", "Seeds"], rows)


def planned_claims(families: Sequence[str]) -> Markdown:
    """The claims of some families as a table, the primary ones in bold type."""
    rows = [
        [
            f,
            f"**{c.words}**" if c.primary else c.words,
            *(f"`{r.split('/')[1]}`" for r in (c.row, c.other)),
        ]
        for f in families
        for c in CLAIMS.get(f, [])
    ]
    return table(["Family", "Claim", "better", "than"], rows)


@cache
def claims() -> dict[str, dict[str, Any]]:
    """Numbers reported by others, from `book/claims.yml`, by name."""
    return yaml.safe_load((DATA.parent / "book" / "claims.yml").read_text())


def authors(row: str) -> dict[str, Any]:
    """The authors' number that `book/claims.yml` sets beside a row, CAMPAIGN/ROW.

    Its `value` is None while no number is confirmed.
    """
    beside = (entry for entry in claims().values() if entry.get("row") == row)
    return next(beside, {"value": None, "sources": []})


def claim(name: str) -> str:
    """A number reported by others, from `book/claims.yml`, with its unit."""
    entry = claims()[name]
    return f"{entry['value']:.2f} {entry['unit']}"
