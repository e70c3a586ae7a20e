"""The optimizer of the trainings."""

import copy

import pytest
import torch

from temdenoise.training.muon import Muon, orthogonalize


@pytest.mark.parametrize("shape", [(6, 40), (40, 6), (8, 8)])
def test_singular_values_come_near_one(shape):
    torch.manual_seed(0)
    matrix = torch.randn(shape) * 1e-3
    u, before, v = torch.linalg.svd(matrix, full_matrices=False)
    made = orthogonalize(matrix)
    after = torch.linalg.svdvals(made)
    large = (before / before.norm()) > 0.01
    assert after[: large.sum()].min() > 0.6
    assert after.max() < 1.3
    # the same singular vectors: u.T made v is diagonal
    turned = u.mT @ made @ v.mT
    assert (turned - torch.diag(turned.diagonal())).abs().max() < 1e-3


def test_matrices_of_a_stack_do_not_know_each_other():
    torch.manual_seed(0)
    stack = torch.randn(3, 6, 40) * torch.tensor([1e-6, 1.0, 1e6])[:, None, None]
    for matrix, made in zip(stack, orthogonalize(stack), strict=True):
        torch.testing.assert_close(made, orthogonalize(matrix), rtol=1e-5, atol=1e-6)


def test_kernels_of_one_shape_make_the_steps_they_make_alone():
    torch.manual_seed(0)
    kernels = [torch.zeros(6, 4, 3, 3, requires_grad=True) for _ in range(3)]
    for kernel in kernels:
        kernel.grad = torch.randn(kernel.shape)
    together, alone = Muon(kernels), Muon(kernels)
    for _ in range(2):  # momentum too
        directions = together._muon(kernels, together.param_groups[0])
        for kernel, direction in zip(kernels, directions, strict=True):
            (expected,) = alone._muon([kernel], alone.param_groups[0])
            torch.testing.assert_close(direction, expected, rtol=1e-5, atol=1e-6)
            kernel.grad = torch.randn(kernel.shape)


def test_a_zero_gradient_leaves_a_kernel_alone():
    assert torch.equal(orthogonalize(torch.zeros(3, 5)), torch.zeros(3, 5))


@pytest.mark.parametrize("size", [1e-12, 1e-20, 1e-35])
def test_what_fades_away_becomes_zero(size):
    """Numbers near the smallest there are cost ten times the time of others."""
    torch.manual_seed(0)
    matrix = torch.randn(6, 40)
    matrix[::2] *= size
    without = torch.where(torch.arange(6)[:, None] % 2 == 0, 0, matrix)
    assert torch.equal(orthogonalize(matrix), orthogonalize(without))

    kernel = torch.zeros(4, 3, requires_grad=True)
    optimizer = Muon([kernel])
    kernel.grad = torch.full((4, 3), size)
    optimizer.step()
    kernel.grad = torch.zeros(4, 3)
    for _ in range(1600):
        optimizer.step()
    assert not optimizer.state[kernel]["momentum"].any()


def test_a_vector_makes_the_steps_of_adam():
    torch.manual_seed(0)
    start = torch.randn(7)
    ours, theirs = start.clone().requires_grad_(), start.clone().requires_grad_()
    arguments = {"lr": 0.01, "betas": (0.9, 0.99), "weight_decay": 0.1}
    muon, adam = Muon([ours], **arguments), torch.optim.AdamW([theirs], **arguments)
    for k in range(20):
        for parameter, optimizer in ((ours, muon), (theirs, adam)):
            optimizer.zero_grad()
            (parameter.pow(4).sum() + k * parameter.sum()).backward()
            optimizer.step()
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_a_step_has_the_size_of_the_learning_rate_whatever_the_gradient():
    for size in (1e-6, 1.0, 1e6):
        torch.manual_seed(0)
        kernel = torch.zeros(16, 8, 3, 3, requires_grad=True)
        kernel.grad = torch.randn(kernel.shape) * size
        Muon([kernel], lr=0.01).step()
        assert kernel.square().mean().sqrt().item() == pytest.approx(0.4 * 0.01, rel=0.15)


def test_state_can_be_kept_and_put_back():
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.Conv2d(4, 1, 3))
    other = copy.deepcopy(module)
    x = torch.randn(2, 1, 12, 12)

    def steps(net, optimizer, n):
        for _ in range(n):
            optimizer.zero_grad()
            (net(x) - 1).square().mean().backward()
            optimizer.step()

    first, second = Muon(module.parameters(), lr=0.01), Muon(other.parameters(), lr=0.01)
    steps(module, first, 3)
    steps(other, second, 3)
    again = Muon(other.parameters(), lr=0.01)
    again.load_state_dict(second.state_dict())
    steps(module, first, 3)
    steps(other, again, 3)
    for a, b in zip(module.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_it_converges():
    torch.manual_seed(0)
    x = torch.randn(200, 16)
    target = torch.randn(8, 16)
    weight = torch.zeros(8, 16, requires_grad=True)
    optimizer = Muon([weight], lr=0.15)
    for k in range(300):
        optimizer.param_groups[0]["lr"] = 0.15 * (1 - k / 300)
        optimizer.zero_grad()
        (x @ (weight - target).mT).square().mean().backward()
        optimizer.step()
    assert (weight - target).abs().max() < 0.02
