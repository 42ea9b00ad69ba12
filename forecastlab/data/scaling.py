"""Fitting of scalers: scikit-learn's, on the rows of one fold only, as the affine `Scaling` that models apply."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from forecastlab.batch import Scaling
from forecastlab.data.folds import Fold
from forecastlab.data.panel import Panel
from forecastlab.data.transform import Transforms
from forecastlab.data.windows import Rows

Scaler = Literal["standard", "minmax", "robust", "none"]
Name = Literal["feature", "known", "target"]
NAMES: tuple[Name, ...] = ("feature", "known", "target")
Columns = NDArray[np.float64]
"""(rows, columns)"""
Group = tuple[NDArray[np.int64], Mapping[Name, Columns]]
"""Numbers of series, (series,), and of each of their parts (series, rows, columns)."""


class FittingRows:
    """The rows before the end of the fitting targets, and no other; what was filled in is NaN.

    Args:
        panel: the series.
        folds: of each series, its target rows.
        features: number of features that are measured; with `mask`, as many more tell whether they were observed.
        mask: whether the data have such indicators.
        transforms: of the targets.
    """

    def __init__(self, panel: Panel, folds: Sequence[Fold], features: int, mask: bool, transforms: Transforms) -> None:
        self._panel = panel
        self._folds = folds
        self._features = features
        self._mask = mask
        self._transforms = transforms

    def counts(self) -> NDArray[np.int64]:
        """(series,): how many rows each series has."""
        return self._spans(self._panel.rows, self._folds)[1]

    def of_each(self) -> Iterator[Group]:
        """The rows of each series by itself, those of as many rows together."""
        rows = self._panel.rows
        for numbers, flat in rows.alike(*self._spans(rows, self._folds)):
            yield numbers, {name: self._columns(rows, name, flat) for name in NAMES}

    def of_all(self, name: Name) -> Iterator[Columns]:
        """One part of the rows of all series, (rows, columns), piece by piece."""
        for numbers, part in self._panel.parts():
            begins, lengths = self._spans(part.rows, self._folds[numbers.start : numbers.stop])
            flat = np.arange(lengths.sum()) + np.repeat(begins - lengths.cumsum() + lengths, lengths)
            yield self._columns(part.rows, name, flat)

    @staticmethod
    def _spans(rows: Rows, folds: Sequence[Fold]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return rows.spans([fold.train_start for fold in folds], [fold.fit.stop for fold in folds])

    def _columns(self, rows: Rows, name: Name, flat: NDArray[np.int64]) -> Columns:
        """A copy of some flat rows, (..., columns)."""
        features = self._features
        part: Columns = {"feature": rows.features, "known": rows.known, "target": rows.target}[name].numpy()[flat]
        if self._mask and name == "feature":  # what was filled in is no value
            part[..., :features][part[..., features : 2 * features] == 0] = np.nan
        if self._mask and name == "target":
            part[~rows.observed.numpy()[flat]] = np.nan
        if rows.padded and name == "feature":  # the feature that tells so has nothing to scale
            part = np.concatenate([part, np.zeros((*flat.shape, 1))], axis=-1)
        return self._transforms.of_columns(name, part)


def fit_each(scaler: Scaler, groups: Iterable[Group], series: int, static: Columns) -> Scaling:
    """Fits a scaling of each series; a constant column keeps its unit, and so does one without any value.

    Args:
        scaler: "standard" (mean and standard deviation, ddof 0), "minmax" (to 0 .. 1), "robust" (median and
            interquartile range) or "none".
        groups: the rows of the fold that may be seen. Values that are not to count are NaN.
        series: number of series.
        static: (series, static), of all series that have such a row; scaled together.
    """
    scaling = None
    for numbers, parts in groups:
        if scaling is None:
            features, known, targets = (parts[name].shape[2] for name in NAMES)
            scaling = Scaling(features, known, targets, static.shape[1], series)
        for name, columns in parts.items():
            group, rows, width = columns.shape
            beside = columns.transpose(1, 0, 2).reshape(rows, group * width)  # scikit-learn takes each by itself
            found = _of_columns(scaler, beside)
            _put(scaling, name, numbers, *(part.reshape(group, width) for part in found))
    assert scaling is not None
    _put(scaling, "static", np.zeros(1, np.int64), *(part[None] for part in _of_columns(scaler, static)))
    return scaling


def fit_together(scaler: Scaler, pieces: Callable[[Name], Iterable[Columns]], static: Columns) -> Scaling:
    """Fits one scaling of all series; as `fit_each`, whatever the number of rows.

    Args:
        scaler: as there.
        pieces: the rows of a part, (rows, columns), piece by piece. "robust" holds one whole column at a time, the
            others one piece.
        static: as there.
    """
    found = {name: _of_pieces(scaler, partial(pieces, name)) for name in NAMES}
    features, known, targets = (len(found[name][0]) for name in NAMES)
    scaling = Scaling(features, known, targets, static.shape[1])
    for name, part in [*found.items(), ("static", _of_columns(scaler, static))]:
        _put(scaling, name, np.zeros(1, np.int64), *(unit[None] for unit in part))
    return scaling


def put_usual_step(scaling: Scaling, groups: Iterable[Group], place: int) -> None:
    """Makes the usual step the unit of the time that has passed since the row before, whose 0 stays 0.

    The usual step is the median; 1 where no row has one before it.

    Args:
        scaling: of all series or of each, changed in place.
        groups: the rows of the fold that may be seen.
        place: position of that time among the features.
    """
    found = [(numbers, parts["feature"][..., place]) for numbers, parts in groups]
    if scaling.series == 1:
        found = [(np.zeros(1, np.int64), np.concatenate([elapsed.ravel() for _, elapsed in found])[None])]
    for numbers, elapsed in found:
        usual = np.ones(len(elapsed))
        for row, own in enumerate(elapsed):
            if (own > 0).any():  # the first row of a series has 0
                usual[row] = np.median(own[own > 0])
        _put(scaling, "feature", numbers, np.zeros(len(usual)), usual, place=place)


def _put(
    scaling: Scaling,
    name: str,
    numbers: NDArray[np.int64],
    center: Columns,
    scale: Columns,
    *,
    place: int | slice = slice(None),
) -> None:
    """Sets the centres and scales of some series, (series, columns), or those of one column, (series,)."""
    getattr(scaling, f"{name}_center")[numbers, place] = torch.from_numpy(center)
    getattr(scaling, f"{name}_scale")[numbers, place] = torch.from_numpy(scale)


def _of_columns(scaler: Scaler, columns: Columns) -> tuple[Columns, Columns]:
    """Centres and scales, (columns,) each; 0 and 1 of a column without any value."""
    center, scale = np.zeros(columns.shape[1]), np.ones(columns.shape[1])
    there = ~np.isnan(columns).all(0)
    if there.any():
        center[there], scale[there] = _FITTERS[scaler](columns[:, there])
    return center, scale


def _of_pieces(scaler: Scaler, pieces: Callable[[], Iterable[Columns]]) -> tuple[Columns, Columns]:
    """Centres and scales of columns whose rows come in pieces, as often as they are asked for, (columns,) each."""
    several = list(itertools.islice(pieces(), 2))
    if len(several) == 1 or scaler == "none":
        return _of_columns(scaler, several[0])
    width = several[0].shape[1]
    if scaler == "minmax":
        ends = [end for piece in pieces() if len(piece) for end in (np.fmin.reduce(piece), np.fmax.reduce(piece))]
        return _of_columns(scaler, np.stack(ends))
    if scaler == "robust":
        center, scale = np.zeros(width), np.ones(width)
        for place in range(width):
            whole = np.concatenate([piece[:, place] for piece in pieces()])
            center[[place]], scale[[place]] = _of_columns(scaler, whole[:, None])
        return center, scale
    counts, total, squares = np.zeros(width, np.int64), np.zeros(width), np.zeros(width)
    for piece in pieces():
        counts += (~np.isnan(piece)).sum(0)
        total += np.nansum(piece, 0)
    mean = total / np.maximum(counts, 1)
    for piece in pieces():
        squares += np.nansum(np.square(piece - mean), 0)
    variance = squares / np.maximum(counts, 1)
    rounding = np.finfo(np.float64).eps * counts
    constant = variance <= rounding * variance + (rounding * mean) ** 2  # as scikit-learn has it
    return mean, np.where(constant, 1.0, np.sqrt(variance))


def _standard(columns: Columns) -> tuple[Columns, Columns]:
    fitted = StandardScaler().fit(columns)
    return fitted.mean_, fitted.scale_


def _minmax(columns: Columns) -> tuple[Columns, Columns]:
    fitted = MinMaxScaler().fit(columns)
    return fitted.data_min_, 1 / fitted.scale_


def _robust(columns: Columns) -> tuple[Columns, Columns]:
    fitted = RobustScaler().fit(columns)
    return fitted.center_, fitted.scale_


def _none(columns: Columns) -> tuple[Columns, Columns]:
    return np.zeros(columns.shape[1]), np.ones(columns.shape[1])


_FITTERS: dict[Scaler, Callable[[Columns], tuple[Columns, Columns]]] = {
    "standard": _standard,
    "minmax": _minmax,
    "robust": _robust,
    "none": _none,
}
