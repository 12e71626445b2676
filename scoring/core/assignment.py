"""Which arm of a rollout decides on a transaction, and which would-be blocks are let through.

Pure: a salted hash, no clock and no random generator, so a repeat and a replay of the log give the
same arm. The worker, the API and parity call it. It knows shares, not what the arms are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

BUCKETS: Final = 10_000
"""A share is a whole number of these: 1 is a hundredth of a percent."""

_HASH_BYTES: Final = 8
_HASH_BITS: Final = 8 * _HASH_BYTES


class Assigned(NamedTuple):
    """The arm of one row."""

    arm: str
    propensity: float
    """Probability with which the row's arm was chosen: the share of the arm, above 0 to 1."""


class Split:
    """The arms of one revision of a rollout, ready to assign.

    An id is hashed into one of `BUCKETS` buckets, and each bucket belongs to one arm. The control
    owns what no other arm owns::

        buckets   0 .............................................. 9,999
        one       [challenger -->                         (control)    ]
        two       [first -->                [second -->     (control)  ]

    An arm begins at its own anchor and grows to the right, so an id that is in an arm stays in it
    while the arm's share grows and the other challengers keep theirs. An arm that reaches the
    anchor of the next one continues in the buckets that are free.

    Examples:
        >>> split = Split([("control", 9_500), ("challenger", 500)], control="control", salt="s")
        >>> [row.arm for row in split.assign([b"u-1", b"u-2", b"u-30"])]
        ['control', 'control', 'challenger']
        >>> split.assign([b"u-30"])[0].propensity
        0.05
    """

    def __init__(self, shares: Sequence[tuple[str, int]], *, control: str, salt: str) -> None:
        """Lay the arms out.

        Args:
            shares: name and share of each arm, in `BUCKETS`; the order of the challengers is that
                of their anchors, and must not change during a rollout.
            control: name of the arm that gets the rest.
            salt: another one for each rollout, so that the arms of two rollouts are independent;
                without the character NUL.

        Raises:
            ValueError: the shares do not add up to `BUCKETS`, one is negative, a name is given
                twice, or there is no control.
        """
        names = [name for name, _ in shares]
        if len(set(names)) < len(names):
            raise ValueError(f"an arm is named twice: {', '.join(names)}")
        if control not in names:
            raise ValueError(f"no arm is named {control!r}: {', '.join(names)}")
        if sum(share for _, share in shares) != BUCKETS or min(share for _, share in shares) < 0:
            described = ", ".join(f"{name}={share}" for name, share in shares)
            raise ValueError(f"shares must be 0 or more and add up to {BUCKETS}: {described}")
        assigned = {name: Assigned(name, share / BUCKETS) for name, share in shares}
        challengers = [(name, share) for name, share in shares if name != control]
        self._table = [assigned[name] for name in _laid_out(challengers, control)]
        self._prefix = salt.encode() + b"\0"

    def assign(self, ids: Iterable[bytes]) -> list[Assigned]:
        """Give the arm of each id, UTF-8: user ids for arms that stick, else transaction ids.

        Blocks: for the computation, less than 1 us an id.
        """
        table, prefix, to_integer = self._table, self._prefix, int.from_bytes
        return [
            table[
                to_integer(blake2b(prefix + id_, digest_size=_HASH_BYTES).digest()) * BUCKETS
                >> _HASH_BITS
            ]
            for id_ in ids
        ]


class LetThrough:
    """Approves a small share of the transactions that would be blocked, so that they get labels.

    A blocked payment never gets a label, so without it the losses that a block prevented, and the
    good payments that it refused, stay unknown. Off unless a rollout turns it on.
    """

    def __init__(self, *, share_bp: int, amount_minor_max: int, salt: str) -> None:
        """Take the limits.

        Args:
            share_bp: share of the would-be blocks that are approved, in `BUCKETS`; 0 is off.
            amount_minor_max: largest amount of such a transaction, minor units; larger ones stay
                blocked.
            salt: of the rollout; the draw is independent of its arms all the same.

        Raises:
            ValueError: the share is not within 0 to `BUCKETS`.
        """
        if not 0 <= share_bp <= BUCKETS:
            raise ValueError(f"let-through share {share_bp} is not within 0 to {BUCKETS}")
        self._share_bp = share_bp
        self._amount_minor_max = amount_minor_max
        self._prefix = salt.encode() + b"\0let-through\0"

    def may_draw(self, amount_minor: int) -> bool:
        """Say whether a would-be block of this amount, minor units, could be let through."""
        return amount_minor <= self._amount_minor_max and self._share_bp > 0

    def draw(self, transaction_id: str, *, amount_minor: int) -> tuple[bool, float]:
        """Draw for one transaction that would be blocked; the same id gives the same answer.

        Args:
            transaction_id: seeds the draw.
            amount_minor: of the transaction, minor units.

        Returns:
            Whether it is let through, and the probability of that answer. The probability is 1
            for a transaction that could not be let through.
        """
        if not self.may_draw(amount_minor):
            return False, 1.0
        is_drawn = _bucket(self._prefix, transaction_id.encode()) < self._share_bp
        share = self._share_bp / BUCKETS
        return is_drawn, share if is_drawn else 1.0 - share


def _bucket(prefix: bytes, id_: bytes) -> int:
    digest = blake2b(prefix + id_, digest_size=_HASH_BYTES).digest()
    return int.from_bytes(digest) * BUCKETS >> _HASH_BITS


def _laid_out(challengers: Sequence[tuple[str, int]], control: str) -> list[str]:
    """Give the name of the arm of each bucket."""
    owners: list[str | None] = [None] * BUCKETS
    slot = BUCKETS // max(len(challengers), 1)
    for number, (name, share) in enumerate(challengers):
        anchor = number * slot
        own = min(share, slot)
        owners[anchor : anchor + own] = [name] * own
    for name, share in challengers:
        free = [bucket for bucket, owner in enumerate(owners) if owner is None]
        for bucket in free[: max(share - slot, 0)]:
            owners[bucket] = name
    return [owner or control for owner in owners]
