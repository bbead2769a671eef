"""Feature networks of the perceptual terms, from files: VGG-19 and SqueezeNet 1.1.

Neither needs torchvision; both read its state-dict names. The weights come from a path the user
gives (`.pth` of tensors, `.npz` or `.safetensors`).

Source: Simonyan & Zisserman 2015; Iandola et al. 2016; Johnson et al. 2016 for the use as a loss.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from stillmotion.core.errors import WeightsError

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
_VGG19 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512, 512, 512, 512, 0)


class Fire(nn.Module):
    """Squeeze to few planes, expand with 1×1 and 3×3 convolutions side by side."""

    def __init__(self, inputs: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze(x))
        return torch.cat([F.relu(self.expand1x1(x)), F.relu(self.expand3x3(x))], dim=1)


def _vgg19() -> tuple[nn.Sequential, tuple[int, ...]]:
    layers: list[nn.Module] = []
    planes = 3
    for width in _VGG19:
        if width == 0:
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(planes, width, 3, padding=1), nn.ReLU()]
            planes = width
    return nn.Sequential(*layers[:30]), (1, 6, 11, 20, 29)


def _squeezenet() -> tuple[nn.Sequential, tuple[int, ...]]:
    pool = lambda: nn.MaxPool2d(3, stride=2, ceil_mode=True)  # noqa: E731
    layers = [
        nn.Conv2d(3, 64, 3, stride=2),
        nn.ReLU(),
        pool(),
        Fire(64, 16, 64),
        Fire(128, 16, 64),
        pool(),
        Fire(128, 32, 128),
        Fire(256, 32, 128),
        pool(),
        Fire(256, 48, 192),
        Fire(384, 48, 192),
        Fire(384, 64, 256),
        Fire(512, 64, 256),
    ]
    return nn.Sequential(*layers), (1, 4, 7, 9, 10, 11, 12)


_BUILDERS = {"vgg19": _vgg19, "squeezenet1_1": _squeezenet}


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors by name from `.npz`, `.safetensors`, or a torch file opened with `weights_only`.

    Raises:
        WeightsError: The file is missing or is none of these.
    """
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                return {name: torch.from_numpy(archive[name]).float() for name in archive.files}
        if path.suffix == ".safetensors":
            return {name: tensor.float() for name, tensor in load_file(path).items()}
        return {n: t.float() for n, t in torch.load(path, map_location="cpu", weights_only=True).items()}
    except (OSError, ValueError, RuntimeError, AttributeError, EOFError, pickle.UnpicklingError) as error:
        raise WeightsError(
            f"cannot read feature weights from {path}: {type(error).__name__}",
            hint="give a torchvision state dict of VGG-19 or SqueezeNet 1.1 (.pth, .npz or .safetensors)",
            path=str(path),
        ) from error


class FeatureNetwork(nn.Module):
    """Frozen network whose intermediate maps are compared.

    Args:
        kind: `vgg19` (five levels: relu1_1 … relu5_1) or `squeezenet1_1` (seven levels).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.features, self.taps = _BUILDERS[kind]()
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> FeatureNetwork:
        """Always in evaluation mode."""
        return super().train(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """`(n, 3, h, w)` in [0, 1] to one map per level."""
        x = (image - self.mean) / self.std
        maps = []
        for index, layer in enumerate(self.features):
            if x.shape[-1] < 3 and not isinstance(layer, nn.ReLU):
                break  # the smallest pyramid levels are too small for the deep layers
            x = layer(x)
            if index in self.taps:
                maps.append(x)
        return maps


def load_features(path: str | Path) -> FeatureNetwork:
    """The feature network whose state dict is in `path`, recognised by its tensor names.

    Raises:
        WeightsError: Unreadable, or neither VGG-19 nor SqueezeNet 1.1.
    """
    tensors = {n: t for n, t in read_tensors(Path(path)).items() if n.startswith("features.")}
    kind = "squeezenet1_1" if any("squeeze" in name for name in tensors) else "vgg19"
    network = FeatureNetwork(kind)
    own = network.state_dict()
    missing = [name for name in own if name not in tensors or tensors[name].shape != own[name].shape]
    if missing:
        raise WeightsError(
            f"{path} is not a torchvision VGG-19 or SqueezeNet 1.1: "
            f"{len(missing)} tensors missing, such as {missing[0]}",
            hint="save torchvision's model.state_dict() and give that file",
            missing=missing,
        )
    network.load_state_dict({name: tensors[name] for name in own})
    return network
