"""python-tuf's client over a repository: bootstrap, refresh, download one target, print its SHA-256.

    tuf_client.py ROOT METADATA_URL TARGETS_URL DIR [TARGET]

ROOT is the trusted root file; DIR keeps the client's metadata and the download between runs. Without TARGET
it only refreshes. Exit status 0, or 1 with the refusal's class and message on standard error.
"""

import hashlib
import pathlib
import sys

from tuf.api.exceptions import DownloadError, RepositoryError
from tuf.ngclient import Updater


def run(root: str, metadata_url: str, targets_url: str, folder: str, target: str | None) -> None:
    """Does what the module says; raises what python-tuf raises."""
    metadata = pathlib.Path(folder, "metadata")
    downloads = pathlib.Path(folder, "targets")
    metadata.mkdir(parents=True, exist_ok=True)
    downloads.mkdir(parents=True, exist_ok=True)
    updater = Updater(
        str(metadata),
        metadata_url,
        str(downloads),
        targets_url,
        bootstrap=pathlib.Path(root).read_bytes(),
    )
    updater.refresh()
    print("refreshed")
    if target is None:
        return
    info = updater.get_targetinfo(target)
    if info is None:
        raise RepositoryError(f"no role lists {target}")
    path = updater.download_target(info)
    print(hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest(), path)


def main() -> int:
    """The command."""
    args = sys.argv[1:]
    if len(args) not in (4, 5):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        run(*args[:4], args[4] if len(args) == 5 else None)
    except (RepositoryError, DownloadError, ValueError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
