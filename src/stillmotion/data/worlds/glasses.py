"""Glasses: two rims, a bridge and two temples, fitted to a face at rest."""

from __future__ import annotations

import numpy as np

from stillmotion.data.worlds.cast import JOINTS, Extra, Person, Template

GLASSES = 8
"""Part id of glasses."""

_SEGMENTS = 28


def make_glasses(person: Person, template: Template, rng: np.random.Generator) -> Extra:
    """A random pair for one person, rigid with the head."""
    wide, high = rng.uniform(0.022, 0.028), rng.uniform(0.015, 0.024)
    power, thick = rng.uniform(2.0, 4.0), rng.uniform(0.0008, 0.0026)
    skin = person.position[template.part == 0]
    x, y, z = skin.T
    near = (np.abs(x) > 0.014) & (np.abs(x) < 0.058) & (y > -0.022) & (y < 0.022)
    front = float(z[near].max()) + 0.002 + thick
    side = (np.abs(y) < 0.01) & (z < -0.035) & (z > -0.06)
    reach = float(np.quantile(np.abs(x[side]), 0.95)) + 0.001 if side.any() else 0.072
    eye, level = 0.0065 + wide, -0.003 + rng.uniform(-0.003, 0.003)
    turn = np.linspace(0, 2 * np.pi, _SEGMENTS, endpoint=False)
    round_x = np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** (2 / power)
    round_y = np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** (2 / power)
    lines = []
    for sign in (-1.0, 1.0):
        # A little wrapped: the outer edges sit further back.
        ring = np.stack([sign * eye + wide * round_x, level + high * round_y, front - 0.12 * wide * sign * round_x], -1)
        lines.append((ring, True))
        hinge = np.array([sign * (eye + wide), level + 0.4 * high, front - 0.12 * wide])
        corner = np.array([sign * max(reach - 0.004, eye + wide), level + 0.4 * high, front - 0.02])
        ear = np.array([sign * reach, level + 0.006, front - 0.1])
        lines.append((np.stack([hinge, corner, ear]), False))
    arch = np.linspace(-1, 1, 7)
    gap = eye - wide * 0.98
    bridge = np.stack([arch * gap, level + 0.25 * high + 0.003 * (1 - arch**2), front + 0.002 * (1 - arch**2)], -1)
    lines.append((bridge, False))
    return _tubes(lines, thick)


def _tubes(lines: list[tuple[np.ndarray, bool]], thick: float) -> Extra:
    """Square tubes along lines; a line may be closed."""
    points, triangles, start = [], [], 0
    offsets = thick * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    for line, closed in lines:
        ahead = np.roll(line, -1, 0) - np.roll(line, 1, 0)
        if not closed:
            ahead[0], ahead[-1] = line[1] - line[0], line[-1] - line[-2]
        ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
        # Temples run backwards, where the view's direction cannot serve as the second axis.
        up = np.where(np.abs(ahead[:, 2:]) > 0.7, [[0.0, 1.0, 0.0]], [[0.0, 0.0, 1.0]])
        first = np.cross(ahead, up)
        first /= np.linalg.norm(first, axis=1, keepdims=True)
        second = np.cross(first, ahead)
        tube = line[:, None] + first[:, None] * offsets[None, :, :1] + second[:, None] * offsets[None, :, 1:]
        points.append(tube.reshape(-1, 3))
        count = len(line)
        for index in range(count if closed else count - 1):
            here, there = start + 4 * index, start + 4 * ((index + 1) % count)
            for corner in range(4):
                other = (corner + 1) % 4
                triangles += [
                    (here + corner, here + other, there + corner),
                    (here + other, there + other, there + corner),
                ]
        start += 4 * count
    position = np.concatenate(points).astype(np.float32)
    skin = np.zeros((len(position), len(JOINTS)), np.float32)
    skin[:, JOINTS.index("Head")] = 1.0
    return Extra(position, np.zeros((len(position), 2), np.float32), np.array(triangles, np.int32), skin, None)
