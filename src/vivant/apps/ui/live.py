"""The live page's socket: camera frames in, the moved portrait out, each with the time stamp it came with.

Binary messages, little endian. From the page: float64 time stamp in milliseconds, then a
JPEG, or 16-bit mono sound at 16 kHz where a microphone drives. To the page: float64 the same stamp,
float32 milliseconds of work, uint8 1 where a face was seen, then a JPEG. Text messages are JSON objects: the page
begins with the words of :meth:`LiveRoom.start` and may send ``{"calibrate": true}``; it is told ``{"ready": true}``,
``{"dropped": stamp}`` of a frame that a newer one replaced, or ``{"problem": "one sentence"}``.
"""

from __future__ import annotations

import asyncio
import json
import struct
import uuid
from collections import OrderedDict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse, JSONResponse

from vivant.apps.ui.desk import Desk
from vivant.apps.ui.telling import problem
from vivant.core.errors import ConfigError, MediaError, VivantError
from vivant.core.registry import DEFAULT_METHOD, get_method
from vivant.pipelines.catalog import offers, ready_methods
from vivant.pipelines.inputs import IMAGE_SUFFIXES
from vivant.pipelines.live import Live, encode_jpeg
from vivant.pipelines.live_sound import LiveSound, hears_live
from vivant.weights.assets import asset

STATIC = Path(__file__).parent / "static"
PORTRAITS_KEPT = 32
MOST_BYTES = 32 << 20
"""Of a portrait's file."""
MOST_LIVE = 2
"""Sessions at once; more would only be slow for everybody."""
HEAD_IN, HEAD_OUT = struct.Struct("<d"), struct.Struct("<dfB")
EXAMPLE = "example"


class LiveRoom:
    """Portraits that were handed in, and the sessions that run."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.portraits: OrderedDict[str, Path] = OrderedDict()
        self.running = 0

    def keep(self, data: bytes, name: str) -> tuple[str, Path]:
        """Write a portrait's file under a name of our own; the oldest goes when there are too many."""
        suffix = Path(name).suffix.lower()
        key = uuid.uuid4().hex
        path = self.desk.folder / f"live-{key}{suffix if suffix in IMAGE_SUFFIXES else '.jpg'}"
        path.write_bytes(data)
        self.portraits[key] = path
        while len(self.portraits) > PORTRAITS_KEPT:
            self.portraits.popitem(last=False)[1].unlink(missing_ok=True)
        return key, path

    def path(self, key: str) -> Path:
        """The file of a portrait.

        Raises:
            ConfigError: it was never handed in, or is forgotten.
        """
        if key == EXAMPLE:
            return asset("demo/portrait.jpg")
        if key not in self.portraits:
            raise ConfigError("There is no such portrait here any more: choose the picture again.")
        return self.portraits[key]

    def describe(self, key: str) -> dict[str, Any]:
        """What the page needs to know of a portrait."""
        found = self.desk.look(str(self.path(key)))
        height, width = found.frame.shape[:2]
        boxes = [[round(float(v), 1) for v in face.box] for face in found.faces]
        faces = [{"label": label, "face": which} for label, which in found.labels() if which != "all"]
        return {"id": key, "width": width, "height": height, "faces": faces, "boxes": boxes}

    def start(self, words: dict[str, Any]) -> Live | LiveSound:
        """A session for the page's words ``portrait``, ``face``, ``method``, ``preset``, ``whole``, ``strength``, and
        ``sound`` where a microphone drives.

        Raises:
            VivantError: something about them cannot be.
        """
        method = str(words.get("method") or DEFAULT_METHOD)
        preset = words.get("preset") or (self.desk.preset if method == DEFAULT_METHOD else None)
        if preset is not None and preset not in get_method(method).presets:
            raise ConfigError(f"There is no preset '{preset}' of {method}: choose another.")
        path = self.path(str(words.get("portrait", "")))
        pipe = self.desk.pipe(method, preset)
        strength = words.get("strength") or {}
        if not isinstance(strength, dict):
            raise ConfigError("The strengths are an object of names and numbers.")
        face = str(words.get("face", "largest"))
        if words.get("sound"):
            return LiveSound(pipe, path, {"strength": strength}, face, not words.get("whole"))
        options = pipe.options(strength=strength)
        return Live(pipe, path, options, face, bool(words.get("whole")), self.desk.finder)


