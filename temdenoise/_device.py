"""The device that torch computes on, and how precisely."""

import torch


def choose_device(device):
    """Resolve "auto", and check that there is such a device."""
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"device={device!r} cannot be used here ({reason}): give 'cpu', 'auto' or the name of "
            "a device that torch has."
        ) from error
    return chosen


def use_bfloat16(precision, device):
    """Whether convolutions shall run in bfloat16: "auto" asks if the device is fast at it."""
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # On processors without the instructions bfloat16 is emulated, and slow. Torch says which these
    # are only where its users are not meant to look.
    try:
        return device.type == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):
        return False
