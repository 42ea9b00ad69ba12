import math

import numpy as np
import pandas as pd
import pytest
import torch

from forecastlab.network.intervals import SplitConformal
from forecastlab.training.forecaster import Forecaster
from tests.frames import module, panel
from tests.network.calibrated import conformal_quantile, trained

NOTHING = torch.empty(0)


# ---- the margins ----


@pytest.mark.parametrize("count", [9, 10, 19, 57, 200])
def test_the_margin_is_the_rank_of_split_conformal_prediction(count):
    random = np.random.default_rng(count)
    point, target = random.normal(size=(2, count, 3, 2)).astype("f")
    intervals = SplitConformal([0.5, 0.9], (), horizon=3, targets=2)
    errors = intervals.errors(torch.tensor(point), NOTHING.expand(count, 3, 2, 0), torch.tensor(target))
    intervals.fit(errors, torch.ones(count, 3, 2))
    for number, coverage in enumerate((0.5, 0.9)):
        for step in range(3):
            for which in range(2):
                expected = conformal_quantile(np.abs(target - point)[:, step, which], coverage)
                assert intervals.margin[number, step, which].item() == expected


def test_with_quantiles_it_is_conformalised_quantile_regression():
    random = np.random.default_rng(0)
    target = random.normal(size=(40, 2, 1)).astype("f")
    quantiles = np.sort(random.normal(size=(40, 2, 1, 5)).astype("f"), -1)
    levels = (0.05, 0.25, 0.5, 0.75, 0.95)
    intervals = SplitConformal([0.9, 0.5], levels, horizon=2, targets=1)
    assert intervals.levels == levels
    intervals.fit(intervals.errors(NOTHING, torch.tensor(quantiles), torch.tensor(target)), torch.ones(target.shape))
    new = np.sort(random.normal(size=(7, 2, 1, 5)).astype("f") * 9, -1)  # so wide apart that nothing crosses
    found = intervals(torch.tensor(new[..., 2]), torch.tensor(new)).numpy()
    for step in range(2):
        for low, high, coverage in ((0, 4, 0.9), (1, 3, 0.5)):
            y, q = target[:, step, 0], quantiles[:, step, 0]
            margin = conformal_quantile(np.maximum(q[:, low] - y, y - q[:, high]), coverage)
            moved = new[:, step, 0].copy()
            moved[:, low] -= margin
            moved[:, high] += margin
            kept = (np.diff(moved) > 0).all(1)
            assert kept.any()
            np.testing.assert_allclose(found[kept, step, 0][:, [low, high]], moved[kept][:, [low, high]], rtol=1e-6)


def test_without_quantiles_an_interval_is_the_point_and_the_margin_on_both_sides():
    intervals = SplitConformal([0.8, 0.5], (), horizon=2, targets=1)
    intervals.margin.copy_(torch.tensor([[[1.0], [2.0]], [[3.0], [4.0]]]))  # of 50 %, then of 80 %
    assert intervals.coverages == (0.5, 0.8)
    np.testing.assert_allclose(intervals.levels, [0.1, 0.25, 0.75, 0.9])
    found = intervals(torch.tensor([[10.0], [20.0]]), NOTHING)
    assert found.tolist() == [[[7, 9, 11, 13]], [[16, 18, 22, 24]]]


def test_what_has_no_weight_does_not_count():
    intervals = SplitConformal([0.5], (), horizon=1, targets=1)
    errors = torch.arange(1.0, 12.0).view(11, 1, 1, 1)
    weight = (torch.arange(11) < 5).float().view(11, 1, 1)
    intervals.fit(errors, weight)
    assert intervals.margin.item() == 3  # of 1 2 3 4 5, the ceil(6 / 2)-th


