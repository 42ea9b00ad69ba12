"""The reproduction: the paper's five models on its five splits, beside its tables."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import yaml

from forecastlab import __version__
from forecastlab.data.marks import OPTIMISTIC
from forecastlab.errors import ConfigError
from forecastlab.evaluation.comparison import Comparison
from forecastlab.evaluation.crossval import PRELOAD, baselines_of, fold_job, is_tested
from forecastlab.evaluation.gather import finished_folds, gather
from forecastlab.evaluation.page import Section, render
from forecastlab.evaluation.pictures import pictures
from forecastlab.evaluation.results import RESULTS, CrossvalRun
from forecastlab.evaluation.tables import Table, fold_table, write_table
from forecastlab.experiment.config import Config
from forecastlab.papers.van_diepen.configs import HONEST, Protocol, config_of
from forecastlab.papers.van_diepen.tables import PUBLISHED, SPLITS, paper_tables
from forecastlab.runs.engines.engine import Engine
from forecastlab.runs.engines.named import engine_of
from forecastlab.runs.files import write_output, write_whole
from forecastlab.runs.jobs import run_jobs
from forecastlab.runs.run import CONFIG, LOGS, Run

EXPERIMENT = "van-diepen"
REPORT = "report.html"


@dataclass(frozen=True)
class Reproduced:
    """What a reproduction came to.

    Attributes:
        folder: the run's folder.
        tables: the paper's, and that of all models beside the baselines; empty if nothing is finished.
        failed: what went wrong, by the name of the training; empty if nothing did.
    """

    folder: Path
    tables: Sequence[Table]
    failed: Mapping[str, str]


def reproduce(
    protocol: Protocol | None = None,
    models: Sequence[str] = tuple(PUBLISHED),
    splits: Sequence[int] = SPLITS,
    seeds: Sequence[int] = (0,),
    jobs: int = 1,
    honest: bool = False,
    path: str | None = None,
    root: str | Path = ".",
    new: bool = False,
    report: Callable[[str], object] = print,
    engine: str | Engine = "local",
) -> Reproduced:
    """Trains the models, and writes the paper's tables and figures and a report.

    A repeated call with the same protocol and data skips what is finished.

    Args:
        protocol: how they are trained; None for the paper's.
        models: which models.
        splits: which splits.
        seeds: the tables give their mean.
        jobs: models trained at once, one thread each.
        honest: also chooses the epoch on a validation tail, and scores the test rows once.
        path: the ozone file; None to look for it, or to download it.
        root: folder that the folder of all runs is in.
        new: begins a new run instead of going on with an equal one.
        report: told which baselines are left out.
        engine: where the models are trained: "local", "ray", "ray:ADDRESS", "slurm", or an engine.

    Raises:
        ConfigError: for a setting that cannot be used.
        DataError: for data, or files of an earlier call, that cannot be used.
    """
    protocol, engine = protocol or Protocol(), engine_of(engine)
    if jobs < 1:
        raise ConfigError(f"--jobs must be positive, got {jobs}")
    if unknown := [model for model in models if model not in PUBLISHED]:
        raise ConfigError(f"--models: unknown model {unknown[0]!r}; the paper has {', '.join(PUBLISHED)}")
    if others := [split for split in splits if split not in SPLITS]:
        raise ConfigError(f"--splits: the paper has splits 1 to 5, got {others[0]}")
    settings = asdict(protocol)
    settings["passes"] = protocol.check_every  # runs of earlier versions, which had other epochs, are not continued
    names = [name + suffix for suffix in ("", HONEST)[: 2 if honest else 1] for name in models]
    given = {name: config_of(name, protocol, path) for name in names}
    configs = {name: Config.of(config) for name, config in given.items()}
    module = configs[names[0]].data_module()
    module.prepare_data()
    run = Run.continued(Path(root, LOGS), EXPERIMENT, settings, module.about, new)
    with run.alone():
        for name, config in given.items():
            (run.folder / name).mkdir(exist_ok=True)
            write_whole(run.folder / name / CONFIG, yaml.safe_dump(config, sort_keys=False))
        waiting = [
            fold_job(f"{name}, split {split}, seed {seed}", run.folder / name, rated, split, seed, module.fingerprint)
            for name in names
            for seed in seeds
            for split in splits
            if not is_tested(run.folder / name, split, seed)
            for rated in [_with_rate(configs[name], name, split)]
        ]
        failed = run_jobs(waiting, jobs, PRELOAD, engine=engine, folder=run.folder)
        every = [name + suffix for suffix in ("", HONEST) for name in PUBLISHED]
    finished = [name for name in every if finished_folds(run.folder / name)]  # earlier calls' too
    tables: list[Table] = []
    if finished:
        done = sorted({split for name in finished for split, _, _ in finished_folds(run.folder / name)})
        scored = baselines_of(["persistence", "ridge"], configs[names[0]], done, module.fingerprint, report)
        for name in finished:
            gather(run.folder / name, name, scored)
        tables = _write(run, finished, protocol)
    return Reproduced(run.folder, tables, failed)


def _with_rate(config: Config, name: str, split: int) -> Config:
    """The config of a split, which has a learning rate of its own."""
    return config.with_values({"model.optimizer.lr": PUBLISHED[name.removesuffix(HONEST)].rates[split - 1]})


def _write(run: Run, names: Sequence[str], protocol: Protocol) -> list[Table]:
    """Writes the tables, figures and the report of all models that are finished, and gives the tables."""
    results = pd.concat([pd.read_csv(run.folder / name / RESULTS) for name in names])
    tables = paper_tables(results[results["seed"].notna()], protocol.epochs, protocol.check_every)
    runs = {name: CrossvalRun.load(run.folder / name) for name in names}
    tables.append(fold_table(Comparison.of(list(runs.values()))))
    as_in_the_paper = [run for name, run in runs.items() if not name.endswith(HONEST)]
    for number, table in enumerate(tables, 1):
        write_table(table, run.folder / "tables" / f"table_{number}")
    drawn = pictures(Comparison.of(as_in_the_paper or list(runs.values())), "mse_scaled")
    for picture in drawn:
        write_output(picture.png(), run.folder / "figures" / f"{picture.name}.png")
    unsaid = [f"{key.replace('_', ' ')}: {value}" for key, value in asdict(protocol).items()]
    page = render(
        title="Van Diepen: LSTM, attention LSTM and their combinations",
        lead=["The paper's models on the ozone data, trained here, beside what the paper publishes."],
        warnings=[f"The paper's protocol: {OPTIMISTIC}. Rows marked honest choose the epoch on training rows."],
        sections=[
            Section("The paper's tables", tables=tables[:4]),
            Section("Beside the baselines, on the same rows", tables=tables[4:]),
            Section("Figures", pictures=drawn),
            Section("What the paper leaves open, as chosen here", points=unsaid),
        ],
        made_by=f"Made by forecastlab {__version__}.",
    )
    write_output(page, run.folder / REPORT)
    return tables
