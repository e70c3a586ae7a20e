"""Two processes that share a training: real ones, on the processor."""

import os
import pickle
import socket
import sys

import numpy as np
import pytest
import torch
from forks import start
from skorch.callbacks import Callback
from tiny_training import TINY, lattices, tiny

from temdenoise import SBDDenoiser
from temdenoise.networks import build_network
from temdenoise.training.losses import relative_mse

# Clean images are denoised too.
pytestmark = pytest.mark.filterwarnings("ignore::temdenoise.noise.CountsWarning")


class Record(Callback):
    """Keeps what the first step saw, and its gradients."""

    def on_train_begin(self, net, **kwargs):
        self.batches, self.grads = [], None
        self.start = {k: v.clone() for k, v in net.bare_module.state_dict().items()}

    def on_batch_begin(self, net, batch=None, training=False, **kwargs):
        if training:
            self.batches.append(batch)

    def on_grad_computed(self, net, **kwargs):
        if self.grads is None:
            named = net.bare_module.named_parameters()
            self.grads = {k: v.grad.clone() for k, v in named}


DIVERGING = {"learning_rate": 1e30, "checkpoint_file": None, "log_file": None, "verbose": False}


def train(folder, options, images):
    """What each of the processes does."""
    record = Record()
    sbd = SBDDenoiser(**options, accelerate=True, callbacks=[record]).fit(images)
    sbd.callbacks = None
    sbd = pickle.loads(pickle.dumps(sbd))
    with pytest.raises(ValueError) as diverged:
        SBDDenoiser(**{**options, **DIVERGING}, accelerate=True).fit(images)
    torch.save(
        {
            "diverged": str(diverged.value),
            "weights": sbd.network_.state_dict(),
            "history": [row["valid_psnr"] for row in sbd.history_],
            "denoised": np.asarray(sbd.transform(images)),
            "batches": record.batches,
            "grads": record.grads,
            "start": record.start,
        },
        folder / f"{os.environ['RANK']}.pt",
    )
    torch.distributed.destroy_process_group()


def run_two(folder, images, **options):
    """Train in two processes; return what each of them saw and wrote, and its stderr."""
    pytest.importorskip("accelerate")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # what `accelerate launch` and `torchrun` set
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    logs = [folder / f"{rank}.txt" for rank in "01"]
    processes = [
        start(
            train, folder, {**TINY, **options}, images,
            environment={**shared, "RANK": rank, "LOCAL_RANK": rank}, stderr=log,
        )
        for rank, log in zip("01", logs, strict=True)
    ]  # fmt: skip
    for process in processes:
        process.join(timeout=300)
        process.kill()
    errors = [log.read_text() for log in logs]
    assert [process.exitcode for process in processes] == [0, 0], "\n".join(errors)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in "01"], errors


@pytest.fixture(scope="module")
def images():
    return lattices(6, 40, 40)


@pytest.fixture(scope="module")
def two(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    options = {
        # batch norm has statistics of its own in each process; no seed, which must be agreed on;
        # and a time that no two clocks measure alike
        "network": "unet", "random_state": None, "schedule": "cosine", "max_minutes": 1,
        "checkpoint_file": str(folder / "run.pt"), "log_file": str(folder / "log.csv"),
        "verbose": True,
    }  # fmt: skip
    return *run_two(folder, images, **options), folder


def test_both_end_with_the_same(two):
    (first, second), _, _ = two
    for name, value in first["weights"].items():
        assert torch.equal(value, second["weights"][name])
        assert torch.equal(first["start"][name], second["start"][name])
    assert first["history"] == second["history"]
    assert len(first["history"]) == 4
    np.testing.assert_array_equal(first["denoised"], second["denoised"])
    assert any((first["weights"][k] != v).any() for k, v in first["start"].items())


def test_each_draws_patches_of_its_own(two):
    first, second = ([noisy for noisy, _ in seen["batches"]] for seen in two[0])
    assert len(first) == len(second) == 8
    drawn = first + second
    assert not any(torch.equal(a, b) for k, a in enumerate(drawn) for b in drawn[:k])


def test_gradients_are_those_of_the_double_batch(two):
    (first, second), _, _ = two
    for name, grad in first["grads"].items():
        assert torch.equal(grad, second["grads"][name])
    total = None
    for seen in (first, second):
        network = build_network("unet", n_scales=2, base_channels=4)
        network.load_state_dict(seen["start"])
        noisy, target = seen["batches"][0]
        relative_mse(network.train()(noisy), target["target"]).backward()
        grads = {k: p.grad for k, p in network.named_parameters()}
        total = grads if total is None else {k: total[k] + g for k, g in grads.items()}
    for name, grad in first["grads"].items():
        expected = total[name] / 2  # but for the rounding of sums in another order
        assert (grad - expected).norm() < 1e-4 * expected.norm()


def test_only_the_main_process_writes_and_shows(two):
    _, errors, folder = two
    assert "epoch 4" in errors[0]
    assert "epoch" not in errors[1]
    assert sorted(p.name for p in folder.iterdir()) == [
        "0.pt", "0.txt", "1.pt", "1.txt", "log.csv", "run.pt",
    ]  # fmt: skip
    assert len((folder / "log.csv").read_text().splitlines()) == 5


def test_a_finished_training_is_taken_up_by_both(two, images, tmp_path):
    (first, _), _, folder = two
    checkpoint = torch.load(folder / "run.pt", weights_only=True)
    for name, value in first["weights"].items():
        assert torch.equal(checkpoint["best"][name], value)
    # by one process it is another training
    options = {"network": "unet", "random_state": None, "max_minutes": 1}
    with pytest.raises(ValueError, match="with other number of processes"):
        tiny(checkpoint_file=folder / "run.pt", **options).fit(images)


def test_diverging_ends_both(two):
    for seen in two[0]:
        assert "before the first epoch ended: lower learning_rate" in seen["diverged"]


def test_started_alone_it_trains_alone(images):
    pytest.importorskip("accelerate")
    plain, shared = (tiny(max_epochs=1, accelerate=a).fit(images) for a in (False, True))
    np.testing.assert_array_equal(plain.transform(images), shared.transform(images))
    with pytest.raises(ValueError, match="device='cuda:1' cannot be given with accelerate=True"):
        tiny(device="cuda:1", accelerate=True).fit(images)


def test_without_the_extra(images, monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)  # as if it were not installed
    with pytest.raises(ImportError, match=r"pip install 'temdenoise\[accelerate\]'"):
        SBDDenoiser(accelerate=True, device="cpu").fit(images)
