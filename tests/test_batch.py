import pytest
import torch
from lightning.fabric.utilities import move_data_to_device

from forecastlab.batch import Batch, Scaling, Schema

SCHEMA = Schema(("a", "b", "hour_sin"), ("b",), known=("hour_sin",), horizon=3, lookback=30)


def test_a_schema_becomes_plain_values_that_a_checkpoint_can_hold(tmp_path):
    values = SCHEMA.as_dict()
    assert values == {
        "features": ["a", "b", "hour_sin"],
        "targets": ["b"],
        "known": ["hour_sin"],
        "static": [],
        "horizon": 3,
        "lookback": 30,
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


def test_scaling_is_the_difference_to_the_centre_in_units_of_the_scale():
    scaling = Scaling(features=2, known=1, targets=1)
    scaling.load_state_dict(
        {
            "feature_center": torch.tensor([1.0, 10.0]),
            "feature_scale": torch.tensor([2.0, 5.0]),
            "known_center": torch.tensor([0.5]),
            "known_scale": torch.tensor([0.25]),
            "target_center": torch.tensor([20.0]),
            "target_scale": torch.tensor([4.0]),
        }
    )
    assert scaling.scale_features(torch.tensor([[3.0, 0.0]])).tolist() == [[1, -2]]
    assert scaling.scale_known(torch.tensor([1.0])).tolist() == [2]
    assert scaling.scale_target(torch.tensor([28.0])).tolist() == [2]
    assert scaling.unscale_target(torch.tensor([2.0])).tolist() == [28]
    assert scaling.unscale_change(torch.tensor([2.0, 0.0])).tolist() == [8, 0]
