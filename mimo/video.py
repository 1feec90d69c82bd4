"""Real blur from real frames: reading a video or a folder, measuring its motion, averaging."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from skimage.registration import phase_cross_correlation

from mimo import blur
from mimo.config import InputError
from mimo.datasets import read_frame

SMOOTH_PX = 2.2  # frames further apart than this show as ghosts
FOLDER_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")

Frames = UInt8[np.ndarray, "t h w 3"]


def read_frames(path: Path, *, first: int = 0, count: int | None = None) -> Frames:
    """The frames of a video file, or the pictures in a folder in the order of their names.

    Raises InputError for frames that can't all be read, fewer than two, or sizes that differ.
    """
    frames: list[np.ndarray] = []
    last = None if count is None else first + count
    for i, frame in enumerate(_folder(path) if path.is_dir() else _video(path)):
        if last is not None and i >= last:
            break
        if i >= first:
            if frames and frame.shape != frames[0].shape:
                raise InputError(
                    f"{path}: frame {i} is {frame.shape[1]} x {frame.shape[0]}, the first "
                    f"{frames[0].shape[1]} x {frames[0].shape[0]}; all must have one size"
                )
            frames.append(frame)
    if len(frames) < 2:
        raise InputError(f"{path}: {len(frames)} frame(s); blur needs at least 2")
    if count is not None and len(frames) < count:
        raise InputError(f"{path}: {len(frames)} of {count} frames from {first} on")
    return np.stack(frames)


def _folder(path: Path) -> Iterator[np.ndarray]:
    return map(read_frame, sorted(p for p in path.iterdir() if p.suffix.lower() in FOLDER_SUFFIXES))


def _video(path: Path) -> Iterator[np.ndarray]:
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    try:
        import av
    except ImportError:
        raise InputError('reading video needs PyAV: pip install "mimo-unet-book[video]"') from None
    found = 0
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise InputError(f"{path}: holds no video")
            stream = container.streams.video[0]
            promised = stream.frames  # 0 if the file does not say
            if container.format.name.startswith("mov"):  # less what its edit list leaves out
                promised = len(getattr(stream, "index_entries", ())) or promised
            for packet in container.demux(video=0):
                found += packet.size > 0  # some hold no picture that is shown
                for frame in packet.decode():
                    yield frame.to_ndarray(format="rgb24")
    except av.error.FFmpegError as error:
        raise InputError(f"{path}: not a video that can be read ({error.strerror})") from None
    if found < promised:
        raise InputError(f"{path}: cut short: {found} of {promised} frames")


def motion(frames: Frames) -> Float[np.ndarray, "t 2"]:
    """The position of the picture as a whole (y, x, in pixels) in each frame; the mean is (0, 0).

    Measured by phase correlation of each frame with the next, to a twentieth of a pixel. This does
    not see things that move within the picture, or a roll of the camera.
    """
    window = np.outer(np.hanning(frames.shape[1]), np.hanning(frames.shape[2]))
    grey = [(g - g.mean()) * window for g in frames.mean(axis=3)]
    steps = [
        -phase_cross_correlation(a, b, upsample_factor=20, normalization="phase")[0]
        for a, b in zip(grey, grey[1:], strict=False)
    ]
    path = np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])
    return path - path.mean(axis=0)


def smooth_pair(
    frames: Frames, path: Float[np.ndarray, "t 2"] | None = None
) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"], float]:
    """Blurred picture, sharp picture and reach in pixels, from consecutive frames.

    path: their `motion`, if known. The sharp picture is the frame nearest to the centroid of the
    path. Raises InputError if the picture moves by more than 2.2 pixels from one frame to the
    next: an average of such frames is a row of ghosts, not motion blur.
    """
    path = motion(frames) if path is None else path - path.mean(axis=0)
    gap_px = np.linalg.norm(np.diff(path, axis=0), axis=1).max()
    if gap_px > SMOOTH_PX:
        raise InputError(
            f"frames are up to {gap_px:.1f} pixels apart: their average is a row of ghosts; "
            f"reduce the frames {int(np.ceil(gap_px / SMOOTH_PX))} times or use a faster camera"
        )
    middle = int(np.argmin(np.linalg.norm(path, axis=1)))
    return blur.average_frames(frames), frames[middle], float(blur.reach(path[None])[0])
