"""Residual blocks with spectral norm: what is run must not touch what is trained."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch")

from stillmotion.nn.residual import Trunk, unlimited  # noqa: E402


def test_a_copy_without_the_machinery_leaves_the_original_in_training():
    torch.manual_seed(0)
    trained, picture = Trunk(3, (4, 8)), torch.rand(2, 3, 16, 16)
    trained(picture)  # a power iteration, so that the norms mean something
    plain = unlimited(copy.deepcopy(trained))
    names = [name for name, _ in trained.named_parameters()]
    trained.train()
    trained(picture)[0].sum().backward()
    assert [name for name, _ in trained.named_parameters()] == names, "still with spectral norm"
    assert all(parameter.grad is not None for parameter in trained.parameters())
    assert not any("parametrizations" in name for name, _ in plain.named_parameters())


def test_the_copy_computes_the_same():
    torch.manual_seed(0)
    trained, picture = Trunk(3, (4, 8)).eval(), torch.rand(2, 3, 16, 16)
    wanted = trained(picture)[0]
    torch.testing.assert_close(unlimited(copy.deepcopy(trained))(picture)[0], wanted)
    torch.testing.assert_close(trained(picture)[0], wanted)
