"""Files that stand under their names only when they are whole."""

import os
import uuid
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a name of its own first, so that it is whole where it stands; a link there is replaced."""
    # processes of several machines may write it, and a name that can be foreseen may be a link to another place
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with partial.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
