"""A nightly job: forecasts the newest rows of a table into a file that is named after the last of them.

python nightly.py model.ckpt rows.csv forecasts

The status is 0 if it wrote a file, 2 if it could not forecast, and 3 if the rows are no newer than its last forecast.
"""

import sys
from pathlib import Path

from forecastlab import Model
from forecastlab.errors import ForecastlabError
from forecastlab.runs.files import write_output

checkpoint, rows, folder = map(Path, sys.argv[1:])
try:
    forecast = Model.load(checkpoint).forecast(rows)
    newest = str(forecast["cutoff"].max())
    path = folder / f"{newest.replace(':', '').replace(' ', 'T')}.csv"
    if path.exists():
        print(f"{rows} ends with {newest}, which {path} has forecast already: did the data stop?", file=sys.stderr)
        sys.exit(3)
    write_output(forecast.to_csv(index=False), path)  # the whole file or none
except ForecastlabError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
print(f"{path}: {forecast['unique_id'].nunique()} series up to {newest}")
