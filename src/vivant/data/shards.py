"""Shards: a data set in a few tar files by WebDataset's convention, to be copied, streamed or trained from.

A shard ``<split>-<number>.tar`` holds samples one after the other. The files of a sample have its id as name; their
suffix tells what they are: ``.json`` the row of the manifest, ``.mp4`` or a picture, ``.npz`` the labels, and
``.truth.npz`` the truth where it is kept, ``.extra.npz`` what else is known. Any reader of WebDataset can read them;
members are stored as they are, so the parts can also be read in place. Nothing in them is pickled.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from vivant.core.errors import ConfigError, MediaError
from vivant.data.manifest import MANIFEST, Row, parse_row, read_manifest, write_manifest
from vivant.data.part import Part

SHARD_BYTES = 60 * 2**20
"""Usual size of a shard: small enough for most limits on one file."""
_TRUTH, _EXTRA = "truth.npz", "extra.npz"


@dataclass(frozen=True)
class Sample:
    """One clip or still: its row, and where its ``media``, ``labels`` and (or None) ``truth`` and ``extra`` are."""

    row: Row
    media: Part
    labels: Part
    truth: Part | None = None
    extra: Part | None = None


def read_data(folder: str | os.PathLike[str]) -> list[Sample]:
    """All samples of a data set: a folder with a manifest, or one that holds shards.

    Raises:
        MediaError: neither is there, or a shard is damaged. ConfigError: a damaged row.
    """
    root = Path(folder)
    shards = sorted(root.glob("*.tar"))
    if (root / MANIFEST).is_file() or not shards:
        return [
            Sample(
                row,
                Part(root / row.media),
                Part(root / row.labels),
                *(Part(root / name) if name else None for name in (row.truth, row.extra)),
            )
            for row in read_manifest(root)
        ]
    samples = [sample for shard in shards for sample in read_shard(shard)]
    seen: set[str] = set()
    for sample in samples:
        if sample.row.id in seen:
            raise ConfigError(f"{root}: the id '{sample.row.id}' occurs in two shards; remove one of them.")
        seen.add(sample.row.id)
    return samples


def read_shard(path: Path) -> list[Sample]:
    """The samples of one shard, their bytes left where they are.

    Raises:
        MediaError: not a tar file, cut short, or a sample lacks a file. ConfigError: a damaged row.
    """
    groups: dict[str, dict[str, Part]] = {}
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                if member.isfile():
                    key, _, suffix = member.name.partition(".")
                    groups.setdefault(key, {})[suffix] = Part(path, member.offset_data, member.size)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise MediaError(f"{path} is no shard or is cut short ({error}): copy it again.") from error
    return [_sample(path, key, parts) for key, parts in groups.items()]


def _sample(path: Path, key: str, parts: Mapping[str, Part]) -> Sample:
    try:
        row = parse_row(json.loads(parts["json"].read()), f"{path}, {key}.json")
        return Sample(row, parts[_suffix(row.media)], parts["npz"], parts.get(_TRUTH), parts.get(_EXTRA))
    except KeyError as error:
        raise MediaError(f"{path} lacks {key}.{error.args[0]}: write the shards again.") from error
    except ValueError as error:
        raise ConfigError(f"{path}, {key}.json is not JSON: write the shards again.") from error


def _suffix(name: str) -> str:
    return Path(name).suffix.lstrip(".").lower()


def write_shards(
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str],
    limit: int = SHARD_BYTES,
    splits: Sequence[str] = (),
    groups: Sequence[str] = (),
    truth: bool = False,
    name: str = "",
) -> list[Path]:
    """Pack a data set into shards of at most ``limit`` bytes (more only for a single larger sample), each of one split,
    groups mixed. The same data gives the same bytes. ``splits``, ``groups``: only these. ``name``: a word for the names
    of the shards, so that several data sets can lie in one folder.

    Raises:
        MediaError: no manifest, or a file is missing. ConfigError: nothing to pack, or such shards are there already.
    """
    target = Path(out)
    chosen = [
        sample for sample in read_data(folder)
        if (not splits or sample.row.split in splits) and (not groups or sample.row.group in groups)
    ]  # fmt: skip
    if not chosen:
        raise ConfigError(
            f"{folder} has no rows of the splits {list(splits) or 'all'}, groups {list(groups) or 'all'}."
        )
    stem = f"-{_key(name)}" if name else ""
    if any(target.glob(f"*{stem}-[0-9]*.tar" if stem else "*.tar")):
        raise ConfigError(f"{target} holds such shards already: choose another folder or name.")
    target.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for split in sorted({sample.row.split for sample in chosen}):
        mine = [sample for sample in chosen if sample.row.split == split]
        for number, part in enumerate(_portions(_mixed(mine), limit, truth)):
            written.append(_write_shard(target / f"{split}{stem}-{number:05d}.tar", part, truth))
    return written


def _mixed(samples: Sequence[Sample]) -> list[Sample]:
    """Samples in an order that spreads groups and people over the shards, always the same one."""
    import hashlib

    return sorted(samples, key=lambda sample: hashlib.sha256(sample.row.id.encode()).digest())


def _portions(samples: Sequence[Sample], limit: int, truth: bool) -> Iterator[list[Sample]]:
    portion: list[Sample] = []
    total = 0
    for sample in samples:
        size = sum(_room(part) for part in _parts(sample, truth).values()) + 4096
        if portion and total + size > limit - 10_240:  # a tar file ends with up to 10,240 bytes of zeros
            yield portion
            portion, total = [], 0
        portion.append(sample)
        total += size
    if portion:
        yield portion


def _room(part: Part) -> int:
    try:
        size = part.path.stat().st_size if part.size is None else part.size
    except OSError as error:
        raise MediaError(f"{part} is missing: make the data set again.") from error
    return 512 + -(-size // 512) * 512


def _parts(sample: Sample, truth: bool) -> dict[str, Part]:
    parts = {_suffix(sample.row.media): sample.media, "npz": sample.labels}
    if truth and sample.truth is not None:
        parts[_TRUTH] = sample.truth
    if sample.extra is not None:
        parts[_EXTRA] = sample.extra
    return parts


def _key(name: str) -> str:
    """WebDataset takes everything from the first dot on for the suffix."""
    return name.replace(".", "_").replace("/", "_")


def _write_shard(path: Path, samples: Iterable[Sample], truth: bool) -> Path:
    draft = path.with_suffix(".part")
    try:
        with tarfile.open(draft, "w", format=tarfile.PAX_FORMAT) as tar:
            for sample in samples:
                row = _row_in_shard(sample.row, truth)
                _add(tar, f"{_key(row.id)}.json", json.dumps(asdict(row), ensure_ascii=False).encode())
                for suffix, part in _parts(sample, truth).items():
                    _add(tar, f"{_key(row.id)}.{suffix}", part.read())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    return path


def _row_in_shard(row: Row, truth: bool) -> Row:
    """Paths as :func:`unpack_shards` will lay them."""
    key = _key(row.id)
    name = f"{'clips' if row.kind == 'clip' else 'stills'}/{key}"
    media = f"{name}.{_suffix(row.media)}"
    return replace(
        row, labels=f"{name}.npz", video=media if row.kind == "clip" else "", image="" if row.kind == "clip" else media,
        truth=f"{name}.{_TRUTH}" if truth and row.truth else "", extra=f"{name}.{_EXTRA}" if row.extra else "",
    )  # fmt: skip


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)  # time, owner and rights stay 0: the same data gives the same bytes
    tar.addfile(info, io.BytesIO(data))


def unpack_shards(shards: str | os.PathLike[str], out: str | os.PathLike[str]) -> list[Row]:
    """Lay the samples of a folder of shards into ``out`` with a manifest; rows that are there already stay.

    Raises:
        MediaError: no shard, or a damaged one.
    """
    source, target = Path(shards), Path(out)
    paths = sorted(source.glob("*.tar"))
    if not paths:
        raise MediaError(f"{source} holds no shard (*.tar): name the folder of the shards.")
    rows = {row.id: row for row in read_manifest(target)} if (target / MANIFEST).is_file() else {}
    for path in paths:
        for sample in read_shard(path):
            row = sample.row
            places = (row.media, row.labels, row.truth, row.extra)
            for name, part in zip(places, (sample.media, sample.labels, sample.truth, sample.extra)):
                if part is not None and name:
                    _put(_inside(target, name, path), part.read())
            rows[row.id] = row
    write_manifest(target, rows.values())
    return list(rows.values())


def _inside(root: Path, name: str, shard: Path) -> Path:
    """``root / name``, refused where it would lie outside."""
    path = root / name
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise MediaError(f"{shard} wants to write '{name}' outside the folder: do not use this file.")
    return path


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    os.replace(part, path)
