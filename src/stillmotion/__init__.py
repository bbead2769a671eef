"""stillmotion brings a still image to motion."""
