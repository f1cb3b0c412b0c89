"""The routes: HTTP in front of the desk, with OpenAPI."""

from __future__ import annotations

import asyncio
import math
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import MISSING, fields
from typing import Any

from anyio import to_thread
from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse
from pydantic import BaseModel

import vivant
from vivant.apps.serving.desk import FORMATS, SWEEP_SECONDS, WORDS, Desk
from vivant.apps.serving.metrics import CONTENT_TYPE
from vivant.apps.serving.settings import Settings
from vivant.apps.serving.store import RUNNING, Row
from vivant.apps.serving.uploads import RefusedError, disk_full, is_disk_full
from vivant.core.registry import get_method

LONGEST_WAIT = 60.0


class Progress(BaseModel):
    """What a running job does. ``seconds_left``: of this phase."""

    phase: str
    done: int
    total: int | None
    seconds_left: float | None


class JobState(BaseModel):
    """A job as its owner sees it; times in seconds since 1970."""

    id: str
    state: str
    created: float
    started: float | None
    ended: float | None
    before: int | None
    progress: Progress | None
    problem: str
    warnings: list[str]
    frames: int
    seconds: float
    result: str | None


class Problem(BaseModel):
    """Why not, in one sentence."""

    detail: str


_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["source"],
                    "properties": {
                        "source": {"type": "string", "format": "binary", "description": "portrait: picture or video"},
                        "driving": {
                            "type": "string",
                            "format": "binary",
                            "description": "video, picture, motion",
                        },
                        "audio": {"type": "string", "format": "binary", "description": "speech that drives"},
                        "keypoints": {"type": "string", "format": "binary", "description": "V-Kps, .npy"},
                        "job": {"type": "string", "description": f"a JSON object; its words: {', '.join(WORDS)}"},
                    },
                }
            }
        },
    }
}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"model": Problem} for code in (400, 401, 404, 408, 409, 413, 415, 422, 429, 503, 507)
}


def build_app(settings: Settings) -> FastAPI:
    """The application of a server."""
    desk = Desk(settings)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        await to_thread.run_sync(desk.open)
        sweeper = asyncio.create_task(_sweep(desk))
        yield
        sweeper.cancel()
        await to_thread.run_sync(desk.close)

    app = FastAPI(title="Vivant", version=vivant.__version__, description="Still images come to life.", lifespan=life)
    app.state.desk = desk
    add_refusals(app)
    _add_jobs(app, desk)
    _add_reports(app, desk)
    return app


async def _sweep(desk: Desk) -> None:
    while True:
        with suppress(sqlite3.Error, OSError):  # a full disk: the next round may find room
            await to_thread.run_sync(desk.sweep)
        await asyncio.sleep(SWEEP_SECONDS)


def add_refusals(app: FastAPI) -> None:
    """Answers for what is refused and for a full disk, one sentence each."""

    def answer(refused: RefusedError) -> JSONResponse:
        headers = {"Connection": "close"}  # the rest of a refused upload is not waited for
        if refused.retry is not None:
            headers["Retry-After"] = str(math.ceil(refused.retry))
        if refused.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse({"detail": refused.text}, refused.status, headers)

    @app.exception_handler(RefusedError)
    async def refuse(request: Request, error: RefusedError) -> JSONResponse:
        return answer(error)

    @app.exception_handler(OSError)
    @app.exception_handler(sqlite3.Error)
    async def no_room(request: Request, error: Exception) -> JSONResponse:
        if is_disk_full(error):
            return answer(disk_full())
        raise error


def _shown(desk: Desk, row: Row) -> JobState:
    running = desk.workers.running.get(row.id) if row.state == RUNNING else None
    progress = None
    if running is not None:
        progress = Progress(
            phase=running.what, done=running.done, total=running.total, seconds_left=running.seconds_left()
        )
    return JobState(
        id=row.id, state=row.state, created=row.created, started=row.started, ended=row.ended,
        before=desk.store.before(row) if row.state == "queued" else None, progress=progress, problem=row.problem,
        warnings=row.warnings, frames=row.frames, seconds=row.seconds,
        result=f"/v1/jobs/{row.id}/result" if row.state == "done" else None,
    )  # fmt: skip


