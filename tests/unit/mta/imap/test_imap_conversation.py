"""Deadlines, limits, errors of the ports, the audit trail, and large answers."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
import structlog

from core import reply
from core.audit import AuditKind
from core.bal import Account, BalState
from core.errors import PermanentError, ReplyError, StoreError
from core.testing.memory_channel import MemoryChannel
from mta.imap.conversation import FLUSH_AT, MAX_PIPELINED
from mta.imap.handlers import fetch as fetch_handler
from mta.imap.handlers import folders as folder_handlers
from mta.imap.responses import status_text

ADDRESS, PASSWORD = "paul.test-dune@cabinet.mssante.example", "dunes"


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


# --- deadlines ----------------------------------------------------------------------------------------------
async def test_a_silent_stranger_is_cut(make_space: Any) -> None:
    space = make_space(login_seconds=0.01)
    channel = space.connect()
    assert (await channel.wait_closed()).endswith(b"* BYE Trop lent, fermeture / Too slow, closing\r\n")


async def test_a_stranger_who_keeps_talking_is_cut_too(space: Any) -> None:
    channel = space.connect()
    await channel.receive_line()
    space.clock.advance(59.0)
    assert b"a OK" in await space.ask(channel, "a NOOP")
    space.clock.advance(2.0)
    await channel.send(b"b NO")
    assert b"* BYE" in await channel.wait_closed()


async def test_autologout_after_thirty_minutes_without_a_command(space: Any) -> None:
    channel = await space.log_in()
    space.clock.advance(1799.0)
    assert b"OK" in await space.ask(channel, "a NOOP")
    space.clock.advance(1801.0)
    space.conversations[0]._wake()
    assert b"* BYE Trop longtemps sans commande" in await channel.wait_closed()


async def test_news_do_not_lengthen_the_life_of_an_idle_client(space: Any) -> None:
    channel = await space.open()
    await channel.send(b"i IDLE\r\n")
    await channel.receive_line()
    space.clock.advance(1801.0)
    await space.deliver()
    assert b"* BYE" in await channel.wait_closed()


async def test_a_command_that_never_ends_is_cut(space: Any) -> None:
    channel = await space.log_in()
    await channel.send(b"a NO")
    await settled()
    space.clock.advance(61.0)
    await channel.send(b"O")
    assert b"* BYE Trop lent" in await channel.wait_closed()


async def test_a_large_literal_may_take_its_time(space: Any) -> None:
    channel = await space.log_in()
    await channel.send(b"a APPEND INBOX {100000}\r\n")
    assert await channel.receive_line() == b"+ OK\r\n"
    space.clock.advance(200.0)  # 60 s and 100,000 octets at 500 a second
    await channel.send(b"x" * 50_000)
    await settled()
    await channel.send(b"x" * 50_000 + b"\r\n")
    assert b"a OK [APPENDUID" in await channel.receive_line()


# --- limits -------------------------------------------------------------------------------------------------
async def test_five_wrong_passwords_end_the_connection(space: Any) -> None:
    channel = space.connect()
    await channel.receive_line()
    for _ in range(4):
        assert b"AUTHENTICATIONFAILED" in await space.ask(channel, f"a LOGIN {ADDRESS} wrong")
    await channel.send(f"a LOGIN {ADDRESS} wrong\r\n".encode())
    assert b"* BYE" in await channel.wait_closed()
    assert space.audit.of(AuditKind.LOGIN_REFUSED) == []
    await space.ports.refusals.tell(space.audit, everything=True)
    (event,) = space.audit.of(AuditKind.LOGIN_REFUSED)
    assert (event.facts["count"], event.facts["logins"], event.persons) == ("5", "p", {})


async def test_fifty_mistakes_end_the_connection(space: Any) -> None:
    channel = space.connect()
    await channel.receive_line()
    await channel.send(b"nonsense\r\n" * 60)
    said = await channel.wait_closed()
    assert said.count(b"* BAD") == 50
    assert said.endswith(status_text.BYE_ERRORS.wire + b"\r\n")


async def test_an_account_has_a_number_of_sessions(make_space: Any) -> None:
    space = make_space(max_connections_per_account=1)
    first, second = await space.log_in(), space.connect()
    await second.receive_line()
    assert b"a NO [LIMIT]" in await space.ask(second, f"a LOGIN {ADDRESS} {PASSWORD}")
    await space.ask(first, "z LOGOUT")
    await first.wait_closed()
    await settled()
    assert b"b OK" in await space.ask(second, f"b LOGIN {ADDRESS} {PASSWORD}")


async def test_a_flood_behind_a_command_is_held_and_then_answered(space: Any) -> None:
    channel = await space.log_in()
    count = MAX_PIPELINED // 8 + 10
    space.conversations[0].receive(b"a NOOP\r\n" * count)
    assert channel.is_held
    for _ in range(count):
        assert await channel.receive_line() == b"a OK NOOP completed\r\n"
    await settled()
    assert not channel.is_held


async def test_folders_of_a_box_are_limited(space: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_handlers, "MAX_FOLDERS", 3)
    channel = await space.log_in()
    assert b"NO [LIMIT]" in await space.ask(channel, "a CREATE a/b/c")
    assert b"OK" in await space.ask(channel, "b CREATE a")
    assert b"OK" in await space.ask(channel, "c SUBSCRIBE x")
    assert b"NO [LIMIT]" in await space.ask(channel, "d SUBSCRIBE y")


async def test_keywords_of_a_folder_are_limited(space: Any) -> None:
    await space.deliver(flags=tuple(f"k{number}" for number in range(256)))
    channel = await space.open()
    assert b"NO [LIMIT]" in await space.ask(channel, "a STORE 1 +FLAGS (one-more)")
    assert b"a OK" in await space.ask(channel, "a STORE 1 +FLAGS (K7)")


async def test_a_full_box_takes_no_more(space: Any) -> None:
    uid = await space.deliver()
    bal = replace(space.account.bal, quota_octets=100, used_octets=90)
    space.accounts.put(Account(bal=bal), PASSWORD.encode())
    channel = await space.open()
    assert uid == 1
    assert b"NO [OVERQUOTA]" in await space.ask(channel, b"a APPEND INBOX {11+}\r\nSubject: x\n")
    assert b"NO [OVERQUOTA]" in await space.ask(channel, "b COPY 1 INBOX")


# --- errors of the ports ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (StoreError("disk"), b"NO [UNAVAILABLE]"),
        (RuntimeError("secret cause"), b"NO [UNAVAILABLE]"),
        (PermanentError("no"), b"NO [CANNOT]"),
        (ReplyError(reply.MAILBOX_FULL), b"NO [OVERQUOTA]"),
        (ReplyError(reply.LOCAL_ERROR), b"NO [UNAVAILABLE]"),
    ],
)
async def test_an_error_of_the_store_is_an_answer_and_the_conversation_goes_on(
    space: Any, failure: Exception, text: bytes
) -> None:
    channel = await space.log_in()
    space.store.failure = failure
    with structlog.testing.capture_logs() as logs:
        answer = await space.ask(channel, "a SELECT INBOX")
    assert b"a " + text in answer
    assert "secret" not in repr(logs)
    space.store.failure = None
    assert b"OK" in await space.ask(channel, "b SELECT INBOX")


async def test_a_folder_that_cannot_be_looked_at_is_looked_at_again(space: Any) -> None:
    await space.deliver()
    channel = await space.open()
    await space.deliver()
    space.store.failure = StoreError("disk")
    assert await space.ask(channel, "a SUBSCRIBE x") == status_answer("a")
    space.store.failure = None
    assert b"* 2 EXISTS" in await space.ask(channel, "b FETCH 1 UID")


def status_answer(tag: str) -> bytes:
    return f"{tag} ".encode() + status_text.UNAVAILABLE.wire + b"\r\n"


async def test_a_folder_that_is_deleted_by_another_ends_the_session(space: Any) -> None:
    channel = await space.log_in()
    await space.ask(channel, "a CREATE Old")
    await space.ask(channel, "b SELECT Old")
    other = await space.log_in()
    await space.ask(other, "a DELETE Old")
    await channel.send(b"c NOOP\r\n")
    assert b"* BYE" in await channel.wait_closed()


async def test_deleting_the_selected_folder_leaves_the_session_unselected(space: Any) -> None:
    channel = await space.log_in()
    await space.ask(channel, "a CREATE Old")
    await space.ask(channel, "b SELECT Old")
    assert b"c OK" in await space.ask(channel, "c DELETE Old")
    assert b"d BAD" in await space.ask(channel, "d FETCH 1 UID")


async def test_a_commit_that_fails_is_not_acknowledged(space: Any) -> None:
    channel = await space.log_in()
    space.committer.failure = StoreError("disk")
    assert b"a NO [UNAVAILABLE]" in await space.ask(channel, b"a APPEND INBOX {14+}\r\nSubject: x\r\n\r\n")
    space.committer.failure = None
    assert b"(MESSAGES 0)" in await space.ask(channel, "b STATUS INBOX (MESSAGES)")
    assert not space.audit.of(AuditKind.STORED)


async def test_no_login_and_no_reading_without_its_trace(space: Any) -> None:
    await space.deliver()
    channel = await space.open()
    space.audit.failure = StoreError("disk")
    answer = await space.ask(channel, "a FETCH 1 BODY[]")
    assert b"body text" not in answer
    assert b"a NO [UNAVAILABLE]" in answer
    other = space.connect()
    await other.receive_line()
    assert b"a NO [UNAVAILABLE]" in await space.ask(other, f"a LOGIN {ADDRESS} {PASSWORD}")
    assert b"b BAD" in await space.ask(other, "b SELECT INBOX")
    assert len(space.shared.sessions[1]) == 1


# --- the trail ----------------------------------------------------------------------------------------------
async def test_the_trail_tells_login_reading_storing_and_removing(space: Any) -> None:
    await space.deliver_document()
    await space.deliver()
    channel = await space.open()
    await space.ask(channel, "a FETCH 1:2 (ENVELOPE BODY.PEEK[HEADER])")
    assert not space.audit.of(AuditKind.READ)
    await space.ask(channel, "b FETCH 1 BODY.PEEK[1]")
    await space.ask(channel, "c FETCH 1:2 BODY[]")
    await space.ask(channel, "d FETCH 1:2 BODY[]")
    read = space.audit.of(AuditKind.READ)
    assert [dict(event.facts)["uids"] for event in read] == ["1", "2"]
    assert read[0].message_id == "<one@ch-rivage.mssante.example>"
    assert read[0].persons == {"login": ADDRESS}
    await space.ask(channel, b"e APPEND INBOX {35+}\r\nMessage-ID: <x@cabinet.example>\r\n\r\n")
    assert space.audit.of(AuditKind.STORED)[0].message_id == "<x@cabinet.example>"
    await space.ask(channel, "f STORE 1:2 +FLAGS (\\Deleted)")
    await space.ask(channel, "g EXPUNGE")
    assert dict(space.audit.of(AuditKind.REMOVED)[0].facts)["count"] == "2"
    assert len(space.audit.of(AuditKind.LOGIN)) == 1


async def test_the_trail_tells_copies_and_moves(space: Any) -> None:
    for _ in range(3):
        await space.deliver()
    channel = await space.open()
    await space.ask(channel, "a CREATE Archive")
    await space.ask(channel, "b COPY 1:2 Archive")
    await space.ask(channel, "c MOVE 3 Archive")
    await space.ask(channel, "d UID COPY 99 Archive")
    [copied] = space.audit.of(AuditKind.COPIED)
    assert (copied.facts["uids"], copied.facts["count"]) == ("1:2", "2")
    assert copied.facts["folder"] != copied.facts["target"]
    assert copied.persons == {"login": ADDRESS}
    [moved] = space.audit.of(AuditKind.MOVED)
    assert moved.facts["uids"] == "3"


# --- large answers ------------------------------------------------------------------------------------------
async def test_ten_thousand_envelopes_are_few_writes(space: Any) -> None:
    for _ in range(3000):
        await space.deliver()
    channel = await space.open()
    channel.writes.clear()
    answer = await space.ask(
        channel, "a FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)"
    )
    assert answer.count(b"* ") == 3000
    assert max(channel.writes) < 2 * FLUSH_AT
    assert len(channel.writes) < 10
    space.store.calls.clear()
    assert (
        await space.ask(channel, "a FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)")
        == answer
    )
    assert space.store.calls == []


async def test_a_large_letter_is_read_by_pieces(space: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_handler, "CHUNK", 1000)
    letter = b"Subject: x\r\n\r\n" + bytes(range(1, 256)) * 40
    await space.deliver(letter, prefix=b"Return-Path: <>\r\n")
    channel = await space.open()
    space.store.calls.clear()
    await channel.send(b"a FETCH 1 (BODY.PEEK[] BODY.PEEK[TEXT]<10.20>)\r\n")
    whole = b"Return-Path: <>\r\n" + letter
    assert await channel.receive_line() == b"* 1 FETCH (BODY[] {%d}\r\n" % len(whole)
    assert await channel.receive_exactly(len(whole)) == whole
    assert await channel.receive_line() == b" BODY[TEXT]<10> {20}\r\n"
    assert await channel.receive_exactly(20) == letter[14:][10:30]
    assert space.store.calls.count("octets") == 12


async def test_a_letter_that_vanishes_while_it_is_told_ends_the_connection(
    space: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch_handler, "CHUNK", 10)
    monkeypatch.setattr("mta.imap.conversation.FLUSH_AT", 1)
    await space.deliver(flags=("\\Deleted",))
    channel = await space.open()
    channel.is_slow = True
    await channel.send(b"a FETCH 1 BODY.PEEK[]\r\n")
    await settled()
    await space.store.expunge(1)
    channel.read_again()
    assert b"a OK" not in await channel.wait_closed()


async def test_a_letter_that_is_gone_before_is_left_out(space: Any) -> None:
    await space.deliver(flags=("\\Deleted",))
    await space.deliver()
    channel = await space.open()
    await space.ask(channel, "z FETCH 1:2 ENVELOPE")  # now the summaries are remembered
    await space.store.expunge(1)
    answer = await space.ask(channel, "a UID FETCH 1:2 (BODY.PEEK[])")
    assert b"* 1 FETCH" not in answer
    assert b"* 2 FETCH" in answer
    assert b"a OK" in answer
    assert b"* 1 EXPUNGE" in answer


async def test_a_slow_client_is_waited_for(space: Any) -> None:
    await space.deliver(b"Subject: x\r\n\r\n" + b"x" * (2 * FLUSH_AT))
    channel = await space.open()
    channel.is_slow = True
    await channel.send(b"a FETCH 1 BODY.PEEK[]\r\n")
    await settled()
    channel.read_again()
    assert b"a OK" in await channel.receive_until(b"a OK")


async def test_a_client_that_goes_away_in_a_large_answer_leaves_nothing(space: Any) -> None:
    await space.deliver(b"Subject: x\r\n\r\n" + b"x" * (2 * FLUSH_AT))
    channel = await space.open()
    channel.is_slow = True
    await channel.send(b"a FETCH 1 BODY.PEEK[]\r\n")
    await settled()
    space.conversations[0].lost()
    channel.read_again()
    await channel.wait_closed()
    await settled()
    assert space.feed.subscribers == 0
    assert not space.shared.sessions


# --- search that reads --------------------------------------------------------------------------------------
async def test_a_search_reads_only_what_rows_leave_open(space: Any) -> None:
    await space.deliver(flags=("\\Seen",))
    await space.deliver()
    channel = await space.open()
    space.store.calls.clear()
    assert b"* SEARCH 2\r\n" in await space.ask(channel, "a SEARCH UNSEEN SUBJECT short")
    assert space.store.calls.count("many_octets") == 1


async def test_headers_of_many_letters_are_one_reading(space: Any) -> None:
    for _ in range(60):
        await space.deliver()
    channel = await space.open()
    space.store.calls.clear()
    answer = await space.ask(channel, "a FETCH 1:* BODY.PEEK[HEADER.FIELDS (Subject)]")
    assert answer.count(b"Subject: short\r\n") == 60
    assert space.store.calls.count("many_octets") == 2
    assert "octets" not in space.store.calls
    space.store.calls.clear()
    answer = await space.ask(channel, 'b SEARCH SUBJECT short NOT BODY "not there"')
    assert answer.startswith(b"* SEARCH 1 2 3 ")
    assert space.store.calls.count("many_octets") == 2


async def test_the_day_that_its_author_wrote_is_searched(space: Any) -> None:
    late = b"Date: Mon, 2 Mar 2026 23:30:00 -0500\r\n\r\nx\r\n"  # already the third of March in UTC
    await space.deliver(late)
    await space.deliver()
    channel = await space.open()
    assert b"* SEARCH 1 2\r\n" in await space.ask(channel, "a SEARCH SENTON 2-Mar-2026")
    assert b"* SEARCH\r\n" in await space.ask(channel, "b SEARCH SENTSINCE 3-Mar-2026")
    assert b"* SEARCH\r\n" in await space.ask(channel, "c SEARCH SENTBEFORE 2-Mar-2026")


async def test_a_search_that_would_read_too_much_is_refused(make_space: Any) -> None:
    space = make_space(search_scan_octets=100)
    await space.deliver()
    await space.deliver()
    channel = await space.open()
    assert b"a NO [LIMIT]" in await space.ask(channel, "a SEARCH BODY text")


async def test_a_search_that_is_refused_leaves_nothing_saved(make_space: Any) -> None:
    space = make_space(search_scan_octets=100)
    await space.deliver()
    await space.deliver()
    channel = await space.open()
    await space.ask(channel, "a SEARCH RETURN (SAVE) ALL")
    assert b"b NO [LIMIT]" in await space.ask(channel, "b SEARCH RETURN (SAVE) BODY text")
    assert await space.ask(channel, "c FETCH $ UID") == b"c OK FETCH completed\r\n"


async def test_a_saved_search_keeps_no_message_that_came_later(space: Any) -> None:
    await space.deliver()
    channel = await space.open()
    await space.ask(channel, "a UID SEARCH RETURN (SAVE) 1:*")
    await space.deliver()
    await space.ask(channel, "b NOOP")
    assert await space.ask(channel, "c UID FETCH $ UID") == b"* 1 FETCH (UID 1)\r\nc OK FETCH completed\r\n"


async def test_a_large_letter_is_searched_in_a_thread(space: Any) -> None:
    await space.deliver(b"Subject: x\r\n\r\n" + b"x" * 300_000 + b" needle\r\n")
    channel = await space.open()
    assert b"* SEARCH 1\r\n" in await space.ask(channel, "a SEARCH BODY needle")


async def test_a_search_over_a_gone_letter_does_not_find_it(space: Any) -> None:
    await space.deliver(flags=("\\Deleted",))
    channel = await space.open()
    await space.ask(channel, "z FETCH 1 ENVELOPE")
    await space.store.expunge(1)
    assert b"* SEARCH\r\n" in await space.ask(channel, "a SEARCH SUBJECT short")


async def test_a_search_in_an_empty_folder(space: Any) -> None:
    channel = await space.open()
    assert b"* SEARCH\r\n" in await space.ask(channel, "a SEARCH 1:* NOT (OR SEEN 2)")


# --- \Recent ------------------------------------------------------------------------------------------------
async def test_what_arrived_in_one_session_is_not_recent_in_the_next(space: Any) -> None:
    channel = await space.open()
    await space.deliver()
    assert b"* 1 RECENT" in await space.ask(channel, "a NOOP")
    await space.ask(channel, "b CLOSE")
    assert b"* 0 RECENT" in await space.ask(channel, "c SELECT INBOX")


async def test_a_reader_leaves_recent_alone(space: Any) -> None:
    await space.deliver()
    channel = await space.open(command="EXAMINE")
    assert b"FLAGS (\\Recent)" in await space.ask(channel, "a FETCH 1 (FLAGS BODY[])")
    await space.ask(channel, "b UNSELECT")
    assert b"* 1 RECENT" in await space.ask(channel, "c SELECT INBOX")


async def test_renaming_inbox_moves_its_letters(space: Any) -> None:
    await space.deliver()
    channel = await space.log_in()
    assert b"OK" in await space.ask(channel, "a RENAME INBOX Old/2026")
    assert b"(MESSAGES 0)" in await space.ask(channel, "b STATUS INBOX (MESSAGES)")
    assert b"(MESSAGES 1)" in await space.ask(channel, "c STATUS Old/2026 (MESSAGES)")
    assert b"NO [CANNOT]" in await space.ask(channel, "d RENAME Old Old/below")


async def test_the_server_says_goodbye_between_two_commands(space: Any) -> None:
    channel: MemoryChannel = await space.log_in()
    space.conversations[0].end_for(status_text.BYE_SHUTDOWN)
    assert (await channel.wait_closed()).startswith(b"* BYE [UNAVAILABLE]")


# --- a box that is closed while it is read ------------------------------------------------------------------
async def test_a_box_that_is_closed_ends_its_sessions(space: Any) -> None:
    idle, other = await space.open(), space.connect()
    await other.receive_line()
    await idle.send(b"i IDLE\r\n")
    await idle.receive_line()
    space.shared.end_sessions_of(1)
    assert (await idle.wait_closed()).startswith(b"* BYE Cette boite")
    await settled()
    assert not space.shared.sessions
    assert b"OK" in await space.ask(other, "a NOOP")


async def test_a_box_that_was_suspended_elsewhere_is_not_opened_again(space: Any) -> None:
    channel = await space.open()
    space.accounts.put(Account(bal=replace(space.account.bal, state=BalState.SUSPENDED)))
    await channel.send(b"a SELECT INBOX\r\n")
    assert b"* BYE Cette boite" in await channel.wait_closed()


async def test_a_box_without_a_quota_tells_none(space: Any) -> None:
    space.accounts.put(Account(bal=replace(space.account.bal, quota_octets=0)), PASSWORD.encode())
    channel = await space.log_in()
    assert b"* QUOTA box ()\r\n" in await space.ask(channel, "a GETQUOTA box")
    space.accounts._by_id.clear()
    assert b"b NO [UNAVAILABLE]" in await space.ask(channel, "b GETQUOTA box")
    assert b"c NO [UNAVAILABLE]" in await space.ask(channel, b"c APPEND INBOX {3+}\r\nx\r\n")


async def test_an_exception_of_our_own_ends_one_connection_only(
    space: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel, other = await space.log_in(), await space.log_in()
    monkeypatch.setattr(space.conversations[0], "_carried_out", None)
    with structlog.testing.capture_logs() as logs:
        await channel.send(b"a NOOP\r\n")
        assert b"* BYE [UNAVAILABLE]" in await channel.wait_closed()
    assert [entry["event"] for entry in logs] == ["imap-conversation-broken"]
    assert b"a OK" in await space.ask(other, "a NOOP")


async def test_leaving_never_raises(space: Any) -> None:
    channel = await space.open()
    await space.deliver()
    await space.ask(channel, "a NOOP")
    space.store.failure = StoreError("disk")
    space.conversations[0].lost()
    await channel.wait_closed()
    await settled()
    assert not space.shared.sessions


async def test_a_large_draft_is_summarised_in_a_thread(space: Any) -> None:
    channel = await space.open()
    octets = b"Subject: x\r\n\r\n" + b"x" * 300_000
    assert b"APPENDUID" in await space.ask(channel, b"a APPEND INBOX {%d+}\r\n%b" % (len(octets), octets))
    assert b"RFC822.SIZE %d" % len(octets) in await space.ask(channel, "b FETCH 1 RFC822.SIZE")


async def test_a_login_that_is_no_text_is_refused_like_any_other(space: Any) -> None:
    channel = space.connect()
    await channel.receive_line()
    assert b"AUTHENTICATIONFAILED" in await space.ask(channel, b"a LOGIN {1+}\r\n\xff {1+}\r\nx")
    assert b"AUTHENTICATIONFAILED" in await space.ask(channel, b"b LOGIN " + b"x" * 2000 + b" y")
    assert [login for login, _ in space.accounts.attempts] == ["", ""]


async def test_check_asks_the_store(space: Any) -> None:
    channel = await space.open()
    space.store.calls.clear()
    assert b"a OK" in await space.ask(channel, "a CHECK")
    assert space.store.calls == ["changes"]


async def test_many_flags_are_told_in_slices(space: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mta.imap.handlers.messages.SLICE", 2)
    for _ in range(5):
        await space.deliver()
    channel = await space.open()
    answer = await space.ask(channel, "a STORE 1:5 +FLAGS (\\Seen)")
    assert answer.count(b"FETCH (FLAGS (\\Seen \\Recent))") == 5
    assert b"b BAD" in await space.ask(channel, "b COPY 9 INBOX")
    assert b"c OK" in await space.ask(channel, "c UID EXPUNGE 99")


async def test_many_names_are_listed_in_slices(space: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mta.imap.handlers.listing.SLICE", 2)
    channel = await space.log_in()
    for number in range(5):
        await space.ask(channel, f"a CREATE f{number}")
    assert (await space.ask(channel, 'b LIST "" *')).count(b"* LIST") == 6
    assert (await space.ask(channel, 'b LSUB "" *')).count(b"* LSUB") == 6
