"""Start Firefox, and stand between it and Playwright: `python -m tests.browser.firefox_relay FIREFOX ...`.

Playwright drives a Firefox that was not built for it by WebDriver BiDi, of which Debian's (140) knows a part.

- Commands that it does not know, and that Playwright sends to each new page, are answered here as if done; no
  test may depend on them.
- Playwright has a page evaluate text, which in Firefox the policy of the viewer's page forbids even a test.
  The text becomes part of the function that Playwright has the browser call, which no policy concerns.

All else passes in both directions as it is. Playwright learns where to connect from a line that Firefox
writes.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from asyncio.subprocess import PIPE
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application
from tornado.websocket import WebSocketClientConnection, WebSocketHandler, websocket_connect

ANSWERS: dict[str, dict[str, Any]] = {
    "browser.setDownloadBehavior": {},
    "emulation.setMediaFeaturesOverride": {},
    "emulation.setScreenOrientationOverride": {},
    "emulation.setScreenSettingsOverride": {},
    "network.addDataCollector": {"collector": "none"},
    "network.setExtraHeaders": {},
}
CALL = "(utilityScript, ...args) => utilityScript.evaluate(...args)"
WITHOUT_EVAL = """(utilityScript, ...args) =>
    Object.create(utilityScript, { global: { value: { eval: () => (%s
) } } }).evaluate(...args)"""
PLACE = 3  # of the text among the arguments of that function
EXTEND = "injectedScript.extend("  # by which Playwright adds to its own code in the page, as text
EXTENDING = """(injectedScript, { arg }) => {
    const module = {};
    %s
    return new (module.exports.default())(injectedScript, arg);
}"""
CALLED = re.compile(r'\w+\.eval\("\(" \+ \w+\.functionText \+ "\)"\)')
LISTENING = re.compile(r"WebDriver BiDi listening on (ws://\S+)")
MOST_BYTES = 1 << 30  # of a message


class Relay(WebSocketHandler):
    """One connection of Playwright's, and one to the browser for it."""

    def initialize(self, url: str) -> None:
        self.url = url

    def check_origin(self, origin: str) -> bool:
        return True

    async def open(self, *_: str, **__: str) -> None:
        self.browser: asyncio.Future[WebSocketClientConnection] = asyncio.ensure_future(
            websocket_connect(self.url, on_message_callback=self.answered, max_message_size=MOST_BYTES)
        )
        await self.browser

    async def on_message(self, message: str | bytes) -> None:
        asked = json.loads(message)
        if asked["method"] in ANSWERS:
            done = {"type": "success", "id": asked["id"], "result": ANSWERS[asked["method"]]}
            await self.write_message(json.dumps(done))
        else:
            await (await self.browser).write_message(json.dumps(without_eval(asked)))

    def answered(self, message: str | bytes | None) -> None:
        if message is None:
            self.close()
        else:
            self.write_message(message)

    def on_close(self) -> None:
        if self.browser.done():
            self.browser.result().close()


def without_eval(asked: dict[str, Any]) -> dict[str, Any]:
    """Return a command that evaluates no text but says the same."""
    given = asked.get("params", {})
    if asked["method"] != "script.callFunction" or given["functionDeclaration"] != CALL:
        return asked
    text = given["arguments"][PLACE]["value"]
    texts = texts_in(given["arguments"][PLACE + 1 :])
    if EXTEND in text:
        text = EXTENDING % next(one for one in texts if "module.exports" in one)
    elif text.startswith("/*"):  # a whole script, not an expression
        text = f"() => {{ {text} }}"
    elif "functionText" in texts:  # a function as text, somewhere behind its name
        following = texts[texts.index("functionText") :]
        function = next(one for one in following if "=>" in one or one.startswith("function "))
        text = CALLED.sub(lambda _: f"({function})", text)
    return {**asked, "params": {**given, "functionDeclaration": WITHOUT_EVAL % text}}


def texts_in(value: Any) -> list[str]:
    """Return all texts in a value of JSON, however deep."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for one in inner for text in texts_in(one)]


def listen(url: str) -> str:
    """Return the address of a new relay for the browser at an address."""
    (socket,) = bind_sockets(0, "127.0.0.1")
    application = Application(
        [("/session", Relay, {"url": f"{url}/session"})], websocket_max_message_size=MOST_BYTES
    )
    HTTPServer(application).add_socket(socket)
    return f"ws://127.0.0.1:{socket.getsockname()[1]}"


async def main() -> int:
    """Run the browser until it ends."""
    browser = await asyncio.create_subprocess_exec(*sys.argv[1:], stderr=PIPE)
    for one in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(one, browser.terminate)
    assert browser.stderr
    async for raw in browser.stderr:
        line = raw.decode(errors="replace")
        if found := LISTENING.search(line):
            line = f"WebDriver BiDi listening on {listen(found[1])}\n"
        sys.stderr.write(line)
        sys.stderr.flush()
    return await browser.wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
