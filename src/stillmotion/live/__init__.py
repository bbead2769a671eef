"""A photo that performs what the camera sees, in the browser."""
