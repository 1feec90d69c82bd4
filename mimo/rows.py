"""The tables: for each row the configuration that trains it, and with how many seeds."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mimo.config import PRESETS, SHORT, NetConfig, TrainConfig


@dataclass(frozen=True)
class Row:
    """A row of a table: how it is trained, what it is, and how often."""

    config: TrainConfig
    what: str
    seeds: int


RECIPE = replace(
    SHORT,
    net=NetConfig(width=8, res_blocks=4),
    blur=PRESETS["tiny"].config.blur,
    steps=3_000,
    batch_images_global=8,
    crop_px=64,
    lr=1e-3,
    warmup_steps=300,
    decay=0.5,
    test="validation",
)


def _recipe() -> Mapping[str, Row]:
    small = RECIPE
    crops = small.batch_images_global * small.steps
    changes = {
        "base": (small, "Adam, 1e-3, constant then cosine, clipped, heads at zero, averaged"),
        "lr-1e-4": (replace(small, lr=1e-4), "the paper's learning rate"),
        "lr-3e-4": (replace(small, lr=3e-4), "learning rate 3e-4"),
        "lr-2e-3": (replace(small, lr=2e-3), "learning rate 2e-3"),
        "paper-schedule": (
            replace(small, decay=0.0, warmup_steps=0, halve_steps=small.steps // 6),
            "halved five times, as the paper's",
        ),
        "cosine": (replace(small, decay=1.0), "cosine from the first step"),
        "constant": (replace(small, decay=0.0), "constant rate, averaged weights"),
        "no-clip": (replace(small, clip_norm=None), "gradients not clipped"),
        "no-zero-heads": (replace(small, zero_heads=False), "output heads at PyTorch's default"),
        "no-average": (replace(small, ema_decay=0.0), "last weights instead of their average"),
        "float32": (replace(small, bfloat16=False), "float32 throughout"),
        "adamw": (replace(small, optimizer="AdamW"), "AdamW"),
        "nadam": (replace(small, optimizer="NAdam"), "NAdam"),
        "ramp": (replace(small, ramp_steps=small.steps // 2), "blur grows over the first half"),
        "crops-128": (
            replace(small, crop_px=128, batch_images_global=2),
            "2 crops of 128 px instead of 8 of 64",
        ),
        "crops-96": (
            replace(small, crop_px=96, batch_images_global=4, steps=crops * 64**2 // (4 * 96**2)),
            "4 crops of 96 px, as many pixels in all",
        ),
    }
    return {name: Row(config, what, seeds=2) for name, (config, what) in changes.items()}


CAMPAIGNS: dict[str, Mapping[str, Row]] = {"recipe": _recipe()}
