"""The parameters that all trained methods share: in the signature, the documents and the HTML."""

import inspect

import numpy as np
import pytest
import torch
from sklearn.base import clone
from tiny_training import lattices

from temdenoise import SBDDenoiser
from temdenoise.denoisers._trained.base import TrainedDenoiser

SHARED = list(inspect.signature(TrainedDenoiser.__init__).parameters)[1:]


class OffsetDenoiser(TrainedDenoiser):
    """A method of one convolution.

    Its text.

    Parameters
    ----------
    width : int, default=3
        Side of the kernel, in pixels.
    patch_size : int, default=400
        Side of the patches.

    Attributes
    ----------
    network_ : torch.nn.Module
        One convolution.
    kernel_ : ndarray
        Its weights.

    Notes
    -----
    Of no use.
    """

    _parameter_constraints = {"width": [int]}
    _stored = ("width",)
    _defaults = {"learning_rate": 0.5, "schedule": "linear", "early_stopping": 4}

    def __init__(self, *, width=3, **training):
        super().__init__(**training)
        self.width = width

    def _make_network(self):
        return torch.nn.Conv2d(1, 1, self.width, padding="same", bias=False)

    def _make_batches(self, X, y, part):
        from temdenoise.training.batches import PairBatches

        return PairBatches(noisy=X, target=y, device=part.device, **part.common)


class WideDenoiser(OffsetDenoiser):
    _defaults = {"width": 9, "learning_rate": 0.25}


def test_signature_shows_every_parameter():
    parameters = inspect.signature(OffsetDenoiser).parameters
    assert list(parameters) == ["width", *SHARED]
    assert {p.kind for p in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}
    assert set(SHARED) < set(inspect.signature(SBDDenoiser).parameters)
    with pytest.raises(TypeError, match="nonsense"):
        OffsetDenoiser(nonsense=1)
    with pytest.raises(TypeError, match=r"OffsetDenoiser.__init__\(\) takes 1 positional"):
        OffsetDenoiser(1)


def test_a_class_has_its_own_defaults():
    shared = TrainedDenoiser().get_params() | {"width": 3}
    own = {"learning_rate": 0.5, "schedule": "linear", "early_stopping": 4}
    wide = {"width": 9, "learning_rate": 0.25}
    for cls, changed in ((OffsetDenoiser, own), (WideDenoiser, own | wide)):
        assert cls().get_params() == shared | changed
        defaults = {n: p.default for n, p in inspect.signature(cls).parameters.items()}
        assert defaults == shared | changed
        assert repr(cls(**changed)) == f"{cls.__name__}()"
        assert clone(cls(early_stopping=None)).early_stopping is None
    assert WideDenoiser(width=5).width == 5


def test_get_params_set_params_and_clone():
    denoiser = OffsetDenoiser(width=5, max_epochs=2)
    params = denoiser.get_params()
    assert params["width"] == 5
    assert params["max_epochs"] == 2
    assert params["learning_rate"] == 0.5
    assert params["batch_size"] == TrainedDenoiser().batch_size
    assert set(params) == {"width", *SHARED}
    copy = clone(denoiser).set_params(learning_rate=0.1, width=7)
    assert copy.get_params() == params | {"learning_rate": 0.1, "width": 7}
    assert denoiser.get_params() == params
    with pytest.raises(ValueError, match="Invalid parameter 'nonsense'"):
        denoiser.set_params(nonsense=1)
    assert repr(denoiser) == "OffsetDenoiser(max_epochs=2, width=5)"


