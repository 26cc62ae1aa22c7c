"""A simulator of this checkout, for the tests of every SDK.

Nothing here knows the simulator's code: it is started as a program and spoken to over HTTP.
"""

import json
import os
import pathlib
import subprocess
import tempfile
import time
import urllib.request

CHECKOUT = pathlib.Path(__file__).parents[2]
PROGRAM = pathlib.Path(os.environ.get("SIMULATOR", CHECKOUT / "target/debug/simulator"))
PATIENCE_SECONDS = 20

# Whatever proxy an SDK is told to use is not for the tests themselves.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def until(reached, what):
    """Calls `reached` until it returns something, and returns that."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not (result := reached()):
        if time.monotonic() > give_up:
            raise AssertionError(f"waited {PATIENCE_SECONDS} s for {what}")
        time.sleep(0.02)
    return result


def run(*arguments, **settings):
    """What the program prints when it is asked for one thing, with these settings."""
    done = subprocess.run([PROGRAM, *arguments], env=environment(settings), capture_output=True, text=True, check=True)
    return done.stdout


def environment(settings):
    """This process's variables without those of a running demo, and with these settings."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("FLEET_")}
    return others | {f"FLEET_SIMULATOR__{name}": value for name, value in settings.items()}


class Simulator:
    """A simulator on a port of its own, 200 times as fast as life, with these people and settings beside the usual."""

    def __init__(self, people, **more):
        self._folder = tempfile.TemporaryDirectory(prefix="fleet-sdk-")
        folder = pathlib.Path(self._folder.name)
        (folder / "people.toml").write_text(people)
        settings = {
            "LISTEN": "127.0.0.1:0",
            "TELEMETRY_LISTEN": "127.0.0.1:0",
            "PEOPLE": str(folder / "people.toml"),
            "LOG": str(folder / "log.jsonl"),
            "SPEED": "200.0",
        } | more
        with open(folder / "output", "wb") as output:
            self._process = subprocess.Popen([PROGRAM], env=environment(settings), stdout=output, stderr=output)
        self._output, self._log = folder / "output", folder / "log.jsonl"
        self.url = until(self._base_url, "the simulator to serve")

    def _base_url(self):
        if self._process.poll() is not None:
            raise AssertionError(f"the simulator has ended: {self._output.read_text()}")
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return json.loads(lines[0])["base_url"] if lines else None

    def control(self, path, body):
        """Sends JSON to `/sim/…`."""
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/sim/{path}", json.dumps(body).encode(), headers)
        DIRECT.open(request, timeout=10).close()

    def facts(self, name):
        """The facts of this name in the log, so far."""
        with DIRECT.open(f"{self.url}/sim/log?limit=1000000", timeout=10) as page:
            facts = [json.loads(line) for line in page]
        return [fact for fact in facts if fact["fact"] == name]

    def stop(self):
        self._process.terminate()
        self._process.wait(timeout=PATIENCE_SECONDS)
        self._folder.cleanup()
