"""Frame sizes that a method's networks cannot halve and double are refused, by every method; presets fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("torch", reason="networks need torch")

from stillmotion import methods
from stillmotion.core.errors import ConfigError
from stillmotion.methods.kit import check_halved
from tests.contract.tiny import TINY

SMALL = [configs[0] for configs in TINY.values()]


@pytest.mark.parametrize("config", SMALL, ids=[config.name for config in SMALL])
def test_a_size_that_does_not_fit_is_refused(config: Any) -> None:
    side = methods.method_weights(methods.of_config(config))
    for size in (config.size - 1, 3):
        with pytest.raises(ConfigError, match=f"halvings .*{size} pixels") as caught:
            side.build(side.fitted(replace(config, size=size), clips=2))
        assert caught.value.hint.startswith(("make size a multiple of", "give "))


def test_a_scaled_picture_must_fit_too() -> None:
    check_halved(64, 4, what="network", scale=0.25)
    with pytest.raises(ConfigError, match="5 halvings in the network do not fit frames of 64 pixels") as caught:
        check_halved(64, 5, what="network", scale=0.25)
    assert caught.value.hint == "make size a multiple of 128, or take fewer blocks"


@pytest.mark.parametrize("method", ["first-order", "monkey-net", "few-shot"])
def test_every_preset_fits(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    side = methods.method_weights(method)
    checked: list[str] = []

    def check(size: int, halvings: int, *, what: str, scale: float = 1.0) -> None:
        check_halved(size, halvings, what=what, scale=scale)
        checked.append(what)
        if what == "generator" and method != "few-shot":
            raise InterruptedError  # the networks themselves take seconds

    monkeypatch.setattr(side, "check_halved", check)
    monkeypatch.setattr(side, "Embedder", None, raising=False)
    for preset in methods.presets(method).values():
        with pytest.raises((InterruptedError, TypeError)):
            side.build(preset())
    assert checked.count("generator") == len(methods.presets(method))
