"""Every option of the trainer works, or ends in a few lines that name it."""

import pytest

from tests.cli.commands import fit

WORK = [
    *(f"--trainer.precision={precision}" for precision in ("32-true", "64-true", "bf16-mixed", "16-mixed")),
    "--trainer.profiler=simple",
    "--trainer.benchmark=true",
    "--trainer.deterministic=true",
    "--trainer.deterministic=warn",
    "--trainer.detect_anomaly=true",
    "--trainer.inference_mode=false",
    "--trainer.accumulate_grad_batches=2",
    "--trainer.limit_val_batches=1",
    "--trainer.limit_train_batches=0.5",
    "--trainer.val_check_interval=2",
    "--trainer.val_check_interval=0.5",
    "--trainer.check_val_every_n_epoch=2",
    "--trainer.reload_dataloaders_every_n_epochs=1",
    "--trainer.max_time=00:00:10:00",
    "--trainer.sync_batchnorm=true",
]
REFUSED = {
    "--trainer.precision=bf16-true": ["trainer.precision: bf16-true would round values", "bf16-mixed", "32-true"],
    "--trainer.precision=16-true": ["trainer.precision: 16-true would round values", "16-mixed", "32-true"],
    "--trainer.precision=transformer-engine": ["trainer: ", "transformer_engine"],
    "--trainer.logger=WandbLogger": ["trainer.logger: WandbLogger cannot be built: ", "pip install", "wandb"],
    "--trainer.logger=CometLogger": ["trainer.logger: CometLogger cannot be built: ", "comet"],
    "--trainer.profiler=XLAProfiler": ["trainer.profiler: XLAProfiler cannot be built: ", "torch_xla"],
    "--trainer.profiler=xla": ["trainer: ", "torch_xla"],
    "--trainer.profiler=foo": ["trainer: ", "profiler"],
    "--trainer.plugins=BitsandbytesPrecision --trainer.plugins.mode=nf4": [
        "trainer.plugins: BitsandbytesPrecision cannot be built",
        "bitsandbytes",
    ],
    "--trainer.callbacks=ModelCheckpoint --trainer.callbacks.mode=foo": [
        "trainer.callbacks: ModelCheckpoint cannot be built: `mode` can be min, max but got foo"
    ],
    "--trainer.accelerator=tpu": ["trainer: ", "torch_xla"],
    "--trainer.strategy=deepspeed": ["trainer: ", "DeepSpeed"],
    "--trainer.strategy=xla": ["trainer: ", "torch_xla"],
    "--trainer.devices=foo": ["trainer: ", "devices"],
    "--trainer.fast_dev_run=-1": ["trainer: ", "fast_dev_run=-1"],
    "--trainer.max_time=foo": ["trainer: ", "foo"],
    "--trainer.barebones=true": ["trainer: ", "barebones"],
    "--trainer.val_check_interval=100000": ["val_check_interval"],
}


@pytest.mark.filterwarnings("ignore")  # Lightning advises about what is asked for
@pytest.mark.parametrize("options", WORK)
def test_an_option_that_can_work_does(cli, config, tmp_path, options):
    answer = cli(*fit(config, tmp_path, *options.split(), epochs=1))
    assert answer.status == 0, answer.err


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("options", REFUSED)
def test_an_option_that_cannot_work_is_named_in_a_few_lines(cli, config, tmp_path, options):
    answer = cli(*fit(config, tmp_path, *options.split(), epochs=1))
    assert answer.status == 2
    said = answer.err[answer.err.index("forecastlab: error: ") :]
    assert len(said.splitlines()) <= 10, said
    assert "Traceback" not in answer.err
    for text in REFUSED[options]:
        assert text in said
