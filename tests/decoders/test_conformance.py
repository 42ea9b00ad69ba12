"""What every decoder must do, run over all of them with their defaults and with the variants listed here."""

import copy
import inspect
import io
import json
import pickle
import typing
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from forecastlab.decoders import Decoder
from forecastlab.network.factory import build, describe, subclasses

BATCH, TIME, WIDTH, HORIZON, TARGETS, KNOWN, OUTPUTS = 3, 7, 4, 5, 2, 3, 2
SIZES = (WIDTH, HORIZON, TARGETS, KNOWN, OUTPUTS)
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-6}

CLASSES = {name: cls for name, cls in subclasses(Decoder).items() if cls.__module__.startswith("forecastlab.")}
VARIANTS = {
    "AttentionPooling": [{"score": "linear"}, {"attention_size": 5}],
    "Seq2Seq": [
        {"attention": "none"},
        {"attention": "additive", "attention_size": 6, "hidden_size": 5},
        {"attention": "dot", "cell": "gru", "num_layers": 2},
        {"attention": "scaled_dot"},
        {"cell": "gru", "hidden_size": 6},
        {"sampling": "linear", "slope": 0.25},
        {"teacher_forcing": 0.0, "num_layers": 2},
        {"input_feeding": True},
    ],
    "TemporalFusionDecoder": [{"cell": "gru", "num_heads": 2}],
}
"""Arguments that change the mathematics, each run next to the defaults."""

CASES = [
    pytest.param(partial(cls, **variant), id=f"{name}({','.join(f'{key}={value}' for key, value in variant.items())})")
    for name, cls in CLASSES.items()
    for variant in [{}, *VARIANTS.get(name, [])]
]
every = pytest.mark.parametrize("case", CASES)
every_class = pytest.mark.parametrize("cls", CLASSES.values())
both_dtypes = pytest.mark.parametrize("dtype", TOLERANCE, ids=["float64", "float32"])


def ready(case, dtype=torch.float64, sizes=SIZES):
    return case(*sizes).to(dtype).eval()


def inputs(origins=1, dtype=torch.float64, sizes=SIZES):
    """Encoding, known covariates, last values, and the truth."""
    width, horizon, targets, known, _ = sizes
    return (
        torch.randn(BATCH, TIME, width, dtype=dtype),
        torch.randn(BATCH, origins, horizon, known, dtype=dtype),
        torch.randn(BATCH, origins, targets, dtype=dtype),
        torch.randn(BATCH, origins, horizon, targets, dtype=dtype),
    )


def assert_near(found, expected, dtype=torch.float64):
    torch.testing.assert_close(found, expected, rtol=0, atol=TOLERANCE[dtype])


class Scaled(nn.Module):
    """A loss whose point forecast depends on a buffer of it."""

    def __init__(self):
        super().__init__()
        self.register_buffer("factor", torch.tensor(2.0))

    def point(self, raw):
        return self.factor * raw[..., 1]


# what is covered, and construction


def test_every_variant_belongs_to_a_decoder():
    assert set(VARIANTS) <= set(CLASSES)


@every_class
def test_decoder_is_documented_and_has_a_test_file_of_its_own(cls):
    assert len(cls.__doc__.splitlines()) > 1
    assert (Path(__file__).parent / f"test_{cls.__module__.rpartition('.')[2]}.py").is_file()


@every_class
def test_five_sizes_come_first_and_everything_else_has_a_default(cls):
    names = list(inspect.signature(cls).parameters.values())
    assert [parameter.name for parameter in names[:5]] == ["width", "horizon", "targets", "known", "outputs"]
    for parameter in names[5:]:
        assert parameter.default is not inspect.Parameter.empty
        assert not isinstance(parameter.default, list | dict | set)
    built = cls(*SIZES)
    assert (built.width, built.horizon, built.targets, built.known, built.outputs) == SIZES
    assert isinstance(cls.feeds_back, bool)


def bad_values(cls):
    for name, hint in typing.get_type_hints(cls.__init__).items():
        if name == "dropout":
            yield {name: 1.0}
        elif name == "num_layers" or name.endswith("_size"):
            yield {name: 0}
        elif typing.get_origin(hint) is typing.Literal:
            yield {name: "no such option"}


@pytest.mark.parametrize(
    ("cls", "bad"),
    [pytest.param(cls, bad, id=f"{name}({bad})") for name, cls in CLASSES.items() for bad in bad_values(cls)],
)
def test_bad_argument_raises_a_value_error_at_construction(cls, bad):
    with pytest.raises(ValueError, match=r"must|belongs"):
        cls(*SIZES, **bad)


@every
def test_decoder_rebuilt_from_its_description_computes_the_same(case):
    decoder, (encoded, known, last, _) = ready(case), inputs()
    rebuilt = build(json.loads(json.dumps(describe(case))), Decoder, *SIZES).double().eval()
    rebuilt.load_state_dict(decoder.state_dict())
    assert torch.equal(rebuilt(encoded, known, last), decoder(encoded, known, last))