def methods_of(desk: Desk) -> list[dict[str, Any]]:
    """Methods that stream, with their presets and strengths, for the page's form."""
    found = []
    for name in ready_methods("streams"):
        spec = get_method(name)
        hears, sees = hears_live(name), spec.capabilities.driving
        usual = desk.preset if name == DEFAULT_METHOD else spec.default_preset
        presets = [{"name": offer.preset, "place": offer.place} for offer in offers(spec)]
        row: dict[str, Any] = {
            "name": name,
            "title": spec.title,
            "presets": presets,
            "preset": usual,
            "strengths": spec.strengths,
        }
        row |= {"camera": sees, "microphone": hears}
        found.append(row)
    return found


def add_live(app: FastAPI, desk: Desk) -> LiveRoom:
    """Add the live page and its socket under ``/live``."""
    room = LiveRoom(desk)

    @app.get("/live")
    async def page() -> FileResponse:
        return FileResponse(STATIC / "live.html")

    @app.get("/live/file/{name}")
    async def file(name: str) -> Any:
        if name not in ("live.js", "live.css", "microphone.js"):
            return JSONResponse({"problem": "There is no such file."}, 404)
        return FileResponse(STATIC / name)

    @app.get("/live/methods")
    async def methods() -> Any:
        return await asyncio.to_thread(methods_of, desk)

    @app.get("/live/portrait")
    async def example() -> Any:
        return await _answer(room.describe, EXAMPLE)

    @app.post("/live/portrait")
    async def portrait(request: Request, name: str = "") -> Any:
        try:
            data = await _body(request)
            key, _ = await asyncio.to_thread(room.keep, data, name)
        except VivantError as error:
            return JSONResponse({"problem": problem(error)}, 422)
        return await _answer(room.describe, key)

    @app.websocket("/live/socket")
    async def live(socket: WebSocket) -> None:
        if not same_origin(socket):
            await socket.close(1008)
            return
        await socket.accept()
        await _session(room, socket)

    return room


async def _answer(function: Any, *values: Any) -> Any:
    try:
        return await asyncio.to_thread(function, *values)
    except Exception as error:
        return JSONResponse({"problem": problem(error)}, 422)


async def _body(request: Request) -> bytes:
    """The request's body, refused as soon as it is too long."""
    parts, length = [], 0
    async for part in request.stream():
        length += len(part)
        if length > MOST_BYTES:
            raise MediaError(f"The picture is over {MOST_BYTES >> 20} MB: send a smaller one.")
        parts.append(part)
    if not length:
        raise MediaError("The picture is empty: choose another.")
    return b"".join(parts)


def same_origin(socket: WebSocket) -> bool:
    """Whether the page that opens the socket came from this server; browsers tell, and other sites may not use it."""
    origin = socket.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == socket.headers.get("host")


async def _session(room: LiveRoom, socket: WebSocket) -> None:
    if room.running >= MOST_LIVE:
        await _refuse(socket, ConfigError("Others are live already: try again when they have stopped."))
        return
    room.running += 1
    live: Live | LiveSound | None = None
    try:
        words = json.loads(await socket.receive_text())
        live = await asyncio.to_thread(room.start, words if isinstance(words, dict) else {})
        await socket.send_text(json.dumps({"ready": True}))
        sender = asyncio.create_task(_send(room, socket, live))
        try:
            await _receive(socket, live)
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
    except (WebSocketDisconnect, RuntimeError):
        pass  # the page left
    except Exception as error:
        await _refuse(socket, error)
    finally:
        room.running -= 1
        if live is not None:
            await asyncio.to_thread(live.close)


async def _refuse(socket: WebSocket, error: Exception) -> None:
    """Say what went wrong, and close."""
    await socket.send_text(json.dumps({"problem": problem(error)}))
    await socket.close(1011)


async def _receive(socket: WebSocket, live: Live | LiveSound) -> None:
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        data, text = message.get("bytes"), message.get("text")
        if data is not None and len(data) > HEAD_IN.size:
            dropped = live.offer(data[HEAD_IN.size :], HEAD_IN.unpack_from(data)[0])
            if dropped is not None:
                await socket.send_text(json.dumps({"dropped": dropped}))
        elif text is not None and json.loads(text).get("calibrate"):
            live.calibrate()


async def _send(room: LiveRoom, socket: WebSocket, live: Live | LiveSound) -> None:
    """Every result as it comes; a slow line gets fewer, never late ones."""
    while (message := await asyncio.to_thread(_next, room, live)) is not None:
        await socket.send_bytes(message)
    if live.error is not None:
        await _refuse(socket, live.error)


def _next(room: LiveRoom, live: Live | LiveSound) -> bytes | None:
    shown = live.results.get()
    if shown is None:
        return None
    if room.desk.camera is not None:
        room.desk.camera.send(shown.picture)
    return HEAD_OUT.pack(shown.tag, shown.seconds * 1000, shown.seen) + encode_jpeg(shown.picture)
