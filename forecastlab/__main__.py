"""python -m forecastlab."""

import sys

from forecastlab.cli import main

sys.exit(main())
