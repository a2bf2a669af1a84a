"""The order of SMTP: the table, and what a conversation forgets."""

from __future__ import annotations

import itertools

import pytest

from core import reply
from core.address import Mailbox
from core.envelope import NULL_REVERSE_PATH, ForwardPath, Notify, Return
from mta.rooms import Listener
from mta.smtp.commands import (
    Auth,
    Command,
    Data,
    Ehlo,
    Expn,
    Helo,
    Help,
    Mail,
    Noop,
    Quit,
    Rcpt,
    Rset,
    StartTls,
    Vrfy,
)
from mta.smtp.session import TRANSITIONS, Conversation, State

ANNE = Mailbox.parse("anne.test-rivage@ch-rivage.mssante.example")
PAUL = Mailbox.parse("paul.test-dune@cabinet.mssante.example")
EVERY: tuple[Command, ...] = (
    Ehlo("a"),
    Helo("a"),
    Mail(reverse_path=ANNE),
    Rcpt(path=ForwardPath(PAUL)),
    Data(),
    StartTls(),
    Auth(mechanism="PLAIN"),
    Rset(),
    Noop(),
    Quit(),
    Vrfy(),
    Expn(),
    Help(),
)


def conversation(listener: Listener = Listener.RELAY, **changes: object) -> Conversation:
    talk = Conversation(listener=listener, max_message_octets=1000, max_recipients=3)
    talk.is_encrypted = talk.is_extended = talk.is_authenticated = True
    for name, value in changes.items():
        setattr(talk, name, value)
    return talk


def in_state(state: State, listener: Listener = Listener.RELAY) -> Conversation:
    talk = conversation(listener)
    talk.follow(Ehlo("a"))
    if state in (State.MAIL, State.RCPT):
        talk.follow(Mail(reverse_path=ANNE))
    if state is State.RCPT:
        talk.follow(Rcpt(path=ForwardPath(PAUL)))
    if state is State.FRESH:
        talk.state = State.FRESH
    assert talk.state is state
    return talk


@pytest.mark.parametrize(("state", "command"), list(itertools.product(State, EVERY)))
def test_what_is_not_in_the_table_is_out_of_order(state: State, command: Command) -> None:
    answer = in_state(state).refusal(command)
    if type(command) not in TRANSITIONS[state]:
        expected = reply.NOT_IMPLEMENTED if isinstance(command, Auth) else reply.BAD_SEQUENCE
        assert answer is expected
    elif isinstance(command, StartTls):
        assert answer is reply.BAD_SEQUENCE  # it is encrypted already
    elif isinstance(command, Auth):
        assert answer is reply.NOT_IMPLEMENTED
    else:
        assert answer is None


@pytest.mark.parametrize(("listener", "command"), list(itertools.product(Listener, EVERY)))
def test_in_clear_only_harmless_things_are_said(listener: Listener, command: Command) -> None:
    talk = conversation(listener, is_encrypted=False, state=State.GREETED)
    answer = talk.refusal(command)
    if isinstance(command, Ehlo | Helo | StartTls | Noop | Quit | Rset | Help):
        assert answer is None
    elif isinstance(command, Auth):
        in_clear = reply.ENCRYPTION_REQUIRED_FOR_AUTH if listener.is_submission else reply.NOT_IMPLEMENTED
        assert answer is in_clear
    else:
        assert answer is reply.TLS_REQUIRED


@pytest.mark.parametrize("listener", [Listener.SUBMISSION, Listener.SUBMISSIONS, Listener.SUBMISSION_APP])
def test_our_people_log_in_once_and_first(listener: Listener) -> None:
    talk = in_state(State.GREETED, listener)
    talk.is_authenticated = False
    assert talk.refusal(Mail(reverse_path=ANNE)) is reply.AUTHENTICATION_REQUIRED
    assert talk.refusal(Auth(mechanism="LOGIN")) is None
    assert talk.refusal(Auth(mechanism="GSSAPI")) is reply.UNKNOWN_MECHANISM
    talk.is_authenticated = True
    assert talk.refusal(Auth(mechanism="LOGIN")) is reply.BAD_SEQUENCE
    assert talk.refusal(Mail(reverse_path=ANNE, has_parameters=True, has_authorised_originator=True)) is None


