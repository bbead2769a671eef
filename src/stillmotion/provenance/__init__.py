"""Where a file comes from: signing what was generated, and checking what says that it was.

Every written file carries the plain mark of `video.mark`. With the extra `provenance`, C2PA
manifests are added: signed, so that a change shows.
"""

from stillmotion.provenance.checking import Verdict, verify
from stillmotion.provenance.sealing import Sign, marks, sealer

__all__ = ["Sign", "Verdict", "marks", "sealer", "verify"]