def test_each_series_has_the_margins_of_its_own_errors_if_they_are_enough():
    random = np.random.default_rng(0)
    series = random.permutation(np.repeat([0, 1, 2], [60, 40, 5]))
    errors = (
        np.abs(random.normal(size=(105, 2, 1, 1))) * np.array([1.0, 100.0, 7.0])[series, None, None, None]
    ).astype("f")
    weight = np.ones((105, 2, 1), "f")
    weight[series == 1, 1] = np.arange(40)[:, None] < 8  # of its second step 8 errors count, which is one too few
    intervals = SplitConformal([0.5, 0.9], (), horizon=2, targets=1, series=4)
    intervals.fit(*(torch.tensor(part) for part in (np.tile(errors, 2), weight, series)))
    found = intervals.margins(torch.tensor([0, 1, 2, 3, -1]))
    assert found.shape == (5, 2, 2, 1)
    for number, coverage in enumerate((0.5, 0.9)):
        for step in range(2):
            counts = weight[:, step, 0] > 0
            pooled = conformal_quantile(errors[counts, step, 0, 0], coverage)
            few = step == 1 and coverage == 0.9
            of_series = found[:, number, step, 0]
            assert of_series[3:].tolist() == [pooled, pooled]  # neither has errors
            for n in range(3):
                if (few and n == 1) or (coverage == 0.9 and n == 2):  # filled up, in the unit of the series
                    ideal = (1.0, 100.0, 7.0)[n] * 1.645
                    assert 0.5 * ideal < of_series[n] < 3 * ideal
                else:
                    own = errors[counts & (series == n), step, 0, 0]
                    assert of_series[n].item() == conformal_quantile(own, coverage)


def test_a_series_is_given_its_own_margins_by_its_name(tmp_path):
    frame = panel(60, scales=(1.0, 100.0))
    data = module(tmp_path, frame, series_column="unique_id", validation="tail")
    model = trained(data, tmp_path, intervals=(0.5,))
    assert model.schema.panel == ("a", "b")

    def widths(table):
        return (table["forecast-hi-50"] - table["forecast-lo-50"]).groupby(table["unique_id"]).first()

    scale = model.scaling.target_scale.item()
    own = {name: 2 * scale * model.intervals.own[number, 0, 0, 0].item() for number, name in enumerate("ab")}
    assert own["b"] > 3 * own["a"]
    assert widths(model.forecast(frame)).to_dict() == pytest.approx(own, rel=1e-4)
    turned = pd.concat([frame[frame["unique_id"] == name] for name in ("b", "a")])
    new = frame[frame["unique_id"] == "a"].assign(unique_id="new")
    pool = 2 * scale * model.intervals.margin.item()
    again = Forecaster.rebuild(model.hparams, model.state_dict())
    for each in (model, again):
        assert widths(each.forecast(pd.concat([turned, new]))).to_dict() == pytest.approx(
            {**own, "new": pool}, rel=1e-4
        )


def test_a_checkpoint_without_margins_of_each_series_is_read(tmp_path):
    frame = panel(60, scales=(1.0, 100.0))
    model = trained(module(tmp_path, frame, series_column="unique_id"), tmp_path, intervals=(0.5,))
    settings = {**model.hparams, "schema": {k: v for k, v in model.hparams["schema"].items() if k != "panel"}}
    weights = {name: value for name, value in model.state_dict().items() if name != "intervals.own"}
    old = Forecaster.rebuild(settings, weights)
    table = old.forecast(frame)
    width = table["forecast-hi-50"] - table["forecast-lo-50"]
    assert width.to_numpy() == pytest.approx(
        2 * old.scaling.target_scale.item() * old.intervals.margin.item(), rel=1e-4
    )


@pytest.mark.parametrize(("coverage", "least"), [(0.5, 1), (0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99)])
def test_too_few_errors_say_how_many_it_takes(coverage, least):
    intervals = SplitConformal([coverage], (), horizon=2, targets=1)
    errors, weight = torch.rand(least, 2, 1, 1), torch.ones(least, 2, 1)
    intervals.fit(errors, weight)
    assert torch.equal(intervals.margin[0, :, 0], errors.amax(0)[:, 0, 0])
    weight[0, 1] = 0
    expected = f"intervals of {100 * coverage:g} % need {least} forecasts .* step 2 has {least - 1}: enlarge it"
    with pytest.raises(ValueError, match=expected):
        intervals.fit(errors, weight)


