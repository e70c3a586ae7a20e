"""Inference speed beside the paper's network definition, with the same weights, in one run.

    python benchmarks/inference_speed.py [--size 1024] [--repeats 5] [--threads N] [--device cpu]

The paper's U-Net (Section 3.2 and Appendix B.1) is written here once more, layer by layer, as its
description reads; weights of ours are copied over, and both denoise one image. Its output is
compared on the whole image; its time is taken on the whole image and, as the paper's images were
denoised, on overlapping tiles of 400 pixels every 350. The shipped weights are timed beside the
paper's U-Net of 5.6 million parameters. Times are medians of alternating runs. Ends with one JSON
line.
"""

import argparse
import json
import statistics
import time

import numpy as np
import torch
from torch import nn

from temdenoise import PoissonNoise, SBDDenoiser
from temdenoise.images import ImageStack

TILE, STEP = 400, 350
PIXEL_SIZE = 6.22  # pm


class StdNorm(nn.Module):
    """Batch normalisation that divides by the standard deviation and subtracts nothing."""

    def __init__(self, channels):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))
        self.register_buffer("variance", torch.ones(channels))

    def forward(self, x):
        std = torch.sqrt(self.variance + 1e-5).view(1, -1, 1, 1)
        return x / std * self.gain.view(1, -1, 1, 1)


class ConvBlock(nn.Module):
    """conv-BN-ReLU-conv-BN-ReLU."""

    def __init__(self, n_in, n_middle, n_out):
        super().__init__()
        replicate = {"padding": 1, "padding_mode": "replicate", "bias": False}
        self.conv1 = nn.Conv2d(n_in, n_middle, 3, **replicate)
        self.norm1 = StdNorm(n_middle)
        self.conv2 = nn.Conv2d(n_middle, n_out, 3, **replicate)
        self.norm2 = StdNorm(n_out)

    def forward(self, x):
        x = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(x)))


class PaperUNet(nn.Module):
    """The U-Net of four scales: down4 keeps the channels of down3, each up block halves first."""

    def __init__(self, b):
        super().__init__()
        self.inc = ConvBlock(1, b, b)
        self.down1 = ConvBlock(b, b, b)
        self.down2 = ConvBlock(b, b, b)
        self.down3 = ConvBlock(b, 2 * b, 2 * b)
        self.down4 = ConvBlock(2 * b, 2 * b, 2 * b)
        self.up1 = ConvBlock(4 * b, 2 * b, b)
        self.up2 = ConvBlock(2 * b, b, b)
        self.up3 = ConvBlock(2 * b, b, b)
        self.up4 = ConvBlock(2 * b, b, b)
        self.out = nn.Conv2d(b, 1, 1, bias=False)
        self.pool = nn.MaxPool2d(2)
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)

    def forward(self, x):
        x1 = self.inc(x)
        x2 = self.down1(self.pool(x1))
        x3 = self.down2(self.pool(x2))
        x4 = self.down3(self.pool(x3))
        x5 = self.down4(self.pool(x4))
        x = self.up1(torch.cat([x4, self.up(x5)], dim=1))
        x = self.up2(torch.cat([x3, self.up(x)], dim=1))
        x = self.up3(torch.cat([x2, self.up(x)], dim=1))
        x = self.up4(torch.cat([x1, self.up(x)], dim=1))
        return self.out(x)


def copied(network):
    """The paper's definition with the weights of ours: both list them from input to output."""
    copy = PaperUNet(network.base_channels).eval()
    weights = [v for k, v in network.state_dict().items() if k.endswith(("weight", "running_var"))]
    state = dict(zip(copy.state_dict(), weights, strict=True))
    copy.load_state_dict(state)
    return copy


def on_whole(network, image, device):
    """Denoise an image (height, width) at once."""
    with torch.inference_mode():
        return network(torch.from_numpy(image)[None, None].to(device))[0, 0].cpu().numpy()


def starts(size):
    """First pixels of tiles along an axis, the last at its end."""
    return [*range(0, size - TILE, STEP), size - TILE] if size > TILE else [0]


