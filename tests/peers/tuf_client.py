"""python-tuf's client with the command line of tuf-conformance; see README.md.

    tuf_client.py --metadata-dir D init ROOT
    tuf_client.py --metadata-dir D --metadata-url U refresh
    tuf_client.py --metadata-dir D --metadata-url U --target-name T --target-base-url U --target-dir D download
    tuf_client.py --batch

`--clock-days N` moves the client's clock. `--batch` reads one JSON array of arguments a line and answers each
with a line `{"status": .., "text": ..}`, because starting Python takes longer than all else here.

Exit status 0; 1 with the refusal's class and message on standard error; 70 where python-tuf fails in a way
that it does not document.
"""

import argparse
import json
import pathlib
import shutil
import sys
from datetime import timedelta

from tuf.api.exceptions import DownloadError, RepositoryError
from tuf.ngclient import Updater


class NotFoundError(Exception):
    """No role lists the target."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser()
    out.add_argument("--metadata-dir", required=True)
    out.add_argument("--metadata-url")
    out.add_argument("--target-name", action="append")
    out.add_argument("--target-dir")
    out.add_argument("--target-base-url")
    out.add_argument("--clock-days", type=int, default=0)
    commands = out.add_subparsers(dest="command", required=True)
    commands.add_parser("init").add_argument("root")
    commands.add_parser("refresh")
    commands.add_parser("download")
    return out


def act(args: argparse.Namespace) -> None:
    """Does what the command says; raises what python-tuf raises."""
    pathlib.Path(args.metadata_dir).mkdir(parents=True, exist_ok=True)
    if args.command == "init":
        shutil.copyfile(args.root, pathlib.Path(args.metadata_dir, "root.json"))
        return
    updater = Updater(
        args.metadata_dir,
        args.metadata_url,
        args.target_dir,
        args.target_base_url,
        bootstrap=None,
    )
    if args.clock_days:
        updater._trusted_set.reference_time += timedelta(days=args.clock_days)  # noqa: SLF001
    updater.refresh()
    if args.command == "refresh":
        return
    pathlib.Path(args.target_dir).mkdir(parents=True, exist_ok=True)
    for name in args.target_name:
        info = updater.get_targetinfo(name)
        if info is None:
            raise NotFoundError(name)
        if updater.find_cached_target(info) is None:
            updater.download_target(info)


def run(words: list[str]) -> tuple[int, str]:
    """Exit status and message of one command."""
    try:
        act(parser().parse_args(words))
    except (RepositoryError, DownloadError, NotFoundError, ValueError, OSError) as error:
        return 1, f"{type(error).__name__}: {error}"
    except Exception as error:  # noqa: BLE001
        return 70, f"{type(error).__name__}: {error}"
    return 0, ""


def main() -> int:
    """The command."""
    if sys.argv[1:] == ["--batch"]:
        for line in sys.stdin:
            status, text = run(json.loads(line))
            print(json.dumps({"status": status, "text": text}), flush=True)
        return 0
    status, text = run(sys.argv[1:])
    if text:
        print(text, file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
