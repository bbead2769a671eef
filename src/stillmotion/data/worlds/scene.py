"""The stage: draws a posed figure before a backdrop, with moderngl on EGL.

One `Stage` per process holds the GL context and its programs; `Stage.dress` uploads a figure once,
and `Stage.draw` then costs two uploads of vertices and three passes a frame: shadow map, picture
(four samples a pixel), and triangle ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stillmotion.core.errors import EngineError, MissingExtraError
from stillmotion.data.worlds import shading
from stillmotion.data.worlds.figure import Camera, Figure
from stillmotion.data.worlds.look import Look

BACKDROP_REACH = 1.25
"""The backdrop reaches this far beyond the picture, so that a drifting camera never sees its end."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """One frame as drawn: `picture uint8 (h, w, 3)`, and `ids int32 (h, w)`, triangle or -1."""

    picture: np.ndarray
    ids: np.ndarray


class Stage:
    """A GL context with the renderer's programs.

    Args:
        size: Side of the picture in pixels.
        truth_size: Side of the stored id map in pixels; divides `size`.

    Raises:
        MissingExtraError: moderngl is not installed.
        EngineError: No EGL context can be made on this machine.
    """

    def __init__(self, size: int = 256, truth_size: int = 64) -> None:
        self.size, self.truth_size = size, truth_size
        context = open_context()
        self.context = context
        self.paint = context.program(vertex_shader=shading.VERTEX, fragment_shader=shading.FRAGMENT)
        self.shadows = context.program(vertex_shader=shading.DEPTH_VERTEX, fragment_shader=shading.DEPTH_FRAGMENT)
        self.count = context.program(vertex_shader=shading.IDS_VERTEX, fragment_shader=shading.IDS_FRAGMENT)
        self.hang = context.program(vertex_shader=shading.BACKDROP_VERTEX, fragment_shader=shading.BACKDROP_FRAGMENT)
        square = (size, size)
        self.fine = context.framebuffer(
            [context.renderbuffer(square, 4, samples=4)], context.depth_renderbuffer(square, samples=4)
        )
        self.flat = context.framebuffer([context.renderbuffer(square, 4)])
        self.ids = context.framebuffer(
            [context.renderbuffer(square, 1, dtype="u4")], context.depth_renderbuffer(square)
        )
        self.shadow = context.texture((320, 320), 1, dtype="f4")
        self.dark = context.framebuffer([self.shadow], context.depth_renderbuffer((320, 320)))
        corners = context.buffer(np.array([-1, -1, 1, -1, -1, 1, 1, 1], np.float32).tobytes())
        self.wall = context.vertex_array(self.hang, [(corners, "2f", "corner")])
        self.held: list[Any] = []

    def dress(self, figure: Figure, look: Look, textures: tuple[np.ndarray, np.ndarray | None]) -> None:
        """Upload what stays the same for a clip.

        Args:
            figure: Whom to draw.
            look: Light, backdrop and surface.
            textures: Albedo of the person, and of the hair mesh or None.
        """
        for thing in self.held:
            thing.release()
        context = self.context
        count = len(figure.rest)
        self.positions = context.buffer(reserve=count * 12, dynamic=True)
        self.normals = context.buffer(reserve=count * 12, dynamic=True)
        material = np.zeros((count, 4), np.float32)
        material[:, 0], material[:, 1] = figure.part, figure.ambient
        material[: len(figure.template.face), 2] = figure.template.face
        uv, kind = context.buffer(figure.uv.tobytes()), context.buffer(material.tobytes())
        index = context.buffer(np.ascontiguousarray(figure.triangles, np.int32).tobytes())
        painted = [(self.positions, "3f", "position"), (self.normals, "3f", "normal")]
        self.paint_array = context.vertex_array(
            self.paint, [*painted, (uv, "2f", "uv"), (kind, "4f", "material")], index_buffer=index
        )
        self.shadow_array = context.vertex_array(self.shadows, painted[:1], index_buffer=index)
        self.count_array = context.vertex_array(self.count, painted[:1], index_buffer=index)
        self.albedo = self._texture(textures[0])
        self.hair = self._texture(textures[1] if textures[1] is not None else np.full((2, 2, 3), 128, np.uint8))
        self.backdrop = self._texture(look.backdrop)
        self.held = [
            self.positions, self.normals, uv, kind, index, self.paint_array, self.shadow_array, self.count_array,
            self.albedo, self.hair, self.backdrop,
        ]  # fmt: skip
        self.closed, self.total = figure.template.triangles.size, figure.triangles.size
        self.shade = _light_matrix(look.key_way)
        for name, value in look.uniforms().items():
            self.paint[name].value = value
        for program in (self.paint, self.shadows):
            program["shade"].write(self.shade.T.astype(np.float32).tobytes())

    def draw(self, position: np.ndarray, normal: np.ndarray, *, camera: Camera, affine: np.ndarray) -> Drawn:
        """Draw one frame.

        Args:
            position: `float32 (n, 3)` metres.
            normal: `float32 (n, 3)`.
            camera: Where from.
            affine: `(2, 3)` drift of the picture, from `Camera.affine`.
        """
        self.positions.write(np.ascontiguousarray(position, np.float32).tobytes())
        self.normals.write(np.ascontiguousarray(normal, np.float32).tobytes())
        self._aim(camera, affine)
        self.context.enable_only(self.context.DEPTH_TEST)
        self.dark.use()
        self.dark.clear(1.0, 1.0, 1.0, 1.0)
        self.shadow_array.render()
        self.fine.use()
        self.fine.clear()
        self.backdrop.use(3)
        self.wall.render(self.context.TRIANGLE_STRIP)
        self.albedo.use(0)
        self.hair.use(1)
        self.shadow.use(2)
        self._render(self.paint_array, self.paint)
        self.context.copy_framebuffer(self.flat, self.fine)
        self.ids.use()
        self.ids.clear()
        self._render(self.count_array, self.count)
        raw = np.frombuffer(self.flat.read(components=3, alignment=1), np.uint8).reshape(self.size, self.size, 3)
        seen = np.frombuffer(self.ids.read(components=1, dtype="u4", alignment=1), np.uint32)
        ids = seen.reshape(self.size, self.size).astype(np.int32) - 1
        return Drawn(np.ascontiguousarray(raw[::-1]), np.ascontiguousarray(ids[::-1]))

    def _render(self, array: Any, program: Any) -> None:
        """The template is closed: its far side is left out. Hair and glasses show both sides."""
        self.context.enable(self.context.CULL_FACE)
        if program is self.count:
            program["first"].value = 0
        array.render(vertices=self.closed)
        self.context.disable(self.context.CULL_FACE)
        if self.total > self.closed:
            if program is self.count:
                program["first"].value = self.closed // 3
            array.render(vertices=self.total - self.closed, first=self.closed)

    def _aim(self, camera: Camera, affine: np.ndarray) -> None:
        for program in (self.paint, self.count):
            program["centre"].value = camera.centre
            program["side"].value = camera.side
            program["away"].value = camera.distance
        for program in (self.paint, self.count, self.hang):
            program["turn"].value = tuple(affine[:, :2].T.reshape(-1))
            program["move"].value = tuple(affine[:, 2])
        self.hang["reach"].value = BACKDROP_REACH
        self.paint["eye"].value = (*camera.centre, camera.distance)
        for unit, name in enumerate(("albedo", "hair", "shadow")):
            self.paint[name].value = unit
        self.hang["picture"].value = 3

    def _texture(self, picture: np.ndarray) -> Any:
        height, width = picture.shape[:2]
        texture = self.context.texture((width, height), 3, np.ascontiguousarray(picture).tobytes(), alignment=1)
        texture.build_mipmaps()
        texture.filter = (self.context.LINEAR_MIPMAP_LINEAR, self.context.LINEAR)
        return texture

    def close(self) -> None:
        """Give the context back."""
        self.context.release()


def open_context() -> Any:
    """A GL context without a window.

    Raises:
        MissingExtraError: moderngl is not installed.
        EngineError: No EGL context can be made on this machine.
    """
    try:
        import moderngl
    except ImportError as error:
        raise MissingExtraError("rendering needs moderngl", hint='pip install "stillmotion[train]"') from error
    try:
        return moderngl.create_context(standalone=True, backend="egl", require=330)  # type: ignore[arg-type]
    except Exception as error:
        raise EngineError(
            f"no EGL context on this machine: {error}",
            hint="on Debian or Ubuntu without a GPU: apt-get install libegl1 libgl1-mesa-dri",
        ) from error


def _light_matrix(way: np.ndarray) -> np.ndarray:
    """World to the light's picture: orthographic, half a metre about the head, `(4, 4)`."""
    forward = np.asarray(way, dtype=np.float64)
    right = np.cross([0.0, 1.0, 0.0], forward)
    right /= np.linalg.norm(right)
    up = np.cross(forward, right)
    out = np.eye(4)
    out[:3, :3] = np.stack([right, up, -forward]) / 0.42
    out[:3, 3] = out[:3, :3] @ np.array([0.0, 0.12, 0.05])
    return out
