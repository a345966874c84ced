"""moto in a process of its own.

In the process of the tests it is one for all of them: whoever uses `mock_aws` empties it, and while
a server of it is up there, `mock_aws` no longer does.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local.aws.cloud import Aws, listen
from local.processes import Lifeline

__all__ = ["moto_process"]

ROOT = Path(__file__).resolve().parents[2]
NOWHERE = "http://127.0.0.1:1"


@contextmanager
def moto_process(folder: Path, lambda_url: str = NOWHERE) -> Iterator[Aws]:
    """Run moto, its log in a folder; invocations of functions are passed on to `lambda_url`."""
    lifeline = Lifeline()
    try:
        aws = Aws(
            lifeline=lifeline,
            log=folder / "aws.log",
            root=ROOT,
            lambda_url=lambda_url,
            opened=listen(0),
        )
        try:
            aws.wait()
            yield aws
        finally:
            aws.stop()
    finally:
        lifeline.close()
