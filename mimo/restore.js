// The network in the reader's browser, on a photo of the reader's: see mimo/widgets.py. compare.js,
// whose slider shows the result, stands before this. All sizes and names are those of network.py.

// What the worker runs, so that the page stays awake. It gets the weights once, then pixels and the
// number of a network.
function work() {
  let sent, current, weights, blocks, done, total;

  const map = (c, h, w) => ({ c, h, w, data: new Float32Array(c * h * w) });
  const tell = () => postMessage({ progress: ++done / total });

  function relu(x) {
    for (let i = 0; i < x.data.length; i++) if (x.data[i] < 0) x.data[i] = 0;
    return x;
  }

  // A map with a border of one zero, which spares the loops below every check for it.
  function bordered(x) {
    const y = map(x.c, x.h + 2, x.w + 2);
    for (let row = 0; row < x.c * x.h; row++) {
      const c = Math.floor(row / x.h), at = (c * y.h + 1 + row - c * x.h) * y.w + 1;
      y.data.set(x.data.subarray(row * x.w, (row + 1) * x.w), at);
    }
    return y;
  }

  // Convolution 3 x 3 with zero padding, or 1 x 1; row by row, so that what it reads stays near.
  function conv(input, name, stride = 1) {
    const { shape: [c, , m], data: k } = weights[`${name}.weight`], bias = weights[`${name}.bias`].data;
    const { data: x, h, w } = m === 3 ? bordered(input) : input;
    const result = map(c, input.h / stride, input.w / stride), y = result.data, width = result.w;
    for (let r = 0; r < result.h; r++) {
      for (let b = 0; b < c; b++) {
        const at = (b * result.h + r) * width;
        y.fill(bias[b], at, at + width);
        for (let a = 0; a < input.c; a++) {
          const from = (a * h + r * stride) * w, n = (b * input.c + a) * m * m;
          if (m === 1) {
            const k0 = k[n];
            for (let q = 0; q < width; q++) y[at + q] += k0 * x[from + q];
            continue;
          }
          const k0 = k[n], k1 = k[n + 1], k2 = k[n + 2], k3 = k[n + 3], k4 = k[n + 4];
          const k5 = k[n + 5], k6 = k[n + 6], k7 = k[n + 7], k8 = k[n + 8];
          for (let q = 0, p = from; q < width; q++, p += stride) {
            y[at + q] += k0 * x[p] + k1 * x[p + 1] + k2 * x[p + 2]
              + k3 * x[p + w] + k4 * x[p + w + 1] + k5 * x[p + w + 2]
              + k6 * x[p + 2 * w] + k7 * x[p + 2 * w + 1] + k8 * x[p + 2 * w + 2];
          }
        }
      }
    }
    tell();
    return result;
  }

  // 4 x 4 transposed convolution with stride 2 and padding 1, then ReLU: twice the size. Each pixel
  // of the result gets two rows and two columns of the kernel, which ones depends on its parity.
  function up(input, name) {
    const { shape: [, c], data: k } = weights[`${name}.weight`], bias = weights[`${name}.bias`].data;
    const { data: x, h, w } = bordered(input), result = map(c, 2 * input.h, 2 * input.w), y = result.data;
    for (let r = 0; r < result.h; r++) {
      const i = (r + 1) % 2, above = ((r + 1 - i) >> 1) + 1;
      for (let b = 0; b < c; b++) {
        const at = (b * result.h + r) * result.w;
        y.fill(bias[b], at, at + result.w);
        for (let a = 0; a < input.c; a++) {
          const n = ((a * c + b) * 4 + i) * 4, one = (a * h + above) * w + 1, two = one - w;
          for (let q = 0; q < input.w; q++) {
            y[at + 2 * q] += k[n + 1] * x[one + q] + k[n + 3] * x[one + q - 1]
              + k[n + 9] * x[two + q] + k[n + 11] * x[two + q - 1];
            y[at + 2 * q + 1] += k[n] * x[one + q + 1] + k[n + 2] * x[one + q]
              + k[n + 8] * x[two + q + 1] + k[n + 10] * x[two + q];
          }
        }
      }
    }
    tell();
    return relu(result);
  }

  function each(x, z, sum) {
    const y = map(x.c, x.h, x.w);
    for (let i = 0; i < y.data.length; i++) y.data[i] = sum(x.data[i], z.data[i]);
    return y;
  }
  const add = (x, z) => each(x, z, (a, b) => a + b);
  const times = (x, z) => each(x, z, (a, b) => a * b);

  function cat(...parts) {
    const y = map(parts.reduce((n, p) => n + p.c, 0), parts[0].h, parts[0].w);
    let at = 0;
    for (const part of parts) { y.data.set(part.data, at); at += part.data.length; }
    return y;
  }

  // Nearest neighbour: every second (fourth) pixel, or each pixel twice (four times).
  function resize(x, h, w) {
    const y = map(x.c, h, w), step = x.h / h;
    for (let c = 0, at = 0; c < x.c; c++) {
      for (let r = 0; r < h; r++) {
        const row = (c * x.h + Math.floor(r * step)) * x.w;
        for (let q = 0; q < w; q++) y.data[at++] = x.data[row + Math.floor(q * step)];
      }
    }
    return y;
  }

  function chain(x, name) {
    for (let i = 0; i < blocks; i++) {
      x = add(x, conv(relu(conv(x, `${name}.${i}.first.0`)), `${name}.${i}.second`));
    }
    return x;
  }

  function scm(b, k) {
    let z = b;
    for (let i = 0; i < 4; i++) z = relu(conv(z, `scm.${k}.layers.${i}.0`));
    return conv(cat(b, z), `scm.${k}.mix`);
  }

  function forward(b1) {
    const b = { 1: b1, 2: resize(b1, b1.h / 2, b1.w / 2) };
    b[3] = resize(b[2], b1.h / 4, b1.w / 4);
    const e = { 1: chain(relu(conv(b1, "stem.0")), "encoder.1") };
    for (const k of [2, 3]) {
      const x = relu(conv(e[k - 1], `down.${k}.0`, 2));
      const y = add(x, conv(times(x, scm(b[k], k)), `fam.${k}.merge`));
      e[k] = chain(y, `encoder.${k}`);
    }
    let d = chain(e[3], "decoder.3");
    for (const k of [2, 1]) {
      const stack = [1, 2, 3].map((j) => resize(e[j], b[k].h, b[k].w));
      const skip = conv(relu(conv(cat(...stack), `aff.${k}.mix.0`)), `aff.${k}.smooth`);
      d = chain(relu(conv(cat(up(d, `up.${k}.0`), skip), `merge.${k}.0`)), `decoder.${k}`);
    }
    return add(b1, conv(d, "head.1"));
  }

  // Weights are whole numbers of a step, which each row of a tensor's first axis has for itself.
  function unpack(network) {
    const { places, start } = sent.networks[network], steps = new Float32Array(sent.bytes, 0, start / 4);
    ({ blocks } = sent.networks[network]);
    weights = Object.fromEntries(Object.entries(places).map(([name, [first, at, ...shape]]) => {
      const n = shape.reduce((p, m) => p * m, 1), whole = new Int8Array(sent.bytes, start + at, n);
      const data = Float32Array.from(whole, (v, i) => v * steps[first + Math.floor(i * shape[0] / n)]);
      return [name, { shape, data }];
    }));
    // Each convolution reports; two heads are not used.
    total = Object.keys(weights).filter((name) => name.endsWith(".bias")).length - 2;
  }

  onmessage = ({ data }) => {
    if (data.networks) {
      sent = data;
      return;
    }
    if (data.network !== current) unpack(current = data.network);
    // Bytes r, g, b, a of w x h pixels, mirrored at the right and below to multiples of 4.
    const { pixels, w, h } = data, x = map(3, 4 * Math.ceil(h / 4), 4 * Math.ceil(w / 4));
    const mirror = (i, n) => (i < n ? i : Math.max(0, 2 * n - 1 - i));
    for (let c = 0, at = 0; c < 3; c++) {
      for (let r = 0; r < x.h; r++) {
        for (let q = 0; q < x.w; q++) {
          x.data[at++] = pixels[4 * (mirror(r, h) * w + mirror(q, w)) + c] / 255;
        }
      }
    }
    done = 0;
    const y = forward(x), restored = new Uint8ClampedArray(4 * w * h).fill(255);
    for (let c = 0; c < 3; c++) {
      for (let r = 0; r < h; r++) {
        for (let q = 0; q < w; q++) {
          restored[4 * (r * w + q) + c] = 255 * y.data[(c * x.h + r) * x.w + q];  // clamps and rounds
        }
      }
    }
    postMessage({ restored });
  };
}