# shapes


@every
@both_dtypes
@pytest.mark.parametrize("origins", [1, 3, TIME])
def test_forecasts_have_the_promised_shape_and_dtype_in_training_and_after_it(case, dtype, origins):
    decoder, given = ready(case, dtype), inputs(origins, dtype)
    for y in (decoder(*given[:3]), decoder.train()(*given), decoder(*given[:3])):
        assert y.shape == (BATCH, origins, HORIZON, TARGETS, OUTPUTS)
        assert y.dtype == dtype


@every
def test_one_step_of_one_target_without_covariates_from_one_row_is_a_forecast_too(case):
    sizes = (WIDTH, 1, 1, 0, 1)
    decoder, given = ready(case, sizes=sizes), inputs(sizes=sizes)
    for encoded in (given[0], given[0][:, :1]):
        assert decoder(encoded, *given[1:3]).shape == (BATCH, 1, 1, 1, 1)
        assert decoder.train()(encoded, *given[1:]).shape == (BATCH, 1, 1, 1, 1)


@every
def test_memory_layout_of_the_inputs_does_not_matter(case):
    decoder, given = ready(case), inputs(3)
    strided = [tensor.transpose(0, 1).contiguous().transpose(0, 1) for tensor in given]
    assert not strided[0].is_contiguous()
    assert_near(decoder(*strided[:3]), decoder(*given[:3]))
    torch.manual_seed(1)
    expected = copy.deepcopy(decoder).train()(*given)
    torch.manual_seed(1)
    assert_near(decoder.train()(*strided), expected)


# who sees what


@every
@pytest.mark.parametrize("training", [True, False])
def test_many_origins_equal_each_by_itself(case, training):
    decoder, given = ready(case), inputs(4)
    if decoder.feeds_back and training:
        decoder.sampling.forward = lambda sequences, steps: None
    decoder.train(training)
    y = decoder(*given)
    for o in range(4):
        encoded, *rest = given[0][:, : TIME - 3 + o], *(tensor[:, o : o + 1] for tensor in given[1:])
        assert_near(decoder(encoded, *rest), y[:, o : o + 1])


@every
def test_encoding_after_an_origin_changes_nothing_of_its_forecast(case):
    decoder, (encoded, known, last, _) = ready(case), inputs(TIME)
    changed = torch.cat([encoded[:, :4], 10 * torch.randn_like(encoded[:, 4:])], 1)
    y, y_changed = decoder(encoded, known, last), decoder(changed, known, last)
    assert torch.equal(y_changed[:, :4], y[:, :4])
    assert not torch.equal(y_changed[:, 4], y[:, 4])


@every
def test_rows_of_a_batch_do_not_see_each_other(case):
    decoder, (encoded, known, last, _) = ready(case), inputs(2)
    changed = [torch.cat([tensor[:1], 10 * torch.randn_like(tensor[1:])]) for tensor in (encoded, known, last)]
    y = decoder(encoded, known, last)
    assert torch.equal(decoder(*changed)[0], y[0])
    assert_near(decoder(encoded[:1], known[:1], last[:1]), y[:1])


@every
def test_every_known_covariate_is_read(case):
    decoder, (encoded, known, last, _) = ready(case), inputs(2)
    known.requires_grad_()
    decoder(encoded, known, last).square().sum().backward()
    assert known.grad.abs().min() > 0


@every
def test_evaluation_is_deterministic_and_does_not_read_the_truth(case):
    decoder, (encoded, known, last, target) = ready(case), inputs(2)
    before = torch.get_rng_state()
    y = decoder(encoded, known, last)
    assert torch.equal(decoder(encoded, known, last, target * torch.nan), y)
    assert torch.equal(torch.get_rng_state(), before)


@every
def test_nothing_of_one_call_is_kept_for_the_next_but_the_count_of_training_steps(case):
    decoder, (encoded, known, last, _) = ready(case), inputs()
    names = [sorted(vars(module)) for module in decoder.modules()]
    kept = {name: value.clone() for name, value in decoder.state_dict().items()}
    expected = decoder(encoded, known, last)
    decoder.train()(*inputs(3))
    decoder.eval().trace(*inputs(2)[:3])
    assert torch.equal(decoder(encoded, known, last), expected)
    assert [sorted(vars(module)) for module in decoder.modules()] == names
    changed = {name for name, value in decoder.state_dict().items() if not torch.equal(value, kept[name])}
    assert changed == ({"sampling.step"} if decoder.feeds_back else set())


# gradients


