"""The same animations on many machines: a Ray Serve application that answers an upload with the finished file.

``serve run vivant.apps.ray_serve:build method=live-portrait replicas=4 gpus=1`` starts it. Ray spreads requests over
the replicas, lets ``queue`` of them wait, and starts a replica anew when it dies; each keeps its method in memory.
"""
# No postponed annotations here: FastAPI reads that of ``request``, whose type is imported inside a function.

import asyncio
import secrets
import shutil
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from vivant.core.errors import ConfigError, MissingExtraError, VivantError

ARGUMENTS = {"method": "", "device": "auto", "dtype": "auto", "replicas": "1", "cpus": "1", "gpus": "0", "queue": "100"}
"""What ``build`` takes, as ``serve run`` hands it over: text."""


def build(arguments: Mapping[str, str] | None = None) -> Any:
    """The application for ``serve.run`` and ``serve run``.

    ``arguments``: of :data:`ARGUMENTS`. ``method``: name or name:preset, the default method if empty; ``replicas``:
    copies of the method; ``cpus``, ``gpus``: that each holds; ``queue``: requests that may wait.

    Raises:
        ConfigError: an unknown argument or method. MissingExtraError: Ray Serve is not installed.
    """
    try:
        from fastapi import FastAPI, Request
        from ray import serve
    except ImportError:
        raise MissingExtraError("ray[serve]", "ray", "Serving on a Ray cluster") from None
    from vivant.apps.serving.service import add_refusals

    given = _checked(arguments or {})
    api = FastAPI(title="Vivant")
    add_refusals(api)

    @serve.ingress(api)
    class Animator:
        """One replica: a method in memory, which makes one animation after the other."""

        def __init__(self) -> None:
            self.desk = ReplicaDesk(given)

        @api.post("/v1/animate")
        async def animate(self, request: Request) -> Any:
            """The form of ``vivant serve``; answers with the file itself."""
            return await self.desk.answer(request)

        @api.get("/health")
        def health(self) -> dict[str, str]:
            return {"status": "ok"}

    resources = {"num_cpus": float(given["cpus"]), "num_gpus": float(given["gpus"])}
    deploy: Any = serve.deployment(
        name="vivant", num_replicas=int(given["replicas"]), ray_actor_options=resources, max_ongoing_requests=2,
        max_queued_requests=int(given["queue"]),
    )  # fmt: skip
    return deploy(Animator).bind()


def _checked(arguments: Mapping[str, str]) -> dict[str, str]:
    for name, value in arguments.items():
        if name not in ARGUMENTS:
            raise ConfigError(f"There is no argument '{name}' of the application: known are {', '.join(ARGUMENTS)}.")
        if name in ("replicas", "cpus", "gpus", "queue"):
            try:
                float(value)
            except ValueError:
                raise ConfigError(f"The argument {name} is a number, not '{value}'.") from None
    from vivant.apps.serving.settings import Served
    from vivant.core.registry import default_method

    given = {**ARGUMENTS, **{name: str(value) for name, value in arguments.items()}}
    served = Served.parse(given["method"] or default_method())
    return {**given, "method": f"{served.method}:{served.preset}"}


class ReplicaDesk:
    """Takes one request after the other through upload, inspection and pipeline; nothing of it stays on the disk."""

    def __init__(self, given: Mapping[str, str]) -> None:
        from vivant.apps.serving.handlers import loading
        from vivant.apps.serving.settings import Served, Settings
        from vivant.pipelines.jobs import Models

        self._folder = tempfile.TemporaryDirectory(prefix="vivant-")
        served = Served.parse(given["method"])
        self.settings = Settings(Path(self._folder.name), (served,), given["device"], given["dtype"])
        self._models = Models()
        assert self._models.get(**loading(self.settings, served.method, served.preset)).finder
        self._busy = asyncio.Lock()

    async def answer(self, request: Any) -> Any:
        """The response to one upload.

        Raises:
            RefusedError: whatever is wrong with it, in one sentence.
        """
        from starlette.background import BackgroundTask
        from starlette.responses import FileResponse

        from vivant.apps.serving.desk import FORMATS
        from vivant.apps.serving.uploads import receive

        folder = self.settings.folder / secrets.token_hex(16)
        remove = partial(shutil.rmtree, folder, ignore_errors=True)
        try:
            form = await receive(request, folder, self.settings)
            async with self._busy:
                path = await asyncio.to_thread(self._make, form, folder)
        except BaseException:
            remove()
            raise
        return FileResponse(path, media_type=FORMATS[path.suffix[1:]], background=BackgroundTask(remove))

    def _make(self, form: Any, folder: Path) -> Path:
        from vivant.apps.serving.desk import checked_words
        from vivant.apps.serving.handlers import inspect, placed
        from vivant.apps.serving.uploads import RefusedError
        from vivant.apps.serving.workers import without_folder
        from vivant.core.errors import LimitError
        from vivant.pipelines.jobs import read_job, run_job
        from vivant.pipelines.progress import listening

        words = checked_words(self.settings, form.files, form.words)
        until = time.monotonic() + self.settings.job_seconds

        def in_time(what: str, done: int, total: int | None) -> None:
            if time.monotonic() > until:
                raise VivantError(f"It took longer than {self.settings.job_seconds:g} s: cut the input.")

        try:
            for role, path in form.files.items():
                ending = inspect(path, role, self.settings.media)
                words[role] = path.rename(path.with_name(path.name + ending)).name
            job = read_job(placed(words, folder))
            with listening(in_time):
                run_job(job, self._models)
        except VivantError as error:
            status = 413 if isinstance(error, LimitError) else 422
            raise RefusedError(status, without_folder(str(error), folder)) from None
        return Path(job.output)
