"""The linear recurrent unit, all steps in one call, from its own parameters."""

from typing import Any

import torch
from torch import Tensor

from forecastlab.backbones.kernels.calls import call, refuse_second_derivatives
from forecastlab.backbones.kernels.state_space import run_backward, run_forward


def lru(
    v: Tensor, nu_log: Tensor, theta_log: Tensor, gamma_log: Tensor, B: Tensor, C: Tensor, D: Tensor, s: Tensor
) -> tuple[Tensor, Tensor]:
    """Runs s_t = λ * s_{t-1} + exp(γ) * (B v_t) along time and reads y_t = Re(C s_t) + D * v_t.

    Args:
        v: the inputs, (batch, time, width).
        nu_log: ν, (states,); λ is exp(-exp(ν) + i exp(θ)).
        theta_log: θ, likewise.
        gamma_log: γ, likewise.
        B: (2, states, width), real and imaginary part.
        C: (width, 2, states), real and minus the imaginary part.
        D: (width,).
        s: (batch, 2 * states), the state before the first step: the real parts, then the imaginary parts.

    Returns:
        The outputs of all steps, (batch, time, width), and the last state.
    """
    y, last = call(_LRU, v, nu_log, theta_log, gamma_log, B, C, D, s)
    return y, last


class _LRU(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        v: Tensor,
        nu_log: Tensor,
        theta_log: Tensor,
        gamma_log: Tensor,
        B: Tensor,
        C: Tensor,
        D: Tensor,
        s: Tensor,
    ) -> Any:
        nu, theta, gamma = torch.stack([nu_log, theta_log, gamma_log]).exp_()
        factors = torch.polar(nu.neg().exp_(), theta)
        a, b, c = torch.view_as_real(factors).T.flatten(), (gamma.unsqueeze(-1) * B).flatten(0, 1), C.flatten(1)
        y, last, states = run_forward(v, a, b, c, D, s)
        ctx.save_for_backward(v, a, b, c, D, s, states, factors, nu, theta, gamma, B)
        return y, last

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        refuse_second_derivatives()
        *run, factors, nu, theta, gamma, B = ctx.saved_tensors
        dv, da, db, dc, dD, ds = run_backward(*run, *gradients)
        turned, dscaled = torch.complex(*da.chunk(2)) * factors.conj(), db.reshape(B.shape)
        dgamma = gamma * (dscaled * B).sum((0, 2))
        dB = gamma.unsqueeze(-1) * dscaled
        return dv, -nu * turned.real, theta * turned.imag, dgamma, dB, dc.unflatten(1, (2, -1)), dD, ds
