import numpy as np
import pytest
import torch
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from forecastlab.batch import Scaling
from forecastlab.data.scaling import fit_each
from tests.series import Series, panel

GENERATOR = np.random.default_rng(0)
FEATURES = GENERATOR.normal(size=(200, 4)) * [1, 100, 0.01, 5] + [0, 5800, -3, 1e4]
KNOWN = GENERATOR.uniform(-1, 1, size=(200, 2))
TARGETS = GENERATOR.gamma(2.0, size=(200, 3)) * [1, 10, 1000]
LEARNED = {"standard": StandardScaler, "minmax": MinMaxScaler, "robust": RobustScaler}


def tensor(values):
    return torch.as_tensor(values, dtype=torch.float64)


def fitted(scaler, features=FEATURES, known=KNOWN, targets=TARGETS):
    """The scaling of one series without static covariates."""
    series = {"feature": features[None], "known": known[None], "target": targets[None]}
    return fit_each(scaler, [(np.zeros(1, np.int64), series)], 1, np.empty((1, 0)))


def scale(scaling, name, values, series=0):
    """Scales the values of one series as a batch of one."""
    return scaling.scale(name, tensor(values)[None], torch.tensor([series]))[0]


def unscale(scaling, values, series=0):
    """The inverse of `scale`, for targets."""
    center, unit = scaling.target_units(values[None], torch.tensor([series]))
    return (values[None] * unit + center)[0]


@pytest.mark.parametrize("scaler", LEARNED)
def test_scaled_columns_equal_scikit_learns(scaler):
    scaling = fitted(scaler)
    for name, columns in (("feature", FEATURES), ("known", KNOWN), ("target", TARGETS)):
        expected = LEARNED[scaler]().fit_transform(columns)
        rounding = 2**-52 * (np.abs(columns).max(0) / columns.std(0)).max()  # of the values and of the centre, at most
        np.testing.assert_allclose(scale(scaling, name, columns).numpy(), expected, atol=2 * rounding)


def test_the_standard_scaler_takes_the_mean_and_the_deviation_without_correction():
    scaling = fitted("standard")
    np.testing.assert_allclose(scaling.target_center[0].numpy(), TARGETS.mean(0), rtol=1e-13)
    np.testing.assert_allclose(scaling.target_scale[0].numpy(), TARGETS.std(0, ddof=0), rtol=1e-13)


def test_minmax_takes_the_seen_range_to_0_and_1():
    scaled = scale(fitted("minmax"), "feature", FEATURES).numpy()
    np.testing.assert_allclose(scaled.min(0), 0, atol=1e-12)
    np.testing.assert_allclose(scaled.max(0), 1, atol=1e-12)


def test_robust_takes_the_median_and_the_quartiles():
    scaling = fitted("robust")
    lower, median, upper = np.percentile(TARGETS, [25, 50, 75], axis=0)
    np.testing.assert_allclose(scaling.target_center[0].numpy(), median, rtol=1e-13)
    np.testing.assert_allclose(scaling.target_scale[0].numpy(), upper - lower, rtol=1e-13)


def test_none_and_an_unfitted_scaling_leave_every_value_as_it_is():
    for scaling in (fitted("none"), Scaling(4, 2, 3)):
        assert torch.equal(scale(scaling, "feature", FEATURES), tensor(FEATURES))
        assert torch.equal(scale(scaling, "known", KNOWN), tensor(KNOWN))
        assert torch.equal(scale(scaling, "target", TARGETS), tensor(TARGETS))
        assert torch.equal(unscale(scaling, tensor(TARGETS)), tensor(TARGETS))


@pytest.mark.parametrize("scaler", ["standard", "minmax", "robust", "none"])
def test_unscaling_is_the_inverse_of_scaling_to_the_precision_of_float64(scaler):
    scaling = fitted(scaler)
    target = tensor(TARGETS)
    back = unscale(scaling, scale(scaling, "target", target))
    np.testing.assert_allclose(back.numpy(), target.numpy(), rtol=0, atol=4 * 2**-53 * np.abs(TARGETS).max())


@pytest.mark.parametrize("scaler", ["standard", "minmax", "robust", "none"])
@pytest.mark.parametrize("constant", [0.0, 0.1, -7.3, 1e6, 1e-9])
def test_a_constant_column_becomes_finite_and_keeps_its_unit(scaler, constant):
    columns = np.full((50, 1), constant)
    scaling = fitted(scaler, columns, columns, columns)
    assert scaling.feature_scale.tolist() == scaling.known_scale.tolist() == scaling.target_scale.tolist() == [[1]]
    center = 0 if scaler == "none" else constant
    scaled = scale(scaling, "feature", [[constant], [constant + 2]])
    np.testing.assert_allclose(scaled.flatten(), [constant - center, constant + 2 - center], atol=0.1)


def test_a_column_that_varies_by_less_than_its_rounding_counts_as_constant():
    columns = np.where(np.arange(50)[:, None] % 2, 0.3, 0.1 + 0.2)
    assert fitted("standard", columns, columns, columns).target_scale.tolist() == [[1]]


def test_shapes_of_any_number_of_leading_dimensions_are_scaled_by_column():
    scaling = fitted("standard")
    flat = scale(scaling, "feature", FEATURES)
    batch = tensor(FEATURES).view(10, 5, 4, 4)
    assert torch.equal(scaling.scale("feature", batch, torch.zeros(10, dtype=torch.int64)), flat.view(10, 5, 4, 4))


def test_no_columns_can_be_scaled_too():
    scaling = fitted("standard", known=np.empty((200, 0)))
    assert scaling.scale("known", torch.empty(3, 1, 2, 0), torch.zeros(3, dtype=torch.int64)).shape == (3, 1, 2, 0)


def test_it_is_saved_as_plain_buffers_and_nothing_of_it_is_trained():
    scaling = fitted("standard")
    assert not list(scaling.parameters())
    other = Scaling(4, 2, 3)
    other.load_state_dict(scaling.state_dict())
    assert torch.equal(scale(other, "feature", FEATURES), scale(scaling, "feature", FEATURES))


def test_static_covariates_of_a_series_that_begins_behind_the_training_rows_have_no_say():
    def scaling(area):
        raw = panel(a=(0, 40), b=(0, 40), late=(35, 40))
        raw["area"] = raw["id"].map({"a": 1.0, "b": 2.0, "late": area})
        settings = {"recipe": {"series": "id", "static": ("area",)}, "fold": 2, "horizon": 1}
        return Series(raw, **settings).scaling

    assert scaling(3.0).static_center.item() == 1.5
    assert scaling(3e5).static_center.equal(scaling(3.0).static_center)
    assert scaling(3e5).static_scale.equal(scaling(3.0).static_scale)
