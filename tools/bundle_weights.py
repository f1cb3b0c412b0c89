"""Put a weights file among the bundled ones: copied under src/vivant/assets, with its row in the manifest.

    python tools/bundle_weights.py runs/codec/weights.safetensors codec/lite.safetensors \
        --licence Apache-2.0 --source "trained here on ..." --what "Latent codec, preset lite"

A row of the same name is replaced. Commit the file, the manifest, the model card beside it, and credit in NOTICE.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import asdict
from pathlib import Path

from vivant.weights.assets import MANIFEST, ROOT, AssetInfo, assets_info
from vivant.weights.loading import sha256


def bundle(file: Path, name: str, licence: str, source: str, what: str, root: Path = ROOT) -> AssetInfo:
    """Copy ``file`` to ``root/name`` and write its row, rows in order of their names."""
    target = root / name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)
    row = AssetInfo(name, sha256(target), licence, source, what)
    rows = {**assets_info(root), name: row}
    text = json.dumps([asdict(rows[key]) for key in sorted(rows)], indent=2, ensure_ascii=False)
    (root / MANIFEST).write_text(text + "\n", encoding="utf-8")
    return row


def main() -> None:
    """Parse arguments and bundle."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("name", help="path below assets, such as codec/lite.safetensors")
    for word in ("licence", "source", "what"):
        parser.add_argument(f"--{word}", required=True)
    args = parser.parse_args()
    row = bundle(args.file, args.name, args.licence, args.source, args.what)
    print(f"{row.file}: {(ROOT / row.file).stat().st_size / 2**20:.1f} MiB, SHA-256 {row.sha256}")


if __name__ == "__main__":
    main()
