"""A hub on this machine: answers what the client asks for metadata and files, and counts what was fetched."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "c0ffee" + "0" * 34


class FakeHub:
    """``files``: repository -> path in it -> content. ``licence``: tag on every card. ``lie``: tell wrong hashes."""

    def __init__(self, files: dict[str, dict[str, bytes]], licence: str = "mit", lie: bool = False) -> None:
        self.files, self.licence, self.lie = files, licence, lie
        self.fetched: list[str] = []

    def told(self, repo: str) -> dict:
        siblings = []
        for name, data in self.files[repo].items():
            digest = hashlib.sha256(b"other" if self.lie else data).hexdigest()
            lfs = {"sha256": digest, "size": len(data), "pointerSize": 130}
            siblings.append({"rfilename": name, "size": len(data), "blobId": digest[:40], "lfs": lfs})
        return {
            "id": repo, "modelId": repo, "sha": COMMIT, "private": False, "gated": False, "disabled": False,
            "downloads": 0, "likes": 0, "tags": [], "siblings": siblings, "cardData": {"license": self.licence},
        }  # fmt: skip


@contextmanager
def serve(hub: FakeHub) -> Iterator[str]:
    """The address of ``hub`` while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *words: object) -> None:
            pass

        def answer(self, code: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(code)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            asked = re.fullmatch(r"/api/models/([^/]+/[^/]+)(/revision/.+)?", path)
            if asked and asked[1] in hub.files:
                self.answer(200, json.dumps(hub.told(asked[1])).encode(), Content_Type="application/json")
                return
            wanted = re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path)
            data = hub.files.get(wanted[1], {}).get(wanted[2]) if wanted else None
            if wanted is None or data is None:
                code = "EntryNotFound" if wanted and wanted[1] in hub.files else "RepoNotFound"
                self.answer(404, b"", X_Error_Code=code, X_Error_Message="not found")
                return
            if self.command == "GET":
                hub.fetched.append(wanted[2])
            digest = hashlib.sha256(data).hexdigest()
            self.answer(200, data, ETag=f'"{digest}"', X_Repo_Commit=COMMIT, X_Linked_Size=str(len(data)),
                        X_Linked_Etag=f'"{digest}"')  # fmt: skip

        do_HEAD = do_GET  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def read_all(folder: Path) -> dict[str, bytes]:
    """Every file below ``folder`` by its path there."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
