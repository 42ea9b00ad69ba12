"""One log per run: TensorBoard events and metrics.csv, both continued in place when a run is resumed."""

import csv
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from torch.utils.tensorboard.summary import hparams


class RunLogger(TensorBoardLogger):
    """Logs to `<root>/<experiment>/version_N`: TensorBoard events and metrics.csv, one row per step.

    Args:
        root: folder of all runs.
        experiment: name of the experiment; its runs are numbered.
        version: number of the run, or the name of its folder; None for the next free number.
        resumed_step: first step that the run will log again; what was logged from it on is dropped. None if the run
            is new or is only evaluated.
    """

    def __init__(
        self, root: str | Path, experiment: str, version: int | str | None = None, resumed_step: int | None = None
    ) -> None:
        purge: dict[str, Any] = {} if resumed_step is None else {"purge_step": resumed_step}
        super().__init__(str(root), experiment, version, default_hp_metric=False, **purge)
        self._resumed_step = resumed_step
        self._rows: dict[int, dict[str, float]] = {}
        self._columns: list[str] | None = None
        self._cut_off = False

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        step = 0 if step is None else step
        super().log_metrics(dict(metrics), step)
        self._rows.setdefault(step, {}).update({name: float(value) for name, value in metrics.items()})

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
        if not self._rows:
            return
        self.experiment.flush()
        path = Path(self.log_dir, "metrics.csv")
        if self._columns is None:
            self._read(path)
        assert self._columns is not None
        new = sorted({name for row in self._rows.values() for name in row}.difference(self._columns, ["epoch"]))
        if new or self._cut_off or self._resumed_step is not None:
            self._rewrite(path, [*self._columns, *new])
        with path.open("a", newline="") as file:
            self._writer(file).writerows({"step": step, **row} for step, row in self._rows.items())
        self._rows.clear()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        self.flush()
        super().finalize(status)

    def _read(self, path: Path) -> None:
        self._columns = []
        if path.exists():
            with path.open(newline="") as file:
                self._columns = [name for name in next(csv.reader(file), []) if name not in ("step", "epoch")]
            self._cut_off = not path.read_bytes().endswith(b"\n")

    def _writer(self, file: IO[str]) -> "csv.DictWriter[str]":
        return csv.DictWriter(file, ["step", "epoch", *(self._columns or [])], lineterminator="\n")

    def _rewrite(self, path: Path, columns: list[str]) -> None:
        """Writes the file afresh with more columns, without the steps that are about to be repeated.

        A last line that a killed process left unfinished goes too.
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
        self._columns = columns
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}")
        with partial.open("w", newline="") as file:
            writer = self._writer(file)
            writer.writeheader()
            writer.writerows(rows)
        partial.replace(path)
