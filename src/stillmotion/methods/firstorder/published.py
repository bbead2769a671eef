"""The published YAML schema, checked and turned into our config.

Keys the published code never reads back are accepted and dropped; any other unknown key is an
error, because the published code swallowed misspelt ones.

Source: the published configurations of Siarohin et al. 2019.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from stillmotion.core.errors import ConfigError, did_you_mean
from stillmotion.methods.firstorder import config as ours
from stillmotion.methods.firstorder.config import PRESETS, FirstOrderConfig
from stillmotion.runtime.bundle import first_problem

_DEFAULT = FirstOrderConfig()


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class _Flip(_Section):
    horizontal_flip: bool = False
    time_flip: bool = False


class _Jitter(_Section):
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0


class _Resize(_Section):
    ratio: tuple[float, float] = (1.0, 1.0)
    interpolation: str = "nearest"


class _Crop(_Section):
    size: tuple[int, int] | None = None


class _Rotation(_Section):
    degrees: float | tuple[float, float] = 0.0


class _Augmentation(_Section):
    flip_param: _Flip = _Flip()
    jitter_param: _Jitter = _Jitter()
    resize_param: _Resize | None = None
    crop_param: _Crop = _Crop()
    rotation_param: _Rotation = _Rotation()


class _Dataset(_Section):
    root_dir: str = ""
    frame_shape: tuple[int, int, int] = Field(default=(256, 256, 3), alias="image_shape")
    id_sampling: bool = False
    pairs_list: str | None = None
    is_train: bool = True
    random_seed: int = 0
    augmentation_params: _Augmentation = _Augmentation()


class _Common(_Section):
    num_kp: int = Field(default=10, gt=0)
    num_channels: int = Field(default=3, ge=3, le=3)
    estimate_jacobian: bool = True


class _Detector(_Section):
    temperature: float = Field(default=0.1, gt=0)
    block_expansion: int = Field(default=32, gt=0)
    max_features: int = Field(default=1024, gt=0)
    scale_factor: float = Field(default=0.25, gt=0, le=1)
    num_blocks: int = Field(default=5, gt=0)
    single_jacobian_map: bool = False
    pad: int = Field(default=0, ge=0)


class _DenseMotion(_Section):
    block_expansion: int = Field(default=64, gt=0)
    max_features: int = Field(default=1024, gt=0)
    num_blocks: int = Field(default=5, gt=0)
    scale_factor: float = Field(default=0.25, gt=0, le=1)
    kp_variance: float = Field(default=0.01, gt=0)


class _Generator(_Section):
    block_expansion: int = Field(default=64, gt=0)
    max_features: int = Field(default=512, gt=0)
    num_down_blocks: int = Field(default=2, ge=0)
    num_bottleneck_blocks: int = Field(default=6, ge=0)
    estimate_occlusion_map: bool = False
    dense_motion_params: _DenseMotion = _DenseMotion()


def _single(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


class _Discriminator(_Section):
    scales: Annotated[tuple[float, ...], BeforeValidator(_single)] = (1.0,)
    block_expansion: int = Field(default=32, gt=0)
    max_features: int = Field(default=512, gt=0)
    num_blocks: int = Field(default=4, gt=0)
    sn: bool = False
    use_kp: bool = False


class _Model(_Section):
    common_params: _Common = _Common()
    kp_detector_params: _Detector = _Detector()
    generator_params: _Generator = _Generator()
    discriminator_params: _Discriminator = _Discriminator()


class _Weights(_Section):
    generator_gan: float = 0.0
    discriminator_gan: float = 1.0
    feature_matching: tuple[float, ...] = (10.0,) * 4
    perceptual: tuple[float, ...] = (10.0,) * 5
    equivariance_value: float = 0.0
    equivariance_jacobian: float = 0.0


class _Transform(_Section):
    sigma_affine: float = 0.05
    sigma_tps: float = 0.005
    points_tps: int = 5


class _Train(_Section):
    num_epochs: int = Field(default=100, gt=0)
    num_repeats: int = Field(default=1, gt=0)
    epoch_milestones: tuple[int, ...] = ()
    lr_generator: float = 2e-4
    lr_discriminator: float = 2e-4
    lr_kp_detector: float = 2e-4
    batch_size: int = Field(default=40, gt=0)
    scales: Annotated[tuple[float, ...], BeforeValidator(_single)] = (1.0, 0.5, 0.25, 0.125)
    checkpoint_freq: int = Field(default=50, gt=0)
    transform_params: _Transform = _Transform()
    loss_weights: _Weights = _Weights(equivariance_value=10.0, equivariance_jacobian=10.0)


class _Published(_Section):
    dataset_params: _Dataset = _Dataset()
    model_params: _Model
    train_params: _Train = _Train()
    reconstruction_params: dict[str, Any] = {}
    animate_params: dict[str, Any] = {}
    visualizer_params: dict[str, Any] = {}


def from_yaml(path: str | Path) -> FirstOrderConfig:
    """Read a published configuration file.

    Args:
        path: YAML in the published schema. Missing optional keys take the published defaults;
            `1e-4`, which YAML reads as text, is a number; `image_shape` is `frame_shape`.

    Returns:
        The config, named after the file; a file that says what a preset says, name included, gives
        an equal config.

    Raises:
        ConfigError: Not readable, not YAML, an unknown key, or a value that makes no sense.
    """
    path = Path(path)
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", hint="give a preset name or a YAML file") from error
    except yaml.YAMLError as error:
        raise ConfigError(
            f"{path.name} is not YAML: {' '.join(str(error).split())}", hint="give the published config file"
        ) from error
    return from_published(raw, name=path.stem, where=path.name)


def from_published(raw: object, *, name: str, where: str = "config") -> FirstOrderConfig:
    """The same from an already parsed mapping; see `from_yaml`."""
    if not isinstance(raw, dict) or "model_params" not in raw:
        raise ConfigError(
            f"{where} has no model_params: it is not a published first-order config",
            hint=f"give such a file, or a preset name: {', '.join(PRESETS)}",
        )
    try:
        read = _Published.model_validate(raw)
    except ValidationError as error:
        raise _complaint(error, where) from error
    return _converted(read, name)


def resolve_config(config: str | Path | FirstOrderConfig) -> FirstOrderConfig:
    """A preset name, a published YAML file or a ready config, as a config.

    Raises:
        ConfigError: Neither a preset nor a readable file.
    """
    if isinstance(config, FirstOrderConfig):
        return config
    if str(config) in PRESETS:
        return PRESETS[str(config)]()
    path = Path(config)
    if path.is_file() or path.suffix in (".yaml", ".yml"):
        return from_yaml(path)
    raise ConfigError(
        f"{str(config)!r} is neither a preset nor a YAML file", hint=did_you_mean(str(config), list(PRESETS))
    )


def _complaint(error: ValidationError, where: str) -> ConfigError:
    for problem in error.errors(include_url=False):
        if problem["type"] == "extra_forbidden":
            place = [str(part) for part in problem["loc"]]
            known = _keys(place[:-1])
            return ConfigError(
                f"{where}: unknown key {'.'.join(place)}",
                hint=did_you_mean(place[-1], known) or "remove it",
                key=".".join(place),
            )
    return ConfigError(f"{where}: {first_problem(error)}", hint="correct the file")


def _keys(place: list[str]) -> list[str]:
    section: Any = _Published
    for part in place:
        section = section.model_fields[part].annotation
        if not isinstance(section, type):  # optional section
            section = next(a for a in section.__args__ if isinstance(a, type) and issubclass(a, BaseModel))
    return list(section.model_fields)


def _converted(read: _Published, name: str) -> FirstOrderConfig:
    model = read.model_params
    height, width, _ = read.dataset_params.frame_shape
    if height != width:
        raise ConfigError(f"frame_shape must be square, not {width}×{height}", hint="the networks see square frames")
    generator, judge = model.generator_params, model.discriminator_params
    return FirstOrderConfig(
        name=name,
        size=height,
        keypoints=_keypoints(model.common_params, model.kp_detector_params),
        motion=_motion(generator.dense_motion_params),
        generator=ours.GeneratorConfig(
            expansion=generator.block_expansion,
            max_features=generator.max_features,
            down_blocks=generator.num_down_blocks,
            bottleneck_blocks=generator.num_bottleneck_blocks,
            occlusion=generator.estimate_occlusion_map,
        ),
        discriminator=ours.DiscriminatorConfig(
            scales=judge.scales,
            expansion=judge.block_expansion,
            max_features=judge.max_features,
            blocks=judge.num_blocks,
            spectral_norm=judge.sn,
            use_keypoints=judge.use_kp,
        ),
        training=_training(read),
    )


def _keypoints(common: _Common, detector: _Detector) -> ours.KeypointConfig:
    return ours.KeypointConfig(
        count=common.num_kp,
        jacobian=common.estimate_jacobian,
        single_jacobian_map=detector.single_jacobian_map,
        temperature=detector.temperature,
        expansion=detector.block_expansion,
        max_features=detector.max_features,
        blocks=detector.num_blocks,
        scale=detector.scale_factor,
        head_padding=detector.pad,
    )


def _motion(dense: _DenseMotion) -> ours.DenseMotionConfig:
    return ours.DenseMotionConfig(
        expansion=dense.block_expansion,
        max_features=dense.max_features,
        blocks=dense.num_blocks,
        scale=dense.scale_factor,
        variance=dense.kp_variance,
    )


def _training(read: _Published) -> ours.TrainingConfig:
    train, augmentation = read.train_params, read.dataset_params.augmentation_params
    resize = augmentation.resize_param
    return ours.TrainingConfig(
        epochs=train.num_epochs,
        repeats=train.num_repeats,
        milestones=train.epoch_milestones,
        learning_rate_generator=train.lr_generator,
        learning_rate_discriminator=train.lr_discriminator,
        learning_rate_keypoints=train.lr_kp_detector,
        batch=train.batch_size,
        scales=train.scales,
        checkpoint_epochs=train.checkpoint_freq,
        id_sampling=read.dataset_params.id_sampling,
        weights=replace(_DEFAULT.training.weights, **train.loss_weights.model_dump()),
        transform=ours.TransformConfig(**train.transform_params.model_dump()),
        augmentation=ours.AugmentationConfig(
            **augmentation.flip_param.model_dump(),
            **augmentation.jitter_param.model_dump(),
            resize=resize.ratio if resize else None,
        ),
    )
