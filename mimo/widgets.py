"""Widgets for the book that need no kernel: all they do, they do in the browser."""

import copy
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import anywidget
import numpy as np
import torch
import traitlets
from PIL import Image as PILImage
from torch import Tensor

from mimo.network import MIMOUNet


def encode(image: np.ndarray) -> bytes:
    """An image h x w x 3, bytes or float in [0, 1], as WebP.
    It is about a seventh the size of a PNG, and hard to tell from one."""
    if image.dtype != np.uint8:
        image = (image.clip(0, 1) * 255).round().astype(np.uint8)
    buffer = io.BytesIO()
    PILImage.fromarray(image).save(buffer, "WEBP", quality=92, method=6)
    return buffer.getvalue()


class Compare(anywidget.AnyWidget):
    """Pictures of the same scene under one slider, which the arrow keys move too.

    Two pictures are divided by an edge that can also be dragged (`wipe`); more follow one another
    (`steps`). `alt` describes what can be seen; `labels` say what each picture is.
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
        """`start`: the picture shown first, if there are more than two."""
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


def levels(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """A tensor as whole numbers from -127 to 127, and the step for each row of its first axis."""
    numbers = tensor.detach().float().cpu()
    rows = numbers.flatten(1) if numbers.dim() > 1 else numbers[:, None]
    step = rows.abs().amax(dim=1).clamp(min=1e-12) / 127
    return (rows / step[:, None]).round().to(torch.int8), step


def rounded(net: MIMOUNet) -> MIMOUNet:
    """A copy of a network with its weights rounded to 8 bits, as they are sent to a browser."""
    copied = copy.deepcopy(net)
    with torch.no_grad():
        for parameter in copied.parameters():
            numbers, step = levels(parameter)
            parameter.copy_((numbers * step[:, None]).reshape(parameter.shape))
    return copied


class Restore(anywidget.AnyWidget):
    """Networks that run in the reader's browser, on a photo that never leaves it.

    They compute what `mimo.restore` does, in float32, with weights `rounded` to 8 bits. A photo
    with a side over 1,024 pixels is made smaller first.
    """

    _esm = SLIDER.replace("export default { render };", "") + (
        Path(__file__).with_name("restore.js").read_text()
    )
    _css = STYLE + Path(__file__).with_name("restore.css").read_text()
    weights = traitlets.Bytes().tag(sync=True)
    networks = traitlets.List(traitlets.Dict()).tag(sync=True)
    sample = traitlets.Bytes().tag(sync=True)

    def __init__(self, nets: Mapping[str, MIMOUNet], sample: np.ndarray):
        """nets: by the names from which the reader chooses; the first is chosen at the start.
        sample: h x w x 3, bytes or float in [0, 1], for readers who have no photo at hand."""
        networks: list[dict] = []
        steps, numbers = [], []
        first = at = 0
        for name, net in nets.items():
            places = {}
            for tensor_name, tensor in net.state_dict().items():
                places[tensor_name] = [first, at, *tensor.shape]
                whole, step = levels(tensor)
                steps.append(step.numpy().tobytes())
                numbers.append(whole.numpy().tobytes())
                first, at = first + len(step), at + tensor.numel()
            blocks = net.config["res_blocks"]
            networks.append({"name": name, "places": places, "blocks": blocks})
        # All steps come first, as float32, and then the numbers, from `start` on.
        networks = [of | {"start": 4 * first} for of in networks]
        super().__init__(
            weights=b"".join(steps + numbers), networks=networks, sample=encode(sample)
        )
