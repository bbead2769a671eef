"""Changing fields of a preset from the command line."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from stillmotion.core.errors import ConfigError, WeightsError
from stillmotion.runtime.bundle import parse_config

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

ConfigType = TypeVar("ConfigType", bound="DataclassInstance")


def with_settings(config: ConfigType, settings: tuple[str, ...]) -> ConfigType:
    """A preset with some of its fields changed.

    Args:
        config: Nested dataclass.
        settings: Each `field=value` or `part.field=value`; the value as in YAML.

    Raises:
        ConfigError: No such field, or a value that does not fit.
    """
    raw = asdict(config)
    for setting in settings:
        path, equals, text = setting.partition("=")
        *parents, name = path.split(".")
        place: Any = raw
        for parent in parents:
            place = place.get(parent) if isinstance(place, dict) else None
        if not equals or not isinstance(place, dict):
            raise ConfigError(f"cannot set {setting!r}", hint="write part.field=value, such as training.batch=8")
        place[name] = yaml.safe_load(text)
    try:
        return parse_config(type(config), raw, where="--set")
    except WeightsError as error:
        raise ConfigError(error.message, hint=error.hint) from error
