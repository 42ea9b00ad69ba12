import pytest

from forecastlab.explanation.names import SignalName, shown


@pytest.mark.parametrize(
    ("name", "part", "layer", "signal", "kind", "path", "place", "key"),
    [
        ("layers.1.forget_gate", "", 1, "forget_gate", "gate", "backbone", "backbone, layer 1", "layer_1"),
        ("attention", "", None, "attention", "attention", "backbone", "backbone", "backbone"),
        ("decoder.attention", "decoder", None, "attention", "attention", "decoder", "decoder", "decoder"),
        (
            *("branches.0.layers.2.hidden", "branches.0", 2, "hidden", "state", "backbone.branches.0"),
            *("branches.0, layer 2", "branches_0_layer_2"),
        ),
        (
            *("backbone.attention", "backbone", None, "attention", "attention", "backbone.backbone"),
            *("backbone.backbone", "backbone_backbone"),
        ),
    ],
)
def test_a_name_tells_part_layer_and_signal(name, part, layer, signal, kind, path, place, key):
    found = SignalName.of(name)
    assert found == SignalName(part, layer, signal)
    assert (found.kind, found.path, found.place, found.key) == (kind, path, place, key)


def test_an_empty_name_raises():
    with pytest.raises(ValueError, match="expected the name of a signal"):
        SignalName.of("layers.0.")


def test_time_is_reversed_by_every_backward_part():
    assert SignalName.of("layers.0.hidden").reversals == 0
    assert SignalName.of("backwards.layers.0.hidden").reversals == 1
    assert SignalName.of("branches.0.backwards.backwards.layers.0.hidden").reversals == 2


def test_an_output_is_shown_only_where_nothing_else_is_known():
    names = ["output", "branches.0.output", "branches.0.layers.0.hidden", "branches.1.output", "decoder.attention"]
    assert shown(names) == ["branches.0.layers.0.hidden", "branches.1.output", "decoder.attention"]
    assert shown(["output"]) == ["output"]
    assert shown(["output", "decoder.attention"]) == ["output", "decoder.attention"]
