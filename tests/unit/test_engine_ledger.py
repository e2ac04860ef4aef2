"""The ledger of storages: each is counted once, from its birth to its last owner's end."""

from __future__ import annotations

import torch

from workbench.engine.ledger import Ledger

KIB = 1024


def test_storages_are_counted_once_and_struck_off() -> None:
    ledger = Ledger(lambda *_: 0)
    with ledger:
        first = torch.zeros(KIB)
        view = first.view(2, -1).t()
        assert ledger.live == 4 * KIB
        second = first + 1
        assert ledger.live == 8 * KIB
        del first
        assert ledger.live == 8 * KIB  # the view holds it
        del view, second
        assert ledger.live == 0
    assert ledger.peak == 8 * KIB


def test_sizes_are_rounded_up_as_the_allocator_does() -> None:
    ledger = Ledger(lambda *_: 0)
    single = torch.zeros(1)
    ledger.own("weights", [single])
    assert ledger.live == 512


def test_what_an_operation_hides_counts_at_the_peak_only() -> None:
    ledger = Ledger(lambda func, *_: 10_000 if func is torch.ops.aten.add.Tensor else 0)
    with ledger:
        held = torch.zeros(KIB)
        held = held + 1
    assert ledger.peak == 8 * KIB + 10_000
    assert ledger.live == 4 * KIB
    assert ledger.at_peak["hidden", -1] == 10_000
    del held


def test_an_owner_can_be_told_later_and_autograd_keeps_what_it_saved() -> None:
    ledger = Ledger(lambda *_: 0)
    weight = torch.zeros(KIB, requires_grad=True)
    ledger.own("weights", [weight])
    with ledger:
        ledger.owner = ("activations", 0)
        squared = (weight * 2).exp().sum()  # exp keeps its result
        assert ledger.live == 8 * KIB + 512
        ledger.owner = ("workspace", -1)
        squared.backward()
        assert weight.grad is not None
        ledger.own("gradients", [weight.grad])
    assert ledger.at_peak["weights", -1] == 4 * KIB
    assert ledger.live == 4 * KIB + 512 + 4 * KIB  # weight, the sum, its gradient
    assert ledger.peak == sum(ledger.at_peak.values())
