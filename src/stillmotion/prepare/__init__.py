"""Make a photo and a clip fit a method: faces, crops, sizes, reference, smoothing, pictures to show.

numpy and OpenCV only.
"""

from stillmotion.prepare.crop import (
    Crop,
    CropRequest,
    crop_driving,
    crop_source,
    face_crop,
    parse_crop,
    whole_crop,
)
from stillmotion.prepare.faces import Face, FaceDetector, Haar, YuNet, default_detector, main_face
from stillmotion.prepare.paste import Paster, paste_back
from stillmotion.prepare.reference import POSE_MISMATCH, find_reference, mismatch_warning, pose_mismatch
from stillmotion.prepare.resize import resize_frame, resize_plane, side_by_side
from stillmotion.prepare.show import draw_flow, draw_keypoints, draw_occlusion, keypoint_colours
from stillmotion.prepare.smooth import OneEuro

__all__ = [
    "POSE_MISMATCH",
    "Crop",
    "CropRequest",
    "Face",
    "FaceDetector",
    "Haar",
    "OneEuro",
    "Paster",
    "YuNet",
    "crop_driving",
    "crop_source",
    "default_detector",
    "draw_flow",
    "draw_keypoints",
    "draw_occlusion",
    "face_crop",
    "find_reference",
    "keypoint_colours",
    "main_face",
    "mismatch_warning",
    "parse_crop",
    "paste_back",
    "pose_mismatch",
    "resize_frame",
    "resize_plane",
    "side_by_side",
    "whole_crop",
]
