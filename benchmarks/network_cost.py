"""Parameters and multiply-accumulates per pixel: the shipped weights' network beside the paper's.

    python benchmarks/network_cost.py [--weights NAME_OR_FOLDER] [--size 1024]

Counts for an image of size x size pixels of the detector, the same for all: what a network that
works on bins spends per bin is divided by the pixels in a bin, and the way to bins and back is
added. The weights are applied to several orientations of the image: that multiplies the cost, and
is counted in "macs_per_pixel". PSNR is what the paper quotes for its networks (Table 3.1a). Ends
with one JSON line.
"""

import argparse
import json

import torch

from temdenoise import SBDDenoiser
from temdenoise.networks import build_network, count_macs

# Network, its options, and Table 3.1a: field of view in pixels and PSNR in dB.
TABLE_3_1 = {
    "DnCNN": ("dncnn", {}, 41, 30.47),
    "small UNet": ("small_unet", {}, 45, 30.87),
    "UNet 32": ("unet", {"n_scales": 4, "base_channels": 32}, 221, 36.39),
    "UNet 64": ("unet", {"n_scales": 4, "base_channels": 64}, 221, 37.24),
    "UNet 128": ("unet", {"n_scales": 4, "base_channels": 128}, 221, 38.05),
    "UNet 128, 6 scales": ("unet", {"n_scales": 6, "base_channels": 128}, 893, 42.87),
}
REFERENCE = "UNet 128"


def cost(network, size, binning=1, orientations=1):
    """Row of the table for a network on bins of binning x binning pixels."""
    count = count_macs(network, (size, size), binning=binning)
    layers, fft = count.layers * orientations, count.fft * orientations
    return {
        "parameters": sum(p.numel() for p in network.parameters()),
        "layer_macs_per_pixel": layers,
        "fft_macs_per_pixel": fft,
        "macs_per_pixel": layers + fft + count.resampling,
    }


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="general")
    parser.add_argument("--size", type=int, default=1024)
    args = parser.parse_args()

    ours = SBDDenoiser.from_pretrained(args.weights)
    binning = ours.bins_.binning
    rows = {
        f"{args.weights}, one orientation": cost(ours.network_, args.size, binning),
        args.weights: cost(ours.network_, args.size, binning, ours.orientations),
    }
    for name, (kind, options, field_of_view, psnr) in TABLE_3_1.items():
        with torch.device("meta"):  # shapes suffice
            network = build_network(kind, **options)
        published = {"field_of_view": field_of_view, "paper_psnr": psnr}
        rows[name] = cost(network, args.size) | published
    reference = rows[REFERENCE]["macs_per_pixel"]
    print(f"{'network':28s} {'parameters':>11s} {'MACs/px':>11s} {REFERENCE + ' / it':>15s}")
    for name, row in rows.items():
        row["times_fewer_macs"] = reference / row["macs_per_pixel"]
        row.update({k: round(v, 3) for k, v in row.items()})
        print(
            f"{name:28s} {row['parameters']:11,d} {row['macs_per_pixel']:11,.0f} "
            f"{row['times_fewer_macs']:15.2f}"
        )
    print(json.dumps({"size": args.size, "binning": binning, "networks": rows}))


if __name__ == "__main__":
    main()
