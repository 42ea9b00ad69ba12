"""Every registered backbone: construction, shapes, states, and which steps see which."""

import copy
import inspect
import io
import json
import typing
from functools import partial
from pathlib import Path

import pytest
import torch

from forecastlab.backbones.base import Backbone
from forecastlab.network.factory import build, describe
from forecastlab.network.registry import registered_backbones
from tests.backbones.states import assert_near, each_leaf, in_pieces, leaves, unrolled
from tests.backbones.suite import (
    BATCH,
    CASES,
    CAUSAL,
    CLASSES,
    NOT_CAUSAL,
    TIME,
    TOLERANCE,
    assert_states_near,
    both_dtypes,
    every,
    gradients_of,
    ready,
    sequence,
)
from tests.backbones.variants import INPUT_SIZE, VARIANTS

# what is covered


def test_every_registered_class_is_in_the_suite():
    assert {case.cls for case in CASES} == set(registered_backbones().values())


def test_every_variant_belongs_to_a_registered_class():
    assert set(VARIANTS) <= set(registered_backbones())


@every(CLASSES)
def test_class_has_a_test_file_of_its_own(case):
    room, module = case.__module__.split(".")[-2:]
    assert (Path(__file__).parents[1] / room / f"test_{module}.py").is_file()


@every(CLASSES)
def test_class_is_documented_with_a_source_of_one_line(case):
    assert case.__doc__
    assert len(case.__doc__.splitlines()) > 1
    assert len(case.source.splitlines()) == 1


# construction


@every(CLASSES)
def test_only_the_input_size_must_be_given(case):
    first, *others = inspect.signature(case).parameters.values()
    assert first.name == "input_size"
    assert first.default is inspect.Parameter.empty
    for parameter in others:
        assert parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        assert parameter.default is not inspect.Parameter.empty
        assert not isinstance(parameter.default, list | dict | set)
    model = case(INPUT_SIZE)
    assert model.input_size == INPUT_SIZE
    assert model(torch.randn(2, 3, INPUT_SIZE))[0].shape == (2, 3, model.output_size)


def bad_values(cls):
    hints = typing.get_type_hints(cls.__init__)
    yield {"input_size": 0}
    for name in inspect.signature(cls).parameters:
        hint = hints[name]
        options = [hint, *typing.get_args(hint)]
        if name == "hidden_size" or name.startswith("num_"):
            yield {name: 0}
        elif name in ("dropout", "recurrent_dropout"):
            yield {name: 1.0}
            yield {name: -0.1}
        elif any(typing.get_origin(option) is typing.Literal for option in options):
            yield {name: "no such option"}


@pytest.mark.parametrize(
    ("cls", "bad"), [pytest.param(cls, bad, id=f"{cls.__name__}({bad})") for cls in CLASSES for bad in bad_values(cls)]
)
def test_bad_argument_raises_a_value_error_at_construction(cls, bad):
    with pytest.raises(ValueError, match=r"must|unknown|expected"):
        cls(**{"input_size": INPUT_SIZE, **bad})


@every(CASES)
def test_model_rebuilt_from_its_description_computes_the_same(case):
    described = json.loads(json.dumps(describe(partial(case.cls, **case.arguments))))
    model, rebuilt = ready(case), build(described, Backbone, INPUT_SIZE).double().eval()
    assert type(rebuilt) is case.cls
    rebuilt.load_state_dict(model.state_dict())
    x = sequence()
    assert torch.equal(rebuilt(x)[0], model(x)[0])


# shapes and states


@every(CASES)
@both_dtypes
def test_output_has_the_promised_shape_and_dtype(case, dtype):
    model = ready(case, dtype)
    y, _ = model(sequence(dtype=dtype))
    assert y.shape == (BATCH, TIME, model.output_size)
    assert y.dtype == dtype


@every(CASES)
def test_single_row_and_single_step_are_a_sequence_too(case):
    model = ready(case)
    for batch, time in ((1, 1), (1, TIME), (BATCH, 1)):
        y, state = model(sequence(batch, time))
        assert y.shape == (batch, time, model.output_size)
        assert all(leaf.shape[0] == batch for leaf in leaves(state))


@every(CASES)
def test_the_latest_outputs_are_the_end_of_all(case):
    model, x = ready(case), sequence()
    for steps in (1, 2, TIME):
        assert_near(model.latest(x, steps), model(x)[0][:, -steps:], 1e-12)


@every(CASES)
def test_memory_layout_of_the_input_does_not_matter(case):
    model, x = ready(case), sequence()
    strided = x.transpose(0, 1).contiguous().transpose(0, 1)
    assert not strided.is_contiguous()
    assert_near(model(strided)[0], model(x)[0], 1e-12)


@every(CAUSAL)
@both_dtypes
def test_initial_state_equals_no_state(case, dtype):
    model, x = ready(case, dtype), sequence(dtype=dtype)
    initial = model.initial_state(BATCH)
    assert all(leaf.shape[0] == BATCH for leaf in leaves(initial))
    assert all(leaf.dtype == dtype for leaf in leaves(initial) if leaf.is_floating_point())
    y, state = model(x, initial)
    expected, expected_state = model(x)
    assert torch.equal(y, expected)
    assert all(map(torch.equal, leaves(state), leaves(expected_state)))


