"""What a command says: kept for its outputs and its error message, and streamed to the engine's log."""

import asyncio

from .engines import Log

LONGEST_LINE = 64 * 1024
"""Bytes. The real plugin's log reader stops at a longer line, and the plugin then waits for it for ever."""


class LineTooLongError(Exception):
    """The real plugin would hang now; a rehearsal that goes on would hide it."""


class Output:
    """The listener of one command: collects both streams and sends the lines of those that are logged.

    `logging` is the resource's input: stdout, stderr, stdoutAndStderr, none; None logs both. Both streams go through
    one buffer, as in the real plugin: unfinished lines of the two run together.
    """

    def __init__(self, log: Log | None, urn: str, logging: str | None) -> None:
        self._log = log
        self._urn = urn
        self._logs_stdout = logging in (None, "stdout", "stdoutAndStderr")
        self._logs_stderr = logging in (None, "stderr", "stdoutAndStderr")
        self._stdout = bytearray()
        self._stderr = bytearray()
        self._both = bytearray()
        self._unfinished = bytearray()
        self._too_long = False
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._sender = asyncio.create_task(self._send())

    def stdout(self, chunk: bytes) -> None:
        """Hears part of the standard output."""
        self._hear(chunk, self._stdout, self._logs_stdout)

    def stderr(self, chunk: bytes) -> None:
        """Hears part of the standard error."""
        self._hear(chunk, self._stderr, self._logs_stderr)

    def status(self, sentence: str) -> None:
        """Hears about the connection."""
        self._lines.put_nowait(sentence)

    def _hear(self, chunk: bytes, stream: bytearray, logged: bool) -> None:
        stream += chunk
        self._both += chunk
        if not logged:
            return
        self._unfinished += chunk
        *lines, rest = self._unfinished.split(b"\n")
        self._unfinished = bytearray(rest)
        for line in lines:
            self._say(line)
        self._too_long = self._too_long or len(rest) >= LONGEST_LINE

    def _say(self, line: bytearray) -> None:
        self._too_long = self._too_long or len(line) >= LONGEST_LINE
        self._lines.put_nowait(line.removesuffix(b"\r").decode(errors="replace"))

    async def _send(self) -> None:
        while (line := await self._lines.get()) is not None:
            if self._log is not None:
                await self._log.write(line, self._urn, passing=True)

    async def close(self) -> tuple[bytes, bytes, bytes]:
        """Waits until everything was logged; the standard output, the standard error, and both as they came.

        Raises LineTooLongError.
        """
        if self._unfinished:
            self._say(self._unfinished)
        self._lines.put_nowait(None)
        await self._sender
        if self._too_long:
            raise LineTooLongError(
                f"expected lines of less than {LONGEST_LINE} bytes on the logged streams, found a longer one, at which "
                "the real plugin hangs for ever; print shorter lines, or leave the stream out of `logging`"
            )
        return bytes(self._stdout), bytes(self._stderr), bytes(self._both)

    def abandon(self) -> None:
        """Stops logging: nobody waits for the command any more."""
        self._sender.cancel()
