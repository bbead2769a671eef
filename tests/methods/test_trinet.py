"""The three-network generator: whose mistake teaches whom, and what the third network calls far."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the networks need torch")

from stillmotion.core.errors import ConfigError  # noqa: E402
from stillmotion.methods.trinet.config import TriNetConfig, trinet_256  # noqa: E402
from stillmotion.methods.trinet.losses import DiscriminatorStep, MakersStep, objective  # noqa: E402
from stillmotion.methods.trinet.network import apart  # noqa: E402
from stillmotion.methods.trinet.weights import build  # noqa: E402
from stillmotion.nn.objective import Sample  # noqa: E402
from tests.contract.tiny import SIDE, make_networks, trinet, trinet_strict  # noqa: E402

MAKERS = ("identity", "generator")


def sample(step: int = 100) -> Sample:
    random = torch.Generator().manual_seed(0)
    frames = [torch.rand(2, 3, SIDE, SIDE, generator=random) for _ in range(3)]
    return Sample(*frames, clips=torch.tensor([0, 1]), step=step, random=random)


def taught(networks: dict[str, Any]) -> set[str]:
    """Networks that hold a gradient."""
    return {name for name, n in networks.items() if any(p.grad is not None for p in n.parameters())}


def run(config: TriNetConfig, learners: tuple[str, ...], *, step: int = 100) -> tuple[set[str], set[str]]:
    """Losses and taught networks of one turn of the makers."""
    networks = make_networks(config)
    turn = MakersStep(networks, learners=learners, config=config.training, features=None)
    losses, _ = turn(sample(step), {})
    sum(losses.values()).backward()
    return set(losses), taught(networks)


def test_strict_routing_is_to_the_letter() -> None:
    """The distance from the source teaches the first network alone, all else the generator alone."""
    assert run(trinet_strict(), ("identity",)) == ({"identity"}, {"identity"})
    assert run(trinet_strict(), ("generator",)) == ({"driving", "realism", "pixel"}, {"generator"})
    groups = [tuple(turn.optimizers) for turn in objective(build(trinet_strict()), trinet_strict(), None).turns]
    assert groups == [("identity",), ("generator",), ("discriminator",)]


def test_joint_routing_teaches_both() -> None:
    assert run(trinet(), MAKERS) == ({"identity", "driving", "realism", "pixel"}, set(MAKERS))


@pytest.mark.parametrize("learners", [MAKERS, ("identity",), ("generator",)])
def test_pixels_alone_teach_at_first(learners: tuple[str, ...]) -> None:
    """In strict routing too; otherwise the first network would start from noise."""
    assert run(trinet_strict(), learners, step=0) == ({"pixel"}, set(learners))


def test_the_third_network_leaves_the_makers_alone() -> None:
    networks = make_networks(trinet())
    _, made = MakersStep(networks, learners=MAKERS, config=trinet().training, features=None)(sample(), {})
    losses, _ = DiscriminatorStep(networks["discriminator"], margin=1.0)(sample(), made)
    sum(losses.values()).backward()
    assert taught(networks) == {"discriminator"}
    assert set(losses) == {"identity_distance", "driving_distance", "realism_hinge"}


def test_distances_are_distances() -> None:
    judge = make_networks(trinet())["discriminator"]
    a, b, _ = sample().frames
    for left, right in zip(judge(a)[:2], judge(b)[:2], strict=True):
        assert (apart(left, left) == 0).all()
        torch.testing.assert_close(apart(left, right), apart(right, left))
        assert ((apart(left, right) >= 0) & (apart(left, right) <= 4)).all()


def test_the_frame_depends_on_both() -> None:
    networks = make_networks(trinet())
    a, b, _ = sample().frames
    own, other = networks["identity"](a), networks["identity"](b)
    frame = networks["generator"](own, a)
    assert (networks["generator"](other, a) - frame).abs().max() > 1e-4
    assert (networks["generator"](own, b) - frame).abs().max() > 1e-4


def test_a_size_that_does_not_fit_is_refused() -> None:
    from dataclasses import replace

    with pytest.raises(ConfigError, match="6 halvings do not shrink 128 pixels to four") as caught:
        build(replace(trinet_256(), size=128))
    assert caught.value.hint == "give 5 widths"
