import pytest

from forecastlab.experiment.messages import dropped_arguments, explain
from forecastlab.network.registry import registered_backbones

OPTIONS = ["config", "experiment", "model.backbone", "trainer.max_epochs"]


@pytest.mark.parametrize(
    ("message", "explained"),
    [
        (
            "unrecognized arguments: --trainer.max_epoch 3",
            "unknown option --trainer.max_epoch; did you mean trainer.max_epochs? Available: " + ", ".join(OPTIONS),
        ),
        ("unrecognized arguments: zzz", "unknown option zzz. Available: " + ", ".join(OPTIONS)),
        ('Parser key "a": the following arguments are required: b', "a: missing b"),
        ("the following arguments are required: fit.data", "missing data: give --config FILE"),
        (
            'Parser key "model.backbone":\n  ...: Parser key "hidden_size":\n    Expected a <class \'int\'>. '
            "Got value: x. Got value: Namespace(hidden_size='x')",
            "model.backbone.hidden_size: expected int, got x",
        ),
        (
            "Parser key \"fold\":\n  - Expected a <class 'int'>\n  - Expected a typing.Literal['all']\n"
            "  Given value type: <class 'str'>\n  Given value: ten",
            "fold: expected int or 'all', got ten",
        ),
        (
            "Parser key \"rows\":\n  - Expected a <class 'int'>\n  - Expected a <class 'NoneType'>\n  Given value: x",
            "rows: expected int or null, got x",
        ),
        (
            'Parser key "data": Importing \'os.system\' is not allowed, denied by the "*" entry',
            "data: os.system is not imported: it belongs to a package that is not allowed to run code here. If you "
            "trust it, pass --allow_import os",
        ),
        ('Parser key "x": something new', "x: something new"),
    ],
)
def test_messages_of_the_parser_are_put_in_the_users_words(message, explained):
    assert explain(message, OPTIONS) == explained


def test_an_unknown_class_is_compared_with_those_of_its_kind():
    said = explain('Parser key "model.backbone": Expected a dot import path string: gru.', OPTIONS)
    assert said.startswith("model.backbone: unknown backbone 'gru'; did you mean GRU? Available: ALSTM, ")
    assert said.endswith(", ".join(registered_backbones()))
    said = explain('Parser key "somewhere": Expected a dot import path string: gru.', OPTIONS)
    assert said.startswith("somewhere: there is no class 'gru' of the kind that is expected here")


def test_a_suggestion_is_never_what_was_given():
    assert "did you mean confix" not in explain("unrecognized arguments: --confix", ["confix", "config"])


@pytest.mark.parametrize("lines", [1, 9, 10, 200])
def test_a_message_is_shortened_to_nine_lines(lines):
    said = explain("\n\n".join(f"line {number}" for number in range(lines)), OPTIONS).splitlines()
    assert len(said) == min(lines, 9)
    assert said[0] == "line 0"
    assert (said[-1] == "...") == (lines > 9)


def test_arguments_that_the_new_class_has_no_use_for_are_named():
    first = {"model": {"backbone": {"class_path": "LSTM", "init_args": {"hidden_size": 3, "forget_bias": 1.0}}}}
    second = {"model": {"backbone": {"init_args": {"recurrent_dropout": 0.1}}, "loss": "MAE", "dropout": 0.1}}
    model = {"backbone": {"class_path": "some.where.GRU", "init_args": {"hidden_size": 3}}, "loss": None}
    lines = dropped_arguments([first, second, {"data": {}}], model)
    assert lines == ["model.backbone is GRU now: forget_bias, recurrent_dropout dropped"]


def test_nothing_is_said_when_nothing_is_dropped():
    model = {"backbone": {"class_path": "LSTM", "init_args": {"hidden_size": 3}}}
    assert dropped_arguments([{"model": model}, {}, {"model": None}], model) == []


def test_an_argument_of_a_part_that_is_given_elsewhere_is_pointed_to():
    assert explain("unrecognized arguments: --model.hidden_size 3", OPTIONS).startswith(
        "unknown option --model.hidden_size; did you mean model.backbone.hidden_size?"
    )
    assert "did you mean model.optimizer.lr?" in explain("unrecognized arguments: --lr=0.1", OPTIONS)
    assert "did you mean trainer.max_epochs?" in explain("unrecognized arguments: --max_epochs 3", OPTIONS)


def test_settings_of_data_without_a_class_are_explained():
    wrong = (
        "Parser key \"data\": Expected 'forecastlab.data.datamodule.ForecastDataModule' to be a subclass of "
        "<class 'ForecastDataModule'>"
    )
    said = explain(wrong, OPTIONS)
    assert said.startswith("data: its settings need the name of their class")
    assert "--data NAME" in said
    assert "TableDataModule reads a file of your own" in said
