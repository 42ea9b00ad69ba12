import importlib
import sys

import pytest

from forecastlab.errors import ForecastlabError


def test_without_sktime_two_lines_say_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "sktime", None)
    monkeypatch.setitem(sys.modules, "sktime.forecasting.base", None)
    monkeypatch.delitem(sys.modules, "forecastlab.models.sktime", raising=False)
    with pytest.raises(ForecastlabError, match=r"pip install 'forecastlab\[sktime\]'") as refused:
        importlib.import_module("forecastlab.models.sktime")
    assert len(str(refused.value).splitlines()) == 2
