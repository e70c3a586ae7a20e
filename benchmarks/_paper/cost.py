"""What a network costs: parameters, field of view, operations."""

# Side in bins of the image operations are counted on; a multiple of all strides.
_SIDE = 384


def network_cost(parameters):
    """Parameters, field of view (px) and convolution MACs per pixel of the frame.

    `parameters` are those of `SBDDenoiser`. Operations of a network on bins are per pixel, not per
    bin; Fourier transforms, a small part of the default network's work, are not counted.
    """
    from temdenoise.networks import build_network, count_macs, receptive_field

    binning = parameters.get("binning", 1)
    options = {k: parameters[k] for k in ("n_scales", "base_channels") if k in parameters}
    network = build_network(parameters["network"], **options).eval()
    cost = {"parameters": sum(p.numel() for p in network.parameters())}
    if parameters["network"] != "fourier_unet":  # its windows reach further than its U-Net
        narrow = options | ({"base_channels": 2} if "base_channels" in options else {})
        view = receptive_field(build_network(parameters["network"], **narrow))
        cost["field_of_view"] = binning * view
    count = count_macs(network, (binning * _SIDE, binning * _SIDE), binning=binning)
    return cost | {"macs_per_pixel": round(count.layers)}
