"""A lease on a folder: one writer at a time, on one host or many, on any file system; nothing asks a kernel for a lock.

A lease is a folder `.lease-N` made inside the folder it is about. Making a folder is atomic everywhere, so of two who
ask one gets it. In it lies a room with a random name, where its owner says who it is and which it renews by touching
`owner.json`. The lease is broken by another only when that beat is older than the term by the file system's clock (two
modification times made on it are compared, never two hosts' clocks), or when its owner is known dead (same host, boot
and process space, and no such process).

Who breaks lease N makes `.lease-N+1` and moves the old one into it. That is a fence: everything an owner writes is
written inside its own room first and renamed from there (`place`), so a process that was stopped past its term and
continued finds its room gone and writes nothing more, whatever it believed.

    take     HeldError when somebody else has it
    check    LostError when it is no longer ours
    release  given back; a lease that was lost is left to its new owner

How it lies on a disk is `files.py`, who an owner is `who.py`; `taking.py` takes one, `holding.py` is one that this
process has, and `standing.py` only looks.
"""

from __future__ import annotations

from bench.store.lease.files import OWNER, TERM, leases
from bench.store.lease.holding import Lease
from bench.store.lease.standing import Owner, Progress, held, owner
from bench.store.lease.taking import leased, over, sweep, take
from bench.store.lease.who import Said

__all__ = ["OWNER", "TERM", "Lease", "Owner", "Progress", "Said", "held", "leased", "leases", "over", "owner", "sweep",
           "take"]  # fmt: skip
