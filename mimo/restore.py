"""Restore photos of any size: padding, exact tiles, the rotation ensemble, files and folders."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as PILImage
from PIL import ImageOps, UnidentifiedImageError
from tqdm import tqdm

from mimo import precision, record
from mimo.config import InputError
from mimo.network import MIMOUNet

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
MEMORY_BYTES = 6e9  # photos that need more are restored in tiles
PIXEL_BYTES = 120  # per pixel and channel of scale 1, at the peak; measured in book/inference.md


def restore(
    image: np.ndarray,
    net: MIMOUNet,
    *,
    tile_px: int | None = None,
    ensemble: int = 1,
    bfloat16: bool = False,
) -> np.ndarray:
    """A photo, deblurred: same size, same type.

    image: h x w x 3, of any size from 1 x 1 up; uint8, or float in [0, 1].
    tile_px: restore squares of this side, one after the other. The result is the same as for
    the whole photo, since each square comes with as much around it as the network can see. By
    default, photos for which the network would need more than 6 GB of memory are tiled.
    ensemble: 4 restores the photo in four rotations and takes the mean, which is how MIMO-UNet++
    is made from MIMO-UNet+; 1 does not.
    bfloat16: multiply in half precision, which can be faster where the hardware does that and is
    more work where it does not; most bytes stay the same, some change by a few levels.

    Raises ValueError for any other shape, type, tile or ensemble.
    """
    return restore_scales(image, net, tile_px=tile_px, ensemble=ensemble, bfloat16=bfloat16)[0]


def restore_scales(
    image: np.ndarray,
    net: MIMOUNet,
    *,
    tile_px: int | None = None,
    ensemble: int = 1,
    bfloat16: bool = False,
) -> list[np.ndarray]:
    """All outputs (three in MIMO-UNet), at full, half and quarter size (rounded up).

    Otherwise as `restore`.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"expected an image h x w x 3, not {' x '.join(map(str, image.shape))}")
    if image.dtype != np.uint8 and not np.issubdtype(image.dtype, np.floating):
        raise ValueError(f"expected uint8 or float in [0, 1], not {image.dtype}")
    if image.dtype != np.uint8 and not 0 <= image.min() <= image.max() <= 1:
        raise ValueError(f"expected floats in [0, 1], not {image.min()} to {image.max()}")
    if ensemble not in (1, 4):
        raise ValueError(f"ensemble is 1 or 4, not {ensemble}")
    if tile_px is not None and tile_px < 4:
        raise ValueError(f"tile_px is at least 4, not {tile_px}")
    height, width = image.shape[:2]
    x = image.astype(np.float32) / (255 if image.dtype == np.uint8 else 1)
    x = np.pad(x, ((0, -height % 4), (0, -width % 4), (0, 0)), mode="symmetric")

    turned = [_tiled(np.rot90(x, turn), net, tile_px, bfloat16) for turn in range(ensemble)]
    restored = []
    for k in range(len(net.OUTPUTS)):
        mean = np.mean([np.rot90(out[k], -turn) for turn, out in enumerate(turned)], axis=0)
        cut = mean[: -(-height // 2**k), : -(-width // 2**k)].clip(0, 1)
        is_bytes = image.dtype == np.uint8
        restored.append(
            (cut * 255).round().astype(np.uint8) if is_bytes else cut.astype(image.dtype)
        )
    return restored


def receptive_px(net: MIMOUNet) -> int:
    """How far an output pixel sees, in each direction: 17 + 28 n pixels for n residual blocks."""
    return 17 + 28 * net.config["res_blocks"]


def default_tile_px(net: MIMOUNet, height: int, width: int) -> int:
    """Side of the tiles for a photo: the whole photo, or what fits into `MEMORY_BYTES`, margins
    counted, but no less than 256 pixels, for which a deep and wide network may need more."""
    pixels = MEMORY_BYTES / (PIXEL_BYTES * net.config["width"])
    if height * width <= pixels:
        return max(height, width)
    return max(256, int(pixels**0.5) - 2 * overlap_px(net))


def overlap_px(net: MIMOUNet) -> int:
    """Margin on each side of a tile: all that its pixels see, rounded up to a multiple of 4."""
    return -(-receptive_px(net) // 4) * 4


def _tiled(x: np.ndarray, net: MIMOUNet, tile_px: int | None, bfloat16: bool) -> list[np.ndarray]:
    """The float outputs for `x`, whose sides are multiples of 4."""
    height, width = x.shape[:2]
    if tile_px is None:
        tile_px = default_tile_px(net, height, width)
    tile = tile_px // 4 * 4  # the network's grid: every fourth pixel is one at quarter size
    halo = overlap_px(net)
    out = [np.empty((height >> k, width >> k, 3), np.float32) for k in range(len(net.OUTPUTS))]
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            bottom, right = min(top + tile, height), min(left + tile, width)
            y, x0 = max(top - halo, 0), max(left - halo, 0)
            parts = _run(x[y : bottom + halo, x0 : right + halo], net, bfloat16)
            for k, part in enumerate(parts):
                inside = np.s_[
                    (top - y) >> k : (bottom - y) >> k, (left - x0) >> k : (right - x0) >> k
                ]
                out[k][top >> k : bottom >> k, left >> k : right >> k] = part[inside]
    return out


@torch.inference_mode()
def _run(x: np.ndarray, net: MIMOUNet, bfloat16: bool) -> list[np.ndarray]:
    device = next(net.parameters()).device
    batch = torch.from_numpy(np.ascontiguousarray(x)).permute(2, 0, 1)[None]  # channels last
    with precision.bfloat16(device.type, bfloat16):
        restored = net(batch.to(device))
    return [r[0].permute(1, 2, 0).float().cpu().numpy() for r in restored]


def read_image(path: Path) -> PILImage.Image:
    """Read a photo file, upright, as L, RGB, RGBA or 16-bit grey (I;16).

    16-bit colour is read as 8 bits, the most that Pillow can do. Raises InputError if the file is
    missing, damaged or no image, or holds floating point values, whose range is anyone's guess.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", PILImage.DecompressionBombWarning)
            with PILImage.open(path) as file:
                if getattr(file, "n_frames", 1) > 1 and file.format != "MPO":  # MPO has previews
                    raise InputError(f"{path}: holds several pictures; make a file of each")
                file.load()
                file.getexif()  # read the orientation, and don't write the other tags anew
                for key in ("exif", "Raw profile type exif"):
                    file.info.pop(key, None)
                image = ImageOps.exif_transpose(file)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except UnidentifiedImageError:
        raise InputError(f"{path}: not an image that can be read") from None
    except (PILImage.DecompressionBombWarning, PILImage.DecompressionBombError) as error:
        raise InputError(f"{path}: too many pixels ({error})") from None
    except (InputError, MemoryError):
        raise
    except Exception as error:  # Pillow lets through whatever its decoders meet
        raise InputError(f"{path}: damaged or cut short ({error})") from None
    seen_through = "transparency" in image.info  # one colour means transparent
    if image.mode in ("RGBA", "I;16") or (image.mode in ("L", "RGB") and not seen_through):
        return image
    if image.mode == "F":
        raise InputError(f"{path}: holds floating point values; convert it to 8 or 16 bits")
    if image.mode == "I" and np.asarray(image).max() > 65535:
        raise InputError(f"{path}: holds values above 65,535; convert it to 16 bits")
    if image.mode in ("I", "I;16B"):
        return PILImage.fromarray(np.asarray(image).clip(0, 65535).astype(np.uint16))
    transparent = image.mode in ("LA", "PA", "La", "RGBa") or seen_through
    return image.convert("RGBA" if transparent else "RGB")


def restore_image(image: PILImage.Image, net: MIMOUNet, **how) -> list[PILImage.Image]:
    """All outputs of the network in the mode of `image`; transparency is kept as it was."""
    if image.mode == "I;16":
        grey = np.asarray(image).astype(np.float32) / 65535
        outs = restore_scales(np.repeat(grey[:, :, None], 3, axis=2), net, **how)
        return [
            PILImage.fromarray((o.mean(axis=2) * 65535).round().astype(np.uint16)) for o in outs
        ]
    restored = [
        PILImage.fromarray(o) for o in restore_scales(np.asarray(image.convert("RGB")), net, **how)
    ]
    if image.mode == "L":
        return [r.convert("L") for r in restored]
    if image.mode == "RGBA":
        for r in restored:
            r.putalpha(image.getchannel("A").resize(r.size, PILImage.Resampling.BOX))
    return restored


def write_image(image: PILImage.Image, path: Path, like: PILImage.Image) -> None:
    """Write `image` with the colour profile of `like`, completely or not at all.

    A profile for other colours than those of `image` (inks, or grey) is left out.
    """
    suffix = path.suffix.lower()
    if image.mode == "RGBA" and suffix in (".jpg", ".jpeg"):
        raise InputError(f"{path}: JPEG holds no transparency; write .png or .webp")
    if image.mode == "I;16" and suffix not in (".png", ".tif", ".tiff"):
        raise InputError(f"{path}: {suffix} holds no 16-bit grey; write .png or .tif")
    best: dict[str, Any] = {}
    if suffix in (".jpg", ".jpeg"):
        best = {"quality": 95, "subsampling": 0}
    elif suffix == ".webp":
        best = {"quality": 95}
    profile = like.info.get("icc_profile") or b""
    fits = profile[16:20] == (b"RGB " if image.mode.startswith("RGB") else b"GRAY")
    with record.whole(path) as partial:
        image.save(partial, icc_profile=profile if fits else None, **best)


def restore_files(
    source: Path, output: Path, net: MIMOUNet, *, all_scales: bool = False, **how
) -> list[str]:
    """Restore a photo, or every photo in a folder; returns a line for each problem.

    output: a file name, or a folder (one that exists, or any name if `source` is a folder), where
    photos keep their names. all_scales: write `NAME-half` and `NAME-quarter` too.
    """
    if source.is_dir():
        inputs = sorted(p for p in source.iterdir() if p.suffix.lower() in SUFFIXES)
        if not inputs:
            raise InputError(f"{source}: no images here ({' '.join(SUFFIXES)})")
    else:
        inputs = [source]
    into = source.is_dir() or output.is_dir()
    outputs = [output / p.name for p in inputs] if into else [output]
    names = ["", "-half", "-quarter"] if all_scales else [""]
    written = [new.with_stem(new.stem + name).resolve() for new in outputs for name in names]
    for new in outputs:
        if new.suffix.lower() not in SUFFIXES:
            raise InputError(f"{new}: unknown kind of image; write one of {' '.join(SUFFIXES)}")
        if not into and not new.parent.is_dir():
            raise InputError(f"{new.parent}: no such folder")
    if taken := set(written) & {old.resolve() for old in inputs}:
        raise InputError(f"{min(taken)}: would overwrite a blurred photo; choose another output")
    if len(set(written)) < len(written):
        raise InputError(f"{output}: two outputs would have the same name; rename some photos")
    if into:
        try:
            output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{output}: can't be created as a folder ({error.strerror})") from None

    problems = []
    for old, new in tqdm(list(zip(inputs, outputs, strict=True)), disable=len(inputs) == 1):
        try:
            image = read_image(old)
            scales = restore_image(image, net, **how)
            for name, restored in zip(names, scales, strict=False):
                write_image(restored, new.with_stem(new.stem + name), image)
        except InputError as error:
            problems.append(str(error))
        except (MemoryError, RuntimeError) as error:
            known = isinstance(error, MemoryError | torch.OutOfMemoryError)
            if not known and "DefaultCPUAllocator" not in str(error):  # PyTorch's on a processor
                raise
            problems.append(f"{old}: takes more memory than there is; give a smaller --tile-px")
    return problems
