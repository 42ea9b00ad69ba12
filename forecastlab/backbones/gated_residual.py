"""Gated residual networks, and the selection of variables by them (Temporal Fusion Transformer)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import elu, glu


class GatedSkip(nn.Module):
    """A gated layer beside a skip connection.

        y = LayerNorm(skip + (W x + b) * s(V x + d))

    s is the logistic function. Where the gate is 0, the layer is left out. Source: Lim et al. 2021, arXiv:1912.09363,
    eqs. 2, 5, 17, 20 and 22.

    Args:
        inputs: width of x.
        outputs: width of the skip connection and of y.
        dropout: probability that a value of x is dropped, in training.
        normalise: whether LayerNorm is applied.
    """

    def __init__(self, inputs: int, outputs: int, dropout: float = 0.0, normalise: bool = True) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(inputs, 2 * outputs)
        self.norm = nn.LayerNorm(outputs) if normalise else nn.Identity()

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """(..., inputs) and (..., outputs) -> (..., outputs)."""
        y: Tensor = self.norm(skip + glu(self.linear(self.dropout(x))))
        return y


class GatedResidual(nn.Module):
    """A gated residual network: a layer of nonlinear units that its gate can leave out.

        η_2 = ELU(W_2 a + W_3 c + b_2)
        η_1 = W_1 η_2 + b_1
        y = LayerNorm(a + GLU(η_1))

    If the widths of a and y differ, a linear map of a stands in the skip connection. Source: Lim et al. 2021,
    arXiv:1912.09363, eqs. 2 to 5.

    Args:
        inputs: width of a.
        hidden: width of η_1 and η_2.
        outputs: width of y.
        context: width of c; 0 for none.
        dropout: probability that a value of η_1 is dropped, in training.
        normalise: whether LayerNorm is applied.
    """

    def __init__(
        self, inputs: int, hidden: int, outputs: int, context: int = 0, dropout: float = 0.0, normalise: bool = True
    ) -> None:
        super().__init__()
        self.input = nn.Linear(inputs, hidden)
        self.context = nn.Linear(context, hidden, bias=False) if context else None
        self.hidden = nn.Linear(hidden, hidden)
        self.skip = nn.Linear(inputs, outputs) if inputs != outputs else nn.Identity()
        self.gate = GatedSkip(hidden, outputs, dropout, normalise)

    def forward(self, a: Tensor, context: Tensor | None = None) -> Tensor:
        """(..., inputs) and, if there is a context, (..., context) -> (..., outputs)."""
        hidden = self.input(a)
        if self.context is not None:
            hidden = hidden + self.context(context)
        y: Tensor = self.gate(self.hidden(elu(hidden)), self.skip(a))
        return y


class VariableSelection(nn.Module):
    """Weighs variables at each step, and adds them up.

        ξ_j = w_j x_j + b_j                       the vector of variable j
        v = softmax(GRN_v([ξ_1 ; ... ; ξ_m], c))
        selected = Σ_j v_j GRN_j(ξ_j)

    Source: Lim et al. 2021, arXiv:1912.09363, eqs. 6 to 8. There GRN_v ends in LayerNorm. Here it does not: LayerNorm
    bounds the weights, and with two variables it leaves two possible values of v.

    Args:
        variables: number of variables m, each of one value.
        width: width of the vectors and of the selection.
        context: width of c; 0 for none.
        dropout: of the gated residual networks.
    """

    def __init__(self, variables: int, width: int, context: int = 0, dropout: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(variables, width))
        self.bias = nn.Parameter(torch.empty(variables, width))
        for parameter in (self.weight, self.bias):
            nn.init.uniform_(parameter, -1, 1)  # as nn.Linear of one input
        self.own = nn.ModuleList(GatedResidual(width, width, width, dropout=dropout) for _ in range(variables))
        self.score = (
            GatedResidual(variables * width, width, variables, context, dropout, normalise=False)
            if variables > 1  # one variable has all of the weight
            else None
        )

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Selects.

        Args:
            x: (..., variables).
            context: (..., context), if there is one.

        Returns:
            The selection (..., width) and the weights v (..., variables), which sum to 1.
        """
        vectors = x.unsqueeze(-1) * self.weight + self.bias
        weights = torch.ones_like(x) if self.score is None else self.score(vectors.flatten(-2), context).softmax(-1)
        own = torch.stack([part(vectors[..., j, :]) for j, part in enumerate(self.own)], -2)
        return (weights.unsqueeze(-1) * own).sum(-2), weights
