"""Every registered backbone: gradients, dropout, traces, copies and files."""

import copy
import inspect
import io
import pickle
import subprocess
import sys

import pytest
import torch

from forecastlab.backbones.base import Backbone
from tests.backbones.states import assert_near, each_leaf, leaves
from tests.backbones.suite import (
    BATCH,
    CASES,
    CAUSAL,
    TIME,
    TOLERANCE,
    both_dtypes,
    every,
    gradients_of,
    ready,
    sequence,
)
from tests.backbones.variants import INPUT_SIZE

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
    # a rectifier that was never active leaves a state of exactly 0, where it has no derivative
    given = [
        (leaf + 0.01 * torch.rand_like(leaf)).requires_grad_() for leaf in leaves(state) if leaf.is_floating_point()
    ]

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
    for name in ("recurrent_dropout", "weight_dropout"):
        if name in names:
            yield {name: 0.5}


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