def test_after_helo_there_are_no_extensions() -> None:
    talk = conversation(Listener.SUBMISSIONS, is_authenticated=False)
    talk.follow(Helo("a"))
    assert talk.refusal(Auth(mechanism="PLAIN")) is reply.BAD_SEQUENCE
    talk.is_authenticated = True
    assert talk.refusal(Mail(reverse_path=ANNE, has_parameters=True)) is reply.UNKNOWN_PARAMETER
    talk.follow(Mail(reverse_path=ANNE))
    assert talk.refusal(Rcpt(path=ForwardPath(PAUL), has_parameters=True)) is reply.UNKNOWN_PARAMETER


def test_limits_of_a_transaction() -> None:
    talk = in_state(State.GREETED)
    assert talk.refusal(Mail(reverse_path=ANNE, declared_size=1000)) is None
    assert talk.refusal(Mail(reverse_path=ANNE, declared_size=1001)) is reply.TOO_BIG
    talk.follow(Mail(reverse_path=ANNE))
    for number in range(3):
        command = Rcpt(path=ForwardPath(Mailbox(f"box{number}", PAUL.domain)))
        assert talk.refusal(command) is None
        talk.follow(command)
    assert talk.refusal(Rcpt(path=ForwardPath(PAUL))) is reply.TOO_MANY_RECIPIENTS


def test_the_same_recipient_twice_is_one() -> None:
    talk = in_state(State.MAIL)
    talk.follow(Rcpt(path=ForwardPath(PAUL, Notify.NEVER)))
    talk.follow(Rcpt(path=ForwardPath(Mailbox("PAUL.TEST-DUNE", PAUL.domain), Notify.DELAY)))
    assert talk.envelope(is_8bit=False).forward_paths == (ForwardPath(PAUL, Notify.NEVER),)


def test_data_after_refused_recipients_says_so() -> None:
    talk = in_state(State.MAIL)
    assert talk.refusal(Data()) is reply.BAD_SEQUENCE
    talk.refused_paths = 1
    assert talk.refusal(Data()) is reply.NO_VALID_RECIPIENTS


def test_addresses_outside_ascii_need_the_parameter() -> None:
    talk = in_state(State.MAIL)
    command = Rcpt(path=ForwardPath(Mailbox("rené", PAUL.domain)), needs_smtputf8=True)
    assert talk.refusal(command) is reply.NEEDS_SMTPUTF8
    talk.follow(Rset())
    talk.follow(Mail(reverse_path=NULL_REVERSE_PATH, smtputf8=True))
    assert talk.refusal(command) is None


def test_tls_forgets_everything() -> None:
    talk = in_state(State.RCPT)
    talk.is_encrypted = False
    talk.follow(StartTls())
    assert (talk.state, talk.is_encrypted) == (State.FRESH, True)
    assert not any((talk.is_extended, talk.is_authenticated, talk.mail, talk.paths))


@pytest.mark.parametrize("command", [Ehlo("a"), Helo("a"), Rset(), Data()])
def test_a_transaction_is_cleared(command: Command) -> None:
    talk = in_state(State.RCPT)
    talk.follow(command)
    assert (talk.state, talk.mail, talk.paths) == (State.GREETED, None, [])


def test_the_envelope_tells_all_that_was_said() -> None:
    talk = in_state(State.GREETED)
    talk.follow(
        Mail(
            reverse_path=ANNE,
            declared_size=9,
            smtputf8=True,
            ret=Return.HEADERS,
            envelope_id="x",
            body_8bit=False,
        )
    )
    path = ForwardPath(PAUL, Notify.DELAY, "rfc822;x")
    talk.follow(Rcpt(path=path))
    envelope = talk.envelope(is_8bit=True)
    assert (envelope.reverse_path, envelope.forward_paths, envelope.envelope_id) == (ANNE, (path,), "x")
    assert (envelope.ret, envelope.smtputf8, envelope.declared_size) == (Return.HEADERS, True, 9)
    assert envelope.body_8bit  # the octets say so, whatever MAIL said
    assert not talk.envelope(is_8bit=False).body_8bit


@pytest.mark.parametrize("command", [Noop(), Vrfy(), Help()])
def test_small_talk_changes_nothing(command: Command) -> None:
    talk = in_state(State.RCPT)
    talk.follow(command)
    assert talk.state is State.RCPT
    assert len(talk.paths) == 1
