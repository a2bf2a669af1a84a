"""A serving process: the operator with its doors, its delivery engine and its clockwork.

What it is: `Node`, built in `open`, at work after `start`, drained by `close`. What it is not: the operator's
inside (`vaguemestre.wiring`) or the process (`vaguemestre.supervise`). Doors open last and close first.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from core.address import Domain, Mailbox
from core.audit import AuditEvent, AuditKind
from core.bal import BalState
from core.clock import SystemClock
from core.errors import ConfigurationError, FatalStoreError
from mta.courtesy import Courtesy
from mta.delivery.dns_lookup import DnsMxLookup
from mta.delivery.engine import Engine
from mta.delivery.local import LocalAgent
from mta.delivery.parts import EngineParts, EngineSettings
from mta.delivery.relay import RelayAgent, RelaySettings
from mta.delivery.reporting import DsnReporter
from mta.delivery.resolver import MxResolver
from mta.imap.channel import Ports as ImapPorts
from mta.imap.channel import Shared
from mta.imap.server import ImapFactory, build_imap_factory
from mta.imap.settings import Settings as ImapSettings
from mta.imap.summary import summarise
from mta.letter import LetterReader
from mta.pipeline import Keeping, Limits, MailRooms
from mta.refusal_ledger import RefusalLedger
from mta.rooms import Listener
from mta.smtp.client import ClientSettings, RelayClient
from mta.smtp.door import Door
from mta.smtp.server import Running, listen
from mta.smtp.settings import SmtpSettings
from mta.spool.retry import RetrySettings
from mta.spool.scheduler import Scheduler, SchedulerSettings
from mta.trace import return_path_field
from routing.transport import NextHop, Routes
from vaguemestre.clockwork import Clockwork
from vaguemestre.config.schema import OFF, Configuration
from vaguemestre.material_watch import MaterialWatch
from vaguemestre.observability.gauges import DeliveryCounts, Gauges, ImapCounts, SmtpCounts
from vaguemestre.observability.metrics import Health, Metrics, management_site
from vaguemestre.rehearsal import checkpoints_of
from vaguemestre.spool_ids import spool_ids
from vaguemestre.wiring import Operator, material_mark

MATERIAL_SECONDS = 5.0  # between two looks at the files of certificates, authorities and CRLs
WAL_SECONDS = 1.0  # between two moves of SQLite's WAL into its file
REFUSALS_SECONDS = 5.0  # between two looks at what strangers were refused
INDEX_PATIENCE = 30.0  # seconds that a slice of the index waits for quiet doors
INDEX_SECONDS = 10.0  # between two looks for letters that the search does not know yet
GRACE_SECONDS = 10.0  # for letters under way when the process is told to stop


class Node:
    """See the module. `on_fatal` ends the process at once, `on_broken` in order."""

    def __init__(
        self,
        operator: Operator,
        on_fatal: Callable[[FatalStoreError], None],
        on_broken: Callable[[str], None],
    ) -> None:
        configuration = operator.configuration
        self.operator = operator
        self._on_fatal = on_fatal
        self._clockwork = Clockwork(on_fatal, on_broken)
        self.metrics = Metrics()
        self.health = Health()
        self._checkpoints = checkpoints_of(configuration.rehearsal)
        self._hostname = Domain.parse(configuration.operator.hostname)
        self._new_spool_id = spool_ids(operator.clock)
        self._courtesy = Courtesy(operator.clock)
        self._refusals = RefusalLedger(operator.clock, operator.vault.pseudonym)
        self._relay = self._relay_agent()
        self._engine = self._build_engine()
        self._scheduler = Scheduler(
            spool=operator.spool,
            worker=self._engine,
            clock=operator.clock,
            settings=SchedulerSettings(
                look_every=min(2.0, *configuration.spool.retry_seconds),
                longest_wait=max(configuration.spool.retry_seconds),
            ),
            tend=self._tend,
        )
        self._rooms = self._build_rooms()
        self._doors: list[Door] = []
        self._listening: list[Running] = []
        self._imap: list[tuple[ImapFactory, Any]] = []
        self._ports: list[Any] = []
        self._material = MaterialWatch(
            operator.material, operator.audit, operator.clock, partial(material_mark, configuration)
        )
        self._gauges = Gauges(operator, self.metrics, self.health)
        operator.committer.timer = self.metrics.commit_seconds.time

    @classmethod
    async def open(
        cls,
        configuration: Configuration,
        on_fatal: Callable[[FatalStoreError], None],
        on_broken: Callable[[str], None],
    ) -> Node:
        """Everything but the doors. Raises ConfigurationError."""
        operator = await Operator.open(configuration, SystemClock(), on_fatal, serving=True)
        return cls(operator, on_fatal, on_broken)

    # --- parts ----------------------------------------------------------------------------------------------
    def _relay_agent(self) -> RelayAgent:
        operator = self.operator
        settings = operator.configuration.relay
        client = RelayClient(
            tls=operator.material.tls,
            verifier=operator.material.servers,
            directory=operator.directory,
            clock=operator.clock,
            settings=ClientSettings(host_name=self._hostname.ascii, connect_timeout=settings.connect_seconds),
            checkpoints=self._checkpoints,
        )
        resolver = MxResolver(
            lookup=DnsMxLookup(),
            clock=operator.clock,
            routes=Routes(
                table={Domain.parse(name): _hop(hop) for name, hop in settings.routes.items()},
                smart_host=_hop(settings.smart_host) if settings.smart_host else None,
            ),
            own_hosts=frozenset({self._hostname.ascii}),
            shuffle=random.shuffle,
        )
        width = operator.configuration.spool.connections_per_destination
        return RelayAgent(
            client=client,
            resolver=resolver,
            clock=operator.clock,
            settings=RelaySettings(connections_per_hop=width),
        )

    def _build_engine(self) -> Engine:
        operator = self.operator
        spool = operator.configuration.spool
        local = LocalAgent(
            store=operator.mail_store, summarise=summarise, prefix_for=return_path_field, clock=operator.clock
        )
        parts = EngineParts(
            spool=operator.spool,
            blobs=operator.blobs,
            committer=operator.committer,
            audit=operator.audit,
            planner=operator.facts.plan,
            agents={"local": local, "relay": self._relay},
            reporter=self._reporter(),
            observer=DeliveryCounts(self.metrics),
            checkpoints=self._checkpoints,
            dice=random.random,
            give_way=self._courtesy.give_way,
            on_fatal=self._on_fatal,
        )
        retry = RetrySettings(
            schedule=spool.retry_seconds,
            then_every=spool.retry_seconds[-1],
            give_up_after=spool.give_up_after_hours * 3600,
            report_delay_after=spool.delay_report_after_hours * 3600,
        )
        return Engine(parts, EngineSettings(lane_width=spool.connections_per_destination, retry=retry))

    def _reporter(self) -> DsnReporter:
        operator = self.operator
        return DsnReporter(
            blobs=operator.blobs,
            clock=operator.clock,
            reporting_mta=self._hostname,
            postmaster=self._postmaster,
            new_spool_id=self._new_spool_id,
            retries_for=operator.configuration.spool.give_up_after_hours * 3600,
        )

    @property
    def _postmaster(self) -> Mailbox:
        settings = self.operator.configuration.operator
        return Mailbox(settings.postmaster, Domain.parse(settings.domains[0]))

    def _build_rooms(self) -> MailRooms:
        operator = self.operator
        configuration = operator.configuration
        keeping = Keeping(
            blobs=operator.blobs,
            spool=operator.spool,
            committer=operator.committer,
            audit=operator.audit,
            engine=self._engine,
            courtesy=self._courtesy,
            checkpoints=self._checkpoints,
            refusals=self._refusals,
        )
        limits = Limits(
            recipients=configuration.letters.recipients,
            submission_octets=configuration.letters.submission_octets,
            relay_octets=configuration.letters.relay_octets,
        )
        reader = LetterReader(self._hostname, Domain.parse(configuration.operator.domains[0]), operator.clock)
        return MailRooms(operator.facts, reader, keeping, operator.clock, limits, self._new_spool_id)

    # --- at work --------------------------------------------------------------------------------------------
    async def start(self) -> None:
        """Recover what an earlier life left, look at the list, and only then open the doors."""
        operator = self.operator
        await operator.spool.open()
        await operator.refresher.look()
        clockwork = self._clockwork
        clockwork.run("scheduler", self._scheduler.run())
        clockwork.run("audit", operator.audit.run())
        refresh = timedelta(seconds=operator.configuration.trust.refresh_seconds)
        clockwork.run("trust-list", operator.refresher.run(refresh))
        clockwork.every("material", MATERIAL_SECONDS, self._material.look)
        clockwork.every("database", 1.0, operator.committer.look)
        clockwork.every("gauges", 1.0, self._gauges.read)
        clockwork.every("boxes", 1.0, operator.box_cache.look)  # a closed box is seen without traffic
        clockwork.every("wal", WAL_SECONDS, operator.database.checkpoint)
        clockwork.every("refusals", REFUSALS_SECONDS, self._tell_refusals)
        clockwork.every("keys", 60.0, self._forget_keys)
        clockwork.every("certificates", 60.0, self._material.alarm)
        clockwork.every("search", INDEX_SECONDS, self._tend_index)
        clockwork.every("blobs", 3600.0, self._sweep)
        await self._open_doors()
        await operator.audit.append(AuditEvent(kind=AuditKind.STARTED, facts={"node": self._node_name}))

    @property
    def _node_name(self) -> str:
        return self.operator.configuration.operator.node

    async def _tend(self) -> None:
        """At each look of the scheduler."""
        self._gauges.spool_was_looked_at()
        await self._relay.close_idle()

    async def _forget_keys(self) -> None:
        self.operator.vault.forget_old()

    async def _tell_refusals(self) -> None:
        await self._refusals.tell(self.operator.audit)

    async def _sweep(self) -> None:
        await self.operator.blobs.sweep()

    async def _tend_index(self) -> None:
        await self.operator.search.tend(rest=lambda: self._courtesy.until_quiet(INDEX_PATIENCE))

    async def _open_doors(self) -> None:
        listen_at = self.operator.configuration.listen
        letters = self.operator.configuration.letters
        for listener, port, octets in (
            (Listener.SUBMISSION, listen_at.submission, letters.submission_octets),
            (Listener.SUBMISSIONS, listen_at.submissions, letters.submission_octets),
            (Listener.RELAY, listen_at.relay, letters.relay_octets),
        ):
            if port == OFF:
                continue
            settings = replace(
                SmtpSettings.for_listener(listener, self._hostname.ascii),
                max_message_octets=octets,
                max_recipients=letters.recipients,
                postmaster=self._postmaster,
            )
            door = Door(
                listener=listener,
                rooms=self._rooms,
                tls=self.operator.material.tls,
                clock=self.operator.clock,
                settings=settings,
                metrics=SmtpCounts(self.metrics),
            )
            try:
                self._listening.append(await listen(door, listen_at.host, port))
            except OSError as error:
                raise ConfigurationError(_taken(listener.value, port, error)) from error
            self._doors.append(door)
        self.operator.box_cache.watch(self._look_at_smtp_sessions)
        self._open_imap()

    def _look_at_smtp_sessions(self, bal_id: int, _mailbox: Mailbox | None) -> None:
        self._clockwork.once("sessions", self._end_smtp_sessions(bal_id))

    async def _end_smtp_sessions(self, bal_id: int) -> None:
        # A delegation that came or went is judged anew at MAIL and after the data; only a closed box ends a session.
        account = await self.operator.accounts.account(bal_id)
        if account is None or account.bal.state is not BalState.OPEN:
            for door in self._doors:
                door.end_sessions_of(bal_id)

    def _open_imap(self) -> None:
        from twisted.internet import reactor
        from twisted.internet.error import CannotListenError

        operator, listen_at = self.operator, self.operator.configuration.listen
        ports = ImapPorts(
            accounts=operator.accounts, store=operator.mail_store, blobs=operator.blobs,
            committer=operator.committer, audit=operator.audit, feed=operator.feed, clock=operator.clock,
            refusals=self._refusals, search=operator.search,
        )  # fmt: skip
        shared = Shared.of(ImapSettings(server_name=self._hostname.ascii), ports, ImapCounts(self.metrics))
        operator.box_cache.watch(lambda bal_id, _: shared.end_sessions_of(bal_id))
        network: Any = reactor
        try:
            for port, implicit in ((listen_at.imap, False), (listen_at.imaps, True)):
                if port != OFF:
                    factory = build_imap_factory(
                        settings=shared.settings, ports=ports, tls=operator.material.tls,
                        implicit_tls=implicit, shared=shared,
                    )  # fmt: skip
                    self._imap.append((factory, network.listenTCP(port, factory, 512, listen_at.host)))
            if listen_at.management != OFF:
                site = management_site(self.metrics, self.health)
                self._ports.append(
                    network.listenTCP(listen_at.management, site, 50, listen_at.management_host)
                )
        except CannotListenError as error:
            raise ConfigurationError(_taken("imap or management", error.port, error.socketError)) from error

    def reload(self) -> None:
        """SIGHUP: certificates, authorities, CRLs and the list; no session is closed."""
        self._clockwork.once("reload", self._material.reload())
        self._clockwork.once("reload", self._look())

    async def _look(self) -> None:
        await self.operator.refresher.look()

    async def close(self) -> None:
        """Doors first, then what is under way, then the store."""
        self._clockwork.stopping()
        for _, port in self._imap:
            _stop(port)
        await asyncio.gather(
            *(door.close(GRACE_SECONDS) for door in self._listening),
            *(factory.drain(GRACE_SECONDS) for factory, _ in self._imap),
        )
        self._scheduler.stop()
        await self._engine.drain(GRACE_SECONDS)
        await self._relay.close_idle(everything=True)
        await self._clockwork.stop()
        for port in self._ports:
            _stop(port)
        with contextlib.suppress(Exception):
            await self._refusals.tell(self.operator.audit, everything=True)
            await self.operator.audit.append(
                AuditEvent(kind=AuditKind.STOPPED, facts={"node": self._node_name})
            )
        await self.operator.close()


def _stop(port: Any) -> None:
    port.stopListening()


def _hop(text: str) -> NextHop:
    host, sign, port = text.rpartition(":")
    if not sign or not port.isdigit():
        raise ConfigurationError(f"relay: {text} is not host:port")
    return NextHop(host, int(port))


def _taken(door: str, port: object, error: object) -> str:
    return f"cannot open {door} on port {port}: {error}; is another program there, or are the rights missing?"