const LONGEST_PX = 1024;  // of a photo's sides; about ten seconds of work for `tiny`

function restore({ model, el }) {
  const root = el.appendChild(document.createElement("div"));
  root.className = "mimo-restore";
  root.dataset.lmSuppressShortcuts = "true";
  root.addEventListener("keydown", (event) => event.stopPropagation());
  root.innerHTML = `
    <label>A photo of yours: <input type="file" accept="image/*"></label>
    <button type="button">Try one of ours</button>
    <label>Network: <select></select></label>
    <progress max="1" value="0" hidden aria-label="How far the network is"></progress>
    <output></output><div class="result"></div>`;
  const [input, button, select, progress, output, result] =
    ["input", "button", "select", "progress", "output", ".result"].map((name) => root.querySelector(name));
  model.get("networks").forEach(({ name }, i) => select.add(new Option(name, i)));
  let last;  // the photo that was restored last

  const worker = new Worker(URL.createObjectURL(new Blob([`(${work})()`], { type: "text/javascript" })));
  const bytes = model.get("weights");
  worker.postMessage({
    bytes: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength),
    networks: model.get("networks"),
  });

  const draw = (pixels, w, h) => {
    const canvas = Object.assign(document.createElement("canvas"), { width: w, height: h });
    canvas.getContext("2d").putImageData(new ImageData(pixels, w, h), 0, 0);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  };

  async function show(pixels, restored, w, h) {
    const blobs = await Promise.all([draw(pixels, w, h), draw(restored, w, h)]);
    const pictures = await Promise.all(blobs.map(async (b) => new Uint8Array(await b.arrayBuffer())));
    const state = { pictures, labels: ["as it came", "restored"], alt: "Your photo", mode: "wipe", position: 50 };
    let changed = () => {};
    render({ el: result, model: {
      get: (name) => state[name],
      set: (name, value) => { state[name] = value; changed(); },
      on: (_event, callback) => { changed = callback; },
      save_changes: () => {}, off: () => {},
    } });
    const link = result.appendChild(document.createElement("a"));
    Object.assign(link, { href: URL.createObjectURL(blobs[1]), download: "restored.png", textContent: "Download the restored photo" });
  }

  async function run(file) {
    result.replaceChildren();
    output.textContent = "";
    let photo;
    try {
      photo = await createImageBitmap(file);
    } catch {
      output.textContent = `${file.name ?? "This"}: not a photo that this browser can read.`;
      return;
    }
    last = file;
    const shrink = Math.min(1, LONGEST_PX / Math.max(photo.width, photo.height));
    const [w, h] = [photo.width, photo.height].map((n) => Math.max(1, Math.round(n * shrink)));
    const context = Object.assign(document.createElement("canvas"), { width: w, height: h }).getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(photo, 0, 0, w, h);
    const pixels = context.getImageData(0, 0, w, h).data, started = performance.now();
    input.disabled = button.disabled = select.disabled = true;
    progress.hidden = false;
    output.textContent = `${w} x ${h} pixels${shrink < 1 ? `, made smaller from ${photo.width} x ${photo.height}` : ""}`;
    const size = output.textContent;
    worker.onmessage = async ({ data }) => {
      progress.value = data.progress ?? 1;
      if (!data.restored) return;
      await show(pixels, data.restored, w, h);
      output.textContent = `${size}; ${((performance.now() - started) / 1000).toFixed(1)} seconds in your browser`;
      progress.hidden = true;
      input.disabled = button.disabled = select.disabled = false;
    };
    worker.postMessage({ network: select.value, pixels, w, h });
  }

  input.addEventListener("change", () => { if (input.files.length) run(input.files[0]); });
  button.addEventListener("click", () => run(new Blob([model.get("sample")], { type: "image/webp" })));
  select.addEventListener("change", () => { if (last) run(last); });
  return () => worker.terminate();
}
export default { render: restore };
