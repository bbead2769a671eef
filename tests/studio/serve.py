"""A studio in a process of its own, with small limits: prints its address, serves until its stdin closes."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from stillmotion.server.limits import Limits
from stillmotion.server.start import new_app, run
from stillmotion.studio.app import mount


def main() -> None:
    app, limits = new_app(), Limits(megabytes=5, waiting=3)
    desk = mount(app, Path(sys.argv[1]), limits)
    desk.warm()

    def announce(address: str) -> None:
        print(address, desk.worker.pid, flush=True)

    def leave() -> None:
        sys.stdin.read()
        import os
        import signal

        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=leave, daemon=True).start()
    try:
        run(app, host="127.0.0.1", port=0, limits=limits, ready=announce)
    finally:
        desk.close()


if __name__ == "__main__":
    main()
