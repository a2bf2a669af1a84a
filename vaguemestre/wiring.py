"""The composition root: plain constructors, in the order in which things need each other.

What it is: `Operator`, everything an operator is but its doors; the command line works with it directly. What it
is not: a decision of any kind. `vaguemestre.node` adds the doors, the engine and the clockwork of `serve`.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable
from datetime import timedelta
from fractions import Fraction
from pathlib import Path

from certs.keystore import IdentityFiles
from certs.profiles import ClientAuthEku
from certs.trust_material import Settings as TrustMaterialSettings
from certs.trust_material import TrustMaterial
from core.address import Domain
from core.clock import Clock
from core.errors import FatalStoreError, GatewayError
from core.identity import DistinguishedName
from mailstore.feed import LocalFeed
from mailstore.files import BlobFiles
from mailstore.index import SecretIndex
from mailstore.keys import FileKek, KeyVault
from mailstore.mailboxes import BoxKeys, MailboxStore
from mailstore.messages import SealedBlobs
from mailstore.storage import blobs as blob_storage
from mailstore.storage import boxes as folder_storage
from mailstore.storage import changes as message_storage
from mailstore.storage import index as index_storage
from mailstore.storage import keys as key_storage
from mta.imap.letter_text import body_texts, field_texts
from mta.planning import FactFinder
from mta.spool.storage import SpoolStorage
from mta.spool.store import SpoolSettings, SpoolStore
from trust_directory import storage as box_storage
from trust_directory.accounts import LocalAccounts
from trust_directory.annuaire import storage as annuaire_storage
from trust_directory.annuaire.bal_index import BalIndex
from trust_directory.annuaire.importer import Importer
from trust_directory.box_cache import BoxCache
from trust_directory.boxes import Boxes
from trust_directory.directory import ListedDirectory
from trust_directory.kept_list import KeptList
from trust_directory.logins import Logins
from trust_directory.passwords import PasswordHashes
from trust_directory.refresh import ListRefresher
from trust_directory.sealed_boxes import SealedBoxes
from trust_directory.settings import AccountSettings, AnnuaireSettings
from trust_directory.sources import source_for
from trust_directory.throttle import Throttle
from trust_directory.trusted_domains.snapshot import Limits as ListLimits
from trust_directory.trusted_domains.verify import ListVerifier
from vaguemestre.committer import GroupCommitter
from vaguemestre.config.schema import Configuration, TrustSettings
from vaguemestre.database import Database, check_schema
from vaguemestre.observability.audit_log import AuditLog, AuditSettings
from vaguemestre.slots import Slot, take_command, take_serving

USAGE_SECONDS = 2.0  # ours: how old the room of a box may be at RCPT; the store itself never overfills a box
USAGE_KNOWN = 100_000  # ours: boxes whose room is remembered


class Operator:
    """One operator without its doors. `open` it, use it, `close` it."""

    def __init__(
        self,
        configuration: Configuration,
        clock: Clock,
        on_fatal: Callable[[FatalStoreError], None],
        slot: Slot,
    ) -> None:
        self.configuration = configuration
        self.slot = slot
        self._started = secrets.token_hex(6)
        self._used: dict[int, tuple[float, int]] = {}
        self.clock = clock
        self.material = TrustMaterial.load(material_settings(configuration), clock=clock)
        self.database = Database(configuration.database_url)
        self.database.on_fatal = on_fatal
        self.committer = GroupCommitter(self.database, on_fatal=on_fatal)
        self._storage(on_fatal)
        self._trail()
        self._people()
        self._trust()
        self.facts = FactFinder(self.directory, self.accounts, self.material.clients, clock)

    def _storage(self, on_fatal: Callable[[FatalStoreError], None]) -> None:
        data = self.configuration.operator.data_dir
        kek = FileKek.load(self.configuration.keys.key_encryption_key)
        self.vault = KeyVault(self.database, self.committer, self.clock, kek)
        self.blob_files = BlobFiles(data / "blobs")
        self.blobs = SealedBlobs(
            self.database, self.committer, self.clock, self.blob_files, on_fatal=on_fatal
        )
        self.feed = LocalFeed()
        self.mail_store = MailboxStore(
            self.database, self.committer, self.clock, vault=self.vault, blobs=self.blobs, feed=self.feed
        )
        self.search = SecretIndex(
            self.database,
            self.committer,
            self.clock,
            keys=BoxKeys(self.vault),
            letters=self.mail_store,
            texts=lambda whole: (field_texts(whole), body_texts(whole)),
        )
        self.spool = SpoolStore(
            storage=(spool_storage := SpoolStorage(self.database)),
            committer=self.committer,
            vault=self.vault,
            blobs=self.blobs,
            clock=self.clock,
            settings=SpoolSettings(
                slot=f"{self.configuration.operator.node}/{self.slot.role}-{self.slot.number}",
                started=self._started,
                lease_seconds=self.configuration.spool.lease_seconds,
            ),
        )
        for applier in (
            key_storage.KeyApplier(),
            spool_storage,
            blob_storage.BlobApplier(),
            folder_storage.BoxApplier(),
            message_storage.MessageApplier(BoxKeys(self.vault)),
            index_storage.IndexApplier(),
            box_storage.BoxApplier(),
            annuaire_storage.DirectoryApplier(),
        ):
            self.committer.register(applier)

    def _trail(self) -> None:
        configuration = self.configuration
        self.audit = AuditLog(
            database=self.database,
            committer=self.committer,
            vault=self.vault,
            clock=self.clock,
            settings=AuditSettings(
                slot=f"{configuration.operator.node}/{self.slot.role}-{self.slot.number}",
                started=self._started,
                signing_key=configuration.keys.audit_signing_key,
                checkpoint_file=checkpoint_folder(configuration)
                / f"{self.slot.role}-{self.slot.number}.jsonl",
            ),
        )
        self.committer.register(self.audit)

    def _people(self) -> None:
        configuration = self.configuration
        settings = AccountSettings(
            domains=frozenset(map(Domain.parse, configuration.operator.domains)),
            default_quota_octets=configuration.letters.quota_octets,
        )
        sealed = SealedBoxes(box_storage.BoxReader(self.database), self.vault, self.committer)
        self.box_cache = cache = BoxCache(sealed, self.clock, settings)
        self.hashes = PasswordHashes()
        logins = Logins(cache, hashes=self.hashes, throttle=Throttle(), clock=self.clock, settings=settings)
        self.accounts = LocalAccounts(cache, logins, clock=self.clock, settings=settings, usage=self._usage)
        self.boxes = Boxes(
            sealed,
            hashes=self.hashes,
            audit=self.audit,
            clock=self.clock,
            settings=settings,
            create_box=self.mail_store.create_box,
        )
        self.boxes.watch(cache.expire)

    async def _usage(self, bal_id: int) -> int:
        now = self.clock.monotonic()
        seen = self._used.get(bal_id)
        if seen is None or now - seen[0] > USAGE_SECONDS:
            _, used = await self.mail_store.quota(bal_id)
            if len(self._used) > USAGE_KNOWN:
                self._used.clear()
            self._used[bal_id] = seen = (now, used)
        return seen[1]

    def _trust(self) -> None:
        trust = self.configuration.trust
        self.directory = ListedDirectory(self.clock, list_limits(trust))
        self.refresher = ListRefresher(
            self.directory,
            source_for(trust.source, timeout=30.0, tls=self.material.tls.relay_client, clock=self.clock),
            ListVerifier(self.material.chains(), frozenset(map(DistinguishedName.parse, trust.signers))),
            kept=KeptList(self.configuration.operator.data_dir / "liste-blanche.xml"),
            audit=self.audit,
            clock=self.clock,
        )
        reader = annuaire_storage.DirectoryReader(self.database)
        self.annuaire = BalIndex(reader)
        self.importer = Importer(
            reader, self.committer, audit=self.audit, clock=self.clock, settings=AnnuaireSettings()
        )

    @classmethod
    async def open(
        cls,
        configuration: Configuration,
        clock: Clock,
        on_fatal: Callable[[FatalStoreError], None] = lambda error: None,
        *,
        serving: bool = False,
    ) -> Operator:
        """Build, and open what needs the database. Raises ConfigurationError with what to do.

        `serving`: this is the process that holds the doors; there is one. Commands work beside it.
        """
        folder = configuration.operator.data_dir / "slots"
        slot = take_serving(folder, 0) if serving else take_command(folder)
        operator = cls(configuration, clock, on_fatal, slot)
        try:
            await check_schema(operator.database)
            await operator.vault.open()
            await operator.blobs.open()
            await operator.audit.open()
            await operator.refresher.load_kept()
        except BaseException:
            await operator.close()
            raise
        return operator

    async def close(self) -> None:
        """Write what waits, then let go of everything."""
        with contextlib.suppress(GatewayError):
            await self.audit.checkpoint()
        await self.committer.close()
        self.hashes.close()
        await self.database.close()
        self.slot.release()


def checkpoint_folder(configuration: Configuration) -> Path:
    """The witnesses of the audit trail outside the database, one file for each process."""
    return configuration.operator.data_dir / "audit"


def material_settings(configuration: Configuration) -> TrustMaterialSettings:
    """Where our keys, the authorities and their CRLs lie."""
    tls = configuration.tls
    return TrustMaterialSettings(
        anchors=tls.anchors,
        crls=tls.crls,
        identities=tuple(
            IdentityFiles(certificate=one.certificate, key=one.key, passphrase=one.passphrase)
            for one in tls.identity
        ),
        tls_profile=tls.profile.value,
        require_client_auth_eku=ClientAuthEku(tls.require_client_auth_eku.value),
        crl_grace=timedelta(hours=tls.crl_grace_hours),
    )


def material_mark(configuration: Configuration) -> frozenset[tuple[str, int, int, int]]:
    """What tells that a file of keys, authorities or CRLs has changed: times, sizes and inodes."""
    tls = configuration.tls
    named = [tls.anchors, tls.crls, *(path for one in tls.identity for path in (one.certificate, one.key))]
    files = [file for path in named for file in (path.iterdir() if path.is_dir() else (path,))]
    marks = set()
    for file in files:
        with contextlib.suppress(OSError):  # a file that goes away meanwhile is a change too
            stat = file.stat()
            marks.add((str(file), stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return frozenset(marks)


def list_limits(trust: TrustSettings) -> ListLimits:
    """When a list is suspicious, and when it is too old."""
    return ListLimits(
        lost_share=Fraction(trust.largest_loss).limit_denominator(1000),
        alarm_after=timedelta(hours=trust.alarm_after_hours),
        stale_after=timedelta(hours=trust.stale_after_hours),
    )
