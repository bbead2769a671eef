"""The parts of a session, one source and one driving, that `stillmotion.animate` puts together.

`inputs` opens the picture, `driving` the clip or motion file, `animator` performs, `compose` makes the
written frame, `meter` watches, `report` says what was done; `recording` is the session that only reads.
"""
