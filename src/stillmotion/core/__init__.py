"""The nouns: frames, motion, flow, and what a method promises. numpy only."""
