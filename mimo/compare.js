// Pictures of one scene under one slider: see mimo/widgets.py. All of it runs in the browser.
function render({ model, el }) {
  const labels = model.get("labels"), wipe = model.get("mode") === "wipe";
  const root = document.createElement("div");
  root.className = "mimo-compare";
  // In JupyterLab too the arrow keys are the slider's, and not the notebook's.
  root.dataset.lmSuppressShortcuts = "true";
  root.addEventListener("keydown", (event) => event.stopPropagation());
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