@pytest.mark.parametrize("coverages", [[0.0], [1.0], [-0.5], [90], [0.9, 0.9], [float("nan")]])
def test_what_is_no_probability_is_refused(coverages):
    with pytest.raises(ValueError, match="different probabilities between 0 and 1"):
        SplitConformal(coverages, (), 1, 1)


def test_an_interval_whose_quantiles_are_not_forecast_is_refused():
    with pytest.raises(
        ValueError, match=r"needs the quantile 0.1, but the loss forecasts those of \[0.05, 0.5, 0.95\]"
    ):
        SplitConformal([0.8], (0.05, 0.5, 0.95), 1, 1)


# ---- what it promises ----


@pytest.mark.parametrize(("count", "coverage"), [(9, 0.9), (19, 0.9), (10, 0.8), (50, 0.5), (99, 0.95)])
def test_exchangeable_errors_are_covered_as_often_as_promised(count, coverage):
    trials = 4000  # each a step of its own
    random = np.random.default_rng(0)
    heavy = torch.tensor(random.standard_t(2, size=(count + 1, trials, 1)), dtype=torch.float32)
    intervals = SplitConformal([coverage], (), horizon=trials, targets=1)
    point = torch.zeros(count + 1, trials, 1)
    intervals.fit(intervals.errors(point, NOTHING, heavy)[:count], torch.ones(count, trials, 1))
    low, high = intervals(point[-1], NOTHING)[..., 0, :].unbind(-1)
    covered = ((low <= heavy[-1, :, 0]) & (heavy[-1, :, 0] <= high)).double().mean().item()
    exact = math.ceil(round((count + 1) * coverage, 9)) / (count + 1)  # without ties
    assert exact >= coverage
    assert covered == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / trials))


def test_quantiles_that_are_wrong_are_put_right():
    trials, count = 3000, 29
    random = np.random.default_rng(1)
    spread = random.uniform(0.1, 10, size=(count + 1, trials, 1))
    target = torch.tensor(spread * random.normal(size=spread.shape), dtype=torch.float32)
    claimed = torch.tensor(spread[..., None] * [-0.3, 0.0, 0.7], dtype=torch.float32)  # far too narrow, and askew
    intervals = SplitConformal([0.9], (0.05, 0.5, 0.95), horizon=trials, targets=1)
    intervals.fit(intervals.errors(NOTHING, claimed, target)[:count], torch.ones(count, trials, 1))
    found = intervals(NOTHING, claimed[-1])
    covered = ((found[..., 0] <= target[-1]) & (target[-1] <= found[..., -1])).double().mean().item()
    assert covered == pytest.approx(0.9, abs=4 * math.sqrt(0.09 / trials))


def test_quantiles_that_are_too_wide_shrink():
    target = torch.linspace(-1, 1, 99).view(99, 1, 1)
    claimed = torch.tensor([-5.0, 0.0, 5.0]).expand(99, 1, 1, 3)
    intervals = SplitConformal([0.9], (0.05, 0.5, 0.95), horizon=1, targets=1)
    intervals.fit(intervals.errors(NOTHING, claimed, target), torch.ones(99, 1, 1))
    assert -5 < intervals.margin.item() < -4


@pytest.mark.parametrize("seed", range(5))
def test_quantiles_never_cross(seed):
    torch.manual_seed(seed)
    levels = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
    intervals = SplitConformal([0.9, 0.5, 0.8], levels, horizon=3, targets=2)
    intervals.margin.copy_(3 * torch.randn(intervals.margin.shape))  # negative ones among them
    quantiles = torch.randn(50, 3, 2, 7).sort(-1).values
    found = intervals(quantiles[..., 3], quantiles)
    assert found.shape == quantiles.shape
    assert (found.diff(dim=-1) >= 0).all()