def test_shared_parameters_are_documented_in_each_class():
    for cls in (OffsetDenoiser, SBDDenoiser):
        doc = inspect.getdoc(cls)
        own, _, rest = doc.partition("Other Parameters\n----------------\n")
        other, _, after = rest.partition("\nAttributes\n----------\n")
        assert "network_" in after
        for name in inspect.signature(cls).parameters:
            assert (f"\n{name} : " in own) != (f"{name} : " in other), name
        assert "max_minutes : float, optional\n    Minutes after which training stops" in other
    doc = OffsetDenoiser.__doc__
    # what a class documents itself stays with it
    assert "Side of the patches." in doc
    assert doc.count("patch_size : ") == 1
    # its own defaults replace the others
    assert "\nlearning_rate : float, default=0.5\n    Highest learning rate." in doc
    assert '"plateau"}, default="linear"\n' in doc
    assert "\nearly_stopping : int or None, default=4\n" in doc
    # attributes are those of both
    assert "\nnetwork_ : torch.nn.Module\n    One convolution.\n" in doc
    assert doc.count("network_ : ") == doc.count("kernel_ : ") == doc.count("history_ : ") == 1
    titles = ("Parameters", "Other Parameters", "Attributes", "Notes")
    places = [doc.index(f"\n\n{title}\n---") for title in titles]
    assert places == sorted(places)


def test_html_shows_the_parameters_in_groups():
    html = SBDDenoiser(loss="mse", max_epochs=7)._repr_html_()
    groups = ("Method", "Training", "Running")
    places = [html.index(f"Parameters: {title}") for title in groups]
    assert places == sorted(places)
    for name, group in (("loss", 0), ("noise", 0), ("max_epochs", 1), ("device", 2)):
        place = html.index(f">{name}")
        assert places[group] < place
        assert group == 2 or place < places[group + 1]
    for name in SBDDenoiser().get_params():
        assert html.count(f">{name}&nbsp;") + html.count(f">{name}<") >= 1, name
    assert "OffsetDenoiser" in OffsetDenoiser()._repr_html_()


def test_groups_hold_every_shared_parameter_once():
    grouped = [n for names in TrainedDenoiser._parameter_groups.values() for n in names]
    assert sorted(grouped) == sorted(SHARED)


@pytest.mark.filterwarnings("ignore::temdenoise.noise.CountsWarning")  # clean images
def test_a_method_of_ones_own_trains_saves_and_loads(tmp_path):
    clean = lattices(4, 32, 32)
    denoiser = OffsetDenoiser(
        max_epochs=2, steps_per_epoch=20, patch_size=32, device="cpu", random_state=0,
        orientations=1, width=5, learning_rate=0.05,
    )  # fmt: skip
    denoiser.fit(3 * clean, clean)
    denoised = denoiser.transform(3 * clean)
    assert denoised.pixel_size == 24.9
    assert np.abs(denoised - clean)[:, 4:-4, 4:-4].max() < 0.2
    denoiser.save_pretrained(tmp_path / "w")
    loaded = OffsetDenoiser.from_pretrained(tmp_path / "w", device="cpu")
    loaded.set_params(orientations=1, precision=denoiser.precision)
    np.testing.assert_array_equal(loaded.transform(3 * clean), denoised)
    with pytest.raises(ValueError, match="are of OffsetDenoiser, not of SBDDenoiser: load them"):
        SBDDenoiser.from_pretrained(tmp_path / "w")
    with pytest.raises(ValueError, match="no weights of OffsetDenoiser in the package"):
        OffsetDenoiser.from_pretrained()
    with pytest.raises(ValueError, match="are of SBDDenoiser, not of OffsetDenoiser"):
        OffsetDenoiser.from_pretrained("general")


def test_a_method_says_what_it_lacks():
    class Nothing(TrainedDenoiser):
        pass

    class NoBatches(OffsetDenoiser):
        _make_batches = TrainedDenoiser._make_batches

    clean = lattices(2, 16, 16)
    with pytest.raises(TypeError, match="Nothing must define _make_network"):
        Nothing(device="cpu").fit(clean)
    with pytest.raises(TypeError, match=r"NoBatches must define _make_batches\(X, y, part\)"):
        NoBatches(device="cpu").fit(clean)
