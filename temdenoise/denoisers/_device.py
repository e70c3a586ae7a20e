"""The device that torch computes on."""

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
