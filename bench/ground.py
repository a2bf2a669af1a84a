"""The ground of a run: a temporary folder on a real disk, an authority and one RSA-2048 certificate.

What it is: files every server under test is given. What it is not: the product's own certificates; peers and we
are measured with keys of the same kind, made for this run and thrown away.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trustme

from bench.servers import Ground, TlsFiles

READABLE_BY_ALL = 0o755


@contextmanager
def run_folder(parent: Path | None, *, keep: bool) -> Iterator[Path]:
    """A folder that servers of other users can enter; removed at the end unless `keep`."""
    folder = Path(tempfile.mkdtemp(prefix="vaguemestre-bench-", dir=parent or usual_parent()))
    folder.chmod(READABLE_BY_ALL)
    try:
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def usual_parent() -> Path:
    """Where temporary files go, unless that is in memory, where a sync costs nothing."""
    usual = Path(tempfile.gettempdir())
    return Path("/var/tmp") if filesystem_of(usual) == "tmpfs" else usual


def lay_ground(folder: Path, name: str, *, senders: int) -> Ground:
    """The sub-folder `name` of a run, and the certificate of the run."""
    own = folder / name
    own.mkdir()
    own.chmod(READABLE_BY_ALL)
    return Ground(folder=own, tls=make_certificate(folder), senders=senders)


def make_certificate(folder: Path) -> TlsFiles:
    """The certificate of the run in `folder`; made at the first call."""
    tls = folder / "tls"
    files = TlsFiles(certificate=tls / "chain.pem", key=tls / "key.pem", authority=tls / "authority.pem")
    if tls.exists():
        return files
    tls.mkdir()
    tls.chmod(READABLE_BY_ALL)
    authority = trustme.CA(key_type=trustme.KeyType.RSA)
    issued = authority.issue_cert("localhost", "127.0.0.1", key_type=trustme.KeyType.RSA)
    authority.cert_pem.write_to_path(str(files.authority))
    issued.private_key_pem.write_to_path(str(files.key))
    for index, pem in enumerate(issued.cert_chain_pems):
        pem.write_to_path(str(files.certificate), append=index > 0)
    return files


def filesystem_of(folder: Path) -> str:
    """The type of the filesystem that holds `folder`, from /proc/self/mounts (proc(5))."""
    best = ("", "unknown")
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mount_point, kind, *_ = line.split()
        inside = str(folder.resolve()).startswith(mount_point.rstrip("/") + "/") or mount_point == "/"
        if inside and len(mount_point) >= len(best[0]):
            best = (mount_point, kind)
    return best[1]
