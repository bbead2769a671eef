"""A source's own transparency: what lies under it is filled for the network, and it moves along with the pixels.

The networks know no transparency. Laid on white, a cut-out takes white into its edges; with its own colours spread
all around it, the network takes the surroundings for more of the figure and leaves hair behind when the head turns. So
it gets a narrow rim of the figure's own colours, and white beyond: what blends into an edge comes from the rim.
"""

from __future__ import annotations

import cv2
import numpy as np

from stillmotion.core.errors import MotionError
from stillmotion.core.flow import Flow, make_grid, to_pixels
from stillmotion.core.frame import Frame
from stillmotion.core.method import MethodSpec, Rendering
from stillmotion.prepare.crop import Crop
from stillmotion.prepare.paste import Paster
from stillmotion.prepare.resize import resize_plane
from stillmotion.video.image import composite

SPREAD_SIDE = 512
"""Colours are spread in a copy of at most this many pixels a side: it is a blur, and large pictures stay quick."""

RIM = 1 / 40
"""Width of the rim of the figure's colours that the network sees, in shorter sides of its frame."""

TRUSTED = 8
"""Alpha from which a pixel's own colour is kept; below, 8-bit programs have stored noise there."""


def spread_colours(colour: np.ndarray, alpha: np.ndarray) -> Frame:
    """Fill the transparent parts of a picture with the colours of the edges around them, ever softer with distance.

    Args:
        colour: `uint8 (h, w, 3)`, not multiplied with alpha; what is stored under transparent pixels is of no matter.
        alpha: `uint8 (h, w)`, 255 where opaque.

    Returns:
        `uint8 (h, w, 3)`; equal to `colour` to the bit where alpha is `TRUSTED` or more.

    Source:
        The pull and push of Gortler et al. 1996 ("The Lumigraph"), with box filters down and linear ones up.
    """
    height, width = alpha.shape
    shrink = max(height, width, SPREAD_SIDE) / SPREAD_SIDE
    small = (max(round(height / shrink), 1), max(round(width / shrink), 1))
    weight = resize_plane(alpha, small).astype(np.float32) / 255.0
    weighted = resize_plane(composite(colour, alpha, background=(0, 0, 0)), small).astype(np.float32)
    fill = np.clip(_pulled(weighted, weight) + 0.5, 0, 255).astype(np.uint8)
    trust = np.minimum(alpha.astype(np.uint16) * (256 // TRUSTED), 255).astype(np.uint8)
    return _laid_over(colour, trust, resize_plane(fill, (height, width)))


def _pulled(weighted: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Colours `float32 (h, w, 3)`, given already times their weights `(h, w)`, with what they leave open filled."""
    if weight.size == 1:
        return weighted / weight[..., None] if weight.all() else np.full_like(weighted, 255.0)
    height, width = weight.shape
    half = ((height + 1) // 2, (width + 1) // 2)
    coarse = cv2.resize(weight, half[::-1], interpolation=cv2.INTER_AREA).reshape(half)
    coloured = cv2.resize(weighted, half[::-1], interpolation=cv2.INTER_AREA).reshape(*half, 3)
    # A cell that is a quarter covered has one whole pixel's colour: it counts in full.
    gain = np.minimum(4.0, 1.0 / np.maximum(coarse, 0.25))
    filled = _pulled(coloured * gain[..., None], coarse * gain)
    up = cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR).reshape(height, width, 3)
    return np.asarray(weighted + up * (1.0 - weight)[..., None], dtype=np.float32)


def _laid_over(colour: np.ndarray, alpha: np.ndarray, behind: np.ndarray) -> Frame:
    """`colour` over another picture of its size, rounded to nearest."""
    opaque = alpha.astype(np.uint16)[..., None]
    return ((colour * opaque + behind * (255 - opaque) + 127) // 255).astype(np.uint8)


class Cutout:
    """A source with transparency, ready to be animated, and its alpha in each animated frame.

    Args:
        colour: Full picture, `uint8 (h, w, 3)`, not multiplied with alpha.
        alpha: How opaque it is, `uint8 (h, w)`.
        crop: The part that is animated.
        spec: Of the method.

    Attributes:
        picture: The full picture, its transparent parts filled with the colours around them.
        frame: The part of it that is animated, of the method's size, with white behind the figure and its rim.
        alpha: Of the full picture.
    """

    def __init__(self, colour: np.ndarray, alpha: np.ndarray, *, crop: Crop, spec: MethodSpec) -> None:
        self.alpha, self._spec, self._crop = alpha, spec, crop
        self.picture = spread_colours(colour, alpha)
        self.frame = _rimmed(crop.apply(self.picture, spec.size), crop.apply(as_grey(alpha), spec.size)[..., 0])
        self._plane, self._map = _sampled(alpha, crop, spec.size)

    def follow(self, rendering: Rendering) -> np.ndarray:
        """Alpha of a rendered frame: the source's, moved by the frame's own flow; transparent outside the source.

        The flow is read over the whole picture, so that what moves into the crop from beside it is there too.

        Args:
            rendering: One frame.

        Returns:
            `uint8 (h, w)` of the method's size.

        Raises:
            MotionError: The method paints without moving pixels, so nothing tells where transparency goes.
        """
        if not rendering.flows:
            raise MotionError(
                f"{self._spec.name} paints its frames and has no flow, so transparency cannot follow",
                hint="choose a background colour, such as --background white",
            )
        points = to_pixels(full_grid(rendering.flows[0], self._spec.size), self._spec.size, self._spec.convention)
        (scale_x, shift_x), (scale_y, shift_y) = self._map
        x = (points[..., 0] * scale_x + shift_x).astype(np.float32)
        y = (points[..., 1] * scale_y + shift_y).astype(np.float32)
        return cv2.remap(self._plane, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)

    def paster(self) -> Paster:
        """Sets the alpha of animated frames, as grey pictures, back into the full picture's."""
        return Paster(as_grey(self.alpha), self._crop, size=self._spec.size)


def _rimmed(spread: Frame, alpha: np.ndarray) -> Frame:
    """A picture with its colours spread, turned to white from a rim around the figure on."""
    reach = max(round(min(alpha.shape) * RIM), 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    present = np.where(alpha >= TRUSTED, 255, 0).astype(np.uint8)
    return composite(spread, cv2.GaussianBlur(cv2.dilate(present, disc), (0, 0), 0.4 * reach))


def as_grey(plane: np.ndarray) -> Frame:
    """A plane `uint8 (h, w)` as a picture `(h, w, 3)`."""
    return np.repeat(plane[..., None], 3, axis=2)


def full_grid(flow: Flow, size: tuple[int, int]) -> np.ndarray:
    """The grid of a flow at another size, `float32 (h, w, 2)`.

    Movement is enlarged, not position, so that a pixel that stays stays exactly.

    Args:
        flow: Of any size, often a quarter of the frame's.
        size: Wanted `(h, w)`.
    """
    moved = (flow.grid - make_grid(flow.size, flow.convention)).astype(np.float32)
    enlarged = cv2.resize(moved, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(enlarged + make_grid(size, flow.convention), dtype=np.float32)


Line = tuple[float, float]
"""Factor and summand."""


def _sampled(alpha: np.ndarray, crop: Crop, size: tuple[int, int]) -> tuple[np.ndarray, tuple[Line, Line]]:
    """The part of alpha that a flow over the crop can reach, shrunk where the crop is, and how to find a point in it.

    Returns:
        The plane `uint8`, and for x and y the line from pixels of a frame of `size` to pixels of the plane.
    """
    left, top, width, height = crop.pixels
    lines, spans, wanted = [], [], []
    for start, length, extent, count in (
        (left, width, alpha.shape[1], size[1]),
        (top, height, alpha.shape[0], size[0]),
    ):
        low, high = max(start - length, 0), min(start + 2 * length, extent)
        # Twice as fine as the frame: the flow reads between its pixels, and must not blur them once more.
        shrunk = max(round((high - low) * min(2 * count / length, 1.0)), 1)
        ratio = shrunk / (high - low)
        lines.append((length / count * ratio, (start + length / count / 2 - low) * ratio - 0.5))
        spans.append(slice(low, high))
        wanted.append(shrunk)
    plane = resize_plane(np.ascontiguousarray(alpha[spans[1], spans[0]]), (wanted[1], wanted[0]))
    return plane, (lines[0], lines[1])