@every(CAUSAL)
@both_dtypes
def test_sequence_equals_its_steps(case, dtype):
    model, x = ready(case, dtype), sequence(dtype=dtype)
    y, state = model(x)
    stepped, stepped_state = unrolled(model, x, model.initial_state(BATCH))
    assert_near(stepped, y, TOLERANCE[dtype])
    assert_states_near(stepped_state, state, TOLERANCE[dtype])


@every(CAUSAL)
@both_dtypes
def test_split_sequence_equals_whole(case, dtype):
    model, x = ready(case, dtype), sequence(dtype=dtype)
    y, state = model(x)
    pieces, after = in_pieces(model, x, [2, 1, 4, 2])
    assert_near(pieces, y, TOLERANCE[dtype])
    assert_states_near(after, state, TOLERANCE[dtype])


@every(CAUSAL)
def test_gradients_of_a_split_sequence_equal_those_of_the_whole(case):
    model, x = ready(case), sequence()
    whole = gradients_of(model, model(x)[0])
    model.zero_grad()
    first, state = model(x[:, :5])
    split = gradients_of(model, torch.cat([first, model(x[:, 5:], state)[0]], 1))
    for name, gradient in whole.items():
        assert_near(split[name], gradient, 1e-10)


@every(CAUSAL)
def test_rows_of_a_state_belong_to_the_rows_of_the_batch(case):
    model, x = ready(case), sequence()
    state = model(x[:, :4])[1]
    rows = torch.tensor([2, 0])
    chosen = each_leaf(lambda leaf: leaf[rows], state)
    assert_near(model(x[rows, 4:], chosen)[0], model(x[:, 4:], state)[0][rows], 1e-12)


@every(CAUSAL)
def test_state_and_input_are_never_changed_in_place(case):
    model, x = ready(case), sequence()
    state = model(x)[1]
    kept, kept_x = each_leaf(torch.clone, state), x.clone()
    model(x, state)
    model.step(x[:, 0], state)
    model.trace(x, state)
    assert all(map(torch.equal, leaves(state), leaves(kept)))
    assert torch.equal(x, kept_x)


@every(CAUSAL)
def test_saved_state_continues_the_sequence(case):
    model, x = ready(case), sequence()
    state = model(x)[1]
    file = io.BytesIO()
    torch.save(each_leaf(torch.detach, state), file)
    file.seek(0)
    loaded = torch.load(file, weights_only=True)
    assert torch.equal(model(x, loaded)[0], model(x, state)[0])


@every(NOT_CAUSAL)
def test_backbone_that_is_not_causal_has_no_state_and_refuses_one(case):
    model, x = ready(case), sequence()
    assert model.initial_state(BATCH) == ()
    assert model(x)[1] == ()
    with pytest.raises(RuntimeError, match="not causal"):
        model.step(x[:, 0], ())
    with pytest.raises(RuntimeError, match="not causal"):
        model(x, torch.zeros(BATCH, 1))


# who sees what


@every(CAUSAL)
@both_dtypes
def test_future_changes_nothing_before_it(case, dtype):
    model, x = ready(case, dtype), sequence(dtype=dtype)
    changed = torch.cat([x[:, :6], 10 * torch.randn_like(x[:, 6:])], 1)
    y, y_changed = model(x)[0], model(changed)[0]
    assert torch.equal(y_changed[:, :6], y[:, :6])
    assert not torch.equal(y_changed[:, case.shown(6)], y[:, case.shown(6)])


@every([case for case in CAUSAL if case.default])
def test_output_depends_on_the_step_before(case):
    model, x = ready(case), sequence(time=2)
    changed = torch.cat([x[:, :1] + 1, x[:, 1:]], 1)
    assert not torch.equal(model(changed)[0][:, 1], model(x)[0][:, 1])


@every(NOT_CAUSAL)
def test_backbone_that_is_not_causal_reads_the_future(case):
    model, x = ready(case), sequence()
    changed = torch.cat([x[:, :-1], x[:, -1:] + 1], 1)
    assert not torch.equal(model(changed)[0][:, 0], model(x)[0][:, 0])


@every(CASES)
@both_dtypes
def test_rows_of_a_batch_do_not_see_each_other(case, dtype):
    model, x = ready(case, dtype), sequence(dtype=dtype)
    changed = torch.cat([x[:1], 10 * torch.randn_like(x[1:])])
    y = model(x)[0]
    assert torch.equal(model(changed)[0][0], y[0])
    assert_near(model(x[:1])[0], y[:1], TOLERANCE[dtype])


@every(CASES)
def test_nothing_of_one_call_is_kept_for_the_next(case):
    model, x = ready(case), sequence()
    fresh, parameters = copy.deepcopy(model), {name: value.clone() for name, value in model.state_dict().items()}
    names = [sorted(vars(module)) for module in model.modules()]
    model(sequence(batch=2, time=5))
    model.trace(sequence(batch=2, time=4))
    assert torch.equal(model(x)[0], fresh(x)[0])
    assert [sorted(vars(module)) for module in model.modules()] == names
    assert all(torch.equal(value, parameters[name]) for name, value in model.state_dict().items())
