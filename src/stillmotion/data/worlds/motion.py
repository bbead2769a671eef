"""Motion as a track: what a head does over time, independent of who does it.

Any person can perform any track; that is what makes "A performing B's motion" an exact truth.
Angles are radians, lengths metres, shape weights nominally in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

SHAPES = (
    "AE_AA_h", "AO_a_h", "Ax_E_h", "TD_I_h", "UH_OO_h", "UW_U_h", "H_EST_h", "FV_h", "S_h", "SH_CH_h", "MPB_Up_h",
    "MPB_Down_h", "KG_h", "RlipUp_h", "LlipUp_h", "RlipDown_h", "LlipDown_h", "RlipSide_h", "LlipSide_h",
    "RlipCorner_h", "LlipCorner_h", "JawCompress_h", "Rjaw_h", "Ljaw_h", "JawFront_h", "Chew_h", "MouthOpen_h",
    "Shout_h", "RsmileClose_h", "LsmileClose_h", "RsmileOpen_h", "LsmileOpen_h", "RmouthSad_h", "LmouthSad_h",
    "Rdisgust_h", "Ldisgust_h", "Kiss_h", "Rblow_h", "Lblow_h", "Chin_h", "Glotis_h", "RneckTension_h",
    "LneckTension_h", "Rnostril_h", "Lnostril_h", "ReyeClose_h", "LeyeClose_h", "ReyeOpen_h", "LeyeOpen_h",
    "Rsquint_h", "Lsquint_h", "RlowLid_h", "LlowLid_h", "Rsad_h", "Lsad_h", "Rpityful_h", "Lpityful_h", "RRbrowUp_h",
    "RbrowUp_h", "LbrowUp_h", "LLbrowUp_h", "RRbrowDown_h", "RbrowDown_h", "LbrowDown_h", "LLbrowDown_h",
)  # fmt: skip
"""Names of the facial shapes a track has weights for, in column order."""

_COLUMN = {name: index for index, name in enumerate(SHAPES)}

# What a syllable's vowel and consonant do to the lips and jaw, as shape weights at full strength.
_VOWELS: tuple[dict[str, float], ...] = (
    {"AE_AA_h": 1.0, "MouthOpen_h": 0.25},
    {"AO_a_h": 1.0, "MouthOpen_h": 0.15},
    {"Ax_E_h": 1.0},
    {"TD_I_h": 1.0, "RlipSide_h": 0.2, "LlipSide_h": 0.2},
    {"UH_OO_h": 1.0},
    {"UW_U_h": 1.0, "Kiss_h": 0.25},
    {"H_EST_h": 1.0},
    {"MouthOpen_h": 0.7},
)
_CONSONANTS: tuple[dict[str, float], ...] = (
    {"MPB_Up_h": 0.8, "MPB_Down_h": 0.8},
    {"FV_h": 0.9},
    {"S_h": 0.9},
    {"SH_CH_h": 0.9},
    {"KG_h": 0.8},
    {"Kiss_h": 0.5},
)
_MOODS: tuple[dict[str, float], ...] = (
    {"RsmileClose_h": 0.8, "LsmileClose_h": 0.8, "Rsquint_h": 0.3, "Lsquint_h": 0.3},
    {"RsmileOpen_h": 0.8, "LsmileOpen_h": 0.8, "RlowLid_h": 0.4, "LlowLid_h": 0.4},
    {"RmouthSad_h": 0.7, "LmouthSad_h": 0.7, "Rsad_h": 0.6, "Lsad_h": 0.6},
    {"RRbrowUp_h": 0.9, "RbrowUp_h": 0.9, "LbrowUp_h": 0.9, "LLbrowUp_h": 0.9, "ReyeOpen_h": 0.6, "LeyeOpen_h": 0.6},
    {
        "RbrowDown_h": 0.9,
        "LbrowDown_h": 0.9,
        "RRbrowDown_h": 0.6,
        "LLbrowDown_h": 0.6,
        "Rsquint_h": 0.4,
        "Lsquint_h": 0.4,
    },
    {"Rdisgust_h": 0.6, "Ldisgust_h": 0.6, "Rnostril_h": 0.5, "Lnostril_h": 0.5},
    {"Rpityful_h": 0.8, "Lpityful_h": 0.8},
    {"RsmileClose_h": 0.9, "RbrowUp_h": 0.7, "RRbrowUp_h": 0.7},
    {"LsmileClose_h": 0.9, "LbrowUp_h": 0.7, "LLbrowUp_h": 0.7},
    {"Kiss_h": 0.8},
    {"Rblow_h": 0.7, "Lblow_h": 0.7},
    {"Rjaw_h": 0.6},
    {"Ljaw_h": 0.6},
    {"JawFront_h": 0.6, "Chin_h": 0.5},
    {"MouthOpen_h": 0.9, "RbrowUp_h": 0.5, "LbrowUp_h": 0.5},
    {"Shout_h": 0.8, "Rsquint_h": 0.4, "Lsquint_h": 0.4},
)
# Faces that somebody makes for the camera, from one to the next.
_FACES: tuple[dict[str, float], ...] = (
    {},
    {"RsmileOpen_h": 1.0, "LsmileOpen_h": 1.0, "RlipUp_h": 0.4, "LlipUp_h": 0.4, "RlowLid_h": 0.4, "LlowLid_h": 0.4},
    {"RsmileOpen_h": 0.9, "LsmileOpen_h": 0.9, "RlipUp_h": 0.3, "LlipUp_h": 0.3, "RlipDown_h": 0.4, "LlipDown_h": 0.4},
    {"RsmileOpen_h": 0.8, "LsmileOpen_h": 0.8, "MouthOpen_h": 0.5, "Rsquint_h": 0.4, "Lsquint_h": 0.4},
    {"RsmileClose_h": 1.0, "LsmileClose_h": 1.0},
    {"MouthOpen_h": 1.0},
    {"Shout_h": 1.0},
    {"AO_a_h": 1.0, "MouthOpen_h": 0.3},
    {"Kiss_h": 0.9},
    {"MPB_Up_h": 0.8, "MPB_Down_h": 0.8},
    {"RlipUp_h": 0.8, "LlipUp_h": 0.8, "RlipDown_h": 0.8, "LlipDown_h": 0.8},
)


@dataclass(frozen=True, eq=False)
class Track:
    """One performance, `t` frames long.

    Attributes:
        fps: Frames a second.
        head: `float32 (t, 3)` yaw (positive turns the nose to +x, the picture's right), pitch
            (positive looks down), roll (positive tilts counter-clockwise in the picture); radians.
        torso: `float32 (t, 3)` the same for the chest.
        shift: `float32 (t, 3)` metres: sway of the whole person.
        gaze: `float32 (t, 2)` yaw and pitch of the eyes relative to the head, radians.
        shapes: `float32 (t, len(SHAPES))` weights.
        camera: `float32 (t, 4)`: drift x and y in crop sides, log zoom, roll in radians.
    """

    fps: float
    head: np.ndarray
    torso: np.ndarray
    shift: np.ndarray
    gaze: np.ndarray
    shapes: np.ndarray
    camera: np.ndarray

    def __len__(self) -> int:
        return len(self.head)

    def __getitem__(self, index: slice) -> Track:
        """Part of the track: `track[10:20]`."""
        arrays = {name: getattr(self, name)[index] for name in self.arrays()}
        return Track(fps=self.fps, **arrays)

    @staticmethod
    def arrays() -> list[str]:
        """Names of the fields that hold an array over time."""
        return [field.name for field in fields(Track) if field.name != "fps"]


def make_track(seed: int, frames: int, *, fps: float = 25.0) -> Track:
    """A random performance: head, gaze, blinks, speech, expressions, breathing, camera drift.

    Args:
        seed: Any integer; equal seeds give equal tracks.
        frames: Length.
        fps: Frames a second; a lower rate covers more time with as many frames.
    """
    rng = np.random.default_rng([seed, 7301])
    time = np.arange(frames) / fps
    lively = float(rng.choice([0.35, 0.7, 1.0], p=[0.25, 0.45, 0.30]))
    head = _head(rng, time, lively)
    torso = np.stack([_wander(rng, time, reach, 0.25) for reach in np.radians([7, 3, 3])], -1) + 0.15 * head
    breath = 0.003 * np.sin(2 * np.pi * (rng.uniform(0.2, 0.35) * time + rng.random()))
    shift = np.stack([_wander(rng, time, reach, 0.3) for reach in (0.012, 0.006, 0.01)], -1) * lively
    shift[:, 1] += breath
    gaze, lids = _gaze(rng, time)
    return Track(
        fps=fps,
        head=head.astype(np.float32),
        torso=torso.astype(np.float32),
        shift=shift.astype(np.float32),
        gaze=gaze.astype(np.float32),
        shapes=_face(rng, time, lids).astype(np.float32),
        camera=_camera(rng, time).astype(np.float32),
    )


def make_faces(seed: int, frames: int, *, fps: float = 25.0) -> Track:
    """A performance of faces made for the camera: teeth shown and hidden, mouths wide open, eyes kept shut.

    What a photo starts from more often than a speaker passes through it. Head, gaze and camera move as in `make_track`.

    Args:
        seed: Any integer; equal seeds give equal tracks.
        frames: Length.
        fps: Frames a second.
    """
    track, rng = make_track(seed, frames, fps=fps), np.random.default_rng([seed, 5119])
    time = np.arange(frames) / fps
    out = np.zeros((frames, len(SHAPES)))
    now = -rng.uniform(0.0, 1.0)
    while now < (time[-1] if frames else 0.0):
        hold = rng.uniform(0.2, 1.0)
        _add(out, _FACES[rng.integers(len(_FACES))], rng.uniform(0.5, 1.0) * _bump(time, now, 0.3, hold))
        now += 0.3 + hold  # the next face comes while this one goes
    _calm_mouth(out)
    lids = np.zeros(frames)
    for start in _events(rng, time, 0.5):
        lids = np.maximum(lids, _bump(time, start, 0.12, rng.uniform(0.1, 1.0)))
    for side in "RL":
        wide = 1.0 - 0.3 * out[:, _COLUMN[f"{side}squint_h"]]
        out[:, _COLUMN[f"{side}eyeClose_h"]] = wide * lids * (rng.random() < 0.9)  # now and then a wink
    return replace(track, shapes=np.clip(out, 0.0, 1.0).astype(np.float32))


def _wander(rng: np.random.Generator, time: np.ndarray, reach: float, rate: float) -> np.ndarray:
    """Smooth wandering within about ±`reach`: five sines around `rate` hertz."""
    rates = rate * 2.0 ** rng.uniform(-1.5, 1.2, 5)
    size = rng.uniform(0.3, 1.0, 5) / np.sqrt(rates / rate)
    waves = np.sin(2 * np.pi * (rates * time[:, None] + rng.random(5)))
    return reach * (waves * size).sum(1) / size.sum() * 1.4


def _head(rng: np.random.Generator, time: np.ndarray, lively: float) -> np.ndarray:
    """Yaw, pitch, roll: a base attitude, wandering, and turns, nods or shakes now and then."""
    limit = np.radians([40.0, 25.0, 20.0])
    base = rng.normal(0.0, 0.28, 3) * limit * [1.0, 0.6, 0.4]
    out = base + np.stack([_wander(rng, time, lively * reach, 0.45) for reach in limit * [0.6, 0.5, 0.4]], -1)
    for axis, rate in ((0, 0.35), (1, 0.35), (2, 0.2)):
        for start in _events(rng, time, rate * lively):
            size = rng.normal(0.0, 0.5) * limit[axis]
            out[:, axis] += size * _bump(time, start, rng.uniform(0.5, 1.6), rng.uniform(0.0, 0.8))
    # Soft limits: a turned head tilts and nods less, as necks do.
    out = limit * np.tanh(out / limit * 1.1) / np.tanh(1.1)
    out[:, 1:] *= 1.0 - 0.35 * np.abs(out[:, :1] / limit[0])
    return np.clip(out, -limit, limit)


def _events(rng: np.random.Generator, time: np.ndarray, rate: float) -> np.ndarray:
    """Random instants, `rate` a second, from a second before the first frame to the last."""
    length = (time[-1] if len(time) else 0.0) + 1.0
    return rng.uniform(-1.0, length - 1.0, rng.poisson(rate * length))


def _bump(time: np.ndarray, start: float, rise: float, hold: float) -> np.ndarray:
    """0 to 1 and back: smooth rise and fall of `rise` seconds each around a plateau of `hold` seconds."""
    up = np.clip((time - start) / rise, 0, 1)
    down = np.clip((time - start - rise - hold) / rise, 0, 1)
    return up * up * (3 - 2 * up) - down * down * (3 - 2 * down)


def _gaze(rng: np.random.Generator, time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Saccades `(t, 2)` and how far the lids are closed `(t,)`."""
    gaze = np.tile(rng.normal(0, 0.3, 2) * np.radians([18, 9]), (len(time), 1))
    for start in np.sort(_events(rng, time, 0.9)):
        target = rng.normal(0, 0.5, 2) * np.radians([22, 11])
        blend = np.clip((time - start) / 0.06, 0, 1)[:, None]
        gaze = gaze * (1 - blend) + target * blend
    gaze = np.clip(gaze, -np.radians([28, 16]), np.radians([28, 16]))
    lids = np.zeros(len(time))
    for start in _events(rng, time, 0.45):
        hold = rng.choice([0.02, 0.05, 0.4], p=[0.6, 0.3, 0.1])
        lids = np.maximum(lids, _bump(time, start, rng.uniform(0.07, 0.12), hold))
    return gaze, np.maximum(lids, 0.45 * np.clip(gaze[:, 1] / np.radians(16), 0, 1))


def _face(rng: np.random.Generator, time: np.ndarray, lids: np.ndarray) -> np.ndarray:
    out = np.zeros((len(time), len(SHAPES)))
    if rng.random() < 0.8:
        _speak(rng, time, out)
    for start in np.append(_events(rng, time, 0.5), rng.uniform(-1.5, 0.0)):
        strength = rng.uniform(0.25, 1.0) * _bump(time, start, rng.uniform(0.25, 0.8), rng.uniform(0.2, 1.8))
        _add(out, _MOODS[rng.integers(len(_MOODS))], strength)
    for name in ("RbrowUp_h", "LbrowUp_h", "RRbrowUp_h", "LLbrowUp_h"):
        out[:, _COLUMN[name]] += np.clip(_wander(rng, time, 0.35, 0.6), 0, 1)
    out = np.clip(out, 0.0, 1.0)
    _calm_mouth(out)
    squint = 0.5 * (out[:, _COLUMN["Rsquint_h"]] + out[:, _COLUMN["Lsquint_h"]])
    for name in ("ReyeClose_h", "LeyeClose_h"):
        # A squint already narrows the eye: closing it fully on top would push the lids past each other.
        out[:, _COLUMN[name]] = lids * (1.0 - 0.3 * squint)
    return out


def _speak(rng: np.random.Generator, time: np.ndarray, out: np.ndarray) -> None:
    """Add syllables: a consonant that shapes or closes the lips, then a vowel that opens them."""
    loud, pace = rng.uniform(0.45, 1.1), rng.uniform(2.2, 4.8)
    now = -rng.random()
    while now < time[-1] + 0.5:
        length = 1.0 / pace * rng.uniform(0.7, 1.4)
        _add(out, _CONSONANTS[rng.integers(len(_CONSONANTS))], 0.9 * _bump(time, now - 0.06, 0.09, 0.02))
        vowel = _VOWELS[rng.integers(len(_VOWELS))]
        _add(out, vowel, loud * rng.uniform(0.5, 1.0) * _bump(time, now + 0.04, 0.35 * length, 0.2 * length))
        now += length + (rng.uniform(0.3, 1.2) if rng.random() < 0.12 else 0.0)


def _add(out: np.ndarray, weights: dict[str, float], strength: np.ndarray) -> None:
    for name, weight in weights.items():
        out[:, _COLUMN[name]] += weight * strength


def _calm_mouth(out: np.ndarray) -> None:
    """Keep the sum of mouth shapes near what a face can do: at most 1.4 together."""
    mouth = [_COLUMN[name] for vowel in (*_VOWELS, *_CONSONANTS) for name in vowel]
    moods = ("smile", "mouthSad", "Shout", "Kiss")
    mouth += [_COLUMN[name] for name in SHAPES if any(mood in name for mood in moods)]
    columns = sorted(set(mouth))
    # Left and right halves count once: they act on different vertices.
    half = np.array([0.5 if SHAPES[c][0] in "RL" and SHAPES[c][1].islower() else 1.0 for c in columns])
    total = (out[:, columns] * half).sum(1, keepdims=True)
    out[:, columns] *= np.minimum(1.0, 1.4 / np.maximum(total, 1e-6))


def _camera(rng: np.random.Generator, time: np.ndarray) -> np.ndarray:
    """Drift: none for a tripod, a little for a hand."""
    hand = float(rng.choice([0.0, 0.4, 1.0], p=[0.35, 0.35, 0.3]))
    reach = np.array([0.02, 0.02, 0.03, np.radians(1.5)]) * hand
    return np.stack([_wander(rng, time, size, 0.4) for size in reach], -1)
