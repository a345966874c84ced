"""Work folders: always removed, also those of the killed, never those of others at work."""

import errno
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from shared.errors import Permanent
from shared.usecases.scratch import scratch


def test_a_folder_is_there_and_gone(tmp_path: Path) -> None:
    """What was written in it goes with it."""
    with scratch(tmp_path) as folder:
        (folder / "copy.sqlite").write_bytes(b"x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "full"), OSError(errno.EDQUOT, "full"), apsw.FullError("full")]
)
def test_a_full_disk_says_what_to_raise(tmp_path: Path, error: Exception) -> None:
    """Whoever notices first, the reason is the same, and the disk is freed."""

    def work() -> None:
        with scratch(tmp_path):
            raise error

    with pytest.raises(Permanent, match="EphemeralStorage"):
        work()
    assert list(tmp_path.iterdir()) == []


def test_other_troubles_are_left_as_they_are(tmp_path: Path) -> None:
    """A bug or another error of the disk is not taken for a full one."""

    def work() -> None:
        with scratch(tmp_path):
            raise OSError(errno.EIO, "broken")

    with pytest.raises(OSError, match="broken"):
        work()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_one_left_is_removed(tmp_path: Path) -> None:
    """The next one on the same disk frees it: a function's disk outlives its calls."""
    code = (
        "import os, sys; from pathlib import Path; from shared.usecases.scratch import scratch\n"
        "with scratch(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'copy.sqlite').write_bytes(b'x')\n"
        "    os._exit(9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], check=False, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 9
    (left,) = tmp_path.iterdir()
    with scratch(tmp_path) as folder:
        assert not left.exists()
        assert folder.exists()


def test_others_at_work_are_left_alone(tmp_path: Path) -> None:
    """Two at once on one machine have a folder each."""
    with scratch(tmp_path) as first:
        (first / "copy.sqlite").write_bytes(b"x")
        with scratch(tmp_path) as second:
            assert first != second
            assert (first / "copy.sqlite").read_bytes() == b"x"
        assert (first / "copy.sqlite").exists()
