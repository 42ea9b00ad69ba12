"""What every backbone must do, run over everything that is registered (see variants.py for what is built)."""

import copy
import inspect
import io
import json
import pickle
import subprocess
import sys
import typing
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from forecastlab.backbones.base import Backbone
from forecastlab.network.factory import build, describe
from forecastlab.network.registry import registered_backbones
from tests.backbones.variants import INPUT_SIZE, VARIANTS, Case, cases

CASES = cases()
CAUSAL = [case for case in CASES if case.build().causal]
NOT_CAUSAL = [case for case in CASES if not case.build().causal]
CLASSES = list(registered_backbones().values())
BATCH, TIME = 3, 9
TOLERANCE = {torch.float64: 1e-11, torch.float32: 2e-5}


def every(selected):
    ids = [case.name if isinstance(case, Case) else case.__name__ for case in selected]
    return pytest.mark.parametrize("case", selected, ids=ids)


both_dtypes = pytest.mark.parametrize("dtype", TOLERANCE, ids=["float64", "float32"])


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(20)


def ready(case, dtype=torch.float64):
    return case.build().to(dtype).eval()


def sequence(batch=BATCH, time=TIME, dtype=torch.float64):
    return torch.randn(batch, time, INPUT_SIZE, dtype=dtype)


def leaves(state):
    if isinstance(state, Tensor):
        return [state]
    assert isinstance(state, tuple)
    return [leaf for part in state for leaf in leaves(part)]


def each_leaf(change, state):
    return change(state) if isinstance(state, Tensor) else tuple(each_leaf(change, part) for part in state)


def unrolled(model, x, state):
    outputs = []
    for x_t in x.unbind(1):
        y_t, state = model.step(x_t, state)
        outputs.append(y_t)
    return torch.stack(outputs, 1), state


def assert_near(found, expected, tolerance):
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    size = max(1.0, expected.abs().max().item()) if expected.numel() else 1.0
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * size)


def assert_states_near(found, expected, tolerance):
    assert len(leaves(found)) == len(leaves(expected))
    for one, other in zip(leaves(found), leaves(expected), strict=True):
        assert_near(one, other, tolerance)


def gradients_of(model, y):
    """The gradients of a random projection of the output, by parameter name."""
    torch.manual_seed(21)
    (y * torch.randn(y.shape, dtype=y.dtype)).sum().backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


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
    pieces, after = [], None
    for piece in x.split([2, 1, 4, 2], 1):
        y_piece, after = model(piece, after)
        pieces.append(y_piece)
    assert_near(torch.cat(pieces, 1), y, TOLERANCE[dtype])
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
    assert not torch.equal(y_changed[:, 6], y[:, 6])


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


# gradients


@every(CASES)
@both_dtypes
def test_every_parameter_gets_a_gradient(case, dtype):
    model = case.build().to(dtype).train()
    zero = {end for part in model.modules() if isinstance(part, Backbone) for end in part.zero_gradient}
    gradients = gradients_of(model, model(sequence(dtype=dtype))[0])
    assert gradients
    for name, gradient in gradients.items():
        assert gradient is not None, f"{name} is not used"
        assert gradient.isfinite().all(), name
        if any(name.endswith(end) for end in zero):
            assert gradient.abs().max() < 1e-5, f"{name} is said to have no gradient"
        else:
            assert gradient.abs().max() > 0, f"{name} has a gradient of zero"


@every([case for case in CASES if case.smooth])
def test_gradients_equal_finite_differences(case):
    model, x = ready(case), sequence(batch=2, time=4).requires_grad_()

    def output(x, *parameters):  # gradcheck changes the parameters in place
        return model(x)[0]

    assert torch.autograd.gradcheck(output, (x, *model.parameters()), fast_mode=True, atol=1e-6)


@every([case for case in CAUSAL if case.smooth])
def test_gradients_through_a_given_state_equal_finite_differences(case):
    model, x = ready(case), sequence(batch=2, time=3)
    with torch.no_grad():
        state = model(x)[1]
    given = [leaf.clone().requires_grad_() for leaf in leaves(state) if leaf.is_floating_point()]

    def output(*floating):
        left = iter(floating)
        return model(x, each_leaf(lambda leaf: next(left) if leaf.is_floating_point() else leaf, state))[0]

    assert torch.autograd.gradcheck(output, tuple(given), fast_mode=True, atol=1e-6)


