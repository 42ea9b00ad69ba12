"""Runs sktime's own checks of a forecaster: `make test-sktime`, in an environment that has sktime.

It is a script, which pytest does not collect: sktime pins pandas, so that it cannot be where the other tests run.
"""

import sys
import warnings

from sktime.utils.estimator_checks import check_estimator

from forecastlab.models.sktime import SktimeForecaster


def main() -> int:
    """Prints what failed. The status is 0 if nothing did."""
    warnings.simplefilter("ignore")
    results = check_estimator(SktimeForecaster, raise_exceptions=False, verbose=False)
    failed = {name: result for name, result in results.items() if result != "PASSED"}
    for name, result in failed.items():
        print(f"{name}: {result}")
    print(f"{len(results) - len(failed)} of {len(results)} checks passed")
    return 1 if failed or not results else 0


if __name__ == "__main__":
    sys.exit(main())
