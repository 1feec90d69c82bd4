"""Blur that differs from place to place, from a turning camera or a moving thing.
The camera turns in front of a photo or inside a panorama, the thing moves in front of a still
background. The photos are real, and light adds up as in `mimo.blur`."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from numpy.random import Generator
from scipy.spatial.transform import Rotation
from torch import Tensor

from mimo import blur

Angles = Float[np.ndarray, "t 3"]  # pitch, yaw, roll of the camera in radians
Places = Float[np.ndarray, "_ _ 2"]  # y and x in pixels from the middle of the picture
Light = Float[Tensor, "1 3 _ _"]
Photo = UInt8[np.ndarray, "_ _ 3"]


def grid(height: int, width: int) -> Places:
    """The places of a picture's pixels, measured from its middle."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    return np.stack([y - (height - 1) / 2, x - (width - 1) / 2], axis=-1)


def seen_from(places: Places, angles: Float[np.ndarray, "3"], focal_px: float) -> Places:
    """Map `places` in the view of a camera turned by `angles` to the unturned view: a homography.

    focal_px: the distance of the picture from the eye; turning by a small angle moves the middle
    by focal_px times the angle, and places further out by more.
    """
    x, y, z = _directions(places, Rotation.from_rotvec(angles), focal_px)
    return focal_px * np.stack([y / z, x / z], axis=-1)


def _directions(places: Places, turned: Rotation, focal_px: float) -> np.ndarray:
    """x (right), y (down) and z (ahead) of a turned camera's rays through `places`."""
    rays = np.stack([places[..., 1], places[..., 0], np.full(places.shape[:2], focal_px)], axis=-1)
    return np.moveaxis(rays @ turned.as_matrix().T, -1, 0)


def paths_at(places: Places, angles: Angles, focal_px: float) -> Float[np.ndarray, "n t 2"]:
    """The path along which each of the `places` (n in all) is blurred, measured from that place."""
    moved = np.stack([seen_from(places, a, focal_px) - places for a in angles])
    return -moved.reshape(len(angles), -1, 2).transpose(1, 0, 2)


