import pytest
import torch
from lightning.fabric.utilities import move_data_to_device

from forecastlab.batch import Batch, Scaling, Schema

SCHEMA = Schema(
    ("a", "b", "hour_sin"),
    ("b",),
    known=("hour_sin",),
    horizon=3,
    lookback=30,
    calendar=("hour",),
    holidays="DE",
    time_zone="Europe/Berlin",
    step="MS",
    series=("north", "south"),
    panel=("east", "north", "south"),
    recipe={"time": "ds", "derive": {"z": {"a": 1.0, "b": -1.0}}},
)


def test_a_schema_becomes_plain_values_that_a_checkpoint_can_hold(tmp_path):
    values = SCHEMA.as_dict()
    assert values == {
        "features": ["a", "b", "hour_sin"],
        "targets": ["b"],
        "known": ["hour_sin"],
        "static": [],
        "horizon": 3,
        "season_length": 1,
        "lookback": 30,
        "min_history": None,
        "elapsed": False,
        "calendar": ["hour"],
        "holidays": "DE",
        "time_zone": "Europe/Berlin",
        "step": "MS",
        "series": ["north", "south"],
        "panel": ["east", "north", "south"],
        "recipe": {"time": "ds", "derive": {"z": {"a": 1.0, "b": -1.0}}},
    }
    torch.save(values, tmp_path / "schema")
    assert Schema.from_dict(torch.load(tmp_path / "schema", weights_only=True)) == SCHEMA


@pytest.mark.parametrize("lookback", [1, "full"])
def test_a_schema_survives_the_way_there_and_back(lookback):
    schema = Schema(("a",), ("a", "c"), static=("city",), lookback=lookback)
    assert Schema.from_dict(schema.as_dict()) == schema


def test_a_batch_keeps_its_type_and_dtypes_on_its_way_to_a_device():
    batch = Batch(*(torch.zeros(2, 1) for _ in range(6)), torch.zeros(2, 1, dtype=torch.int64), torch.zeros(2).long())
    moved = move_data_to_device(batch, torch.device("cpu"))
    assert isinstance(moved, Batch)
    assert moved.index.dtype == moved.series.dtype == torch.int64
    assert moved._fields == ("history", "known", "static", "last", "target", "weight", "index", "series")


def fitted(**buffers):
    """A scaling of two features, a known covariate, a target and a static covariate, one per row of the buffers."""
    scaling = Scaling(features=2, known=1, targets=1, static=1, series=len(buffers["feature_center"]))
    scaling.load_state_dict({name: torch.tensor(values) for name, values in buffers.items()})
    return scaling


ONE = {
    "feature_center": [[1.0, 10.0]],
    "feature_scale": [[2.0, 5.0]],
    "known_center": [[0.5]],
    "known_scale": [[0.25]],
    "target_center": [[20.0]],
    "target_scale": [[4.0]],
    "static_center": [[100.0]],
    "static_scale": [[50.0]],
}
TWO = {
    name: [*rows, *([] if name.startswith("static") else [[2 * value for value in rows[0]]])]
    for name, rows in ONE.items()
}


@pytest.mark.parametrize("series", [0, 7])
def test_scaling_is_the_difference_to_the_centre_in_units_of_the_scale(series):
    scaling, series = fitted(**ONE), torch.tensor([series])  # a single scaling serves every series
    assert scaling.scale("feature", torch.tensor([[[3.0, 0.0]]]), series).tolist() == [[[1, -2]]]
    assert scaling.scale("known", torch.tensor([[[[1.0]]]]), series).tolist() == [[[[2]]]]
    assert scaling.scale("target", torch.tensor([[[28.0]]]), series).tolist() == [[[2]]]
    assert scaling.scale("static", torch.tensor([[150.0]]), series).tolist() == [[1]]
    center, scale = scaling.target_units(torch.zeros(1, 1, 1), series)
    assert (2 * scale + center).tolist() == [28]
    assert (torch.tensor([2.0, 0.0]) * scale).tolist() == [8, 0]


def test_each_series_may_have_a_scaling_of_its_own():
    scaling, series = fitted(**TWO), torch.tensor([1, 0, 1])
    scaled = scaling.scale("feature", torch.tensor([[[6.0, 20.0]], [[3.0, 0.0]], [[2.0, 0.0]]]), series)
    assert scaled.tolist() == [[[1, 0]], [[1, -2]], [[0, -2]]]
    steps = scaling.scale("target", torch.full((3, 2, 5, 1), 48.0), series)
    assert steps.shape == (3, 2, 5, 1)
    assert [part.unique().tolist() for part in steps] == [[1], [7], [1]]
    center, scale = scaling.target_units(steps, series)
    assert torch.equal(steps * scale + center, torch.full((3, 2, 5, 1), 48.0))
    assert scaling.scale("static", torch.tensor([[150.0], [100.0], [0.0]]), series).tolist() == [[1], [0], [-2]]


def test_a_scaling_that_is_not_fitted_changes_nothing():
    values, series = torch.randn(3, 4, 2), torch.tensor([2, 0, 1])
    assert torch.equal(Scaling(2, 0, 1, series=3).scale("feature", values, series), values)
