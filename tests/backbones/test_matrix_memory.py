"""Matrix memories: the chunkwise form against single steps, and what a memory keeps and forgets."""

import pytest
import torch
from torch.nn.functional import normalize
from torch.overrides import TorchFunctionMode

from forecastlab.backbones.matrix_memory import Writes, chunkwise, recurrent, remember

BATCH, TIME, HEADS, KEYS, VALUES = 2, 37, 3, 5, 4


def draw(*shape, dtype=torch.float64):
    return torch.randn(shape, dtype=torch.float64).to(dtype)


def case(number=1, time=TIME, largest=2.0):
    """Queries, writes and a first state."""
    size = (BATCH, time, HEADS)
    k, v = normalize(draw(*size, number, KEYS), dim=-1), draw(*size, number, VALUES)
    beta, log_a = largest * torch.sigmoid(draw(*size, number)), -0.3 * draw(*size).exp()
    return [draw(*size, KEYS), k, v, beta, log_a, draw(BATCH, HEADS, VALUES, KEYS)]


def stepped(q, writes, S, erase):
    outputs = []
    for t in range(q.shape[1]):
        y, S = recurrent(q[:, t], Writes(*(part[:, t] for part in writes)), S, erase)
        outputs.append(y)
    return torch.stack(outputs, 1), S


def results(run, given):
    """What a function gives for a case, and all gradients of a random projection of it."""
    q, *writes, S = given = [part.clone().requires_grad_() for part in given]
    found = run(q, Writes(*writes), S)
    torch.manual_seed(3)
    total = torch.stack([(part * draw(*part.shape)).sum() for part in found]).sum()
    return [*found, *torch.autograd.grad(total, given)]


@pytest.mark.parametrize("erase", [True, False])
@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("chunk_size", [1, 5, 36, 37, 100])
def test_chunks_equal_steps_in_all_results_and_every_gradient(chunk_size, number, erase):
    given = case(number)
    ours = results(lambda q, writes, S: chunkwise(q, writes, S, chunk_size, erase), given)
    theirs = results(lambda q, writes, S: stepped(q, writes, S, erase), given)
    for found, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("number", [1, 3])
def test_pieces_of_any_length_equal_the_whole(number):
    q, *writes, S = case(number)
    y, last = remember(q, Writes(*writes), S, 8, erase=True)
    outputs, state = [], S
    for piece in torch.arange(TIME).split([1, 10, 1, 1, 24]):
        y_t, state = remember(q[:, piece], Writes(*(part[:, piece] for part in writes)), state, 8, erase=True)
        outputs.append(y_t)
    torch.testing.assert_close(torch.cat(outputs, 1), y, rtol=0, atol=1e-12)
    torch.testing.assert_close(state, last, rtol=0, atol=1e-12)


def test_a_strong_decay_does_not_cost_the_digits_of_those_after_it():
    q, *writes, S = case()
    writes[3].mul_(1e-3)
    writes[3][:, 10] = -1e5
    exact = chunkwise(q, Writes(*writes), S, TIME, True)
    found = chunkwise(q.float(), Writes(*(part.float() for part in writes)), S.float(), TIME, True)
    for ours, expected in zip(found, exact, strict=True):
        torch.testing.assert_close(ours.double(), expected, rtol=0, atol=2e-5)


def test_the_same_key_at_every_step_keeps_the_last_value_alone():
    q, k, v, beta, log_a, S = case()
    k, beta, log_a = k[:, :1].expand_as(k), torch.ones_like(beta), torch.zeros_like(log_a)
    for chunk_size in (1, 8, 64):
        last = remember(q, Writes(k, v, beta, log_a), S, chunk_size, erase=True)[1]
        found = torch.einsum("bhvk,bhk->bhv", last, k[:, 0, :, 0])
        torch.testing.assert_close(found, v[:, -1, :, 0], rtol=0, atol=1e-12)
    added = remember(q, Writes(k, v, beta, log_a), S, 8, erase=False)[1] - S
    torch.testing.assert_close(torch.einsum("bhvk,bhk->bhv", added, k[:, 0, :, 0]), v[:, :, :, 0].sum(1))


def test_two_reflections_under_one_key_bring_the_state_back():
    q, k, v, beta, log_a, S = case(2, time=20)
    k, beta = k[:, :, :, :1].expand_as(k), torch.full_like(beta, 2.0)
    last = remember(q, Writes(k, torch.zeros_like(v), beta, torch.zeros_like(log_a)), S, 8, erase=True)[1]
    torch.testing.assert_close(last, S, rtol=0, atol=1e-12)


@pytest.mark.parametrize("chunk_size", [1, 16, 64])
def test_no_gate_up_to_two_makes_a_state_of_float32_grow(chunk_size):
    k = normalize(draw(1, 3000, 1, 2, 8, dtype=torch.float32), dim=-1)
    beta, S = torch.full((1, 3000, 1, 2), 2.0), draw(1, 1, 8, 8, dtype=torch.float32)
    writes = Writes(k, torch.zeros_like(k), beta, torch.zeros(1, 3000, 1))
    last = remember(torch.zeros(1, 3000, 1, 8), writes, S, chunk_size, erase=True)[1]
    torch.testing.assert_close(last.norm(), S.norm(), rtol=1e-3, atol=0)


def test_another_chunk_costs_a_handful_of_calls():
    class Calls(TorchFunctionMode):
        count = 0

        def __torch_function__(self, func, types, args=(), kwargs=None):
            self.count += 1
            return func(*args, **(kwargs or {}))

    def calls(time):
        q, *writes, S = case(time=time)
        with Calls() as mode:
            chunkwise(q, Writes(*writes), S, 16, True)
        return mode.count

    assert (calls(16 * 20) - calls(16 * 10)) / 10 <= 6