def _add_jobs(app: FastAPI, desk: Desk) -> None:
    @app.post("/v1/jobs", status_code=201, responses=_PROBLEMS, openapi_extra=_FORM, tags=["jobs"])
    async def create(request: Request) -> JobState:
        """Upload files and a wish; the job waits for its turn."""
        return _shown(desk, await desk.take(request, desk.owner(request)))

    @app.get("/v1/jobs", responses=_PROBLEMS, tags=["jobs"])
    def list_jobs(request: Request, limit: int = Query(100, ge=1, le=1000)) -> list[JobState]:
        """Your jobs, the newest first."""
        return [_shown(desk, row) for row in desk.store.owned(desk.owner(request), limit)]

    @app.get("/v1/jobs/{job}", responses=_PROBLEMS, tags=["jobs"])
    async def state(request: Request, job: str, wait: float = Query(0, ge=0, le=LONGEST_WAIT)) -> JobState:
        """A job's state; with ``wait``, as soon as it has ended or after that many seconds."""
        return _shown(desk, await desk.wait(job, desk.owner(request), wait))

    @app.get("/v1/jobs/{job}/result", responses=_PROBLEMS, tags=["jobs"], response_class=FileResponse)
    def result(request: Request, job: str) -> FileResponse:
        """The finished file; parts of it by the header Range."""
        path = desk.result(desk.find(job, desk.owner(request)))
        name, plain = f"vivant-{job[:8]}{path.suffix}", {"X-Content-Type-Options": "nosniff"}
        return FileResponse(path, media_type=FORMATS[path.suffix[1:]], filename=name, headers=plain)

    @app.get("/v1/jobs/{job}/record", responses=_PROBLEMS, tags=["jobs"])
    def record(request: Request, job: str) -> FileResponse:
        """The run record: versions, options, weights and inputs with their SHA-256."""
        return FileResponse(desk.result(desk.find(job, desk.owner(request)), True), media_type="application/json")

    @app.post("/v1/jobs/{job}/cancel", responses=_PROBLEMS, tags=["jobs"])
    def cancel(request: Request, job: str) -> JobState:
        """Stop a job that waits or runs; a running one ends within seconds."""
        owner = desk.owner(request)
        desk.cancel(desk.find(job, owner))
        return _shown(desk, desk.find(job, owner))

    @app.post("/v1/jobs/{job}/retry", responses=_PROBLEMS, tags=["jobs"])
    def retry(request: Request, job: str) -> JobState:
        """Try a failed or cancelled job again."""
        owner = desk.owner(request)
        desk.retry(desk.find(job, owner))
        return _shown(desk, desk.find(job, owner))

    @app.delete("/v1/jobs/{job}", status_code=204, responses=_PROBLEMS, tags=["jobs"])
    def delete(request: Request, job: str) -> None:
        """Stop the job if it runs, and delete it with all its files."""
        desk.delete(desk.find(job, desk.owner(request)))


def _add_reports(app: FastAPI, desk: Desk) -> None:
    @app.get("/v1/methods", tags=["server"])
    def methods(request: Request) -> list[dict[str, Any]]:
        """What is served: methods with their options, sliders and ranges."""
        desk.owner(request)
        return [describe(served.method, served.preset) for served in desk.settings.served]

    @app.get("/health", tags=["server"])
    def health() -> JSONResponse:
        """200 when jobs are taken and a worker is up, else 503."""
        ready = desk.workers.ready()
        good = ready > 0 and not desk.closing
        problems = [thread.problem for thread in desk.workers.threads if thread.problem]
        found = {"status": "ok" if good else "starting" if not problems else "failing", "workers": ready}
        return JSONResponse({**found, "jobs": desk.store.counts(), "problems": problems}, 200 if good else 503)

    @app.get("/metrics", tags=["server"], response_class=PlainTextResponse)
    def metrics() -> Response:
        """Numbers for Prometheus."""
        text = desk.metrics.text(desk.store.counts(), desk.memory(), desk.workers.ready())
        return Response(text, media_type=CONTENT_TYPE)


def describe(method: str, preset: str) -> dict[str, Any]:
    """A method's name, what it takes, and its options and sliders with help, default and range."""
    spec = get_method(method)
    config = spec.part("config")
    able = [item.name for item in fields(spec.capabilities) if getattr(spec.capabilities, item.name)]

    def shown(kind: type) -> dict[str, Any]:
        about = {item.name: item for item in fields(kind) if item.name not in ("sliders", "seed")}
        return {name: {"help": item.metadata.get("help", ""), "range": item.metadata.get("range"),
                       "default": None if item.default is MISSING else item.default}
                for name, item in about.items()}  # fmt: skip

    found: dict[str, Any] = {"method": spec.name, "preset": preset, "summary": spec.summary, "able": able}
    found |= {"options": shown(config.Options), "strengths": spec.strengths}
    return found | ({"sliders": shown(config.Sliders)} if spec.capabilities.sliders else {})
