"""The device on which torch computes, and the precision."""

import torch


def choose_device(device):
    """Resolve "auto", and check that the device exists."""
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
            f"device={device!r} cannot be used here ({reason}). Give 'cpu', 'auto' or the name of "
            "a device that torch has."
        ) from error
    return chosen


def use_bfloat16(precision, device):
    """Whether convolutions run in bfloat16; for "auto" if the device is fast at it."""
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # bfloat16 is slow on CPUs without instructions for it. Only a private function of torch says
    # which CPUs have them.
    try:
        return device.type == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):
        return False
