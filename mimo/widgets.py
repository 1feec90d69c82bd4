"""Sliders for the book that need no kernel: all that they do, they do in the browser."""

import io
from collections.abc import Sequence
from pathlib import Path

import anywidget
import numpy as np
import traitlets
from PIL import Image as PILImage

from mimo.network import MIMOUNet


def encode(image: np.ndarray) -> bytes:
    """An image h x w x 3, bytes or float in [0, 1], as WebP: about a seventh of a PNG, and hardly
    to be told from it."""
    if image.dtype != np.uint8:
        image = (image.clip(0, 1) * 255).round().astype(np.uint8)
    buffer = io.BytesIO()
    PILImage.fromarray(image).save(buffer, "WEBP", quality=92, method=6)
    return buffer.getvalue()


class Compare(anywidget.AnyWidget):
    """Pictures of the same scene under one slider; arrow keys move it, and so does the picture.

    Two pictures lie under a movable edge (`wipe`), several follow one another (`steps`). `alt` says
    what is to be seen, `labels` what each picture is.
    """

    _esm = Path(__file__).with_name("compare.js")
    _css = Path(__file__).with_name("compare.css")
    pictures = traitlets.List(traitlets.Bytes()).tag(sync=True)
    labels = traitlets.List(traitlets.Unicode()).tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)
    mode = traitlets.Unicode().tag(sync=True)
    position = traitlets.Int().tag(sync=True)

    def __init__(
        self, images: Sequence[np.ndarray], labels: Sequence[str], alt: str, *, start: int = 0
    ):
        """`start`: the picture shown first, where there are more than two."""
        if len(images) != len(labels) or len(images) < 2:
            raise ValueError(f"{len(images)} images and {len(labels)} labels: at least 2 of each")
        wipe = len(images) == 2
        super().__init__(
            pictures=[encode(image) for image in images],
            labels=list(labels),
            alt=alt,
            mode="wipe" if wipe else "steps",
            position=50 if wipe else start,
        )


SLIDER = Path(__file__).with_name("compare.js").read_text()
STYLE = Path(__file__).with_name("compare.css").read_text()


class Restore(anywidget.AnyWidget):
    """A network that runs in the reader's browser, on a photo that never leaves it.

    It computes what `mimo.restore` does, in float32. A photo with a side over 1,024 pixels is made
    smaller first. `sample` is a photo for readers who have none at hand.
    """

    _esm = SLIDER.replace("export default { render };", "") + (
        Path(__file__).with_name("restore.js").read_text()
    )
    _css = STYLE + Path(__file__).with_name("restore.css").read_text()
    weights = traitlets.Bytes().tag(sync=True)
    places = traitlets.Dict().tag(sync=True)
    blocks = traitlets.Int().tag(sync=True)
    sample = traitlets.Bytes().tag(sync=True)

    def __init__(self, net: MIMOUNet, sample: np.ndarray):
        """sample: h x w x 3, bytes or float in [0, 1]."""
        where, parts, at = {}, [], 0
        for name, tensor in net.state_dict().items():
            where[name] = [at, *tensor.shape]
            parts.append(tensor.float().cpu().numpy().tobytes())
            at += tensor.numel()
        super().__init__(
            weights=b"".join(parts),
            places=where,
            blocks=net.config["res_blocks"],
            sample=encode(sample),
        )
