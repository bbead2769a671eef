"""`stillmotion studio`: the page on this machine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(kw_only=True)
class Command:
    """Open the page: drop a photo and a clip, or animate your photo live with your camera.

    It listens on this machine alone. With --host it listens elsewhere too, and asks for the token
    that is printed.
    """

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 is every one of this machine's."""
    port: int = 7860
    """Port to listen on; 0 takes a free one."""
    open: bool = False
    """Open the page in the browser."""

    def run(self) -> None:
        """Serve until Ctrl-C."""
        from stillmotion.live.app import mount as mount_live
        from stillmotion.live.backstage import Here
        from stillmotion.live.stage import Stage
        from stillmotion.server.limits import Limits
        from stillmotion.server.start import new_app, private_folder, run
        from stillmotion.studio.app import mount

        limits = Limits()
        with private_folder() as folder:
            app = new_app()
            stage = Stage(folder, limits, backstage=Here())
            mount_live(app, stage)
            desk = mount(app, folder, limits)
            desk.warm()
            try:
                run(app, host=self.host, port=self.port, limits=limits, ready=self._announce)
            finally:
                desk.close()
                stage.close()

    def _announce(self, address: str) -> None:
        print(f"stillmotion studio: {address}", flush=True)
        print("Only animate people who agreed to it, and say that the result is generated. Ctrl-C stops.", flush=True)
        if self.open:
            import webbrowser

            webbrowser.open(address)
