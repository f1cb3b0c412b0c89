"""``vivant shards``: a data set as a few tar files, and back."""

from __future__ import annotations

import argparse
from collections import Counter

from vivant.core.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``vivant shards``."""
    parts = parser.add_subparsers(dest="what", required=True, metavar="pack|unpack|list")
    pack = parts.add_parser("pack", help="write a data set into shards")
    pack.add_argument("data", help="folder with manifest.jsonl")
    pack.add_argument("-o", "--out", required=True, help="folder for the shards")
    pack.add_argument("--megabytes", type=float, default=60, help="largest size of a shard in MiB (default: 60)")
    pack.add_argument("--split", action="append", default=[], help="only this split; may be given several times")
    pack.add_argument("--group", action="append", default=[], help="only this group; may be given several times")
    pack.add_argument("--name", default="", help="a word for the shards' names, to put several data sets in one folder")
    pack.add_argument("--truth", action="store_true", help="with masks, depth and the like of synthesised clips")
    unpack = parts.add_parser("unpack", help="lay shards into a folder with a manifest")
    unpack.add_argument("shards", help="folder with *.tar")
    unpack.add_argument("-o", "--out", required=True, help="folder of the data set")
    listing = parts.add_parser("list", help="count what a folder or its shards hold")
    listing.add_argument("data", help="folder with manifest.jsonl or *.tar")


def run(args: argparse.Namespace) -> int:
    """Pack, unpack or list, and say what was done."""
    from vivant.data.shards import read_data, unpack_shards, write_shards

    if args.what == "pack":
        if args.megabytes < 0.1:
            raise ConfigError("--megabytes must be 0.1 or more.")
        paths = write_shards(
            args.data, args.out, int(args.megabytes * 2**20), args.split, args.group, args.truth, args.name
        )
        total = sum(path.stat().st_size for path in paths)
        print(f"{len(paths)} shards, {total / 2**20:.1f} MiB in {args.out}.")
    elif args.what == "unpack":
        print(f"{len(unpack_shards(args.shards, args.out))} rows in {args.out}.")
    else:
        counts: Counter[tuple[str, str]] = Counter()
        frames: Counter[tuple[str, str]] = Counter()
        for sample in read_data(args.data):
            counts[sample.row.split, sample.row.group] += 1
            frames[sample.row.split, sample.row.group] += sample.row.frames
        for key, count in sorted(counts.items()):
            print(f"{key[0]:5} {key[1]:10} {count:6} rows {frames[key]:8} frames")
    return 0