def panel_errors(few, repeats, generator, many=40, kinds=20):
    """Errors of a panel, half of whose series have few, in units that differ a thousandfold; and the next ones."""
    counts = torch.tensor([few] * kinds + [many] * kinds)
    units = 10 ** (3 * torch.rand(2 * kinds, generator=generator) - 1)
    series = torch.repeat_interleave(torch.arange(2 * kinds), counts)
    errors = torch.randn(len(series), generator=generator).abs() * units[series]
    following = torch.randn(kinds, repeats, generator=generator).abs() * units[:kinds, None]
    return errors[:, None, None, None], series, following, units[:kinds]


@pytest.mark.parametrize(("few", "widest"), [(1, 6.0), (2, 3.0), (5, 1.8), (12, 1.5)])
def test_a_series_with_few_errors_is_covered_in_its_own_unit(few, widest):
    generator = torch.Generator().manual_seed(few)
    hits, widths = [], []
    for _ in range(60):
        errors, series, following, units = panel_errors(few, 30, generator)
        intervals = SplitConformal([0.9], (), 1, 1, series=40)
        intervals.fit(errors, torch.ones(errors.shape[:3]), series)
        margins = intervals.margins(torch.arange(20))[:, 0, 0, 0]
        hits.append((following <= margins[:, None]).float().mean())
        widths.append((margins / units / 1.645).mean())
    assert 0.89 < float(torch.stack(hits).mean()) < 0.97
    assert float(torch.stack(widths).mean()) < widest  # of all errors in one unit it would be hundreds


def test_own_errors_alone_count_where_there_are_four_times_as_many_as_are_needed():
    errors, series, _, _ = panel_errors(36, 1, torch.Generator().manual_seed(0))
    intervals = SplitConformal([0.9], (), 1, 1, series=40)
    intervals.fit(errors, torch.ones(errors.shape[:3]), series)
    for number in (0, 7, 25):
        own = errors[series == number].flatten().sort().values
        rank = math.ceil((len(own) + 1) * 0.9 - 1e-9)
        assert intervals.margins(torch.tensor([number])).item() == own[rank - 1]


def test_the_margin_is_the_quantile_of_own_errors_and_of_the_pool_weighted_by_what_is_missing():
    errors, series, _, _ = panel_errors(5, 1, torch.Generator().manual_seed(3))
    intervals = SplitConformal([0.8], (), 1, 1, series=40)
    intervals.fit(errors, torch.ones(errors.shape[:3]), series)
    flat = errors.flatten().double()
    sizes = torch.stack([flat[series == number].mean() for number in range(40)])
    wide = 5 * (0.2 ** (-1 / 5) - 1) / -math.log(0.2)
    for number in (0, 11):
        own = flat[series == number]
        pool = flat / sizes[series] * sizes[number] * wide
        values = torch.cat([own, pool])
        weights = torch.cat([torch.ones(5), torch.full((len(pool),), (16 - 5) / len(pool))]).double()
        order = values.argsort()
        reached = weights[order].cumsum(0) >= (16 + 1) * 0.8 - 1e-6
        expected = values[order][reached.int().argmax()]
        assert intervals.margins(torch.tensor([number])).item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_unit_of_a_series_scales_its_margin_and_changes_no_other():
    errors, series, _, _ = panel_errors(4, 1, torch.Generator().manual_seed(1))
    margins = []
    for factor in (1.0, 1000.0):
        scaled = torch.where((series == 3)[:, None, None, None], errors * factor, errors)
        intervals = SplitConformal([0.9], (), 1, 1, series=40)
        intervals.fit(scaled, torch.ones(errors.shape[:3]), series)
        margins.append(intervals.margins(torch.arange(40))[:, 0, 0, 0])
    factors = torch.ones(40)
    factors[3] = 1000
    torch.testing.assert_close(margins[1], margins[0] * factors, rtol=1e-4, atol=0)
