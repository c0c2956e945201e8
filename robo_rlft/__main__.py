"""`python -m robo_rlft COMMAND` is `robo-rlft COMMAND`."""

import sys

from robo_rlft.commands.cli import main

if __name__ == "__main__":
    sys.exit(main())
