"""One log per run: TensorBoard events and metrics.csv, both continued in place when a run is resumed."""

import csv
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard.summary import hparams

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
        self._columns: list[str] | None = None
        self._cut_off = False
        self._evaluated = False

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
            self._write([earlier for earlier in self._rows if earlier < step])  # of this step there may be more to come

    @rank_zero_only
    def log_hyperparams(
        self, params: dict[str, Any] | Namespace, metrics: dict[str, Any] | None = None, step: int | None = None
    ) -> None:
        """Writes plain hyper-parameters for TensorBoard's table, with the names of the metrics that go beside them."""
        for summary in hparams(dict(params) if isinstance(params, dict) else vars(params), metrics or {}):
            self.experiment._get_file_writer().add_summary(summary)

    def save(self) -> None:
        """Does nothing: Lightning calls it after every metric, and epochs that take milliseconds do not wait for it."""

    @rank_zero_only
    def flush(self) -> None:
        """Brings everything logged so far to the disk; a run that failed before it logged anything leaves no file."""
        self._write(list(self._rows))

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
        writer = self.experiment._get_file_writer()
        for step in steps:
            row = self._rows[step]
            values = [Summary.Value(tag=name, simple_value=value) for name, value in row.items() if name != "epoch"]
            writer.add_summary(Summary(value=values), step, self._logged[step])
        self.experiment.flush()
        self._append({step: self._rows[step] for step in steps})
        for step in steps:  # only now: what could not be written may be tried again
            del self._rows[step], self._logged[step]
        self._flushed = time.monotonic()

    def _append(self, rows: dict[int, dict[str, float]]) -> None:
        path = Path(self.log_dir, "metrics.csv")
        if self._columns is None:
            self._read(path)
        assert self._columns is not None
        new = sorted({name for row in rows.values() for name in row}.difference(self._columns, ["epoch"]))
        if new or self._cut_off or self._resumed_step is not None or self.evaluated_step is not None:
            self._rewrite(path, [*self._columns, *new], rows)
        try:
            with path.open("a", newline="") as file:
                self._writer(file).writerows({"step": step, **row} for step, row in rows.items())
        except OSError:
            self._columns = None  # the next attempt looks at how far this one came
            raise

    def _read(self, path: Path) -> None:
        self._columns = []
        if path.exists():
            with path.open(newline="") as file:
                self._columns = [name for name in next(csv.reader(file), []) if name not in ("step", "epoch")]
            self._cut_off = not path.read_bytes().endswith(b"\n")

    def _writer(self, file: IO[str]) -> "csv.DictWriter[str]":
        return csv.DictWriter(file, ["step", "epoch", *(self._columns or [])], lineterminator="\n")

    def _rewrite(self, path: Path, columns: list[str], evaluated: dict[int, dict[str, float]]) -> None:
        """Writes the file afresh with more columns, without the steps that are about to be repeated.

        A last line that a killed process left unfinished goes too. What an evaluation logged joins the row of its step,
        and is taken out of `evaluated`.
        """
        rows: list[dict[str, str]] = []
        if path.exists():
            with path.open(newline="") as file:
                rows = list(csv.DictReader(file))
        if self._cut_off:
            rows = rows[:-1]
            self._cut_off = False
        if self._resumed_step is not None:
            rows = [row for row in rows if int(row["step"]) < self._resumed_step]
            self._resumed_step = None
        if self.evaluated_step is not None:
            for row in rows:
                found = evaluated.pop(int(row["step"]), {})
                if found and not self._evaluated:  # what an earlier test logged does not stand beside this one's
                    row |= {name: "" for name in row if name.startswith("test/")}
                row |= {name: str(value) for name, value in found.items()}
            self._evaluated = True
        self._columns = columns
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}")
        try:
            with partial.open("w", newline="") as file:
                writer = self._writer(file)
                writer.writeheader()
                writer.writerows(rows)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
