"""The settings, with units in their names, and the presets that set them."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal


class InputError(Exception):
    """A mistake that the user can mend: its message is the one line that says how."""


@dataclass(frozen=True)
class NetConfig:
    """The network: the arguments of `mimo.MIMOUNet`."""

    width: int = 32
    """Channels at full size."""
    res_blocks: int = 8
    """Residual blocks in each encoder and decoder block."""
    aff_dropout: float = 0.0
    """Probability of dropping a channel of an AFF output in training."""


@dataclass(frozen=True)
class BlurConfig:
    """Camera shake on a sharp photo (`mimo.blur`)."""

    reach_px: tuple[float, float] = (0.0, 30.0)
    """Range of the largest distance between two points of the path."""
    reach_power: float = 1.0
    """Above 1, favours weak blur: the place in that range is a uniform draw to this power."""
    shot_noise: tuple[float, float] = (0.0, 1e-4)
    """Range of the variance of noise in linear light, per unit of light."""
    highlight_gain: tuple[float, float] = (1.0, 4.0)
    """Range of the factor that stands for the light lost in clipped pixels."""
    still_share: float = 0.0
    """Share of crops left as they are, so that the network learns to leave sharp photos alone."""


@dataclass(frozen=True)
class TrainConfig:
    """A training run. By default optimiser, loss, batch and crop are those of the authors' code."""

    net: NetConfig = field(default_factory=NetConfig)
    blur: BlurConfig = field(default_factory=BlurConfig)
    steps: int = 0
    """Optimiser steps, on photos of this book shaken at random."""
    epochs: int = 0
    """Instead of steps: how many times each pair of GoPro or RealBlur is seen."""
    frames: Literal["blur", "blur_gamma", "RealBlur-J", "RealBlur-R"] = "blur"
    """The folder of blurred frames that an epoch goes through."""
    batch_images_global: int = 4
    """Crops in a step, over all processes together."""
    crop_px: int = 256
    """Side of a crop."""
    lr: float = 1e-4
    """The learning rate, the highest of the schedule."""
    warmup_steps: int = 0
    """Steps over which the learning rate rises from zero."""
    decay: float = 0.0
    """Fraction of the steps, at the end, over which the learning rate falls to zero as a cosine."""
    halve_steps: int = 0
    """The learning rate is halved every time after so many steps; 0 for never."""
    halve_epochs: int = 0
    """The same, in epochs."""
    ramp_steps: int = 0
    """Steps over which the largest reach of the blur rises from the smallest to its full value."""
    clip_norm: float | None = None
    """Gradients longer than this are shortened to it."""
    zero_heads: bool = False
    """Start the output convolutions at zero, so that the network starts as the identity."""
    variant: str = "full"
    """Which parts the network has: a name of `mimo.ablations.VARIANTS`."""
    frequency_weight: float = 0.1
    """Weight of the MSFR loss."""
    frequency: str = "both-sides"
    """How MSFR compares spectra: a name of `mimo.ablations.FREQUENCY`."""
    targets: Literal["bilinear", "nearest"] = "bilinear"
    """How the smaller sharp targets are made (`mimo.losses.pyramid`)."""
    turned: bool = True
    """Also turn crops of this book's photos by right angles; all crops are mirrored at random."""
    optimizer: Literal["Adam", "AdamW", "NAdam"] = "Adam"
    """A name in torch.optim; its other settings are PyTorch's defaults."""
    ema_decay: float = 0.0
    """Decay of the average of the weights, which is evaluated and kept; 0 keeps the last ones."""
    bfloat16: bool = False
    """Run the network in bfloat16; losses and weights stay float32."""
    workers: int = 0
    """Processes that prepare batches beside the training process; no more than cores to spare."""
    test: Literal["test", "clean", "validation"] = "test"
    """Which pairs are restored and recorded; choices are made on the validation photos."""
    budgets_steps: tuple[int, ...] = ()
    """Steps, besides the last, after which these pairs are restored."""
    log_steps: int = 100
    """Steps between two rows of metrics.csv."""
    save_s: float = 120.0
    """Seconds between two saved states."""


def to_record(config: TrainConfig) -> dict[str, Any]:
    """A configuration in the form in which a record stores it."""
    return json.loads(json.dumps(asdict(config)))  # tuples become lists


def from_record(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """A record's configuration; settings that did not exist at its time get their defaults."""
    return {**to_record(TrainConfig()), **recorded}


@dataclass(frozen=True)
class Preset:
    """A configuration with its cost and the result to expect."""

    config: TrainConfig
    cost: str
    expect: str


PAPER = TrainConfig(epochs=3000, halve_epochs=500, workers=4, log_steps=500, save_s=600.0)
# What differs from the paper in a short run: the network starts as the identity, steps are bold
# but never wild, and the mean of the last weights is kept.
SHORT = TrainConfig(clip_norm=0.5, zero_heads=True, ema_decay=0.999, bfloat16=True)
# How the networks that come with the book are trained.
SHIPPED = replace(
    SHORT,
    blur=BlurConfig(reach_power=2.0, highlight_gain=(1.0, 2.5), still_share=0.05),
    warmup_steps=1_000,
    decay=1.0,
)
ON_GPU = replace(SHIPPED, crop_px=128, workers=14)

PRESETS = {
    "tiny": Preset(
        replace(
            SHIPPED,
            net=NetConfig(width=8, res_blocks=1),
            crop_px=96,
            steps=28_000,
            lr=2e-3,
            workers=1,
        ),
        cost="20 to 30 minutes of one CPU core and some of another",
        expect="+0.5 dB over the blurred photo on the shake test set",
    ),
    "small": Preset(
        replace(
            ON_GPU,
            net=NetConfig(width=16, res_blocks=4),
            batch_images_global=32,
            steps=11_000,
            lr=1.5e-3,
        ),
        cost="2.8 minutes of an H100, or about 3 hours of 2 CPU cores",
        expect="+0.9 dB over the blurred photo on the shake test set",
    ),
    "large": Preset(
        replace(ON_GPU, batch_images_global=16, steps=18_500, lr=6e-4),
        cost="5.4 minutes of an H100, or about 12 hours of 2 CPU cores",
        expect="+1.2 dB over the blurred photo on the shake test set",
    ),
    "paper": Preset(
        PAPER,
        cost="1,578,000 steps on GoPro",
        expect="31.73 dB in the paper; six public re-trainings gave 31.36 to 31.60",
    ),
    "paper-plus": Preset(
        replace(PAPER, net=NetConfig(res_blocks=20, aff_dropout=0.1)),
        cost="2.4 times the multiplications of `paper`",
        expect="32.45 dB in the paper",
    ),
    "gpu": Preset(
        replace(
            SHORT,
            epochs=1000,
            batch_images_global=16,
            lr=4e-4,
            warmup_steps=2_000,
            decay=1.0,
            workers=4,
            log_steps=500,
            save_s=600.0,
        ),
        cost="a third of the crops of `paper`, in bfloat16; untested on GoPro",
        expect="nothing that was measured: our recipe for short runs, taken to GoPro",
    ),
}
