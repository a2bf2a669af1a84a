"""The order of system calls: when a letter counts as synced before its 250."""

from __future__ import annotations

from collections.abc import Sequence

from bench.durability import Durability, SentLetter, judge, order_of
from bench.system_calls import SystemCall, parse_trace

SIZE = 10_240
SOCKET = "TCP:[127.0.0.1:465->127.0.0.1:40000]"
OTHER_SOCKET = "TCP:[127.0.0.1:465->127.0.0.1:40001]"
QUEUE = "/var/queue/incoming/A1"


def at(moment: float, name: str, target: str, result: int, *, lasts: float = 0.001) -> SystemCall:
    return SystemCall(process=1, begin=moment, end=moment + lasts, name=name, target=target, result=result)


READ_MAIL = at(9.9, "read", SOCKET, 60)
GO_AHEAD = at(9.95, "write", SOCKET, 59)
READ_LETTER = at(10.1, "read", SOCKET, SIZE + 20)
WRITE_FILE = at(10.2, "write", QUEUE, SIZE + 500)
SYNC = at(10.3, "fsync", QUEUE, 0, lasts=0.05)
REPLY = at(10.4, "sendto", SOCKET, 59)
GOOD = (READ_MAIL, GO_AHEAD, READ_LETTER, WRITE_FILE, SYNC, REPLY)


def judged(calls: Sequence[SystemCall]) -> bool:
    letter = SentLetter(size=SIZE, client_port=40_000, begin=10.0, acknowledged=11.0)
    return order_of(letter, sorted(calls, key=lambda call: call.begin)).holds


def without(call: SystemCall, *instead: SystemCall) -> list[SystemCall]:
    return [*(one for one in GOOD if one is not call), *instead]


def test_a_letter_synced_between_its_end_and_its_reply_holds() -> None:
    assert judged(GOOD)


def test_the_moments_are_told_from_the_end_of_data() -> None:
    order = order_of(SentLetter(size=SIZE, client_port=40_000, begin=10.0, acknowledged=11.0), GOOD)
    assert order.synced_at is not None
    assert order.reply_at is not None
    assert (round(order.synced_at), round(order.reply_at)) == (249, 299)
    assert [(file.path, file.call, file.octets) for file in order.synced] == [(QUEUE, "fsync", SIZE + 500)]


def test_no_sync_at_all_does_not_hold_and_names_the_file() -> None:
    letter = SentLetter(size=SIZE, client_port=40_000, begin=10.0, acknowledged=11.0)
    order = order_of(letter, without(SYNC))
    assert not order.holds
    assert order.unsynced == (QUEUE,)


def test_a_sync_after_the_reply_does_not_hold() -> None:
    assert not judged(without(SYNC, at(10.5, "fsync", QUEUE, 0)))


def test_a_sync_that_is_still_running_when_the_reply_goes_out_does_not_hold() -> None:
    assert not judged(without(SYNC, at(10.3, "fsync", QUEUE, 0, lasts=0.2)))


def test_a_sync_that_failed_does_not_hold() -> None:
    assert not judged(without(SYNC, at(10.3, "fsync", QUEUE, -1)))


def test_a_sync_of_another_file_does_not_hold() -> None:
    assert not judged(without(SYNC, at(10.3, "fdatasync", "/var/queue/other", 0)))


def test_a_sync_before_the_last_octet_was_read_does_not_hold() -> None:
    late = at(10.39, "read", SOCKET, 5)
    assert not judged([*GOOD, late])


def test_octets_written_after_the_sync_do_not_count() -> None:
    assert not judged(without(WRITE_FILE, at(10.36, "write", QUEUE, SIZE + 500)))


def test_a_letter_half_of_which_was_synced_does_not_hold() -> None:
    assert not judged(without(WRITE_FILE, at(10.2, "write", QUEUE, SIZE // 2)))


def test_two_synced_files_may_hold_a_letter_together() -> None:
    halves = [at(10.2, "pwrite64", QUEUE, SIZE // 2), at(10.21, "write", "/var/queue/wal", SIZE // 2)]
    assert judged(without(WRITE_FILE, *halves, at(10.35, "fdatasync", "/var/queue/wal", 0)))


def test_the_reply_of_another_connection_is_not_ours() -> None:
    early_other = at(10.15, "sendto", OTHER_SOCKET, 59)
    assert judged([*GOOD, early_other])
    early_own = at(10.15, "sendto", SOCKET, 59)
    assert not judged([*GOOD, early_own])


def test_a_letter_without_a_reply_and_a_server_without_a_letter_do_not_hold() -> None:
    assert not judged(without(REPLY))
    assert not Durability(server="x", letters=(), blind_calls=0).holds


def test_calls_that_hide_writes_are_counted_while_a_letter_is_under_way() -> None:
    letter = SentLetter(size=SIZE, client_port=40_000, begin=10.0, acknowledged=11.0)
    ring = "anon_inode:[io_uring]"
    calls = [at(9.0, "io_uring_enter", ring, 1), *GOOD, at(10.5, "io_uring_enter", ring, 1)]
    found = judge("x", [letter], calls)
    assert found.holds
    assert found.blind_calls == 1


TRACE = """\
16945 1795295551.117599 write(13</var/queue/incoming/1C>, ""..., 4096 <unfinished ...>
16916 1795295551.117650 read(18<TCP:[127.0.0.1:465->127.0.0.1:40000]>, 0x5638d8f1bc83, 5) = -1 EAGAIN (Resource temporarily unavailable) <0.000006>
16945 1795295551.117700 <... write resumed>) = 4096 <0.000101>
16945 1795295551.118020 fsync(13</var/queue/incoming/1C>) = 0 <0.000469>
16914 1795295550.950267 read(81<UNIX-STREAM:[317386->317387]>,  <unfinished ...>
16914 1795295550.950808 <... read resumed>""..., 12) = 12 <0.000528>
16914 1795295550.960000 recvfrom(6<UNIX:[317385,"public/postlog"]>, ""..., 4096, 0, NULL, NULL) = 76 <0.000015>
16999 1795295550.970000 <... read resumed>""..., 12) = 12 <0.000528>
16945 1795295551.200000 +++ exited with 0 +++
strace: Process 5 attached
16916 1795295551.300000 sendmsg(9<TCP:[127.0.0.1:465->127.0.0.1:40000]>, {msg_name=NULL, msg_namelen=0}, 0) = 59 <0.000015>
"""  # noqa: E501


def test_a_trace_becomes_calls_and_interrupted_ones_are_whole_again() -> None:
    calls = {(call.name, call.target): call for call in parse_trace(TRACE.splitlines())}
    assert len(calls) == 6
    write = calls["write", "/var/queue/incoming/1C"]
    assert (write.begin, write.end, write.result) == (1795295551.117599, 1795295551.1177, 4096)
    assert write.is_file()
    sync = calls["fsync", "/var/queue/incoming/1C"]
    assert round((sync.end - sync.begin) * 1e6) == 469
    assert calls["read", SOCKET].result == -1
    assert calls["sendmsg", SOCKET].result == 59
    assert calls["recvfrom", 'UNIX:[317385,"public/postlog"]'].result == 76
    assert not calls["read", "UNIX-STREAM:[317386->317387]"].is_file()
