"""The 68 landmarks of the common layout, as places in the avatars' shared texture.

Order (subject's right first, as it lies on the left of the picture): 0-16 jaw from ear to ear,
17-21 and 22-26 brows, 27-30 bridge of the nose, 31-35 its base, 36-41 and 42-47 eyes (outer corner
first on the picture's left, inner corner first on its right), 48-59 outer lips, 60-67 inner lips.

Source:
    The layout is that of Sagonas et al. 2013 (300 Faces in-the-Wild). The places were picked by
    hand on a rendered face and checked on three others.
"""

from __future__ import annotations

import numpy as np

from stillmotion.data.worlds.cast import Template

MOUTH = slice(48, 68)
EYES = slice(36, 48)
LANDMARK_UV = (
    (0.1756, 0.2537),
    (0.1858, 0.2889),
    (0.1910, 0.3194),
    (0.1775, 0.3543),
    (0.1905, 0.3834),
    (0.2039, 0.4159),
    (0.2293, 0.4317),
    (0.2718, 0.4513),
    (0.3255, 0.4684),
    (0.3790, 0.4513),
    (0.4217, 0.4317),
    (0.4471, 0.4159),
    (0.4606, 0.3834),
    (0.4735, 0.3543),
    (0.4598, 0.3194),
    (0.4652, 0.2889),
    (0.4752, 0.2537),
    (0.2234, 0.1848),
    (0.2439, 0.1817),
    (0.2674, 0.1792),
    (0.2862, 0.1827),
    (0.3011, 0.1861),
    (0.3499, 0.1861),
    (0.3648, 0.1827),
    (0.3836, 0.1792),
    (0.4071, 0.1817),
    (0.4276, 0.1848),
    (0.3258, 0.2042),
    (0.3258, 0.2291),
    (0.3255, 0.2518),
    (0.3258, 0.2769),
    (0.2957, 0.2943),
    (0.3131, 0.2989),
    (0.3255, 0.3013),
    (0.3380, 0.2989),
    (0.3551, 0.2943),
    (0.2408, 0.2171),
    (0.2491, 0.2132),
    (0.2733, 0.2127),
    (0.2842, 0.2149),
    (0.2725, 0.2168),
    (0.2523, 0.2186),
    (0.3668, 0.2149),
    (0.3778, 0.2127),
    (0.4020, 0.2132),
    (0.4105, 0.2176),
    (0.3988, 0.2186),
    (0.3785, 0.2168),
    (0.2694, 0.3592),
    (0.2794, 0.3460),
    (0.2982, 0.3346),
    (0.3255, 0.3402),
    (0.3529, 0.3346),
    (0.3717, 0.3460),
    (0.3866, 0.3592),
    (0.3690, 0.3766),
    (0.3492, 0.3873),
    (0.3255, 0.3890),
    (0.3018, 0.3873),
    (0.2820, 0.3766),
    (0.2720, 0.3565),
    (0.2979, 0.3526),
    (0.3255, 0.3556),
    (0.3531, 0.3526),
    (0.3810, 0.3573),
    (0.3548, 0.3670),
    (0.3255, 0.3690),
    (0.2962, 0.3670),
)


def landmark_vertices(template: Template) -> np.ndarray:
    """Index of each landmark's vertex on the template's skin, `int (68,)`."""
    skin = np.flatnonzero(template.part == 0)
    distance = np.linalg.norm(template.uv[skin][None] - np.array(LANDMARK_UV)[:, None], axis=2)
    return skin[distance.argmin(1)]
