"""Verdicts on heights: vacancies that are drawn, partly filled columns, and exact p-values."""

import numpy as np
import pytest
from scipy.stats import kstest

from temdenoise.atoms import confirm_atoms_from_halves
from temdenoise.atoms._evidence import Evidence, height_tail, tail

PIXEL_SIZE = 6.0
SITES = np.array([(60.0 + 45 * i, 60.0 + 45 * j) for i in range(5) for j in range(5)])
MIDDLE = 12
SHAPE = (300, 300)


def scene(heights, sites=SITES, shape=SHAPE, level=1.0, sigma=10.0):
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = np.full(shape, level)
    for height, (u, v) in zip(np.broadcast_to(heights, len(sites)), sites, strict=True):
        image += height * np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * sigma**2))
    return image


def middle(height, elsewhere=0.6):
    heights = np.full(len(SITES), elsewhere)
    heights[MIDDLE] = height
    return scene(heights)


def judge(true, drawn, dose, seed=0, **options):
    a, b = np.random.default_rng(seed).poisson(dose / 2 * true, size=(2, *true.shape))
    options = {"pixel_size": PIXEL_SIZE, "polarity": "bright"} | options
    table = confirm_atoms_from_halves(a, b, dose / 2 * drawn, dose / 2 * drawn, **options)
    away = np.hypot(table["x"] - SITES[MIDDLE, 0], table["y"] - SITES[MIDDLE, 1])
    return table.loc[away.idxmin()], table.drop(index=away.idxmin())


def test_the_rest_of_a_column_is_not_confirmed_as_the_column():
    # an excess of 15 % of a column is there for certain, and the denoiser draws a whole column
    column, others = judge(middle(0.15 * 0.6), middle(0.6), dose=200)
    assert column["present"]
    assert column["q_value"] < 1e-3
    assert column["verdict"] == "weaker than drawn"
    assert column["p_share"] > 0.5
    assert (others["verdict"] == "confirmed").all()


def test_a_small_column_is_held_against_its_neighbours():
    # drawn with 30 % of the height, counted with 15 %: half of what was drawn, but no column
    column, others = judge(middle(0.15 * 0.6), middle(0.3 * 0.6), dose=400)
    assert column["height_kind"] == pytest.approx(0.6 * 400, rel=0.1)
    assert 0.15 < column["height_drawn"] / column["height_kind"] < 0.35
    assert column["height_counted"] > 0.25 * column["height_drawn"]
    assert (column["present"], column["verdict"]) == (True, "weaker than drawn")
    assert (others["verdict"] == "confirmed").all()


@pytest.mark.parametrize(
    ("true", "drawn", "verdict"),
    [(0.5, 1.0, "weaker than drawn"), (0.5, 0.5, "confirmed"), (1.0, 1.0, "confirmed")],
)
def test_half_filled_columns(true, drawn, verdict):
    column, _ = judge(middle(true * 0.6), middle(drawn * 0.6), dose=60)
    assert column["present"]
    assert column["verdict"] == verdict


def test_no_column_is_no_weaker_column():
    column, _ = judge(middle(0.0), middle(0.6), dose=60)
    assert (column["present"], column["verdict"]) == (False, "rejected")


def test_p_values_are_uniform_at_exactly_the_share():
    # every second column has exactly the share of its neighbours' height
    share, level, height = 0.3, 1.0, 0.5
    sites = 40 + 60.0 * np.stack(np.meshgrid(np.arange(8), np.arange(8)), -1).reshape(-1, 2)
    weak = np.add.outer(np.arange(8), np.arange(8)).ravel() % 2 == 1
    shape = (500, 500)
    drawn = scene(height, sites, shape, level)
    # the drawing is scaled to the mean of the counts, which hold fewer electrons
    scale = scene(np.where(weak, share, 1.0) * height, sites, shape, level).mean() / drawn.mean()
    true = scene(np.where(weak, share * scale, 1.0) * height, sites, shape, level)
    a, b = np.random.default_rng(4).poisson(true, size=(2, *shape))
    table = confirm_atoms_from_halves(
        a, b, drawn, drawn, min_share=share, pixel_size=PIXEL_SIZE, polarity="bright"
    )
    number = np.rint((table[["x", "y"]] - 40) / 60).astype(int)
    is_weak = (number.sum(axis=1) % 2 == 1).to_numpy()
    assert is_weak.sum() == 32
    p = table.loc[is_weak, "p_share"]
    assert kstest(p, "uniform").pvalue > 0.01
    assert (table.loc[~is_weak, "p_share"] < 0.05).mean() > 0.7
    assert (table.loc[is_weak, "verdict"] == "confirmed").mean() <= 0.1


def test_a_larger_share_asks_for_more():
    tables = [
        judge(middle(0.3), middle(0.6), dose=6, min_share=share)[1] for share in (0.1, 0.3, 0.6)
    ]
    assert (tables[0]["p_share"] < tables[1]["p_share"]).all()
    assert (tables[1]["p_share"] < tables[2]["p_share"]).all()
    # the weaker statement does not depend on it
    for name in ("p_value", "q_value", "present"):
        assert tables[0][name].equals(tables[2][name])


def test_dark_columns_have_shares_too():
    true, drawn = middle(-0.02, elsewhere=-0.6), middle(-0.6, elsewhere=-0.6)
    column, others = judge(true, drawn, dose=60, polarity="dark")
    assert column["verdict"] != "confirmed"
    assert column["height_kind"] < 0
    assert (others["verdict"] == "confirmed").all()


def evidence(observed, weights=(1.0, -1.0), rate=(4.0, 4.0), column=(1.0, 0.0)):
    weights, rate, column = (np.array(v, dtype=float) for v in (weights, rate, column))
    return Evidence(weights, rate, column, 0.1, observed, 0.0, 1.0, 1.0)


def test_tail_of_a_height():
    one = evidence(observed=7.0)  # of few electrons, so sums are drawn: equal to some per cent
    p = height_tail([one], [2.0], at_least=False)
    assert p == pytest.approx(tail(7.0 - 2.0, one.weights, np.array([6.0, 4.0])))
    assert height_tail([one], [2.0], at_least=True) == pytest.approx(1 - p, abs=0.1)
    # two counts together are one with the electrons of both
    both = height_tail([one, one], [2.0, 2.0], at_least=False)
    twice = evidence(observed=14.0, rate=(8.0, 8.0))
    assert both == pytest.approx(height_tail([twice], [4.0], at_least=False), abs=0.02)
    # no height is no hypothesis
    assert np.isnan(height_tail([], [], at_least=False))
    for height in (0.0, -2.0, np.nan):
        assert np.isnan(height_tail([one], [height], at_least=False))
