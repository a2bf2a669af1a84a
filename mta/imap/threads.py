"""Threads by References (RFC 5256 §3, THREAD=REFERENCES): who answers whom, then who has the same subject.

What it is: pure, and near to linear whatever the letters say: no walk is longer than it must be, loops are not
linked, and nothing is recursive. What it is not: reading (`handlers.sort`). Start at `threads`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

MAX_REFERENCES = 100  # ours: of one letter, the last ones
_MESSAGE_ID = re.compile(rb"<[^<>\s]{1,998}>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Threaded:
    """One letter: its number as it will be told, and what places it."""

    number: int
    message_id: bytes
    references: Sequence[bytes]
    subject: str  # the base subject (RFC 5256 §2.1)
    is_reply: bool
    date: int


@dataclass(slots=True, eq=False)
class Node:
    """A letter with its answers, or, without a letter, what several threads have in common."""

    letter: Threaded | None = None
    children: list[Node] = field(default_factory=list)


def message_ids(octets: bytes) -> list[bytes]:
    """The Message-IDs in a References or In-Reply-To field."""
    return _MESSAGE_ID.findall(octets)[-MAX_REFERENCES:]


def threads(letters: Iterable[Threaded]) -> list[Node]:
    """The threads in the order of their dates; answers too."""
    roots = _by_references(list(letters))
    for root in roots:
        _sort_tree(root)
    roots = _by_subject(sorted(roots, key=_age))
    for root in roots:
        _sort_tree(root)
    return sorted(roots, key=_age)


class _Forest:
    """Who is the parent of whom, among letters and those that are only named."""

    def __init__(self) -> None:
        self.places: dict[bytes, int] = {}
        self.parents: list[int] = []
        self._roots: list[int] = []

    def place(self, name: bytes) -> int:
        """The place of this Message-ID, made when it is new."""
        found = self.places.get(name)
        return self.places.setdefault(name, self.add()) if found is None else found

    def add(self) -> int:
        """A place of no name."""
        self.parents.append(-1)
        self._roots.append(len(self._roots))
        return len(self._roots) - 1

    def _root(self, place: int) -> int:
        roots = self._roots
        while roots[place] != place:
            roots[place] = roots[roots[place]]
            place = roots[place]
        return place

    def link(self, child: int, parent: int) -> None:
        """Unless the child has a parent, or it would be its own ancestor."""
        if self.parents[child] < 0 and self._root(parent) != child:
            self.parents[child] = parent
            self._roots[child] = self._root(parent)


def _by_references(letters: Sequence[Threaded]) -> list[Node]:
    forest = _Forest()
    taken: dict[int, Node] = {}
    chains: list[list[int]] = []
    for letter in letters:
        place = forest.place(letter.message_id) if letter.message_id else forest.add()
        if place in taken:
            place = forest.add()  # RFC 5256 §3 step 1: a second letter of the same Message-ID
        taken[place] = Node(letter)
        chains.append([forest.place(name) for name in letter.references] + [place])
    # What a letter says of itself counts before what others say of it.
    for chain in chains:
        if len(chain) > 1:
            forest.link(chain[-1], chain[-2])
    for chain in chains:
        for parent, child in pairwise(chain[:-1]):
            forest.link(child, parent)
    return _without_empty(forest, taken)


def _without_empty(forest: _Forest, taken: dict[int, Node]) -> list[Node]:
    """RFC 5256 §3 step 3: who is only named goes, but where it holds several threads together."""
    above: dict[
        int, int
    ] = {}  # a place that is only named → the next letter above, or -1 - the topmost place
    together: dict[int, list[Node]] = {}
    roots: list[Node] = []
    for place, node in taken.items():
        parent = forest.parents[place]
        if parent < 0:
            roots.append(node)
            continue
        walked: list[int] = []
        while parent not in taken and parent not in above and forest.parents[parent] >= 0:
            walked.append(parent)
            parent = forest.parents[parent]
        found = parent if parent in taken else above.get(parent, -1 - parent)
        above.update(dict.fromkeys(walked, found))
        if found >= 0:
            taken[found].children.append(node)
        else:
            together.setdefault(found, []).append(node)
    for nodes in together.values():
        roots.append(nodes[0] if len(nodes) == 1 else Node(None, nodes))
    return roots


def _by_subject(roots: Sequence[Node]) -> list[Node]:
    """RFC 5256 §3 step 5: threads of the same base subject are one."""
    first: dict[str, Node] = {}
    for root in roots:
        subject = _head(root).subject
        known = first.get(subject)
        if subject and (known is None or _comes_before(root, known)):
            first[subject] = root
    kept: list[Node] = []
    for root in roots:
        head = _head(root)
        known = first.get(head.subject)
        if known is None or known is root:
            kept.append(root)
        elif known.letter is None:
            known.children += root.children if root.letter is None else [root]
        elif head.is_reply and not known.letter.is_reply:
            known.children.append(root)
        else:
            # The node that stands for this subject becomes one that only holds both together.
            held = Node(known.letter, known.children)
            known.letter, known.children = None, [held, root]
    return kept


def _comes_before(root: Node, known: Node) -> bool:
    if known.letter is None or root.letter is None:
        return known.letter is not None
    return known.letter.is_reply and not root.letter.is_reply


def _head(node: Node) -> Threaded:
    """The letter that stands for a node: its own, or that of its first child."""
    while node.letter is None:
        node = node.children[0]
    return node.letter


def _age(node: Node) -> tuple[int, int]:
    head = _head(node)
    return head.date, head.number


def _sort_tree(root: Node) -> None:
    """Siblings by date, the deepest first, since an empty node is as old as its first child."""
    order = [root]
    for node in order:
        order.extend(node.children)
    for node in reversed(order):
        if len(node.children) > 1:
            node.children.sort(key=_age)


def thread_text(root: Node) -> bytes:
    """RFC 5256 §5: thread-list = "(" (thread-members / thread-nested) ")"."""
    out: list[bytes] = []
    waiting: list[Node | bytes] = [b")", root, b"("]
    while waiting:
        item = waiting.pop()
        if isinstance(item, bytes):
            out.append(item)
            continue
        if item.letter is not None:
            out.append(b"%d" % item.letter.number)
            if item.children:
                out.append(b" ")
        if len(item.children) == 1:
            waiting.append(item.children[0])
            continue
        for child in reversed(item.children):
            waiting += [b")", child, b"("]
    return b"".join(out)
