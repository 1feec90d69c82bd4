"""Time a training step and a restoration, done plainly and done our way, side by side.

Plainly means float32 in PyTorch's default memory layout; our way is bfloat16 with channels last.
Runs of the two alternate, so that a machine that slows down slows both; each time is a median.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial

import torch
from torch.utils.flop_counter import FlopCounterMode

from mimo import precision, record
from mimo.ablations import VARIANTS
from mimo.config import SHIPPED, TrainConfig
from mimo.data import ShakePairs, photo_paths, read_photo
from mimo.losses import pyramid, total_loss
from mimo.network import MIMOUNet

NETS = {"small": {"width": 16, "res_blocks": 4}, "paper": {"width": 32, "res_blocks": 8}}
CROPS_PX = (64, 128, 256)
# Pixels in a batch, whatever the size of its crops; on a GPU, as many as in the paper's batches.
BATCH_PX = {"cpu": 4 * 128 * 128, "cuda": 4 * 256 * 256}
IN_A_ROW = {"cpu": 1, "cuda": 10}  # runs between two clock readings: a GPU's work is queued ahead
FRAMES = ((640, 360), (1280, 720))


def bench(
    repeats: int = 5, nets: dict = NETS, crops_px=CROPS_PX, frames=FRAMES, device: str = "cpu"
) -> dict:
    """Time all cases on a `cpu` or `cuda` device: seconds, speed-up and share of ceiling for each.

    A training step also has `batch_s`: how long one core takes to make its batch of shaken photos.
    """
    photos = [read_photo(path) for path in photo_paths("train")[:10]]
    formats = [torch.float32, *[torch.bfloat16] * precision.multiplies_in_bfloat16(device)]
    ceilings = {str(t): ceiling_gflops(t, device) for t in formats}
    cases = []
    for name, size in nets.items():
        for crop in crops_px:
            batch = max(1, BATCH_PX[device] // crop**2)
            x, y = (torch.rand(batch, 3, crop, crop, device=device) for _ in range(2))
            ways = [step(MIMOUNet(**size).to(device), x, y, ours) for ours in (False, True)]
            work = 3 * gflop(MIMOUNet(**size), x)  # backward is twice the work of forward
            what = f"train {name} {batch} x {crop} px"
            case = _case(what, ways, work, repeats, ceilings, IN_A_ROW[device])
            pairs = ShakePairs(
                photos, SHIPPED.blur, crop_px=crop, batch_images=batch, steps=repeats, seed=0
            )
            made = [seconds(partial(pairs.__getitem__, i)) for i in range(repeats)]
            cases.append(case | {"batch_s": round(statistics.median(made), 5)})
        for width, height in frames:
            x = torch.rand(1, 3, height, width, device=device)
            ways = [restoration(MIMOUNet(**size).to(device), x, ours) for ours in (False, True)]
            work = gflop(MIMOUNet(**size), x)
            what = f"restore {name} {width} x {height}"
            few = max(1, repeats // 2)
            cases.append(_case(what, ways, work, few, ceilings, IN_A_ROW[device]))
    return {
        "versions": record.versions(),
        "hardware": record.hardware(),
        "git": record.git_state(),
        "ceiling_gflop_per_s": ceilings,
        "repeats": repeats,
        "cases": cases,
    }


def step(
    net: MIMOUNet,
    blurred: torch.Tensor,
    sharp: torch.Tensor,
    ours: bool,
    frequency_weight: float = 0.1,
) -> Callable[[], None]:
    """A function that takes one training step, plainly or our way."""
    if ours:
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        blurred = blurred.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4)

    def run() -> None:
        with precision.bfloat16(blurred.device.type, ours):
            restored = net(blurred)
        total_loss(restored, pyramid(sharp), frequency_weight).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return run


def restoration(net: MIMOUNet, blurred: torch.Tensor, ours: bool) -> Callable[[], None]:
    """A function that runs the network on a whole photo, plainly or our way."""
    net.eval()
    if ours:
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        blurred = blurred.to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def run() -> None:
        with precision.bfloat16(blurred.device.type, ours):
            net(blurred)

    return run


def gflop(net: MIMOUNet, x: torch.Tensor) -> float:
    """GFLOP of one forward pass: two operations for each multiply-add of a convolution."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        type(net)(**net.config)(torch.empty(x.shape))
    return counter.get_total_flops() / 1e9


def cost(config: TrainConfig) -> tuple[int, float]:
    """A network's parameters, and its convolutions' multiply-adds in a forward pass of one crop."""
    with torch.device("meta"):
        net = VARIANTS[config.variant](**asdict(config.net))
        crop = torch.empty(1, 3, config.crop_px, config.crop_px)
    return sum(p.numel() for p in net.parameters()), gflop(net, crop) * 1e9 / 2


def ceiling_gflops(dtype: torch.dtype, device: str) -> float:
    """GFLOP/s of the device's matrix multiplication in a number format, the best of five."""
    side = 2048 if device == "cpu" else 8192
    a, b = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))
    a @ b
    return round(2 * side**3 / min(seconds(lambda: a @ b) for _ in range(5)) / 1e9, 1)


def seconds(run: Callable[[], object], times: int = 1) -> float:
    """Wall-clock seconds of one run, averaged over `times` in a row; waits for a GPU to finish."""
    started = time.perf_counter()
    for _ in range(times):
        run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / times


def _case(
    what: str,
    ways: list[Callable[[], None]],
    work: float,
    repeats: int,
    ceilings: dict,
    in_a_row: int = 1,
) -> dict:
    for run in ways:
        seconds(run)  # to get memory and kernels ready
    times = [[seconds(run, in_a_row) for run in ways] for _ in range(repeats)]
    plain, ours = (statistics.median(t) for t in zip(*times, strict=True))
    ratios = sorted(t[0] / t[1] for t in times)
    return {
        "what": what,
        "plain_s": round(plain, 5),
        "ours_s": round(ours, 5),
        "speedup": round(statistics.median(ratios), 2),
        "speedup_range": [round(ratios[0], 2), round(ratios[-1], 2)],
        "gflop_per_s": round(work / ours, 1),
        "share_of_ceiling": round(work / ours / max(ceilings.values()), 3),
    }


def report(result: dict) -> list[str]:
    """A line for each case."""
    return [
        f"{c['what']:32} plain {c['plain_s']:8.3f} s, ours {c['ours_s']:8.3f} s: "
        f"{c['speedup']:.1f} times ({c['speedup_range'][0]:.1f} to {c['speedup_range'][1]:.1f}), "
        f"{c['gflop_per_s']:.0f} GFLOP/s, {c['share_of_ceiling']:.0%} of the ceiling"
        for c in result["cases"]
    ]
