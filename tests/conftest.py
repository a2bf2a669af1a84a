"""What all tests share: coroutines on the Twisted reactor, golden files, hypothesis profiles, and no skipping.

Coroutine tests run on the one reactor, whose loop is asyncio's, as in operation. A skipped test is a failure:
what the tests need is installed by `make test`.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest
import pytest_twisted
import structlog
from hypothesis import HealthCheck, settings
from twisted.internet.defer import Deferred

from core.testing.golden import golden, pytest_addoption  # noqa: F401  (pytest finds them here)

settings.register_profile("quick", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("long", parent=settings.get_profile("quick"), max_examples=5000)
settings.load_profile("quick")

_skipped: list[str] = []


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object:
    """Run `async def` tests as tasks of the reactor's loop."""
    function = pyfuncitem.obj
    if not inspect.iscoroutinefunction(function):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    pytest_twisted.blockon(Deferred.fromFuture(asyncio.ensure_future(function(**arguments), loop=_loop())))
    return True


def _loop() -> Any:
    from twisted.internet import reactor

    return reactor._asyncioEventloop  # type: ignore[attr-defined]


@pytest.fixture
def event_loop() -> Any:
    """The reactor's asyncio loop."""
    return _loop()


@pytest.fixture(autouse=True)
def _logs_as_they_are_by_default() -> None:
    """A test that set logging up (a command, a server) must not silence the next one."""
    structlog.reset_defaults()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remember what was skipped."""
    if report.skipped and not hasattr(report, "wasxfail"):
        _skipped.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A skip is a failure."""
    if _skipped and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        print(f"\nskipped, which is a failure here: {', '.join(_skipped)}")
