"""Pairs of a blurred and a sharp photo: made on the fly for training, fixed for testing."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image as PILImage
from torch import Tensor
from torch.utils.data import Dataset

from mimo import blur
from mimo.config import BlurConfig, InputError

# The data that the pages read: in a wheel inside the package, in a clone beside it.
_HERE = Path(__file__).resolve().parent
DATA = (_HERE / "_book" if (_HERE / "_book").is_dir() else _HERE.parent) / "data"
BANDS_PX = ((0, 4), (4, 8), (8, 16), (16, 30))  # of the reach, in the test set
TEST_SEED = 2021  # for the paths and the noise of all test pairs
TILE_PX = 32  # crops are drawn by the texture of tiles of this size

Photo = UInt8[np.ndarray, "h w 3"]


def photo_paths(split: str, folder: Path = DATA / "photos") -> list[Path]:
    """The photos of a split (`train`, `validation`, `test`), sorted by name."""
    paths = sorted(
        p for p in (folder / split).glob("*") if p.suffix.lower() in (".jpg", ".webp", ".png")
    )
    if not paths:
        raise InputError(f"{folder / split}: no photos (.jpg, .webp, .png) here")
    return paths


def read_photo(path: Path) -> Photo:
    """A photo as h w 3 bytes. Raises InputError for grey with more than 8 bits."""
    with PILImage.open(path) as image:
        if image.mode.startswith(("I", "F")):  # would be cut off at 255
            raise InputError(f"{path}: holds {image.mode} pixels; convert it to 8 bits a channel")
        return np.asarray(image.convert("RGB"))


def halved(photo: Photo) -> UInt8[np.ndarray, "h2 w2 3"]:
    """A photo at half size, each pixel the mean light of four."""
    h, w = photo.shape[0] // 2, photo.shape[1] // 2
    light = ((np.arange(256) / 255) ** blur.GAMMA)[photo[: 2 * h, : 2 * w]]
    mean = light.reshape(h, 2, w, 2, 3).mean(axis=(1, 3)) ** (1 / blur.GAMMA)
    return (255 * mean).round().astype(np.uint8)


def listing_hash(paths: list[Path]) -> str:
    """One SHA-256 for the names and the contents of files."""
    lines = [f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.name}\n" for p in paths]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def texture(photo: Photo) -> Float[np.ndarray, "rows columns"]:
    """How much there is to deblur in each 32 x 32 tile: mean steps between neighbours in green."""
    green = photo[:, :, 1].astype(np.float32)
    steps = abs(np.diff(green, axis=0))[:, :-1] + abs(np.diff(green, axis=1))[:-1]
    rows, columns = (n // TILE_PX for n in steps.shape)
    tiles = steps[: rows * TILE_PX, : columns * TILE_PX]
    return tiles.reshape(rows, TILE_PX, columns, TILE_PX).mean(axis=(1, 3))


def window_px(crop_px: int, reach_px: float) -> int:
    """Side of the window cut out of a photo for a crop: the crop, with room for blur around it."""
    return crop_px + 2 * (int(np.ceil(reach_px)) + 1)


class ShakePairs(Dataset):
    """Batches of training pairs: item `step` is the batch of that step, the same on every run.

    Everything drawn (photo, place, flips, path, noise) follows from the seed and the step alone,
    so that a run resumes exactly where it stopped, and runs with the same seed see the same data.
    Crops are drawn by texture, since a blurred sky teaches little: with a probability proportional
    to the square root of the texture of the tile in their middle.

    An item is (blurred, sharp), each b 3 crop_px crop_px float32 in [0, 1]; with several
    `processes`, process `rank` gets every `processes`-th crop."""

    def __init__(
        self,
        photos: list[Photo],
        config: BlurConfig,
        *,
        crop_px: int,
        batch_images: int,
        steps: int,
        seed: int,
        ramp_steps: int = 0,
        turned: bool = True,
        rank: int = 0,
        processes: int = 1,
    ):
        self.config, self.crop_px, self.seed, self.steps = config, crop_px, seed, steps
        self.batch_images, self.rank, self.processes = batch_images, rank, processes
        self.ramp_steps, self.turned = ramp_steps, turned
        self.window_px = window_px(crop_px, config.reach_px[1])
        self.side_px = self.window_px - crop_px + 1  # of a kernel
        self.photos = photos
        self.tiles, weights = [], []
        for i, photo in enumerate(photos):
            if min(photo.shape[:2]) < self.window_px:
                raise InputError(
                    f"photo {i} is {photo.shape[1]} x {photo.shape[0]}; crops of {crop_px} pixels "
                    f"with this blur need {self.window_px} each way"
                )
            for (row, column), value in np.ndenumerate(np.sqrt(texture(photo))):
                self.tiles.append((i, row, column))
                weights.append(value)
        self.cumulative = np.cumsum(weights, dtype=np.float64)

    def __len__(self) -> int:
        """The number of steps."""
        return self.steps

    def images(self, step: int) -> int:
        """How many crops a step has, over all processes."""
        return self.batch_images

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        """The batch of a step."""
        return self.shaken(*self.drawn(step))

    def drawn(self, step: int) -> tuple[Tensor, ...]:
        """Everything drawn for the batch of a step: windows of photos (bytes, b h w 3), kernels,
        noise, its strength, the gain of highlights, and which crops are not blurred."""
        rng = np.random.default_rng([self.seed, step])
        n, c, draw = self.batch_images, self.crop_px, self.config
        windows = np.stack([self._window(rng) for _ in range(n)])
        low, high = draw.reach_px
        if step < self.ramp_steps:
            high = low + (high - low) * step / self.ramp_steps
        share = rng.uniform(0, 1, n) ** draw.reach_power
        path = blur.trajectories(rng, low + (high - low) * share)
        shot_noise = rng.uniform(*draw.shot_noise, n)
        gain = rng.uniform(*draw.highlight_gain, n)
        noise = rng.standard_normal((n, 3, c, c), dtype=np.float32)
        still = rng.random(n) < draw.still_share
        mine = slice(self.rank, None, self.processes)
        return (
            torch.from_numpy(windows[mine]),
            torch.from_numpy(blur.kernels(path[mine], self.side_px)).float(),
            torch.from_numpy(noise[mine]),
            torch.from_numpy(shot_noise[mine]).float(),
            torch.from_numpy(gain[mine]).float(),
            torch.from_numpy(still[mine]),
        )

    def shaken(
        self,
        windows: Tensor,
        kernel: Tensor,
        noise: Tensor,
        shot_noise: Tensor,
        gain: Tensor,
        still: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """A batch made from what was drawn for it, on the device that holds it."""
        stored = windows.permute(0, 3, 1, 2).float() / 255
        sharp = blur.crop_middle(stored, (self.side_px - 1) // 2)
        blurred = blur.shake(stored, kernel, noise, shot_noise, gain)
        return torch.where(still[:, None, None, None], sharp, blurred), sharp

    def _window(self, rng: np.random.Generator) -> Photo:
        """A crop with room for the blur around it, mirrored and, if asked for, turned at random."""
        draw = rng.random() * self.cumulative[-1]
        i, row, column = self.tiles[np.searchsorted(self.cumulative, draw, side="right")]
        photo, w = self.photos[i], self.window_px
        jitter = rng.integers(0, TILE_PX, 2)
        y = np.clip(row * TILE_PX + jitter[0] - w // 2, 0, photo.shape[0] - w)
        x = np.clip(column * TILE_PX + jitter[1] - w // 2, 0, photo.shape[1] - w)
        quarters = int(rng.integers(4))  # drawn in any case, so that the rest stays the same
        window = np.rot90(photo[y : y + w, x : x + w], quarters if self.turned else 0)
        return window[:, ::-1] if rng.integers(2) else window


class Drawn(Dataset):
    """What is drawn for the batches of `pairs`: a GPU shakes photos faster than a processor."""

    def __init__(self, pairs: ShakePairs):
        self.pairs = pairs

    def __len__(self) -> int:
        """The number of steps."""
        return len(self.pairs)

    def __getitem__(self, step: int) -> tuple[Tensor, ...]:
        """What is drawn for a step."""
        return self.pairs.drawn(step)


@dataclass(frozen=True)
class Pair:
    """A test pair and where it came from; images are h w 3 bytes.

    kernel: that of the blur; where the blur varies over the picture, the one in the middle.
    """

    name: str
    scene: str
    kind: str
    strength_px: float
    blurred: Photo
    sharp: Photo
    kernel: Float[np.ndarray, "k k"]


def most_textured(photo: Photo, side_px: int) -> tuple[int, int]:
    """Top left corner, in whole tiles, of the square with the most texture."""
    value, n = texture(photo), -(-side_px // TILE_PX)
    sums = np.lib.stride_tricks.sliding_window_view(value, (n, n)).sum(axis=(2, 3))
    row, column = np.unravel_index(np.argmax(sums.round(6)), sums.shape)
    return int(row) * TILE_PX, int(column) * TILE_PX


def shake_test(
    split: str = "test",
    crop_px: int = 320,
    *,
    halve: bool = False,
    bands_px: Sequence[tuple[int, int]] = BANDS_PX,
    shot_noise: float = 5e-5,
    highlight_gain: float = 2.0,
) -> Iterator[Pair]:
    """The fixed test set of camera shake: each photo of a split at a strength in each band.

    The most textured square of each photo is blurred along one path for each band of `bands_px`,
    with a reach drawn from the band. The pairs are made in float64 and are the same everywhere, as
    the last bits, in which machines differ, are lost in the rounding to bytes; a test checks their
    hash. Noise and lamps are as in `mimo.blur.shake_photo`.
    """
    margin_px = BANDS_PX[-1][1] + 1
    window_px = crop_px + 2 * margin_px
    for i, photo_path in enumerate(photo_paths(split)):
        photo = read_photo(photo_path)
        photo = halved(photo) if halve else photo
        y, x = most_textured(photo, window_px)
        window = photo[y : y + window_px, x : x + window_px]
        for band, (low, high) in enumerate(bands_px):
            rng = np.random.default_rng([TEST_SEED, i, band])
            reach_px = rng.uniform(low, high, 1)
            path = blur.trajectories(rng, reach_px)[0]
            blurred, sharp = blur.shake_photo(
                window,
                path,
                rng,
                margin_px=margin_px,
                shot_noise=shot_noise,
                highlight_gain=highlight_gain,
            )
            yield Pair(
                name=f"{photo_path.stem}{'-half' * halve}-{low}-{high}",
                scene=photo_path.stem,
                kind="shake",
                strength_px=float(reach_px[0]),
                blurred=blurred,
                sharp=sharp,
                kernel=blur.kernels(path[None], 2 * margin_px + 1)[0],
            )
