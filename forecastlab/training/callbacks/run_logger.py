"""One log per run: TensorBoard events and metrics.csv, both continued in place when a run is resumed."""

import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard.summary import hparams

from forecastlab.adapters.torch import event_writer
from forecastlab.runs.metrics_file import METRICS, MetricsFile

FLUSH_INTERVAL = 5.0
"""Seconds after which what was logged is written, at the latest when something is logged again."""


class RunLogger(TensorBoardLogger):
    """Logs to `<root>/<experiment>/version_N`: TensorBoard events and metrics.csv, one row per step.

    Args:
        root: folder of all runs.
        experiment: name of the experiment; its runs are numbered.
        version: number of the run, or the name of its folder; None for the next free number.
        resumed_step: first step that the run will log again; what was logged from it on is dropped. None if the run
            is new or is only evaluated.
        evaluated_step: last step that the weights were trained on, for a run that is only evaluated: its `test/`
            metrics are logged there, and nothing else is, so that the curves of the training stay as they were.
    """

    def __init__(
        self,
        root: str | Path,
        experiment: str,
        version: int | str | None = None,
        resumed_step: int | None = None,
        evaluated_step: int | None = None,
    ) -> None:
        purge: dict[str, Any] = {} if resumed_step is None else {"purge_step": resumed_step}
        super().__init__(str(root), experiment, version, default_hp_metric=False, **purge)
        self.evaluated_step = evaluated_step
        self._resumed_step = resumed_step
        self._rows: dict[int, dict[str, float]] = {}
        self._logged: dict[int, float] = {}
        self._flushed = time.monotonic()
        self._file: MetricsFile | None = None

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        step = 0 if step is None else step
        if self.evaluated_step is not None:
            step = self.evaluated_step
            metrics = {name: value for name, value in metrics.items() if name.startswith("test/")}
        if not metrics:
            return
        self._rows.setdefault(step, {}).update({name: float(value) for name, value in metrics.items()})
        self._logged.setdefault(step, time.time())
        if time.monotonic() - self._flushed >= FLUSH_INTERVAL:
            self.flush(before=step)  # of this step there may be more to come

    @rank_zero_only
    def log_hyperparams(
        self, params: dict[str, Any] | Namespace, metrics: dict[str, Any] | None = None, step: int | None = None
    ) -> None:
        """Writes plain hyper-parameters for TensorBoard's table, with the names of the metrics that go beside them."""
        for summary in hparams(dict(params) if isinstance(params, dict) else vars(params), metrics or {}):
            event_writer(self.experiment).add_summary(summary)

    def save(self) -> None:
        """Does nothing: Lightning calls it after every metric, and epochs that take milliseconds do not wait for it."""

    @rank_zero_only
    def flush(self, before: int | None = None) -> None:
        """Brings what was logged to the disk; a run that failed before it logged anything leaves no file.

        Args:
            before: the first step that is not written yet; None to write all.
        """
        self._write([step for step in self._rows if before is None or step < before])

    @rank_zero_only
    def finalize(self, status: str) -> None:
        try:
            self.flush()
            super().finalize(status)
        except OSError:  # the disk is full
            if status == "success":  # otherwise that, or something worse, is what ended the run
                raise

    def _write(self, steps: Sequence[int]) -> None:
        """Writes the rows of some steps to both files.

        TensorBoard gets one event per step, all at once: one per value, each when it is logged, would wake its writing
        thread so often that short steps of training take half as long again. The epoch is
        kept from it: a straight line, which would be the first thing on the board.
        """
        if not steps:
            return
        writer = event_writer(self.experiment)
        for step in steps:
            row = self._rows[step]
            values = [Summary.Value(tag=name, simple_value=value) for name, value in row.items() if name != "epoch"]
            writer.add_summary(Summary(value=values), step, self._logged[step])
        self.experiment.flush()
        if self._file is None:
            self._file = MetricsFile(Path(self.log_dir, METRICS), self._resumed_step)
        self._file.write({step: self._rows[step] for step in steps})
        for step in steps:  # only now: what could not be written may be tried again
            del self._rows[step], self._logged[step]
        self._flushed = time.monotonic()
