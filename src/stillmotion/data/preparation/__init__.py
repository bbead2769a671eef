"""Long videos to a training set: find somebody, follow them while they stay, cut the box out.

    videos ──find──▶ boxes per frame ──follow──▶ tracks ──box──▶ cuts ──cut──▶ clips, annotations.csv
    published annotations ───────────────────────────────────▶ cuts ──┘

Each video is a job of its own, done by a process or by a Ray cluster; a journal says which are done.

Source:
    Siarohin et al. 2019, "First Order Motion Model for Image Animation", §4, and the published
    preprocessing of its data sets. What differs stands where it differs.
"""
