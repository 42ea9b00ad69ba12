"""Networks whose steps are of unequal length: the data tell the backbone which input says so."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from forecastlab.backbones.gru import GRU
from forecastlab.backbones.s5 import S5
from forecastlab.data.table_datamodule import TableDataModule
from forecastlab.decoders import Seq2Seq
from forecastlab.errors import ConfigError
from forecastlab.hybrids.stack import Stack
from forecastlab.runs.checkpoint import read_checkpoint
from forecastlab.training.forecaster import Forecaster
from tests.series import as_if_trained, trainer

pytestmark = pytest.mark.filterwarnings("ignore::forecastlab.errors.ReadingNote")

SMALL = partial(S5, hidden_size=6, num_layers=2, dt_min=0.05, dt_max=0.5)


def exchange(days=21):
    """Hours of an exchange with two series in columns."""
    times = pd.date_range("2024-01-01", periods=24 * days, freq="h")
    times = times[(times.day_of_week < 5) & (times.hour >= 9) & (times.hour < 13)]
    steps = np.arange(len(times))
    return pd.DataFrame({"ds": times, "y": 10 + np.sin(steps), "x": np.cos(steps / 3)})


def module(**arguments):
    settings = {"frequency": "rows", "elapsed": True, "lookback": 5, "splits": 3, "fold": 2, "horizon": 2, **arguments}
    return TableDataModule(exchange(), **settings)


def network(data, backbone=SMALL, **arguments):
    torch.manual_seed(1)
    model = Forecaster(backbone, schema=data.schema, **arguments)
    model.scaling.load_state_dict(data.scaling.state_dict())
    return as_if_trained(model).eval()


@pytest.mark.parametrize("channels", ["mixed", "independent"])
@pytest.mark.parametrize("settings", [{}, {"min_history": 2}, {"calendar": ["hour"], "missing": "mask"}])
def test_the_backbone_is_told_which_input_it_is(channels, settings):
    data = module(targets=["y", "x"], features=["x", "y"], **settings)
    model = network(data, channels=channels)
    names = [one.name for one in model.inputs_by_name()]
    assert names[model.backbone.elapsed] == "elapsed"
    data.setup("test")
    batch = next(iter(data.test_dataloader()))
    read = model.inputs(model.scaled(batch))[..., model.backbone.elapsed]
    given = batch.history[..., data.schema["features"].index("elapsed")]
    assert set(given.unique().tolist()) <= {0, 1, 21, 69}
    torch.testing.assert_close(read[:: len(read) // len(given)], given.float())


def test_without_such_an_input_all_steps_last_1():
    assert network(module(elapsed=False)).backbone.elapsed is None


def test_other_backbones_read_it_like_all_other_inputs():
    assert network(module(), partial(GRU, hidden_size=3)).backbone.input_size == 2
    stack = network(module(), partial(Stack, branches=[SMALL, GRU]))
    assert [stack.backbone.input_size, stack.backbone.branches[0].elapsed] == [2, None]


def test_it_cannot_be_given_to_a_network():
    for data in (module(), module(elapsed=False)):
        with pytest.raises(ConfigError, match=r"model\.backbone\.elapsed: the data tell.*set --data\.elapsed true"):
            network(data, partial(S5, elapsed=0))


def test_times_alone_change_the_forecast():
    model, rows = network(module()), exchange()
    later = rows.assign(ds=rows["ds"].where(rows.index != len(rows) - 1, rows["ds"].iloc[-1] + pd.Timedelta(days=1)))
    assert model.forecast(rows)["forecast"].tolist() != model.forecast(later)["forecast"].tolist()
    plain = network(module(elapsed=False))
    assert plain.forecast(rows)["forecast"].tolist() == plain.forecast(later)["forecast"].tolist()


@pytest.mark.parametrize("decoder", ["Linear", partial(Seq2Seq, hidden_size=4)])
@pytest.mark.parametrize(
    "settings", [{"lookback": "full"}, {}, {"lookback": 12, "min_history": 3}, {"lookback": "full", "missing": "mask"}]
)
def test_after_each_row_of_a_stream_the_forecast_is_that_of_all_rows_so_far(settings, decoder):
    model, rows = network(module(**settings), decoder=decoder, anchor="last"), exchange(10)
    if "missing" in settings:
        rows.loc[[0, 1, 5], "y"] = np.nan
    stream = model.stream()
    for count, row in enumerate(rows.to_dict("records"), 1):
        found = stream.update(row)
        if count > 5 and not np.isnan(row["y"]):
            pd.testing.assert_frame_equal(found, model.forecast(rows[:count]), rtol=1e-5)


def test_a_checkpoint_tells_the_backbone_again(tmp_path):
    data = module()
    model = Forecaster(SMALL, schema=data.schema)
    running = trainer(max_epochs=1)
    running.fit(model, data)
    running.save_checkpoint(tmp_path / "x.ckpt")
    assert "elapsed" not in read_checkpoint(tmp_path / "x.ckpt")["hyper_parameters"]["backbone"]["init_args"]
    loaded = Forecaster.load(tmp_path / "x.ckpt")
    assert loaded.backbone.elapsed == 1
    pd.testing.assert_frame_equal(loaded.forecast(exchange()), model.forecast(exchange()))


def test_a_schema_that_has_no_such_feature_is_refused():
    schema = {**module().schema, "features": ["y"]}
    with pytest.raises(ConfigError, match="elapsed is true, but elapsed is not among the features"):
        Forecaster(SMALL, schema=schema)


def test_data_without_it_are_refused():
    with pytest.raises(ConfigError, match="features"):
        trainer(max_epochs=1).fit(Forecaster(SMALL, schema=module().schema), module(elapsed=False))
