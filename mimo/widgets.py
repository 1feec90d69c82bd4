"""Sliders for the book that need no kernel: all that they do, they do in the browser."""

import io
from collections.abc import Sequence

import anywidget
import numpy as np
import traitlets
from PIL import Image as PILImage


def encode(image: np.ndarray) -> bytes:
    """An image h x w x 3, bytes or float in [0, 1], as WebP: a tenth of a PNG's size, and hardly
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

    _esm = """
    function render({ model, el }) {
      const labels = model.get("labels"), wipe = model.get("mode") === "wipe";
      const root = document.createElement("div");
      root.className = "mimo-compare";
      const stage = root.appendChild(document.createElement("div"));
      stage.className = "stage";
      const urls = model.get("pictures").map(
        (bytes) => URL.createObjectURL(new Blob([bytes], { type: "image/webp" })));
      const pictures = urls.map((url, i) => {
        const image = stage.appendChild(new Image());
        image.src = url;
        image.alt = `${model.get("alt")}: ${labels[i]}`;
        image.draggable = false;
        return image;
      });
      const row = root.appendChild(document.createElement("label"));
      const range = document.createElement("input");
      range.type = "range";
      range.min = 0;
      range.max = wipe ? 100 : labels.length - 1;
      range.setAttribute("aria-label", `${model.get("alt")}: ${labels.join(", ")}`);
      const output = document.createElement("output");
      if (wipe) {
        row.append(labels[0], range, labels[1]);
      } else {
        row.append(range, output);
      }
      const draw = () => {
        const at = model.get("position");
        range.value = at;
        if (wipe) {
          pictures[1].style.clipPath = `inset(0 0 0 ${at}%)`;
          stage.style.setProperty("--edge", `${at}%`);
          range.setAttribute("aria-valuetext", `${at} % ${labels[0]}`);
        } else {
          pictures.forEach((p, i) => { p.style.visibility = i === at ? "visible" : "hidden"; });
          output.textContent = labels[at];
          range.setAttribute("aria-valuetext", labels[at]);
        }
      };
      const move = (value) => {
        model.set("position", Math.round(Math.min(Math.max(value, 0), range.max)));
        model.save_changes();
      };
      range.addEventListener("input", () => move(+range.value));
      const drag = (event) => {
        if (!wipe || event.buttons !== 1) return;
        const box = stage.getBoundingClientRect();
        move(100 * (event.clientX - box.left) / box.width);
      };
      stage.addEventListener("pointerdown", drag);
      stage.addEventListener("pointermove", drag);
      stage.classList.toggle("wipe", wipe);
      model.on("change:position", draw);
      draw();
      el.append(root);
      return () => { model.off("change:position", draw); urls.forEach(URL.revokeObjectURL); };
    }
    export default { render };
    """
    _css = """
    .mimo-compare { max-width: 42rem; }
    .mimo-compare .stage { position: relative; overflow: hidden; touch-action: pan-y; }
    .mimo-compare .stage img { display: block; width: 100%; margin: 0; user-select: none; }
    .mimo-compare .stage img + img { position: absolute; inset: 0; }
    .mimo-compare .wipe { cursor: ew-resize; }
    .mimo-compare .wipe::after { content: ""; position: absolute; top: 0; bottom: 0;
      left: var(--edge); width: 2px; margin-left: -1px; background: white;
      box-shadow: 0 0 3px black; pointer-events: none; }
    .mimo-compare label { display: flex; gap: 0.75em; align-items: center; margin: 0.4em 0 0; }
    .mimo-compare input { flex: 1; min-width: 6em; }
    .mimo-compare output { min-width: 11em; font-variant-numeric: tabular-nums; }
    """
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
