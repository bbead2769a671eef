"""New people from the cast: blends of two or three, exaggerations, and tints of skin, hair and cloth."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from stillmotion.data.worlds.cast import Person, Template


def blend(template: Template, people: list[Person], weights: np.ndarray, regions: np.ndarray) -> Person:
    """Mix people in shape and albedo within the face; hair, ears and clothes stay the first one's.

    Args:
        template: The shared mesh.
        people: The first gives everything outside of the face.
        weights: `(len(people),)`, summing to 1; may leave [0, 1] a little to exaggerate.
        regions: From `paint_regions`.
    """
    first = people[0]
    if len(people) == 1:
        return first
    mask = template.face[:, None]
    position = sum(w * person.position for w, person in zip(weights, people, strict=True))
    shapes = sum(w * person.shapes for w, person in zip(weights, people, strict=True))
    position = first.position + (position - first.position) * mask
    shapes = first.shapes + (shapes - first.shapes) * mask[template.moving]
    # Eyes and teeth move as wholes: they follow the mean of what their own people have.
    return replace(
        first,
        name="+".join(f"{person.name}:{weight:.2f}" for person, weight in zip(people, weights, strict=True)),
        position=position.astype(np.float32),
        shapes=shapes.astype(np.float32),
        joints=_eyes(template, people, weights),
        texture=_mix_albedo(people, np.clip(weights, 0, 1), regions[..., 0]),
    )


def _eyes(template: Template, people: list[Person], weights: np.ndarray) -> np.ndarray:
    """Joints of the first, with the eyes' pivots where the blended eyeballs are."""
    joints = people[0].joints.copy()
    joints[-2:] = sum(w * person.joints[-2:] for w, person in zip(weights, people, strict=True))
    return joints


def _mix_albedo(people: list[Person], weights: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Mix albedos within the mask, each shifted to the first one's mean colour so that no edge shows."""
    first = people[0].texture.astype(np.float32)
    soft = _fit(mask, first)[..., None]
    weights = weights / weights.sum()
    total = weights[0] * first
    home = _mean(first, soft)
    for weight, person in zip(weights[1:], people[1:], strict=True):
        other = person.texture.astype(np.float32)
        if other.shape != first.shape:
            other = np.asarray(cv2.resize(other, first.shape[1::-1], interpolation=cv2.INTER_AREA), np.float32)
        total += weight * (other * ((home + 8.0) / (_mean(other, soft) + 8.0)))
    return np.clip(first + (total - first) * soft + 0.5, 0, 255).astype(np.uint8)


def _fit(maps: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """Maps at a picture's size, in [0, 1]."""
    height, width = picture.shape[:2]
    return cv2.resize(maps, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255.0


def _mean(picture: np.ndarray, soft: np.ndarray) -> np.ndarray:
    small = cv2.resize(picture, (128, 128), interpolation=cv2.INTER_AREA)
    weight = cv2.resize(soft[..., 0], (128, 128), interpolation=cv2.INTER_AREA)[..., None]
    return (small * weight).sum((0, 1)) / (weight.sum() + 1e-6)


def paint_regions(template: Template, position: np.ndarray, size: int = 512) -> np.ndarray:
    """Maps over the texture, `uint8 (size, size, 3)`: face, scalp, and body below the collar.

    Eyes and teeth are in none of them, nor in the skin: their green and blue are both 255.
    """
    y, z = position[:, 1], position[:, 2]
    scalp = np.clip((y - 0.01 + (z + 0.05) * 0.5) / 0.02, 0, 1) * (1 - template.face)
    body = np.clip((-0.115 - y) / 0.02, 0, 1)
    values = np.stack([template.face, scalp, body], -1)
    values[template.part > 0] = (1.0, 1.0, 1.0)
    out = np.zeros((size, size, 3), np.float32)
    corners = np.round(template.uv[template.triangles] * size * 16).astype(np.int32)
    colours = values[template.triangles].mean(1).tolist()
    for points, colour in zip(corners, colours, strict=True):
        cv2.fillConvexPoly(out, points, colour, shift=4)
    return (cv2.GaussianBlur(out, (0, 0), 2.0) * 255 + 0.5).astype(np.uint8)


def tint(person: Person, tints: np.ndarray, regions: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Albedo and hair texture with other colours of skin, hair and cloth.

    Args:
        person: Whose.
        tints: `(3, 3)` multipliers for skin, hair, cloth.
        regions: From `paint_regions`.
    """
    albedo = person.texture.astype(np.float32)
    maps = _fit(regions, albedo)
    face, scalp, body = maps[..., :1], maps[..., 1:2], maps[..., 2:]
    foreign = np.minimum(scalp, body)
    home = _mean(albedo, face * (1 - foreign))
    # The offset keeps the hue of dark skin, which is mostly noise, from counting.
    ratio = np.log((albedo + 25.0) / (home + 25.0))
    chroma = ratio - ratio.mean(2, keepdims=True)
    far = (chroma**2).sum(2, keepdims=True) / 0.03
    dark = ratio.mean(2, keepdims=True) ** 2
    # A neck in the shade is much darker than the face, so that cloth is told by its hue.
    hair = scalp * _unlike(far + dark / 0.8)
    cloth = body * _unlike(far + dark / 2.0)
    factor = (1 - hair - cloth) * tints[0] + hair * tints[1] + cloth * tints[2]
    factor = factor * (1 - foreign) + foreign
    out = np.clip(albedo * factor + 0.5, 0, 255).astype(np.uint8)
    wig = person.hair.texture if person.hair is not None else None
    if wig is not None:
        wig = np.clip(wig.astype(np.float32) * tints[1] + 0.5, 0, 255).astype(np.uint8)
    return out, wig


def _unlike(distance: np.ndarray) -> np.ndarray:
    return distance**3 / (1.0 + distance**3)


def skin_level(texture: np.ndarray, regions: np.ndarray) -> float:
    """Mean linear albedo of a face, in [0, 1]."""
    maps = cv2.resize(regions, (128, 128), interpolation=cv2.INTER_AREA).astype(np.float32) / 255.0
    weight = maps[..., 0] * (1 - np.minimum(maps[..., 1], maps[..., 2]))
    small = cv2.resize(texture, (128, 128), interpolation=cv2.INTER_AREA).astype(np.float32) / 255.0
    return float((small**2 * weight[..., None]).sum() / (3 * weight.sum() + 1e-6))
