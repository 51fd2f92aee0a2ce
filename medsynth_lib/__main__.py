"""`python -m medsynth_lib`: the same as the command `medsynth`."""

import sys

from medsynth_lib.course.command_line import main

sys.exit(main())
