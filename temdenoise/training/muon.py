"""Muon, an optimizer with orthogonalised momentum, for the kernels of convolutions."""

from collections import defaultdict

import torch

from temdenoise._device import use_bfloat16

# Coefficients of the quintic iteration. Five steps bring singular values in (0.01, 1) close to 1.
_QUINTIC = (3.4445, -4.7750, 2.0315)
_STEPS = 5
# Root-mean-square size of a step over the learning rate. With it the best rate is about Adam's.
_STEP_SIZE = 0.4
# Smaller values are set to zero, in matrices of norm 1 and in the momentum. The momentum of unused
# channels becomes smaller and smaller, and CPUs are ten times slower with the smallest (subnormal)
# numbers.
_FAINT, _FAINTEST = 1e-7, 1e-30


def orthogonalize(matrices):
    """Bring all singular values of matrices (..., m, n) close to 1 without computing them.

    Five steps of a Newton-Schulz iteration with the coefficients of Jordan et al. (2024) bring the
    singular values to between about 0.7 and 1.2. For an optimizer this is as good as exactly 1.
    GPUs that are fast at bfloat16 use it.
    """
    a, b, c = _QUINTIC
    high = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if high else matrices
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-20)
    x = x.masked_fill(x.abs() < _FAINT, 0)
    if use_bfloat16("auto", x.device) and x.is_cuda:
        x = x.bfloat16()  # as the authors do: precise enough, and many times faster on such GPUs
    for _ in range(_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if high else x).to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """Muon for kernels, Adam for all other parameters; decoupled weight decay for both.

    K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024). A kernel is
    treated as the matrix (outputs, inputs x height x width). The root-mean-square size of its step
    is about that of Adam's, so the two use the same learning rate.

    Parameters
    ----------
    params : iterable of torch.nn.Parameter
    lr : float, default=1e-3
        Learning rate.
    momentum : float, default=0.95
        Momentum of Muon, in Nesterov's form.
    betas : (float, float), default=(0.9, 0.99)
        Decay rates of Adam.
    weight_decay : float, default=0
    """

    def __init__(self, params, lr=1e-3, momentum=0.95, betas=(0.9, 0.99), weight_decay=0.0):
        defaults = {
            "lr": lr, "momentum": momentum, "betas": betas, "weight_decay": weight_decay,
        }  # fmt: skip
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure=None):
        """Make one step."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            alike = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                if parameter.ndim >= 2 and len(parameter) > 1:
                    # A GPU takes all kernels of one shape at once, a CPU one by one in its cache.
                    alone = parameter.device.type == "cpu"
                    alike[parameter if alone else parameter.shape].append(parameter)
                else:
                    parameter.sub_(self._adam(parameter, group), alpha=group["lr"])
            for kernels in alike.values():
                for kernel, direction in zip(kernels, self._muon(kernels, group), strict=True):
                    kernel.sub_(direction.view_as(kernel), alpha=group["lr"])
        return loss

    def _muon(self, kernels, group):
        """Directions (kernels, outputs, inputs x height x width) for kernels of one shape."""
        matrices = []
        for kernel in kernels:
            state, gradient = self.state[kernel], kernel.grad
            if not state:
                state["momentum"] = torch.zeros_like(gradient)
            momentum = state["momentum"].lerp_(gradient, 1 - group["momentum"])
            momentum.masked_fill_(momentum.abs() < _FAINTEST, 0)
            matrices.append(gradient.lerp(momentum, group["momentum"]).flatten(1))
        matrices = torch.stack(matrices)
        # The rows or columns of an orthogonal matrix, whichever are longer, have length 1.
        return orthogonalize(matrices) * (_STEP_SIZE * max(matrices.shape[1:]) ** 0.5)

    def _adam(self, parameter, group):
        state, gradient = self.state[parameter], parameter.grad
        if not state:
            state["step"] = torch.zeros(())
            state["mean"] = torch.zeros_like(gradient)
            state["square"] = torch.zeros_like(gradient)
        state["step"] += 1
        n = state["step"].item()
        mean, square = group["betas"]
        state["mean"].lerp_(gradient, 1 - mean)
        state["square"].lerp_(gradient.square(), 1 - square)
        unbiased = (state["square"] / (1 - square**n)).sqrt_().add_(1e-8)
        return state["mean"] / (1 - mean**n) / unbiased
