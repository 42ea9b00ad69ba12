"""The examples that serve a model: an HTTP service under a load of real clients, and a nightly job."""

import contextlib
import http.client
import json
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import forecastlab
from tests.models.series import FEW, shops

EXAMPLES = Path(__file__).parents[1] / "examples"
CLIENTS = 100


@pytest.fixture(scope="module")
def frame():
    return shops(3, 40)


@pytest.fixture(scope="module")
def checkpoint(frame, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.ckpt"
    settings = {**FEW, "data.lookback": 7, "data.min_history": 3}
    forecastlab.fit(frame, "y", 2, settings=settings).save(path)
    return path


@pytest.fixture(scope="module")
def port(checkpoint):
    """The port of a service that runs, in a process of its own, on this machine alone."""
    command = [sys.executable, str(EXAMPLES / "http_service.py"), str(checkpoint), "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as service:
        try:
            for line in service.stderr:
                if found := re.search(r"running on http://127\.0\.0\.1:(\d+)", line):
                    break
            threading.Thread(target=service.stderr.read, daemon=True).start()  # a full pipe would stop the service
            yield int(found[1])
        finally:
            service.terminate()
            service.wait(60)


def ask(connection, method, path, content=None):
    """The status of an answer and its text."""
    body = None if content is None else json.dumps(content)
    connection.request(method, path, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def connected(port):
    return http.client.HTTPConnection("127.0.0.1", port, timeout=300)


def once(port, path):
    """The answer on a connection of its own: the service closes one that is idle for seconds."""
    with contextlib.closing(connected(port)) as one:
        return ask(one, "GET", path)[1]


@pytest.fixture
def connection(port):
    with contextlib.closing(connected(port)) as one:
        yield one


def records(frame):
    return json.loads(frame.to_json(orient="records", date_format="iso"))


def values(text):
    return [row["forecast"] for row in json.loads(text)["forecast"]]


def test_a_table_is_forecast_as_in_python(connection, checkpoint, frame):
    status, text = ask(connection, "POST", "/forecast", {"rows": records(frame)})
    expected = forecastlab.Forecaster.load(checkpoint).forecast(frame)
    assert status == 200
    found = pd.DataFrame(json.loads(text)["forecast"])
    assert list(found) == list(expected)
    assert found["unique_id"].tolist() == expected["unique_id"].tolist()
    for name in expected.columns[5:]:  # the forecast and its intervals
        np.testing.assert_allclose(found[name].astype(float), expected[name], rtol=1e-5)


def test_a_series_that_is_left_out_is_told(connection, frame):
    short = frame[(frame["store"] != "s1") | (frame["ds"] >= frame["ds"].max())]
    status, text = ask(connection, "POST", "/forecast", {"rows": records(short)})
    assert status == 200
    assert {row["unique_id"] for row in json.loads(text)["forecast"]} == {"s0", "s2"}
    assert "series s1 has 1 rows" in json.loads(text)["notes"][0]


def test_rows_that_cannot_be_used_are_refused_and_change_no_stream(connection, frame):
    rows = records(frame[frame["store"] == "s0"])
    for row in rows[:4]:
        assert ask(connection, "POST", "/streams/refused", {"row": row})[0] == 200
    status, text = ask(connection, "POST", "/streams/refused", {"row": rows[2]})
    assert status == 422
    assert "rows come in order of time" in json.loads(text)["error"]
    assert ask(connection, "POST", "/streams/refused", {"row": rows[4]})[0] == 200
    assert ask(connection, "POST", "/forecast", {"rows": [{"nothing": 1}]})[0] == 422
    assert json.loads(ask(connection, "DELETE", "/streams/refused")[1]) == {"ended": True}
    assert json.loads(ask(connection, "DELETE", "/streams/refused")[1]) == {"ended": False}


def counted(text):
    """How many requests of streams and of forecasts succeeded, as the metrics say."""
    found = dict(re.findall(r'^forecastlab_requests_total\{path="(.*?)",status="200"\} (\d+)$', text, re.MULTILINE))
    return np.array([int(found.get(path, 0)) for path in ("/streams/{name}", "/forecast")])


def test_a_hundred_clients_at_once_get_their_own_forecasts_and_none_is_lost(port, checkpoint, frame):
    network = forecastlab.Forecaster.load(checkpoint)
    before = counted(once(port, "/metrics"))
    together = threading.Barrier(CLIENTS)

    def client(number):
        own = frame[frame["store"] == f"s{number % 3}"][number % 7 :][:5]
        own = own.assign(y=own["y"] + number)  # no two clients have the same answers
        together.wait(300)
        with contextlib.closing(connected(port)) as one:
            answers = [ask(one, "POST", f"/streams/client-{number}", {"row": row}) for row in records(own)]
            answers.append(ask(one, "POST", "/forecast", {"rows": records(own)}))
        return own, answers

    with ThreadPoolExecutor(CLIENTS) as clients:
        ended = list(clients.map(client, range(CLIENTS)))
    for own, answers in ended:
        assert [status for status, _ in answers] == [200] * 6
        assert [json.loads(text)["forecast"] for _, text in answers[:2]] == [None, None]  # too few rows
        for rows, (_, text) in zip((3, 4, 5, 5), answers[2:], strict=True):
            np.testing.assert_allclose(values(text), network.forecast(own[:rows])["forecast"], rtol=1e-5)
    after = once(port, "/metrics")
    assert list(counted(after) - before) == [5 * CLIENTS, CLIENTS]
    assert f"forecastlab_streams {CLIENTS}\n" in after
    health = json.loads(once(port, "/health"))
    assert health == {"targets": ["y"], "horizon": 2, "streams": CLIENTS}


def test_the_nightly_job_writes_one_file_per_night_and_notices_when_the_data_stop(tmp_path, checkpoint, frame):
    def night(rows):
        rows.to_csv(tmp_path / "rows.csv", index=False)
        command = [EXAMPLES / "nightly.py", checkpoint, tmp_path / "rows.csv", tmp_path / "out"]
        return subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, timeout=300)

    assert night(frame).returncode == 0
    again = night(frame)
    assert (again.returncode, again.stderr.count("did the data stop?")) == (3, 1)
    bad = night(frame.drop(columns="y"))
    assert bad.returncode == 2
    assert "Traceback" not in bad.stderr
    (written,) = (tmp_path / "out").iterdir()
    assert written.name == "2024-02-09T000000.csv"
    expected = forecastlab.Forecaster.load(checkpoint).forecast(frame)
    np.testing.assert_allclose(pd.read_csv(written)["forecast"], expected["forecast"], rtol=1e-5)
