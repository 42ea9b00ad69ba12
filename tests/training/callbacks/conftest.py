import pytest
from tensorboard.summary.writer import event_file_writer


@pytest.fixture(autouse=True)
def _event_files_in_order(monkeypatch):
    """TensorBoard reads event files by name, which within a second ends in the count of writers: 10 is before 9."""
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(10_000))
