"""A browser that a test can look into: Chromium, told what to do through a pipe in its DevTools protocol."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--hide-scrollbars", "--remote-debugging-pipe", "about:blank"),
)

# The protocol is spoken on descriptors 3 and 4; those that a child is given are moved there by way of free ones.
START = """
import fcntl, os, sys
reading, writing = (fcntl.fcntl(each, fcntl.F_DUPFD, 50) for each in ({r}, {w}))
os.dup2(reading, 3)
os.dup2(writing, 4)
os.execvp(sys.argv[1], sys.argv[1:])
"""

KEYS = {"ArrowLeft": 37, "ArrowRight": 39, "Home": 36, "End": 35, "Tab": 9, "Enter": 13, "Escape": 27, " ": 32}


class Tab:
    """One page. `complaints` holds every error and warning of its console, every exception, every request made."""

    def __init__(self, reading: int, writing: int) -> None:
        self.reading, self.writing = reading, writing
        self.number, self.rest, self.session = 0, b"", ""
        self.complaints: list[str] = []
        self.requests: list[str] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """One command, and its answer."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.writing, json.dumps(message).encode() + b"\0")
        while True:
            heard = self._hear()
            if heard.get("id") == self.number:
                assert "error" not in heard, f"{method}: {heard['error']}"
                return heard["result"]

    def _hear(self) -> dict[str, Any]:
        while b"\0" not in self.rest:
            assert select.select([self.reading], [], [], 60)[0], "the browser does not answer"
            more = os.read(self.reading, 1 << 20)
            assert more, "the browser has ended"
            self.rest += more
        line, _, self.rest = self.rest.partition(b"\0")
        heard = json.loads(line)
        params = heard.get("params", {})
        if heard.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"]))
        elif heard.get("method") == "Runtime.consoleAPICalled":
            self.complaints.append(str(params["args"]))
        elif heard.get("method") == "Log.entryAdded":
            self.complaints.append(params["entry"]["text"])
        elif heard.get("method") == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"].partition(",")[0])
        return heard

    def open(self, file: Path, width: int = 1100, height: int = 900, dark: bool = False, fragment: str = "") -> None:
        """Show a file, and wait until it is there."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme, still])
        self.ask("Page.navigate", url=file.as_uri() + fragment)
        self.until("document.readyState === 'complete' && location.protocol === 'file:'")

    def get(self, expression: str) -> Any:
        """The value of an expression of JavaScript."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, expression: str, seconds: float = 20) -> None:
        """Wait until an expression is true."""
        stop = time.monotonic() + seconds
        while not self.get(expression):
            assert time.monotonic() < stop, f"never true: {expression}"
            time.sleep(0.05)

    def press(self, key: str, times: int = 1) -> None:
        """A key, as the keyboard sends it."""
        text = {"Enter": "\r", " ": " "}.get(key)
        for _ in range(times):
            for kind in ("keyDown", "keyUp"):
                own = {"text": text} if text and kind == "keyDown" else {}
                code = "Space" if key == " " else key
                virtual = KEYS[key]
                self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=code, windowsVirtualKeyCode=virtual, **own)

    def click(self, selector: str) -> None:
        """A click of the mouse in the middle of an element."""
        found = f"document.querySelector({json.dumps(selector)})"
        self.get(f"{found}.scrollIntoView({{block: 'center'}})")
        x, y = self.get(f"(r => [r.x + r.width / 2, r.y + r.height / 2])({found}.getBoundingClientRect())")
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def shoot(self, to: Path, selector: str | None = None) -> None:
        """A PNG of what is seen, or of one element."""
        clip = {}
        if selector:
            box = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
            x, y, width, height = self.get(f"(r => [r.x + scrollX, r.y + scrollY, r.width, r.height])({box})")
            clip = {
                "clip": {"x": x, "y": y, "width": width, "height": height, "scale": 1},
                "captureBeyondViewport": True,
            }
        to.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", **clip)["data"]))


@contextmanager
def chromium(profile: Path) -> Iterator[Tab]:
    """A browser with one page, ended with the block."""
    browser = shutil.which("chromium")
    assert browser is not None, "chromium is not installed"
    to_read, to_write = os.pipe(), os.pipe()
    start = START.format(r=to_read[0], w=to_write[1])
    process = subprocess.Popen(
        [sys.executable, "-c", start, browser, *FLAGS, f"--user-data-dir={profile}"],
        pass_fds=(to_read[0], to_write[1]),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_read[0])
    os.close(to_write[1])
    try:
        yield Tab(to_write[0], to_read[1])
    finally:
        os.close(to_read[1])
        os.close(to_write[0])
        process.terminate()
        process.wait(20)
