"""Batches of random crops of GoPro or RealBlur, from their folders or, faster, from a packed copy.

A PNG has to be decoded whole for each crop; from an array on disk only the crop's rows are read.
"""

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.lib.format import write_array_header_1_0
from PIL import Image as PILImage
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mimo import record
from mimo.config import InputError
from mimo.data import Pair
from mimo.datasets import find_pairs, of_split, read_frame


def pack(root: Path, split: str, out: Path, blur: str = "blur") -> dict:
    """Write the pairs of a split to the new folder `out`, or find them there; returns the index.

    Each size gets one WIDTHxHEIGHT.npy: pairs x 2 (blurred, sharp) x height x width x 3 bytes.
    index.json names the pairs in the order of `find_pairs`, with a SHA-256 of names and pixels.
    """
    if (out / "index.json").is_file():
        _listed(out, split, blur)
        return record.read_json(out / "index.json")
    if out.exists():
        raise InputError(f"{out}: already exists; remove it or name another folder")
    pairs = find_pairs(root, split, blur)
    by_size: dict[tuple[int, int], list[int]] = {}
    for i, pair in enumerate(pairs):
        with PILImage.open(pair.sharp) as image:
            by_size.setdefault(image.size, []).append(i)
    partial, rows, digest = out.with_name(out.name + ".partial"), {}, hashlib.sha256()
    try:
        shutil.rmtree(partial, ignore_errors=True)  # left by a run that was killed
        partial.mkdir(parents=True)
        for (w, h), members in by_size.items():
            shape = (len(members), 2, h, w, 3)
            with (partial / f"{w}x{h}.npy").open("wb") as file:
                write_array_header_1_0(
                    file, {"descr": "|u1", "fortran_order": False, "shape": shape}
                )
                for row, i in enumerate(members):
                    content = b"".join(read_frame(path).tobytes() for path in pairs[i][2:])
                    digest.update("/".join(pairs[i][:2]).encode() + content)
                    file.write(content)
                    rows[i] = [*pairs[i][:2], f"{w}x{h}.npy", row]
        listing = [rows[i] for i in range(len(pairs))]
        index = {"split": split, "blur": blur, "sha256": digest.hexdigest(), "pairs": listing}
        record.write_json(partial / "index.json", index)
        partial.rename(out)
    except OSError as error:
        raise InputError(f"{out}: can't be written ({error.strerror})") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return index


@cache  # mapped once per process; a dataset is sent to its workers without its pixels
def _array(path: Path) -> UInt8[np.ndarray, "n 2 h w 3"]:
    """A packed file, mapped into memory instead of read."""
    try:
        return np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: damaged or missing; pack again ({error})") from None


