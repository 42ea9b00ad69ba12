import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from forecastlab.errors import ConfigError
from forecastlab.tuning.space import Space, config_value

CONFIG = {
    "data": {"class_path": "OzoneDataModule", "init_args": {"lookback": 30, "context": "carried"}},
    "model": {
        "backbone": {"class_path": "forecastlab.backbones.lstm.LSTM", "init_args": {"hidden_size": 32}},
        "dropout": 0.25,
        "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.001}},
    },
}
BACKBONE = "model.backbone"
UNITS = "model.backbone.init_args.hidden_size"
HEADS = "model.backbone.init_args.num_heads"
RATE = "model.optimizer.init_args.lr"
CONTENT = {
    HEADS: {"type": "int", "low": 1, "high": 4, "when": {BACKBONE: "ALSTM"}},
    UNITS: {"type": "int", "low": 16, "high": 64, "step": 16},
    BACKBONE: {"type": "categorical", "choices": ["LSTM", "ALSTM"]},
    RATE: {"type": "float", "low": 1.0e-5, "high": 1.0e-2, "log": True},
}


def names(space):
    return [entry.name for entry in space.entries]


def chosen(space, **fixed):
    """The values of a trial, and Optuna's distributions that they are from."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.enqueue_trial(fixed)
    trial = study.ask()
    return space.choose(trial), trial.distributions


def test_types_and_ranges_are_those_of_the_file():
    values, distributions = chosen(Space.of(CONTENT, CONFIG), **{BACKBONE: "ALSTM"})
    assert distributions == {
        BACKBONE: CategoricalDistribution(["LSTM", "ALSTM"]),
        UNITS: IntDistribution(16, 64, step=16),
        HEADS: IntDistribution(1, 4),
        RATE: FloatDistribution(1e-5, 1e-2, log=True),
    }
    assert values.keys() == distributions.keys()


def test_a_conditional_value_is_chosen_only_where_its_condition_holds():
    values, _ = chosen(Space.of(CONTENT, CONFIG), **{BACKBONE: "LSTM"})
    assert set(values) == {BACKBONE, UNITS, RATE}


def test_each_value_is_chosen_after_those_it_depends_on():
    order = names(Space.of(CONTENT, CONFIG))
    assert order.index(BACKBONE) < order.index(HEADS)
    assert order.index(BACKBONE) < order.index(UNITS)


def test_a_condition_on_what_is_not_searched_is_decided_by_the_config():
    content = {name: entry for name, entry in CONTENT.items() if name != BACKBONE}
    assert HEADS not in names(Space.of(content, CONFIG))
    content[HEADS] = {**content[HEADS], "when": {BACKBONE: ["LSTM", "ALSTM"]}}
    assert HEADS in names(Space.of(content, CONFIG))


def test_a_chain_of_conditions_holds_only_as_a_whole():
    content = {**CONTENT, "model.dropout": {"type": "float", "low": 0.0, "high": 0.5, "when": {HEADS: 2}}}
    space = Space.of(content, CONFIG)
    assert "model.dropout" in chosen(space, **{BACKBONE: "ALSTM", HEADS: 2})[0]
    assert "model.dropout" not in chosen(space, **{BACKBONE: "ALSTM", HEADS: 3})[0]
    assert "model.dropout" not in chosen(space, **{BACKBONE: "LSTM"})[0]


def test_the_configs_own_values_are_found():
    assert Space.of(CONTENT, CONFIG).values_like(CONFIG) == {BACKBONE: "LSTM", UNITS: 32, RATE: 0.001}


@pytest.mark.parametrize(
    "entry",
    [
        {"type": "int", "low": 10, "high": 20},
        {"type": "int", "low": 10, "high": 40, "step": 15},
        {"type": "categorical", "choices": [8, 16]},
    ],
)
def test_a_config_outside_the_space_has_no_values_in_it(entry):
    with pytest.raises(ValueError, match="hidden_size cannot be 32"):
        Space.of({UNITS: entry}, CONFIG).values_like(CONFIG)


def test_samples_hold_every_end_and_choice_with_what_it_depends_on():
    samples = list(Space.of(CONTENT, CONFIG).samples())
    assert {(sample[BACKBONE], sample.get(HEADS)) for sample in samples} == {("LSTM", None), ("ALSTM", 1), ("ALSTM", 4)}
    assert {sample[UNITS] for sample in samples} == {16, 64}
    assert {sample[RATE] for sample in samples} == {1e-5, 1e-2}


def test_classes_with_arguments_are_choices_too():
    stack = {"class_path": "Parallel", "init_args": {"branches": ["LSTM", "ALSTM"]}}
    content = {
        BACKBONE: {"type": "categorical", "choices": ["LSTM", stack]},
        "model.dropout": {"type": "float", "low": 0.0, "high": 0.5, "when": {BACKBONE: "Parallel"}},
    }
    space = Space.of(content, CONFIG)
    assert space.values_like(CONFIG) == {BACKBONE: "LSTM"}
    text = '{"class_path": "Parallel", "init_args": {"branches": ["LSTM", "ALSTM"]}}'
    assert {(sample[BACKBONE], "model.dropout" in sample) for sample in space.samples()} == {
        ("LSTM", False),
        (text, True),
    }


def test_init_args_may_be_left_out():
    assert config_value(CONFIG, "model.optimizer.lr") == config_value(CONFIG, RATE) == 0.001
    with pytest.raises(ConfigError, match=r"no value 'model\.optimizer\.momentum'"):
        config_value(CONFIG, "model.optimizer.momentum")


INT = {"type": "int", "low": 1, "high": 3}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "it has no entry"),
        ({UNITS: 32}, "hidden_size: expected type and range"),
        ({UNITS: {"low": 1, "high": 3}}, "expected one of float, int, categorical, got None"),
        ({UNITS: {**INT, "lgo": True}}, "int has no 'lgo'; did you mean log?"),
        ({UNITS: {**INT, "choices": [1]}}, "int has no 'choices'"),
        ({UNITS: {"type": "int", "low": 1.5, "high": 3}}, r"low: expected a whole number, got 1\.5"),
        ({RATE: {"type": "float", "low": "1e-5", "high": 1.0}}, r"write 1\.0e-5, not 1e-5"),
        ({RATE: {"type": "float", "low": 0.1}}, "high: expected a number, got None"),
        ({UNITS: {**INT, "low": 3}}, "low must be below high, got 3 and 3"),
        ({RATE: {"type": "float", "low": 0.0, "high": 1.0, "log": True}}, "log needs numbers above 0"),
        ({UNITS: {**INT, "log": True, "step": 2}}, "log and step exclude each other"),
        ({UNITS: {**INT, "high": 4, "step": 2}}, "step: expected a number that divides"),
        ({UNITS: {**INT, "step": 0}}, "step: expected a number that divides"),
        ({UNITS: {"type": "categorical", "choices": []}}, "expected a list of values"),
        ({UNITS: {"type": "categorical", "choices": [8, 8]}}, "8 is there twice"),
        ({UNITS: {**INT, "when": "LSTM"}}, "when: expected names and values"),
        ({UNITS: {**INT, "when": {"model.bakbone": "LSTM"}}}, "the config has no value 'model.bakbone'"),
        ({UNITS: {**INT, "when": {BACKBONE: "GRU"}}}, "none of its conditions"),
        ({UNITS: {**INT, "when": {HEADS: 1}}, HEADS: {**INT, "when": {UNITS: 1}}}, "depend on each other"),
        ({"data.init_args.fold": INT}, "decides which rows are validated"),
        ({"data.val_fraction": INT}, "decides which rows are validated"),
        ({"data.init_args.scaler": {"type": "categorical", "choices": ["none"]}}, "measured in"),
        ({"model.loss": {"type": "categorical", "choices": ["MAE"]}}, "measured in"),
        ({"model.loss.init_args.delta": INT}, "measured in"),
        ({"seed_everything": INT}, "does not carry over"),
        ({"trainer.logger": INT}, "a study sets it itself"),
        ({"data": {"type": "categorical", "choices": ["X"]}}, "name single values in it"),
    ],
)
def test_bad_spaces_are_refused(content, said):
    with pytest.raises(ConfigError, match=said):
        Space.of(content, CONFIG)


def test_the_look_back_is_not_searched_where_it_decides_what_is_validated():
    cold = {**CONFIG, "data": {"class_path": "X", "init_args": {"lookback": 30, "context": "cold"}}}
    with pytest.raises(ConfigError, match="with context: cold"):
        Space.of({"data.init_args.lookback": INT}, cold)
