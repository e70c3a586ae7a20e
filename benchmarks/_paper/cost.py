"""What a network costs: parameters, field of view, operations."""

from torch.utils.flop_counter import FlopCounterMode

# Side in bins of the image operations are counted on; a multiple of all strides.
_SIDE = 384


def network_cost(parameters):
    """Parameters, field of view (px) and convolution MACs per pixel of the frame.

    `parameters` are those of `SBDDenoiser`. Operations of a network on bins are per pixel, not per
    bin; Fourier transforms, a small part of the default network's work, are not counted.
    """
    import torch

    from temdenoise.networks import build_network, receptive_field

    binning = parameters.get("binning", 1)
    names = {"n_scales": "scales", "base_channels": "base_channels"}
    options = {names[k]: parameters[k] for k in names if k in parameters}
    network = build_network(parameters["network"], **options).eval()
    cost = {"parameters": sum(p.numel() for p in network.parameters())}
    if parameters["network"] != "fourier_unet":  # its windows reach further than its U-Net
        narrow = options | ({"base_channels": 2} if "base_channels" in options else {})
        view = receptive_field(build_network(parameters["network"], **narrow))
        cost["field_of_view"] = binning * view
    network = network.to("meta")  # shapes only: nothing is computed
    counter = FlopCounterMode(display=False)
    with counter, torch.inference_mode():
        network(torch.ones(1, 1, _SIDE, _SIDE, device="meta"))
    macs = counter.get_total_flops() / 2 / _SIDE**2
    return cost | {"macs_per_pixel": round(macs / binning**2)}
