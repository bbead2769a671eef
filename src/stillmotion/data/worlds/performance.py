"""One clip: a person performs a track before a camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stillmotion.data.worlds.cast import JOINTS
from stillmotion.data.worlds.figure import Camera, Figure, Posed, angles_of
from stillmotion.data.worlds.landmarks import landmark_vertices
from stillmotion.data.worlds.look import Look, develop
from stillmotion.data.worlds.motion import Track
from stillmotion.data.worlds.scene import Stage
from stillmotion.data.worlds.truth import ClipTruth, barycentric

# A surface seen more edge-on than this is squeezed into less than a pixel: nothing can be read from it.
_GRAZING = 0.15


@dataclass(frozen=True)
class Framing:
    """How a clip is cropped and from how far it is seen.

    Attributes:
        scale: Side of the crop in sides of the face box.
        offset: `(x, y)` of the crop's middle from the box's, in sides of the crop.
        distance: Metres from the camera to the face.
    """

    scale: float = 2.0
    offset: tuple[float, float] = (0.0, 0.0)
    distance: float = 1.2


def make_framing(seed: int) -> Framing:
    """The jitter of real crops."""
    rng = np.random.default_rng([seed, 4051])
    x, y = np.clip(rng.normal(0, 0.04, 2), -0.08, 0.08)
    return Framing(
        scale=float(np.clip(rng.normal(2.02, 0.16), 1.7, 2.4)),
        offset=(float(x), float(y)),
        distance=float(np.exp(rng.uniform(np.log(0.55), np.log(2.2)))),
    )


def perform(
    stage: Stage,
    figure: Figure,
    track: Track,
    *,
    look: Look,
    framing: Framing,
    textures: tuple[np.ndarray, np.ndarray | None],
    motion: str = "",
) -> tuple[np.ndarray, ClipTruth]:
    """Render a clip and its truth.

    Args:
        stage: GL context; its size is the picture's.
        figure: Who.
        track: What they do.
        look: Light, backdrop, flaws of the camera.
        framing: The crop, about the mean face box of the clip.
        textures: Albedo and hair texture, from `identity.tint`.
        motion: Name of the track, kept in the truth.

    Returns:
        Frames `uint8 (t, size, size, 3)` and their truth.
    """
    posed = figure.pose(track)
    camera = aim(figure, posed, framing)
    affine = camera.affine(track.camera)
    points = camera.project(posed.position, track.camera)
    stage.dress(figure, look, textures)
    rng = np.random.default_rng([look.seed, 6653])
    frames, ids, visible = [], [], []
    for index in range(len(track)):
        drawn = stage.draw(posed.position[index], posed.normal[index], camera=camera, affine=affine[index])
        frames.append(develop(drawn.picture, look, rng))
        ids.append(thin(drawn.ids, stage.truth_size))
        faces = facing(posed.position[index], posed.normal[index], camera) > _GRAZING
        faces[len(figure.template.uv) :] = True
        visible.append(faces & seen(points[index], drawn.ids, figure.triangles))
    spots = landmark_vertices(figure.template)
    flip = np.array([[1, -1, 1], [-1, 1, -1]], np.float64)
    truth = ClipTruth(
        ids=np.stack(ids),
        triangles=figure.triangles,
        points=points[..., :2],
        visible=np.stack(visible),
        part=figure.part,
        backdrop=affine * flip,
        landmarks=points[:, spots, :2],
        landmarks_visible=np.stack(visible)[:, spots],
        pose=(angles_of(posed.head) + track.camera[:, 3:] * [0.0, 0.0, 1.0]).astype(np.float32),
        person=figure.person.name,
        motion=motion,
        fps=track.fps,
    )
    return np.stack(frames), truth


def aim(figure: Figure, posed: Posed, framing: Framing) -> Camera:
    """The camera whose crop holds the face box as the framing says, and the whole head."""
    away = framing.distance
    plane = posed.position[..., :2] / (1.0 - posed.position[..., 2:] / away)
    face = plane[:, landmark_vertices(figure.template)]
    low, high = face.min(1).mean(0), face.max(1).mean(0)
    side = float((high - low).max() * framing.scale)
    centre = (low + high) / 2 + np.array(framing.offset) * side
    head = plane[:, : len(figure.template.uv)][:, figure.template.skin[:, JOINTS.index("Head")] > 0.6]
    first, last = head.min((0, 1)), head.max((0, 1))
    side = max(side, min(1.04 * float((last - first).max()), side * 2.4 / framing.scale))
    # Shift so that the head stays inside; where it cannot, its two overhangs are equal.
    slack = side / 2 * 0.98
    lower, upper = last - slack, first + slack
    middle = (lower + upper) / 2
    centre = np.where(lower > upper, middle, np.clip(centre, lower, upper))
    return Camera((float(centre[0]), float(centre[1])), side, away)


def facing(position: np.ndarray, normal: np.ndarray, camera: Camera) -> np.ndarray:
    """Cosine between each vertex's normal and the direction of the camera, `float32 (n,)`."""
    view = np.array([*camera.centre, camera.distance], np.float32) - position
    return (view * normal).sum(1) / np.sqrt((view**2).sum(1))


def thin(ids: np.ndarray, size: int) -> np.ndarray:
    """Every k-th id, `int32 (size, size)`: the pixel right below and right of each coarse pixel's centre."""
    step = len(ids) // size
    return ids[step // 2 :: step, step // 2 :: step]


def seen(points: np.ndarray, ids: np.ndarray, triangles: np.ndarray, *, tolerance: float = 0.0015) -> np.ndarray:
    """Which vertices are in sight, `bool (n,)`.

    A vertex is in sight where one of the pixels about it shows a surface that is not clearly nearer.

    Args:
        points: `float32 (n, 3)` from `Camera.project`.
        ids: `int32 (h, w)` triangle seen at each pixel.
        triangles: `int32 (m, 3)`.
        tolerance: Metres.
    """
    height, width = ids.shape
    depth = depth_map(points, ids, triangles)
    x, y = (points[:, 0] + 1) * width / 2 - 0.5, (points[:, 1] + 1) * height / 2 - 0.5
    inside = (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)
    out = np.zeros(len(points), bool)
    for right in (0, 1):
        for down in (0, 1):
            column = np.clip(np.floor(x).astype(np.intp) + right, 0, width - 1)
            row = np.clip(np.floor(y).astype(np.intp) + down, 0, height - 1)
            out |= points[:, 2] < depth[row, column] + tolerance
    return out & inside


def depth_map(points: np.ndarray, ids: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Depth of what each pixel shows, `float32 (h, w)` metres; minus infinity where it is the backdrop."""
    height, width = ids.shape
    rows, columns = np.nonzero(ids >= 0)
    corners = points[triangles[ids[rows, columns]]]
    here = np.stack([(columns + 0.5) * 2 / width - 1, (rows + 0.5) * 2 / height - 1], -1)
    weight = np.clip(barycentric(here, corners[..., :2]), 0, 1)
    out = np.full(ids.shape, -np.inf, np.float32)
    out[rows, columns] = (weight * corners[..., 2]).sum(1)
    return out
