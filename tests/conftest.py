"""One hook: coroutine tests run on the Twisted reactor, which is asyncio's loop (see architecture, libraries)."""

from __future__ import annotations

import inspect
from collections.abc import Generator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred

from core.testing.golden import golden, pytest_addoption  # noqa: F401  (pytest finds them here)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object:
    """Run `async def` tests as Deferreds of the one reactor."""
    function = pyfuncitem.obj
    if not inspect.iscoroutinefunction(function):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}

    def start() -> Deferred[Any]:
        return Deferred.fromFuture(_task(function(**arguments)))

    pytest_twisted.blockon(_in_greenlet(start))
    return True


def _task(coroutine: Any) -> Any:
    import asyncio

    return asyncio.ensure_future(coroutine, loop=_loop())


def _loop() -> Any:
    from twisted.internet import reactor

    return reactor._asyncioEventloop  # type: ignore[attr-defined]


def _in_greenlet(start: Any) -> Deferred[Any]:
    return start()


@pytest.fixture()
def event_loop() -> Generator[Any, None, None]:
    """The reactor's asyncio loop."""
    yield _loop()
