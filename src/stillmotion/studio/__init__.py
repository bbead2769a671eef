"""The page: a photo and a clip in, a video out."""