class FramePairs(Dataset):
    """Batches of random crops: item `step` is the batch of that step, the same on every run.

    `folder` is a data set's folder or one from `pack`; both give the same batches. An epoch is
    `steps_per_epoch` steps and shows each pair once, in an order of its own; its last batch is
    smaller if the batch size does not divide the pairs (GoPro: 526 steps of 4, the last of 3).
    Order, place and flip (left to right only, as in the authors' code) follow from seed and step.

    An item is (blurred, sharp), each b 3 crop_px crop_px float32 in [0, 1]; of `processes`, process
    `rank` gets every `processes`-th crop. Raises InputError for pictures smaller than the crop.
    """

    def __init__(
        self,
        folder: Path,
        split: str = "train",
        blur: str = "blur",
        *,
        crop_px: int,
        batch_images: int,
        steps: int,
        seed: int,
        rank: int = 0,
        processes: int = 1,
    ):
        self.crop_px, self.batch_images, self.steps, self.seed = crop_px, batch_images, steps, seed
        self.rank, self.processes = rank, processes
        _, self.places = _listed(folder, split, blur)
        self.steps_per_epoch = -(-len(self.places) // batch_images)
        last = len(self.places) - (self.steps_per_epoch - 1) * batch_images
        if last < processes:
            raise InputError(f"{folder}: {processes} processes can't share a last batch of {last}")

    def __len__(self) -> int:
        """The number of steps."""
        return self.steps

    def images(self, step: int) -> int:
        """How many crops a step has, over all processes: fewer in the last of an epoch."""
        first = step % self.steps_per_epoch * self.batch_images
        return min(self.batch_images, len(self.places) - first)

    def __getitem__(
        self, step: int
    ) -> tuple[Float[Tensor, "b 3 crop crop"], Float[Tensor, "b 3 crop crop"]]:
        """The batch of a step."""
        epoch, step_of_epoch = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng([self.seed, 0, epoch]).permutation(len(self.places))
        first = step_of_epoch * self.batch_images
        chosen = order[first : first + self.batch_images]
        draws = np.random.default_rng([self.seed, 1, step]).random((len(chosen), 3))
        mine = slice(self.rank, None, self.processes)
        places = [self.places[i] for i in chosen[mine]]
        crops = [self._crop(*p, *draw) for p, draw in zip(places, draws[mine], strict=True)]
        blurred, sharp = torch.from_numpy(np.stack(crops, 1)).permute(0, 1, 4, 2, 3).float() / 255
        return blurred, sharp

    def _crop(
        self, first: Path, second: Path | int, y: float, x: float, flip: float
    ) -> UInt8[np.ndarray, "2 crop crop 3"]:
        """The crop of a pair at a place (0 to 1 each way), mirrored if `flip` is below a half."""
        pair = _whole(first, second)
        (h, w), c = pair.shape[1:3], self.crop_px
        if min(h, w) < c:
            raise InputError(f"{first}: {w} x {h}, too small for crops of {c} pixels")
        top, left = int(y * (h - c + 1)), int(x * (w - c + 1))
        crop = pair[:, top : top + c, left : left + c]
        return crop[:, :, ::-1] if flip < 0.5 else crop


def drawn(loader: DataLoader) -> Iterator[Sequence[Tensor]]:
    """The batches of a loader. A worker's InputError comes with a traceback in its message, which
    is left out again."""
    try:
        yield from loader
    except InputError as error:
        raise InputError(str(error).rpartition("InputError: ")[2].strip()) from None


def source(folder: Path, split: str, blur: str) -> dict[str, str]:
    """What a record says about a split: how many pairs it has, and a SHA-256.
    For packed pairs it is the one in the index; otherwise, that of names and sizes in bytes."""
    part = part_of(folder, split)
    names, places = _listed(part, split, blur)
    if (part / "index.json").is_file():
        digest = record.read_json(part / "index.json")["sha256"]
    else:
        sizes = [
            [path.stat().st_size for path in pair if isinstance(path, Path)] for pair in places
        ]
        digest = hashlib.sha256(repr([names, sizes]).encode()).hexdigest()
    return {split: f"{len(names)} pairs of {blur}", f"{split}_sha256": digest}


def part_of(folder: Path, split: str) -> Path:
    """A data set's folder, or its subfolder for a split if the data set is packed."""
    packed = folder / split
    return packed if (packed / "index.json").is_file() else folder


class FrameTest(Sequence[Pair]):
    """The test pairs of GoPro or RealBlur, whole and read on demand; each sequence is a scene."""

    def __init__(self, folder: Path, blur: str = "blur"):
        self.blur = blur
        self.names, self.places = _listed(part_of(folder, "test"), "test", blur)

    def __len__(self) -> int:
        """The number of pairs."""
        return len(self.places)

    def __getitem__(self, i):
        """A pair."""
        sequence, frame = self.names[i]
        blurred, sharp = _whole(*self.places[i])
        name, unknown = f"{sequence}/{frame}", np.ones((1, 1))
        return Pair(name, sequence, self.blur, float("nan"), blurred, sharp, unknown)


def _whole(first: Path, second: Path | int) -> UInt8[np.ndarray, "2 h w 3"]:
    if isinstance(second, int):
        return _array(first)[second]
    return np.stack([read_frame(first), read_frame(second)])


def _listed(
    folder: Path, split: str, blur: str
) -> tuple[list[tuple[str, str]], list[tuple[Path, Path | int]]]:
    """Sequence and frame of each pair, and its place; a packed train contains fit and validation.
    The place is the blurred and the sharp file or, if packed, the array's file and the row."""
    if not (folder / "index.json").is_file():
        pairs = find_pairs(folder, split, blur)
        return [p[:2] for p in pairs], [(p.blurred, p.sharp) for p in pairs]
    try:
        index = record.read_json(folder / "index.json")
        found, rows = (index["split"], index["blur"]), index["pairs"]
        if found[0] == "train" and split in ("fit", "validation"):
            found, rows = (split, found[1]), of_split(rows, split)
        names = [(sequence, frame) for sequence, frame, _, _ in rows]
        places: list[tuple[Path, Path | int]] = [(folder / name, row) for _, _, name, row in rows]
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{folder / 'index.json'}: not an index of packed pairs") from None
    if found != (split, blur):
        raise InputError(f"{folder}: holds {' with '.join(found)}, not {split} with {blur}")
    return names, places
