"""`python -m marginflow` is the command `marginflow`."""

import sys

from marginflow.cli.main import main


sys.exit(main())
