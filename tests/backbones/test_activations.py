import math
from typing import get_args

import pytest
import torch

from forecastlab.backbones.activations import Activation, activation_function

FORMULAS = {
    "tanh": lambda x: (math.exp(2 * x) - 1) / (math.exp(2 * x) + 1),
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "hard_sigmoid": lambda x: min(max(x / 6 + 0.5, 0), 1),
    "relu": lambda x: max(x, 0),
    "leaky_relu": lambda x: x if x > 0 else 0.01 * x,
    "elu": lambda x: x if x > 0 else math.exp(x) - 1,
    "softplus": lambda x: math.log(1 + math.exp(x)),
    "softsign": lambda x: x / (1 + abs(x)),
    "identity": lambda x: x,
}


@pytest.mark.parametrize("name", get_args(Activation))
def test_function_of_a_name_equals_its_formula(name):
    points = [-7.0, -2.5, -0.3, 0.0, 0.4, 1.7, 6.5]
    found = activation_function(name)(torch.tensor(points, dtype=torch.float64))
    assert found.tolist() == pytest.approx([FORMULAS[name](point) for point in points], abs=1e-14)


def test_unknown_name_raises_with_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown activation 'swish'; available: tanh, sigmoid"):
        activation_function("swish")
