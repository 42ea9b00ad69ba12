"""The loops over time of the cells, and their derivatives, compiled by numba: nothing here knows torch.

One file holds the two kernels of a cell. Importing them imports numba; nothing is compiled before its first call.

A kernel runs a block of rows of the batch through all steps before it starts the next block, so that states and gates
stay in the nearest cache. A row is computed by the same operations in the same order, whatever its position and the
other rows. Exponentials are polynomials, which become vector instructions. For the same reason every inner loop is
short and writes into one array.

Arrays are C-contiguous and all of one dtype, float32 or float64: inputs (batch, time, gates * hidden), states and masks
(batch, hidden), outputs (batch, time, hidden). Results go into arrays that the caller made. A forward kernel stores the
gates of each step in `kept` (batch, time, ...) for the backward kernel. If `kept` has room for one step only, each step
overwrites the one before.
"""

from forecastlab.backbones.kernels.loops import complex_diagonal, diagonal, gru, lstm, rglru, rnn, shortcut, slstm

__all__ = ["complex_diagonal", "diagonal", "gru", "lstm", "rglru", "rnn", "shortcut", "slstm"]
