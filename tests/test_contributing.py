"""What CONTRIBUTING says is true: its example is a whole backbone, and trains from a package of one's own."""

import gc
import re
import sys
from pathlib import Path

import pytest
import torch

from forecastlab.network.registry import registered_backbones
from tests.reliability.processes import start

ROOT = Path(__file__).parent.parent


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of a user's own with the example of CONTRIBUTING in it."""
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    folder = tmp_path / "mypackage"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "leaky.py").write_text(example)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "mypackage"]:
        del sys.modules[name]
    gc.collect()  # or its classes would still be found among the subclasses of Backbone


def test_the_example_is_exponential_smoothing_and_can_be_streamed(package):
    from mypackage.leaky import LeakyIntegrator

    torch.manual_seed(0)
    cell = LeakyIntegrator(3, hidden_size=2).eval()
    x = torch.randn(2, 5, 3)
    y, state = cell(x)
    decay, h = torch.sigmoid(cell.decay), torch.zeros(2, 2)
    for t in range(5):
        h = decay * h + (1 - decay) * (x[:, t] @ cell.linear.weight.T + cell.linear.bias)
        torch.testing.assert_close(y[:, t], h)
    state = cell.initial_state(2)
    for t in range(5):
        y_t, state = cell.step(x[:, t], state)
    torch.testing.assert_close(y_t, h)


def test_the_example_trains_and_is_tested_from_its_own_package(package):
    root = f"--trainer.default_root_dir={package}"
    allowed = ["--allow_import", "mypackage"]
    fit = ["fit", "--config", str(ROOT / "configs" / "quickstart.yaml"), root, "--trainer.max_epochs=1"]
    for command in (
        [*fit, *allowed, "--model.backbone", "mypackage.leaky.LeakyIntegrator"],
        ["test", "--ckpt_path", "best", "--experiment", "quickstart", root, *allowed],
    ):
        running = start(package / "output", command)  # elsewhere: what is allowed and imported once stays so
        assert running.ended() == 0, running.said()
    assert "test/mse_scaled" in running.said()


def test_every_registered_backbone_has_a_config_and_a_test_file():
    for name, cls in registered_backbones().items():
        module = cls.__module__.rpartition(".")[2]
        config = ROOT / "configs" / "backbones" / f"{module}.yaml"
        assert f"class_path: {name}\n" in config.read_text()
        assert list((ROOT / "tests").glob(f"*/test_{module}.py"))
