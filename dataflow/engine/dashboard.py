"""A Dask preload: the scheduler's dashboard, made when somebody looks at it.

It takes half a second of CPU to import, in the driver and before anything else can be done, and most runs are watched
by nobody. Its address answers from the beginning; its pages begin with what happens from when they are opened, as
Dask's always do.
"""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

from tornado import web

__all__ = ["dask_setup"]


def dask_setup(scheduler: Any) -> None:
    """Answer for all of the dashboard's pages in its place."""
    scheduler.http_application.add_application(_Later(scheduler))


class _Later(web.Application):
    """Stands where the dashboard will be."""

    def __init__(self, scheduler: Any) -> None:
        super().__init__([(r".*", _Wanted)])
        self._scheduler = scheduler
        self._making: asyncio.Future[None] | None = None

    async def made(self) -> None:
        """The dashboard is in its place; whoever asks meanwhile waits for the same one."""
        if self._making is None:
            self._making = asyncio.ensure_future(self._make())
        await asyncio.shield(self._making)

    async def _make(self) -> None:
        load = importlib.import_module
        # In a thread, since the scheduler has other things to do meanwhile.
        dashboard = await asyncio.get_running_loop().run_in_executor(
            None, load, "distributed.dashboard.scheduler"
        )
        scheduler, application = self._scheduler, self._scheduler.http_application
        dashboard.connect(application, scheduler.http_server, scheduler, prefix="")
        application.applications.remove(self)


class _Wanted(web.RequestHandler):
    """The first look at a page."""

    application: _Later

    async def get(self, *_path: str) -> None:
        """Make the dashboard, and have the page asked for again."""
        await self.application.made()
        self.redirect(self.request.uri or "/")