@every
@both_dtypes
def test_every_parameter_gets_a_gradient(case, dtype):
    decoder = ready(case, dtype).train()
    (decoder(*inputs(2, dtype)) * torch.randn(HORIZON, TARGETS, OUTPUTS, dtype=dtype)).sum().backward()
    for name, parameter in decoder.named_parameters():
        assert parameter.grad is not None, f"{name} is not used"
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, f"{name} has a gradient of zero"


@every
@pytest.mark.parametrize("training", [True, False])
def test_gradients_equal_finite_differences(case, training):
    decoder, (encoded, known, last, target) = ready(case), inputs(2)

    def output(*given):  # gradcheck changes the parameters in place
        torch.manual_seed(2)
        if decoder.feeds_back:
            decoder.sampling.step.zero_()
        return decoder(*given[:3], target)

    given = [tensor[:2].requires_grad_() for tensor in (encoded, known, last)]
    target = target[:2]
    decoder.train(training)
    wanted = [tensor for tensor in given if decoder.feeds_back or tensor is not given[2]]
    assert torch.autograd.gradcheck(
        lambda *changed: output(*changed[: len(wanted)], *given[len(wanted) :]),
        (*wanted, *decoder.parameters()),
        fast_mode=True,
        atol=1e-6,
    )


@every
def test_large_encodings_keep_forecasts_and_gradients_finite(case):
    decoder, (encoded, *rest) = ready(case, torch.float32).train(), inputs(3, torch.float32)
    encoded = (1e4 * encoded).requires_grad_()
    y = decoder(encoded, *rest)
    assert y.isfinite().all()
    y.square().mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in decoder.parameters())
    assert encoded.grad.isfinite().all()


@every
@pytest.mark.parametrize("training", [True, False])
def test_bfloat16_autocast_runs_forwards_and_backwards(case, training):
    decoder, given = ready(case, torch.float32).train(training), inputs(2, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        y = decoder(*given)
    assert y.isfinite().all()
    y.float().square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in decoder.parameters())


# tracing


@every
@pytest.mark.parametrize("origins", [1, 3])
def test_traced_attention_sums_to_one_over_the_time_up_to_the_origin(case, origins):
    decoder, given = ready(case), inputs(origins)
    signals = decoder.trace(*given[:3])
    assert set(signals) <= {"attention", "ahead", "selection"}
    for weights in (signals[name] for name in signals if name == "attention"):
        assert weights.shape[:2] == (BATCH, origins)
        assert weights.shape[-1] == TIME
        assert (weights >= 0).all()
        assert_near(weights.sum(-1), torch.ones(weights.shape[:-1], dtype=torch.float64))
        for o in range(origins):
            assert (weights[:, o, ..., TIME - origins + o + 1 :] == 0).all()


# the point forecast, copies and files


@every
def test_the_first_output_is_the_point_until_a_loss_says_otherwise(case):
    decoder, raw = ready(case), torch.randn(BATCH, TARGETS, OUTPUTS)
    assert torch.equal(decoder.point(raw), raw[..., 0])
    decoder.point = Scaled().point
    assert torch.equal(decoder.point(raw), 2 * raw[..., 1])


@every
def test_the_loss_of_the_point_is_no_part_of_the_decoder(case):
    decoder, names = ready(case), list(ready(case).state_dict())
    decoder.point = Scaled().point
    assert list(decoder.state_dict()) == names
    assert not any(isinstance(module, Scaled) for module in decoder.modules())


@every
@pytest.mark.parametrize("copied_by", [copy.deepcopy, lambda decoder: pickle.loads(pickle.dumps(decoder))])
@pytest.mark.parametrize("with_loss", [True, False])
def test_copies_compute_the_same_and_share_nothing(case, copied_by, with_loss):
    decoder, loss, (encoded, known, last, _) = ready(case), Scaled(), inputs()
    if with_loss:
        decoder.point = loss.point
    expected = decoder(encoded, known, last)
    copied = copied_by(decoder)
    loss.factor.zero_()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.zero_()
    assert torch.equal(copied(encoded, known, last), expected)


def test_a_loss_copied_together_with_its_decoder_stays_the_one_that_the_decoder_asks():
    decoder, loss = CLASSES["Seq2Seq"](*SIZES), Scaled()
    decoder.point = loss.point
    copied, copied_loss = copy.deepcopy((decoder, loss))
    assert copied.point.__self__ is copied_loss


@every
def test_weights_saved_and_loaded_compute_the_same(case):
    decoder, other, (encoded, known, last, _) = ready(case), ready(case), inputs()
    file = io.BytesIO()
    torch.save(decoder.state_dict(), file)
    file.seek(0)
    assert not torch.equal(other(encoded, known, last), decoder(encoded, known, last))
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(encoded, known, last), decoder(encoded, known, last))


@every
def test_exported_decoder_computes_the_same(case):
    decoder, given = ready(case), inputs()[:3]
    exported = torch.export.export(decoder, given).module()
    assert_near(exported(*given), decoder(*given))
