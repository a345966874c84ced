"""The bytes of uploaded modules, by hash: versions that share code share files."""

import hashlib
from pathlib import Path

__all__ = ["ModuleFiles"]


class ModuleFiles:
    """Keep module files in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, content: bytes) -> str:
        """Write the bytes, unless they are there; return their SHA-256 in hex."""
        digest = hashlib.sha256(content).hexdigest()
        path = self.path(digest)
        if not path.exists():
            part = path.with_suffix(".part")
            part.write_bytes(content)
            part.replace(path)
        return digest

    def path(self, digest: str) -> Path:
        """Return where the bytes with this hash are."""
        return self.folder / digest

    def get(self, digest: str) -> bytes:
        """Read the bytes with this hash."""
        return self.path(digest).read_bytes()
