"""A folder for one piece of long work: always removed, and what a full disk means is said here."""

import errno
import fcntl
import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import apsw

from shared.errors import Permanent

__all__ = ["scratch"]

_PREFIX: Final = "d1fleet-work-"
_UNLOCKED: Final = "d1fleet-new-"
_FULL: Final = (
    "the function's disk is full: raise EphemeralStorage in template.yaml, up to 10,240 MB; a "
    "database that is larger can't be proven here, see docs/architecture.md"
)

log = logging.getLogger("d1fleet")


@contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """Give a fresh folder in `parent`, and remove it whatever happens.

    Folders of those who were killed are removed too: a function's disk outlives its calls. A lock
    tells them from the folders of others that are at work on the same machine.

    Raises:
        Permanent: the disk is full.
    """
    _clean(parent)
    folder = Path(tempfile.mkdtemp(prefix=_UNLOCKED, dir=parent))
    try:
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Only now under the name that others look for: they would take it for a dead one's.
            folder = folder.rename(folder.with_name(folder.name.replace(_UNLOCKED, _PREFIX)))
            yield folder
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise Permanent(_FULL) from error
        raise
    except apsw.FullError as error:
        raise Permanent(_FULL) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _clean(parent: Path) -> None:
    for left in parent.glob(f"{_PREFIX}*"):
        try:
            with (left / "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
        except OSError:
            continue  # somebody is at work there
        log.warning("removed the work of somebody who was killed", extra={"folder": left.name})
