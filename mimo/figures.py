"""Plots and displays that pages share: one look, one colour for each scale."""

import inspect
from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
import numpy as np
import yaml
from IPython.display import Markdown
from matplotlib.figure import Figure

from mimo.data import DATA

SCALE_COLOURS = {1: "#0072b2", 2: "#d55e00", 3: "#009e73"}  # told apart by the colour-blind too


def source(*parts: Callable) -> Markdown:
    """The code of functions or classes, as it stands in the package."""
    return Markdown("\n".join(f"```python\n{inspect.getsource(part)}```\n" for part in parts))


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> Markdown:
    """A table; all columns but the first are flush right."""
    rule = [":--"] + ["--:"] * (len(header) - 1)
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


def spectrum_db(image: np.ndarray) -> np.ndarray:
    """Magnitudes of an image's Fourier transform in dB, zero frequency in the middle.

    image: h x w x 3 in [0, 1]; the mean of its channels is windowed (Hann), so that its borders
    draw no cross.
    """
    grey = image.mean(axis=2) - image.mean()
    window = np.outer(*(np.hanning(n) for n in grey.shape))
    return 20 * np.log10(abs(np.fft.fftshift(np.fft.fft2(grey * window))) + 1e-3)


def claim(name: str) -> str:
    """A number of others, as `book/claims.yml` has it, with its unit."""
    claims = yaml.safe_load((DATA.parent / "book" / "claims.yml").read_text())
    return f"{claims[name]['value']:.2f} {claims[name]['unit']}"
