"""The news of a folder in one process."""

from __future__ import annotations

from mailstore.feed import LocalFeed


def test_those_who_watch_are_woken_and_no_others() -> None:
    feed, woken = LocalFeed(), []
    feed.subscribe(1, lambda: woken.append("a"))
    stop = feed.subscribe(1, lambda: woken.append("b"))
    feed.subscribe(2, lambda: woken.append("c"))
    feed.publish(1)
    stop()
    stop()
    feed.publish(1)
    feed.publish(3)
    assert woken == ["a", "b", "a"]
    assert feed.watched() == 2


def test_the_last_one_leaving_leaves_nothing() -> None:
    feed = LocalFeed()
    feed.subscribe(1, lambda: None)()
    assert feed.watched() == 0


def test_a_session_that_fails_does_not_keep_the_news_from_others() -> None:
    feed, woken = LocalFeed(), []
    feed.subscribe(1, lambda: {}["none"])
    feed.subscribe(1, lambda: woken.append("b"))
    feed.publish(1)
    assert woken == ["b"]


def test_one_may_leave_while_the_news_is_told() -> None:
    feed, woken = LocalFeed(), []
    stops = []
    stops.append(feed.subscribe(1, lambda: stops[0]()))
    feed.subscribe(1, lambda: woken.append("b"))
    feed.publish(1)
    feed.publish(1)
    assert woken == ["b", "b"]
