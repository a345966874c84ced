"""The first thing in a function's process: the lifeline, then AWS's own runtime client.

Run as `python -m local.functions.bootstrap HANDLER`. From there on it is what Lambda runs.
"""

import sys

from awslambdaric.__main__ import main

from local.processes import end_with_parent

if __name__ == "__main__":
    end_with_parent()
    main(sys.argv)
