"""Debian's Firefox without a driver: its own Marionette protocol, JSON over a local socket.

Playwright drives only a Firefox of its own build, and Debian has no geckodriver; the protocol that both speak
to is a dozen lines. Each message is `length:json`; a command is [0, id, name, arguments], its answer
[1, id, error, result].
"""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path


FIREFOX = "firefox-esr"
PREFERENCES = {
    "marionette.port": 0,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "app.normandy.enabled": False,
    "extensions.update.enabled": False,
    "services.settings.server": "data:,",
}
"""Any free port, and nothing asked of the network."""

START = 60.0
"""Seconds that a loaded machine may take to start it."""


class Firefox:
    """One window of a Firefox that listens."""

    def __init__(self, port):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=START)
        self._file = self._socket.makefile("rb")
        self._count = 0
        self._read()
        self("WebDriver:NewSession", capabilities={})

    def _read(self):
        length = b""
        while (byte := self._file.read(1)) != b":":
            assert byte, "Firefox closed the connection"
            length += byte
        return json.loads(self._file.read(int(length)))

    def __call__(self, command, **arguments):
        self._count += 1
        text = json.dumps([0, self._count, command, arguments]).encode()
        self._socket.sendall(b"%d:%s" % (len(text), text))
        _, number, error, result = self._read()
        assert number == self._count and error is None, (command, error)
        return result

    def script(self, body, *arguments):
        """What the function body returns in the page."""
        return self("WebDriver:ExecuteScript", script=body, args=list(arguments), sandbox="default")["value"]

    def inside(self, body, *arguments):
        """The same with the browser's own rights."""
        self("Marionette:SetContext", value="chrome")
        try:
            return self.script(body, *arguments)
        finally:
            self("Marionette:SetContext", value="content")

    def open(self, file, *, width, theme):
        """Load `file` with an empty console in a viewport `width` wide: a window cannot be narrower than 450."""
        self("WebDriver:SetWindowRect", width=max(width, 500), height=900)
        self.inside(
            """Services.prefs.setIntPref("layout.css.prefers-color-scheme.content-override", arguments[1]);
            gBrowser.selectedBrowser.style.cssText = `flex: none; min-width: 0; width: ${arguments[0]}px`;
            Services.console.reset();""",
            width,
            {"dark": 0, "light": 1}[theme],
        )
        self("WebDriver:Navigate", url=file.as_uri())

    def complaints(self):
        """Errors and warnings that the console has of pages (not refused requests: Chromium's test counts those)."""
        return self.inside(
            """return Services.console.getMessageArray()
              .filter((m) => m instanceof Ci.nsIScriptError && !/^(chrome|resource):/.test(m.sourceName))
              .map((m) => `${m.category}: ${m.errorMessage} (${m.sourceName}:${m.lineNumber})`);"""
        )


@contextmanager
def firefox():
    """A Firefox that runs while the context lasts, with a profile of its own."""
    # Absence is a failure, not a reason to skip, as for Chromium.
    assert shutil.which(FIREFOX), f"{FIREFOX} is missing; `make test` installs it"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        lines = [f'user_pref("{name}", {json.dumps(value)});' for name, value in PREFERENCES.items()]
        Path(home, "user.js").write_text("\n".join(lines), "utf-8")
        log = Path(home, "log")
        flags = ["--headless", "--no-remote", "--profile", home, "--marionette", "--remote-allow-system-access"]
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [FIREFOX, *flags], stdout=stream, stderr=stream, env={**os.environ, "HOME": home}
            )
        try:
            found = Firefox(_port(Path(home, "MarionetteActivePort"), process, log))
            with found._file, found._socket:
                yield found
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _port(file, process, log):
    """The port that it writes down once it listens."""
    end = time.monotonic() + START
    while time.monotonic() < end and process.poll() is None:
        text = file.read_text() if file.exists() else ""
        if text.strip().isdecimal():
            return int(text)
        time.sleep(0.05)
    raise AssertionError(
        f"Firefox does not listen (exit {process.poll()}): {log.read_text('utf-8', 'replace')[-2000:]}"
    )