def turns(rng: Generator, reach_px: float, shape: tuple[int, int], focal_px: float) -> Angles:
    """Angles of a shaken camera that turns about all three axes, on average looking straight ahead.

    The reach of the blur, averaged over a picture of `shape`, is `reach_px`. How much the roll
    contributes is drawn: in the corners, from nothing to twice as much as the other two axes.
    """
    paths = blur.trajectories(rng, np.ones(2), 65)
    roll = rng.uniform(0, 2) * paths[1, :, 0] / (np.hypot(*shape) / 2)
    angles = np.stack([paths[0, :, 0] / focal_px, paths[0, :, 1] / focal_px, roll], axis=-1)
    coarse = grid(*shape)[:: shape[0] // 8, :: shape[1] // 8]
    for _ in range(3):  # the reach is nearly linear in the angles: this converges at once
        angles *= reach_px / blur.reach(paths_at(coarse, angles, focal_px)).mean()
    return angles


def sample(light: Light, places: Places) -> Light:
    """Interpolate `light` at `places`, measured from its middle: bicubic, not below zero."""
    h, w = light.shape[-2:]
    at = torch.from_numpy(places[None, :, :, ::-1] * 2 / np.array([w - 1, h - 1]))
    return F.grid_sample(light, at, "bicubic", "border", align_corners=True).clamp(min=0)


def exposed(scene: Callable[[Float[np.ndarray, "3"]], Light], angles: Angles) -> Light:
    """The mean, over all moments, of what a camera sees, which `scene` returns for given angles."""
    total = scene(angles[0])
    for a in angles[1:]:
        total = total + scene(a)
    return total / len(angles)


def turn_photo(
    photo: Photo,
    angles: Angles,
    rng: Generator,
    *,
    margin_px: int,
    focal_px: float,
    shot_noise: float = 5e-5,
    highlight_gain: float = 2.0,
) -> tuple[Photo, Photo]:
    """A photo as a turning camera takes it, and the sharp photo, both without the margin.

    The margin must hold the blur; beyond the photo's edge, its border pixels are repeated.
    """
    stored = torch.from_numpy(photo.copy()).permute(2, 0, 1)[None].double() / 255
    gain = torch.full((1,), highlight_gain, dtype=torch.float64)
    light = blur.lift_highlights(blur.linearise(stored), gain)
    sharp = photo[margin_px:-margin_px, margin_px:-margin_px]
    places = grid(*sharp.shape[:2])
    mean = exposed(lambda a: sample(light, seen_from(places, a, focal_px)), angles)
    return blur.to_bytes(blur.store(mean, rng, shot_noise)), sharp


def all_round(panorama: Float[np.ndarray, "h w 3"]) -> Light:
    """An equirectangular panorama of light; columns repeated at both ends make it wrap around."""
    around = np.concatenate([panorama[:, -4:], panorama, panorama[:, :4]], axis=1)
    return torch.from_numpy(around.astype(np.float64)).permute(2, 0, 1)[None]


def look(
    around: Light,
    angles: Float[np.ndarray, "3"],
    shape: tuple[int, int],
    focal_px: float,
    heading: float,
) -> Light:
    """What a camera turned by `angles` from `heading` (radians) sees of a scene `all_round` it."""
    h, w = around.shape[-2], around.shape[-1] - 8
    turned = Rotation.from_rotvec([0, heading, 0]) * Rotation.from_rotvec(angles)
    x, y, z = _directions(grid(*shape), turned, focal_px)
    east = np.arctan2(x, z) / (2 * np.pi) * w
    south = np.arctan2(y, np.hypot(x, z)) / np.pi * h
    east = (east + w / 2) % w - w / 2
    return sample(around, np.stack([south, east], axis=-1))


def turn_panorama(
    panorama: Float[np.ndarray, "h w 3"],
    angles: Angles,
    rng: Generator,
    *,
    shape: tuple[int, int],
    focal_px: float,
    heading: float,
    shot_noise: float = 5e-5,
) -> tuple[Photo, Photo]:
    """Blurred and sharp view of a panorama of light: highlights are as bright as they really were.

    The exposure keeps nine in ten values of the sharp view below 0.8 of the brightest light that
    can be stored.
    """
    around = all_round(panorama)
    sharp = look(around, np.zeros(3), shape, focal_px, heading)
    exposure = 0.8 / sharp.quantile(0.9)
    mean = exposed(lambda a: look(around, a, shape, focal_px, heading), angles)
    blurred = blur.store(mean * exposure, rng, shot_noise)
    return blur.to_bytes(blurred), blur.to_bytes(blur.respond(sharp * exposure))


def pass_by(
    background: Photo,
    thing: Photo,
    mask: Float[np.ndarray, "h w"],
    path: Float[np.ndarray, "t 2"],
    rng: Generator,
    *,
    margin_px: int,
    shot_noise: float = 5e-5,
) -> tuple[Photo, Photo]:
    """A thing moving along `path` in front of a still background, blurred and sharp.

    mask: how much of each pixel the thing covers, 0 to 1. The result is exact: with k the kernel of
    the path and m the mask, the light is (1 - k * m) of the background plus k * (m thing).
    """
    still, moving = (
        blur.linearise(torch.from_numpy(p.copy()).permute(2, 0, 1)[None].double() / 255)
        for p in (background, thing)
    )
    cover = torch.from_numpy(mask)[None, None].double()
    kernel = torch.from_numpy(blur.kernels(path[None], 2 * margin_px + 1))
    still, here = blur.crop_middle(still, margin_px), blur.crop_middle(moving * cover, margin_px)
    covered = blur.convolve(cover, kernel)
    light = (1 - covered) * still + blur.convolve(cover * moving, kernel).clamp(min=0)
    sharp = (1 - blur.crop_middle(cover, margin_px)) * still + here
    return blur.to_bytes(blur.store(light, rng, shot_noise)), blur.to_bytes(blur.respond(sharp))