def on_tiles(network, image, device):
    """Denoise an image tile by tile and average where tiles overlap."""
    total, cover = np.zeros_like(image), np.zeros_like(image)
    for y in starts(image.shape[0]):
        for x in starts(image.shape[1]):
            part = (slice(y, y + TILE), slice(x, x + TILE))
            total[part] += on_whole(network, image[part].copy(), device)
            cover[part] += 1
    return total / cover


def trained_unet(base_channels, clean, device):
    """A fitted U-Net: a few steps, so that its statistics are those of images."""
    sbd = SBDDenoiser(
        network="unet", base_channels=base_channels, orientations=1, patch_size=64,
        batch_size=4, max_epochs=1, steps_per_epoch=4, random_state=0, device=device,
    )  # fmt: skip
    return sbd.fit(clean)


def lattice(size, period=40.0):
    """Clean hexagonal pattern (1, size, size) in counts per pixel, 0.45 in the mean."""
    y, x = np.mgrid[:size, :size]
    angles = np.pi * np.arange(3) / 3
    wave = sum(np.cos(2 * np.pi / period * (np.cos(a) * x + np.sin(a) * y)) for a in angles)
    return ImageStack((0.45 * (1 + wave[None] / 4)).astype(np.float32), PIXEL_SIZE)


def medians(functions, repeats, device):
    """Median time in seconds of each function, called in turn."""
    times = {name: [] for name in functions}
    for k in range(repeats + 1):
        for name, function in functions.items():
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            start = time.perf_counter()
            function()  # results come back to the host: nothing is left running
            if k:  # the first round warms up
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(t) for name, t in times.items()}


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, help="default: as many as torch takes")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--weights", default="general", help="weights timed beside it")
    parser.add_argument("--base-channels", type=int, nargs="+", default=[32, 128])
    args = parser.parse_args()
    if args.size % 16:
        parser.error(
            f"--size must be a multiple of 16, which the paper's network needs: {args.size}"
        )
    if args.threads:
        torch.set_num_threads(args.threads)
    device = torch.device(args.device)

    clean = lattice(args.size)
    image = PoissonNoise(random_state=0).sample(clean)[0].astype(np.float32)
    noisy = ImageStack(image[None], PIXEL_SIZE)
    default = SBDDenoiser.from_pretrained(args.weights, device=args.device)
    once = SBDDenoiser.from_pretrained(args.weights, device=args.device)
    once.orientations = 1
    result = {"size": args.size, "threads": torch.get_num_threads(), "device": args.device}
    for channels in args.base_channels:
        sbd = trained_unet(channels, lattice(128), args.device)
        paper = copied(sbd.network_.cpu()).to(device)
        expected, output = on_whole(paper, image, device), sbd.transform(noisy)[0]
        difference = float(np.abs(output - expected).max() / np.abs(expected).max())
        seconds = medians(
            {
                "paper": lambda net=paper: on_whole(net, image, device),
                "paper_tiled": lambda net=paper: on_tiles(net, image, device),
                "ours": lambda est=sbd: est.transform(noisy),
                "default": lambda: default.transform(noisy),
                "default_one_orientation": lambda: once.transform(noisy),
            },
            args.repeats,
            device,
        )
        row = result[f"unet_{channels}"] = {
            "parameters": sum(p.numel() for p in paper.parameters()),
            "relative_difference": difference,
            "seconds": {k: round(v, 4) for k, v in seconds.items()},
            "paper_over_ours": round(seconds["paper"] / seconds["ours"], 2),
            "paper_tiled_over_ours": round(seconds["paper_tiled"] / seconds["ours"], 2),
            "paper_over_default": round(seconds["paper"] / seconds["default"], 2),
            "paper_tiled_over_default": round(seconds["paper_tiled"] / seconds["default"], 2),
        }
        print(f"{channels} channels:", *(f"{k} {v}" for k, v in row.items()), sep="\n  ")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
