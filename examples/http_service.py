"""A small HTTP service of one model: forecasts of tables, a stream for each series, health and metrics.

pip install 'forecastlab[serve]' && python http_service.py model.ckpt 8000
"""

import json
import sys
import threading
import time
import warnings
from collections import Counter
from typing import Annotated, Any

import pandas as pd
import uvicorn
from fastapi import Body, FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from forecastlab import Forecaster
from forecastlab.errors import ForecastlabError

app, network, streams, counts = FastAPI(), Forecaster.load(sys.argv[1]), {}, Counter()
one_at_a_time = threading.Lock()  # a network remembers which series it looks at


def answer(table, notes=()):
    rows = "null" if table is None else table.to_json(orient="records", date_format="iso", double_precision=15)
    said = json.dumps([str(note.message) for note in notes if issubclass(note.category, UserWarning)])
    return Response(f'{{"forecast": {rows}, "notes": {said}}}', media_type="application/json")


@app.post("/forecast")
def forecast(rows: Annotated[list[dict[str, Any]], Body(embed=True)]):
    with one_at_a_time, warnings.catch_warnings(record=True) as notes:
        return answer(network.forecast(pd.DataFrame(rows)), notes)


@app.post("/streams/{name}")
def update(name: str, row: Annotated[dict[str, Any], Body()], ahead: Annotated[list[dict[str, Any]], Body()] = ()):
    with one_at_a_time:
        stream = streams.get(name) or network.stream()
        table = stream.update(row, ahead)
        streams[name] = stream  # not one whose first row was refused
        return answer(table)


@app.delete("/streams/{name}")
def end(name: str):
    with one_at_a_time:
        return {"ended": streams.pop(name, None) is not None}


@app.get("/health")
async def health():
    return {"targets": network.schema.targets, "horizon": network.schema.horizon, "streams": len(streams)}


@app.get("/metrics")
async def metrics():
    lines = [f"{name} {value}" for name, value in sorted(counts.items())]
    return PlainTextResponse("\n".join([*lines, f"forecastlab_streams {len(streams)}", ""]))


@app.exception_handler(ForecastlabError)
def refused(request: Request, error: ForecastlabError):
    return JSONResponse({"error": str(error)}, 422)


@app.middleware("http")
async def count(request: Request, call_next):
    began, response = time.perf_counter(), await call_next(request)
    labels = f'{{path="{getattr(request.scope.get("route"), "path", "")}",status="{response.status_code}"}}'
    counts[f"forecastlab_requests_total{labels}"] += 1
    counts[f"forecastlab_seconds_total{labels}"] += time.perf_counter() - began
    return response


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[2]), log_level="info", access_log=False)
