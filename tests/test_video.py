"""Averages of real frames: which are a blur, and what is refused."""

import numpy as np
import pytest
from PIL import Image as PILImage
from scipy.ndimage import gaussian_filter, shift

from mimo import blur, video
from mimo.config import InputError
from mimo.data import DATA


def moving(step_px, count=7, side=96):
    """Frames of a smooth random picture that moves to the right."""
    noise = np.random.default_rng(0).standard_normal((side, side + 80))
    picture = gaussian_filter(noise, 1.5)
    picture = (128 + 60 * picture / abs(picture).max()).clip(0, 255)
    frames = [shift(picture, (0, i * step_px), order=3)[:, 40:-40] for i in range(count)]
    return np.stack(frames).round().astype(np.uint8)[..., None].repeat(3, axis=3)


def write_video(path, frames, **options):
    import av

    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width = frames.shape[1:3]
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


@pytest.mark.parametrize("step_px", [0.4, -1.3])
def test_motion_is_measured_with_its_sign(step_px):
    path = video.motion(moving(step_px))
    assert path[:, 1] == pytest.approx(step_px * (np.arange(7) - 3), abs=0.15)
    assert abs(path[:, 0]).max() < 0.1


def test_an_average_is_taken_in_light():
    frames = np.stack([np.full((2, 2, 3), v, np.uint8) for v in (0, 200)])
    assert blur.average_frames(frames)[0, 0, 0] == round(200 * 0.5 ** (1 / 2.2))
    assert blur.average_frames(frames, gamma=1.0)[0, 0, 0] == 100


def test_frames_close_together_make_a_pair_with_the_middle_frame_sharp():
    frames = moving(1.0, count=9)
    blurred, sharp, reach_px = video.smooth_pair(frames)
    assert reach_px == pytest.approx(8, abs=0.3)
    assert np.array_equal(sharp, frames[4])
    assert blurred.astype(float).std() < sharp.astype(float).std()


def test_ghosts_are_refused():
    with pytest.raises(
        InputError, match=r"up to [4-6]\.\d pixels apart.*reduce the frames 3 times"
    ):
        video.smooth_pair(moving(5.0, count=4))


def test_the_clip_moves_little_enough_from_frame_to_frame():
    path = video.motion(video.read_frames(DATA / "frames"))
    gaps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    assert len(path) == 41 and 0.15 < gaps.min() and gaps.max() < video.SMOOTH_PX
    assert blur.reach(path[None])[0] == pytest.approx(20.9, abs=0.3)


def test_a_video_and_a_folder_give_the_same_kind_of_frames(tmp_path):
    frames = moving(1.0)
    write_video(tmp_path / "v.mp4", frames)
    (tmp_path / "f").mkdir()
    for i, frame in enumerate(frames):
        PILImage.fromarray(frame).save(tmp_path / "f" / f"{i}.png")
    assert np.array_equal(video.read_frames(tmp_path / "f"), frames)
    read = video.read_frames(tmp_path / "v.mp4", first=2, count=3)
    assert read.shape == (3, 96, 96, 3)
    assert abs(read.astype(int) - frames[2:5]).mean() < 6  # it is a lossy format


def trimmed(source, target, first, last):
    """Cut frames out without encoding them anew, as `ffmpeg -ss -to -c copy` does."""
    import av

    how = {"avoid_negative_ts": "disabled", "use_editlist": "1", "movflags": "faststart"}
    with av.open(str(source)) as old, av.open(str(target), "w", options=how) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        frame = int(1 / 25 / old.streams.video[0].time_base)
        for packet in old.demux(video=0):
            if packet.size and packet.pts < last * frame:
                packet.pts, packet.dts = packet.pts - first * frame, packet.dts - first * frame
                packet.stream = stream
                new.mux(packet)


def test_a_trimmed_video_has_the_frames_that_it_shows(tmp_path):
    frames = moving(1.0, count=12)
    write_video(tmp_path / "v.mp4", frames)
    trimmed(tmp_path / "v.mp4", tmp_path / "t.mp4", 3, 9)  # 3 frames are kept, but not shown
    read = video.read_frames(tmp_path / "t.mp4")
    assert len(read) == 6 and abs(read.astype(int) - frames[3:9]).mean() < 6
    whole = (tmp_path / "t.mp4").read_bytes()
    place = whole.index(b"elst") + 12  # of the length that is shown, in milliseconds
    length = int.from_bytes(whole[place : place + 4], "big") // 2
    whole = whole[:place] + length.to_bytes(4, "big") + whole[place + 4 :]
    (tmp_path / "e.mp4").write_bytes(whole)  # as a phone trims: the end is not shown either
    assert len(video.read_frames(tmp_path / "e.mp4")) == 3
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) * 3 // 4])
    with pytest.raises(InputError, match="cut.mp4: cut short"):
        video.read_frames(tmp_path / "cut.mp4")


def mistakes(folder):
    frames = moving(1.0)
    write_video(folder / "v.mp4", frames)
    whole = (folder / "v.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    write_video(folder / "v2.mp4", frames, movflags="faststart")  # its index comes first
    whole = (folder / "v2.mp4").read_bytes()
    (folder / "cut2.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    (folder / "text.mp4").write_text("no video")
    write_video(folder / "one.mp4", frames[:1])
    for name, pictures in (
        ("empty", []),
        ("single", frames[:1]),
        ("sizes", [frames[0], frames[1][:50]]),
    ):
        (folder / name).mkdir()
        for i, picture in enumerate(pictures):
            PILImage.fromarray(picture).save(folder / name / f"{i}.png")
    (folder / "damaged").mkdir()
    (folder / "damaged" / "0.png").write_bytes(b"\x89PNG")


@pytest.mark.parametrize(
    "name,message",
    [
        ("none.mp4", "none.mp4: no such file or folder"),
        ("text.mp4", "text.mp4: not a video"),
        ("cut.mp4", "cut.mp4: not a video"),
        ("cut2.mp4", "cut2.mp4: cut short: [1-6] of 7 frames"),
        ("one.mp4", r"one.mp4: 1 frame\(s\); blur needs at least 2"),
        ("empty", r"empty: 0 frame\(s\)"),
        ("single", r"single: 1 frame\(s\)"),
        ("sizes", "sizes: frame 1 is 96 x 50, the first 96 x 96"),
        ("damaged", "0.png: damaged or cut short"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, message):
    mistakes(tmp_path)
    with pytest.raises(InputError, match=message):
        video.read_frames(tmp_path / name)


def test_too_few_frames_are_refused(tmp_path):
    mistakes(tmp_path)
    with pytest.raises(InputError, match="5 of 9 frames from 2 on"):
        video.read_frames(tmp_path / "v.mp4", first=2, count=9)