def grows(model):
    """Whether the state grows along time, as that of attention does: its cost grows with the square of the length."""
    states = [model(sequence(1, time, torch.float32))[1] for time in (50, 100)]
    short, long = (sum(leaf.numel() for leaf in leaves(state)) for state in states)
    return long > short


@every([case for case in CASES if case.default])
def test_long_sequence_keeps_outputs_and_gradients_finite(case):
    model = ready(case, torch.float32)
    time = 2_000 if grows(model) else 10_000
    y, _ = model.train()(sequence(2, time, torch.float32))
    assert y.isfinite().all()
    assert all(gradient.isfinite().all() for gradient in gradients_of(model, y).values())


@every(CASES)
def test_large_inputs_keep_outputs_and_gradients_finite(case):
    model, x = ready(case, torch.float32).train(), 1e3 * sequence(dtype=torch.float32)
    x.requires_grad_()
    y, _ = model(x)
    assert y.isfinite().all()
    assert all(gradient.isfinite().all() for gradient in gradients_of(model, y).values())
    assert x.grad.isfinite().all()


@every(CASES)
def test_bfloat16_autocast_runs_forwards_backwards_and_on(case):
    model, x = ready(case, torch.float32).train(), sequence(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        y, state = model(x)
        again = model(x, state)[0] if model.causal else y
        started = model(x, model.initial_state(BATCH))[0] if model.causal else y
    assert y.isfinite().all()
    assert again.isfinite().all()
    assert started.isfinite().all()
    assert all(gradient.isfinite().all() for gradient in gradients_of(model, again.float() + y.float()).values())


# dropout


def dropout_arguments(cls):
    names = inspect.signature(cls).parameters
    if "dropout" in names and "num_layers" in names:
        yield {"num_layers": 2, "dropout": 0.5}
    if "recurrent_dropout" in names:
        yield {"recurrent_dropout": 0.5}


@pytest.mark.parametrize(
    ("case", "dropped"),
    [
        pytest.param(case, dropped, id=f"{case.cls.__name__}({dropped})")
        for case in CASES
        if case.default
        for dropped in dropout_arguments(case.cls)
    ],
)
def test_dropout_acts_in_training_only(case, dropped):
    model = case.cls(INPUT_SIZE, **{**case.arguments, **dropped}).double()
    without = case.cls(INPUT_SIZE, **{**case.arguments, **dropped, **{k: 0.0 for k in dropped if "dropout" in k}})
    x = sequence()
    assert not torch.equal(model(x)[0], model(x)[0])
    model.eval()
    without.double().eval().load_state_dict(model.state_dict())
    assert_near(model(x)[0], without(x)[0], 1e-12)


# tracing


@every(CASES)
@both_dtypes
def test_trace_gives_the_output_of_forward_and_finite_signals(case, dtype):
    model, x = ready(case, dtype), sequence(dtype=dtype)
    signals = model.trace(x)
    assert_near(signals["output"], model(x)[0], TOLERANCE[dtype])
    for name, signal in signals.items():
        assert signal.shape[:2] == (BATCH, TIME), name
        assert signal.isfinite().all(), name


@every(CAUSAL)
def test_trace_continues_from_a_state(case):
    model, x = ready(case), sequence()
    state = model(x[:, :4])[1]
    whole, rest = model.trace(x), model.trace(x[:, 4:], state)
    assert whole.keys() == rest.keys()
    for name, signal in rest.items():
        assert_near(signal, whole[name][:, 4:], 1e-11)


# copies and files


@every(CASES)
def test_copies_compute_the_same_and_share_nothing(case):
    model, x = ready(case), sequence()
    expected = model(x)[0]
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(copied(x)[0], expected)
        with torch.no_grad():
            for parameter in copied.parameters():
                parameter.zero_()
    assert torch.equal(model(x)[0], expected)


@every(CASES)
def test_weights_saved_and_loaded_compute_the_same(case):
    model, other, x = ready(case), ready(case), sequence()
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    assert not torch.equal(other(x)[0], model(x)[0])
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(x)[0], model(x)[0])


def test_backbones_and_hybrids_do_not_load_lightning():
    code = (
        "import sys; from forecastlab.network.registry import registered_backbones; registered_backbones(); "
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'lightning', 'pytorch_lightning', 'pandas'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
