"""The look of a clip: light, backdrop, tints and the camera's flaws, all from one seed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np


@dataclass(frozen=True, eq=False)
class Look:
    """Everything about a clip's pictures that is neither who nor what motion.

    Attributes:
        backdrop: `uint8 (h, w, 3)`, square.
        key_way, fill_way, rim_way: Unit vectors towards the lights.
        key_colour, fill_colour, rim_colour, sky, ground: Linear light, about [0, 2].
        gloss: Strength of the skin's shine.
        relief: How strongly the albedo works as a bump map.
        hardness: 1 casts full shadows, 0 none.
        bias: Mip bias of the albedo: positive blurs it.
        tints: Multipliers `(3,)` for skin, hair, cloth.
        glasses: Whether the person wears glasses.
        glass_colour: Colour of a pair of glasses' frame.
        noise: Standard deviation of the sensor's noise, in levels of 255.
        blur: Standard deviation of the lens blur in pixels of a 256 picture.
        gain: `(3,)` colour cast; contrast and gamma as `curve (2,)`.
        seed: Of the sensor's noise.
        quality: Constant rate factor of the compressed clip, about 18 (fine) to 32 (coarse).
    """

    backdrop: np.ndarray
    key_way: np.ndarray
    fill_way: np.ndarray
    rim_way: np.ndarray
    key_colour: np.ndarray
    fill_colour: np.ndarray
    rim_colour: np.ndarray
    sky: np.ndarray
    ground: np.ndarray
    gloss: float
    relief: float
    hardness: float
    bias: float
    tints: np.ndarray
    glasses: bool
    glass_colour: np.ndarray
    noise: float
    blur: float
    gain: np.ndarray
    curve: np.ndarray
    quality: int
    seed: int = 0

    def uniforms(self) -> dict[str, Any]:
        """What the shader wants to know."""
        names = "key_way fill_way rim_way key_colour fill_colour rim_colour sky ground glass_colour"
        out: dict[str, Any] = {name: tuple(float(v) for v in getattr(self, name)) for name in names.split()}
        return out | {name: float(getattr(self, name)) for name in ("gloss", "relief", "hardness", "bias")}


def make_look(seed: int, *, clean: bool = False) -> Look:
    """A random look.

    Args:
        seed: Any integer.
        clean: No noise, blur, cast or coarse compression: for tests of the truth.
    """
    rng = np.random.default_rng([seed, 9173])
    warm = rng.normal(0, 0.09)
    key = _tinted(rng.uniform(0.55, 1.35), warm)
    fill = _tinted(rng.uniform(0.05, 0.5), -warm + rng.normal(0, 0.08))
    level = rng.uniform(0.22, 0.6)
    flaws = _flaws(rng, clean)
    return Look(
        backdrop=make_backdrop(rng),
        key_way=_way(rng, 75, (-10, 65)),
        fill_way=_way(rng, 90, (-20, 40)),
        rim_way=_way(rng, 180, (0, 60), behind=True),
        key_colour=key,
        fill_colour=fill,
        rim_colour=_tinted(rng.uniform(0.2, 1.2) * (rng.random() < 0.5), rng.normal(0, 0.15)),
        sky=_tinted(level, -0.5 * warm + rng.normal(0, 0.05)),
        ground=_tinted(level * rng.uniform(0.4, 0.9), rng.normal(0.03, 0.06)),
        gloss=float(rng.uniform(0.02, 0.14)),
        relief=float(rng.uniform(0.0, 0.004)),
        hardness=float(rng.uniform(0.3, 1.0)),
        bias=float(rng.uniform(-0.7, 0.3)),
        tints=_tints(rng),
        glasses=bool(rng.random() < 0.18),
        glass_colour=rng.uniform(0.02, 0.35) * _tint(rng, 0.2, 0.3, wild=True),
        seed=seed,
        **flaws,
    )


def even_light(look: Look) -> Look:
    """The same look under light from everywhere, so that a surface keeps its colour however it turns."""
    none, full = np.zeros(3), np.ones(3)
    return replace(
        look, key_colour=none, fill_colour=none, rim_colour=none, sky=full, ground=full, gloss=0.0, relief=0.0
    )


def expose(look: Look, level: float) -> Look:
    """The same look as a camera would expose it for a skin of that linear albedo, halfway."""
    gain = (0.2 / max(level, 0.02)) ** 0.4
    names = ("key_colour", "fill_colour", "rim_colour", "sky", "ground")
    return replace(look, **{name: getattr(look, name) * gain for name in names})


def _flaws(rng: np.random.Generator, clean: bool) -> dict[str, Any]:
    drawn = {
        "noise": float(rng.gamma(1.6, 1.3)),
        "blur": float(rng.choice([0.0, rng.uniform(0.2, 0.6), rng.uniform(0.6, 1.3)], p=[0.35, 0.45, 0.2])),
        "gain": _tint(rng, 0.0, 0.05),
        "curve": np.array([rng.uniform(0.85, 1.12), np.exp(rng.normal(0, 0.12))]),
        "quality": int(rng.integers(17, 28)),
    }
    plain = {"noise": 0.0, "blur": 0.0, "gain": np.ones(3), "curve": np.ones(2), "quality": 12}
    return plain if clean else drawn


def _way(rng: np.random.Generator, spread: float, heights: tuple[float, float], *, behind: bool = False) -> np.ndarray:
    turn = np.radians(rng.uniform(-spread, spread)) + (np.pi if behind else 0.0)
    rise = np.radians(rng.uniform(*heights))
    return np.array([np.sin(turn) * np.cos(rise), np.sin(rise), np.cos(turn) * np.cos(rise)])


def _tinted(level: float, warm: float) -> np.ndarray:
    return level * np.exp([warm, 0.0, -warm])


def _tint(rng: np.random.Generator, light: float, colour: float, *, wild: bool = False) -> np.ndarray:
    """Lighter or darker, warmer or cooler; `wild` may take any hue."""
    warm, green = rng.normal(0, colour), rng.normal(0, colour if wild else 0.2 * colour)
    return np.exp(rng.normal(0, light) + np.array([warm - green, green, -warm - green]))


def _tints(rng: np.random.Generator) -> np.ndarray:
    skin, hair, cloth = _tint(rng, 0.12, 0.05), _tint(rng, 0.4, 0.2), _tint(rng, 0.5, 0.3, wild=True)
    return np.stack([skin, np.minimum(hair, 1.7), np.minimum(cloth, 2.5)])


def make_backdrop(rng: np.random.Generator, size: int = 320) -> np.ndarray:
    """What is behind the person: `uint8 (size, size, 3)`."""
    kind = rng.choice(["plain", "wall", "room", "lights", "noise"], p=[0.15, 0.2, 0.35, 0.1, 0.2])
    out: np.ndarray = _gradient(rng, size)
    if kind == "wall":
        out += _noise(rng, size, octaves=5) * rng.uniform(0.02, 0.12)
    elif kind == "noise":
        out += _noise(rng, size, octaves=4) * rng.uniform(0.1, 0.35)
        out *= 1 + 0.2 * _noise(rng, size, octaves=3)
    elif kind in ("room", "lights"):
        out = _clutter(rng, out, kind)
    out = np.asarray(cv2.GaussianBlur(out, (0, 0), rng.uniform(1.0, 9.0) if kind != "wall" else rng.uniform(0.5, 2.0)))
    out += _noise(rng, size, octaves=6) * 0.015
    return np.clip(out * 255 + 0.5, 0, 255).astype(np.uint8)


def _gradient(rng: np.random.Generator, size: int) -> np.ndarray:
    """Two colours, one direction or a spot."""
    y, x = np.mgrid[0:size, 0:size] / (size - 1.0) - 0.5
    turn, colourful = rng.uniform(0, 2 * np.pi), rng.choice([0.05, 0.15, 0.35])
    ramp = (x * np.cos(turn) + y * np.sin(turn)) + 0.5 if rng.random() < 0.6 else np.hypot(x, y)
    level = rng.uniform(0.03, 0.9)

    def draw() -> np.ndarray:
        return np.clip(level * _tint(rng, 0.3, colourful), 0.02, 0.95)

    first, second = draw(), draw()
    return (first + (second - first) * ramp[..., None]).astype(np.float32)


def _noise(rng: np.random.Generator, size: int, *, octaves: int) -> np.ndarray:
    """Fractal noise `float32 (size, size, 3)`, about [-1, 1]; mostly grey, a little coloured."""
    out = np.zeros((size, size, 3), np.float32)
    for octave in range(octaves):
        cells = 3 * 2**octave
        grid = rng.normal(0, 1, (cells, cells, 1)) + 0.15 * rng.normal(0, 1, (cells, cells, 3))
        out += cv2.resize(grid.astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC) * 0.6 / 1.7**octave
    return out


def _clutter(rng: np.random.Generator, out: np.ndarray, kind: str) -> np.ndarray:
    """Shelves, windows, pictures: rectangles and discs, to be seen out of focus."""
    size, colourful = len(out), rng.choice([0.06, 0.15, 0.35])
    for _ in range(int(rng.integers(6, 40))):
        colour = np.clip(rng.normal(0.4, 0.25) * _tint(rng, 0.0, colourful), 0.01, 1.0).tolist()
        x, y = (int(v) for v in rng.uniform(-0.1, 1.1, 2) * size)
        if kind == "lights" or rng.random() < 0.15:
            bright = np.clip(rng.uniform(0.5, 1.2) * np.exp(rng.normal(0, 0.2, 3)), 0, 1).tolist()
            cv2.circle(out, (x, y), int(rng.uniform(0.01, 0.06) * size), bright, -1, cv2.LINE_AA)
        else:
            wide, high = (rng.uniform(0.03, 0.5, 2) * size * (0.4, 1.0)).astype(int)
            cv2.rectangle(out, (x, y), (x + int(wide), y + int(high)), colour, -1, cv2.LINE_AA)
    return out


def develop(picture: np.ndarray, look: Look, rng: np.random.Generator) -> np.ndarray:
    """The camera's flaws on a drawn frame `uint8 (h, w, 3)`: cast, curve, blur, noise."""
    levels = (np.power(np.arange(256) / 255.0, look.curve[1]) - 0.5) * look.curve[0] + 0.5
    table = np.clip(levels[:, None] * look.gain * 255.0, 0, 255).astype(np.float32)
    out: np.ndarray = cv2.LUT(picture, table[None])
    if look.blur > 0:
        out = cv2.GaussianBlur(out, (0, 0), look.blur * len(picture) / 256)
    if look.noise > 0:
        # Most of a sensor's noise is brightness; less of it is colour.
        grain = rng.standard_normal((*picture.shape[:2], 4), dtype=np.float32)
        out += look.noise * (grain[..., :1] + 0.35 * grain[..., 1:])
    return np.clip(out + 0.5, 0, 255).astype(np.uint8)
