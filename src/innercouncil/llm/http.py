"""What the remote backends share: one HTTP client, bounded waits, retries, and errors that a person can act on.

Nothing listens in this module: `Server` talks to one server. What it says is not trusted: lines are bounded, error
messages are cleaned (`complaints`), and what was asked never turns up in an error.
"""

from __future__ import annotations

import asyncio
import re
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple, TypeVar, cast
from urllib.parse import urlsplit

import httpx
import httpx_sse
import msgspec
import tenacity

from innercouncil.llm.complaints import Complaint, clean, read_complaint, redact, says_too_long
from innercouncil.llm.select import is_loopback
from innercouncil.model.errors import (
    BackendBusyError,
    BackendError,
    BackendGarbageError,
    BackendRejectedError,
    BackendStalledError,
    BackendUnreachableError,
    ModelMissingError,
)

CONNECT_S: Final = 5.0
"""Longest wait for a connection."""
FIRST_TOKEN_S: Final = 300.0
"""Longest silence before an answer begins: the server may have to load the model."""
STALL_S: Final = 60.0
"""Longest silence in the middle of an answer."""
QUICK_S: Final = 10.0
"""Longest wait for what needs no model, such as a list of models."""
TRIES: Final = 3
MAX_LINE: Final = 8 * 2**20
"""Bytes of a line, beyond which it is no answer of a model."""
LONGEST_WAIT_S: Final = 60.0
"""A server that asks for more than this is not waited for."""

_MAX_COMPLAINT: Final = 64 * 1024
_MAX_DOCUMENT: Final = 32 * 2**20
_BUSY: Final = frozenset({429, 500, 502, 503, 504, 529})
_MEMORY: Final = re.compile(r"(system|out of|insufficient|more) memory", re.IGNORECASE)
_T = TypeVar("_T")
_Sleep = Callable[[float], Awaitable[None]]


class RefusedError(BackendRejectedError):
    """The request was refused with a reason that a backend may know how to meet."""

    def __init__(self, message: str, complaint: Complaint) -> None:
        super().__init__(message)
        self.complaint = complaint


class BusyError(BackendBusyError):
    """The server has too much to do and may have said when to come back."""

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Advice(NamedTuple):
    """What a person can do about errors of a server; each is a clause. NAME stands for the model's."""

    start: str = "check that it runs and that the address is right"
    key: str = "set the API key in INNERCOUNCIL_API_KEY"
    model: str = "check the name of the model"


class Feed:
    """The body of one running answer, read with patience that has an end."""

    def __init__(self, response: httpx.Response, server: Server, subject: str, private: Collection[str] = ()) -> None:
        self.private = private
        """Texts of the request, which no error may repeat."""
        self.started = False
        """Whether the answer has begun; from then on silence may last `stall_s`."""
        self.media = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        self._response, self._server, self._subject = response, server, subject

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Bytes as they come. Raises BackendError where they stop or a line does not end."""
        line = 0
        async with aclosing(cast("AsyncGenerator[bytes, None]", self._response.aiter_bytes())) as pieces:
            while True:
                patience = self._server.stall_s if self.started else self._server.first_token_s
                try:
                    async with asyncio.timeout(patience):
                        piece = await anext(pieces)
                except StopAsyncIteration:
                    return
                except TimeoutError as error:
                    raise self._server.stalled(self._subject, patience) from error
                except httpx.DecodingError as error:
                    raise self.garbage("its answer is compressed and cannot be unpacked") from error
                except (httpx.TransportError, httpx.StreamError) as error:
                    raise self._broken() from error
                last = piece.rfind(b"\n")
                line = line + len(piece) if last < 0 else len(piece) - last - 1
                if max(line, len(piece)) > MAX_LINE:
                    raise self.garbage(f"a line of its answer is longer than {MAX_LINE // 2**20} MB")
                yield piece

    async def lines(self) -> AsyncGenerator[str, None]:
        """Lines of text that are not blank; bytes that are not UTF-8 become U+FFFD, as a person would see them."""
        rest: list[bytes] = []
        async with aclosing(self.pieces()) as pieces:
            async for piece in pieces:
                *whole, last = piece.split(b"\n")
                if whole:
                    whole[0] = b"".join([*rest, whole[0]])
                    rest.clear()
                if last:
                    rest.append(last)
                for line in whole:
                    if line.strip():
                        yield line.decode("utf-8", "replace")
        if b"".join(rest).strip():
            yield b"".join(rest).decode("utf-8", "replace")

    async def events(self) -> AsyncGenerator[httpx_sse.ServerSentEvent, None]:
        """Server-sent events; comments are skipped. Raises BackendGarbageError where the body is something else."""
        if self.media != "text/event-stream":
            raise self.garbage(f"it sent {clean(self.media, 40) or 'something'} where a stream of events should be")
        # httpx-sse reads a response: it gets one whose bytes come through `pieces`, and so with our bounds.
        async with aclosing(self.pieces()) as pieces:
            guarded = httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=_Pieces(pieces))
            async with aclosing(httpx_sse.EventSource(guarded).aiter_sse()) as events:
                async for event in events:
                    yield event

    def parse(self, line: str) -> dict[str, Any]:
        """The JSON object in a line. Raises BackendGarbageError."""
        try:
            value = msgspec.json.decode(line)
        except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
            raise self.garbage("a line of its answer is not JSON") from error
        if not isinstance(value, dict):
            raise self.garbage("a line of its answer is not a JSON object")
        return value

    def garbage(self, what: str) -> BackendGarbageError:
        """An error for an answer that breaks its format."""
        return BackendGarbageError(
            f"{self._server.place} did not answer for {self._subject} as it should: {what}; try again, or update it."
        )

    def problem(self, status: int, complaint: Complaint) -> BackendError:
        """The error for a failure reported in the middle of an answer, as if it had come with an HTTP status."""
        return self._server.problem(status, complaint, self._subject, self.private)

    def _broken(self) -> BackendError:
        if self.started:
            return BackendGarbageError(
                f"{self._server.place} broke off in the middle of the answer of {self._subject}; try again."
            )
        return BackendUnreachableError(
            f"{self._server.place} broke the connection before {self._subject} answered; try again."
        )


class _Pieces(httpx.AsyncByteStream):
    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._pieces:
            yield piece


class Server:
    """One HTTP server that speaks JSON."""

    def __init__(
        self, url: str, *, name: str = "", key: str | None = None, headers: dict[str, str] | None = None,
        advice: Advice | None = None, first_token_s: float = FIRST_TOKEN_S, stall_s: float = STALL_S,
        quick_s: float = QUICK_S, sleep: _Sleep = asyncio.sleep,
    ) -> None:  # fmt: skip
        try:
            parts = urlsplit(url)
        except ValueError:
            parts = urlsplit("")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BackendRejectedError(
                "The address of a model server begins with http:// or https:// and names a host."
            )
        self._encrypted = parts.scheme == "https"
        self.url = url.rstrip("/")
        self.host = parts.hostname
        self.first_token_s, self.stall_s, self.quick_s = first_token_s, stall_s, quick_s
        # Neither a user name nor a query, which may hold secrets.
        address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self.place = f"{name} ({address})" if name else address
        self.advice = advice or Advice()
        self._key, self._headers = key, headers or {}
        self._sleep = sleep
        self._clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = (
            weakref.WeakKeyDictionary()
        )

    def __repr__(self) -> str:
        return f"Server({self.place!r})"

    @property
    def is_remote(self) -> bool:
        """Whether what is sent leaves this machine."""
        return not is_loopback(self.host)

    async def aclose(self) -> None:
        """Close what is open in the running event loop."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    def _client(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None or client.is_closed:
            client = self._clients[loop] = httpx.AsyncClient(
                headers={"accept-encoding": "identity", **self._headers},
                timeout=httpx.Timeout(CONNECT_S, read=None, write=30.0, pool=None),
                # An idle connection would outlive an event loop that ends without `aclose`, and may be stale by the
                # next call; a new one costs nothing beside a model's answer.
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
                verify=self._encrypted,  # reading certificates takes longer than asking this machine
                trust_env=self.is_remote,  # no proxy for what stays on this machine
                follow_redirects=False,
            )
        return client

    @asynccontextmanager
    async def open(
        self, method: str, path: str, body: object = None, *, subject: str = "it", private: Collection[str] = (),
        patience: float | None = None,
    ) -> AsyncIterator[Feed]:  # fmt: skip
        """A successful response, body not yet read. Leaving the block closes the connection, which stops the server.

        `subject` stands in errors for what was asked (a model's name), `private` are texts no error may repeat. Raises
        BackendError.
        """
        try:
            request = self._client().build_request(
                method,
                self.url + path,
                content=None if body is None else msgspec.json.encode(body),
                headers=None if body is None else {"content-type": "application/json"},
            )
        except (httpx.InvalidURL, UnicodeError, msgspec.MsgspecError) as error:
            raise BackendRejectedError(f"The request to {self.place} cannot be written; check its address.") from error
        patience = self.first_token_s if patience is None else patience
        try:
            async with asyncio.timeout(patience):
                response = await self._client().send(request, stream=True)
        except TimeoutError as error:
            raise self.stalled(subject, patience) from error
        except httpx.LocalProtocolError:
            # Its message quotes the header, and so the key: not even as the cause of an error.
            raise BackendRejectedError(
                f"The key for {self.place} has characters no key has; {self.advice.key}."
            ) from None
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            if "certificate" in str(error).lower():
                raise BackendRejectedError(
                    f"The certificate of {self.place} cannot be trusted; check the address."
                ) from error
            raise BackendUnreachableError(f"{self.place} does not answer; {self.advice.start}.") from error
        except httpx.TransportError as error:
            raise BackendUnreachableError(
                f"{self.place} broke the connection before {subject} answered; try again."
            ) from error
        try:
            if response.status_code != 200:
                raise await self._refusal(response, subject, private)
            yield Feed(response, self, subject, private)
        finally:
            await response.aclose()

    async def fetch(
        self, path: str, body: object = None, *, subject: str = "it", private: Collection[str] = (),
        patience: float | None = None, tries: int = 1,
    ) -> bytes:  # fmt: skip
        """A whole document (GET, or POST with a body); one that needs no model comes without `patience`. Raises BackendError."""
        wait = self.quick_s if patience is None else patience

        async def once() -> bytes:
            method = "GET" if body is None else "POST"
            async with self.open(method, path, body, subject=subject, private=private, patience=wait) as feed:
                data = bytearray()
                try:
                    async with asyncio.timeout(wait), aclosing(feed.pieces()) as pieces:
                        async for piece in pieces:
                            data += piece
                            if len(data) > _MAX_DOCUMENT:
                                raise feed.garbage("its answer is endless")
                except TimeoutError as error:
                    raise self.stalled(subject, wait) from error
                return bytes(data)

        return await self.persevere(once, tries=tries)

    async def persevere(self, attempt: Callable[[], Awaitable[_T]], *, tries: int = TRIES) -> _T:
        """The result of `attempt`, tried again where a moment later it may succeed. Raises its last BackendError."""
        retrying = tenacity.AsyncRetrying(
            sleep=self._sleep, stop=tenacity.stop_after_attempt(tries), wait=_wait,
            retry=tenacity.retry_if_exception(_worth_retrying), reraise=True,
        )  # fmt: skip
        return await retrying(attempt)

    async def begin(self, make: Callable[[], AsyncGenerator[_T, None]]) -> tuple[_T, AsyncGenerator[_T, None]]:
        """The first item of a stream and the rest of it; until the first came, the stream may be made anew."""

        async def attempt() -> tuple[_T, AsyncGenerator[_T, None]]:
            stream = make()
            try:
                return await anext(stream), stream
            except StopAsyncIteration as error:
                raise BackendGarbageError(f"{self.place} answered nothing; try again, or update it.") from error

        return await self.persevere(attempt)

    def stalled(self, subject: str, seconds: float) -> BackendStalledError:
        """An error for a server that fell silent."""
        return BackendStalledError(
            f"{self.place} sent nothing for {subject} in {seconds:g} seconds, so it is too slow or hangs; "
            "try again, or choose a smaller model."
        )

    async def _refusal(self, response: httpx.Response, subject: str, private: Collection[str]) -> BackendError:
        data = bytearray()
        with suppress(TimeoutError, httpx.HTTPError, httpx.StreamError):
            async with asyncio.timeout(self.quick_s):
                async for piece in response.aiter_bytes():
                    data += piece
                    if len(data) > _MAX_COMPLAINT:
                        break
        wait = _seconds(response.headers.get("retry-after"))
        return self.problem(response.status_code, read_complaint(bytes(data)), subject, private, wait)

    def problem(
        self, status: int, complaint: Complaint, subject: str, private: Collection[str] = (), retry_after: float = 0.0
    ) -> BackendError:
        """The error for an HTTP status, with the server's own words as far as they are fit to be shown."""
        secrets = [*private, self._key] if self._key else private
        complaint = complaint._replace(words=redact(complaint.words, secrets))
        words = clean(complaint.words)
        said = f" (HTTP {status}): {words.rstrip('.')}" if words else f" (HTTP {status})"
        error: BackendError
        if complaint.code == "insufficient_quota":  # comes as a 429, but no wait helps
            error = BackendRejectedError(f"{self.place} has no credit left for this key{said}.")
        elif status == 500 and _MEMORY.search(words):
            error = BackendRejectedError(
                f"{self.place} has too little memory for {subject}{said}; choose a smaller model or context."
            )
        elif status in _BUSY:
            when = f"in {retry_after:g} seconds" if retry_after else "later"
            error = BusyError(f"{self.place} cannot answer for {subject} now{said}; try again {when}.", retry_after)
        elif status in (401, 403):
            error = BackendRejectedError(f"{self.place} refused access{said}; {self.advice.key}.")
        elif status == 404:
            advice = self.advice.model.replace("NAME", subject)
            error = ModelMissingError(f"{self.place} does not have {subject}{said}; {advice}.")
        elif 300 <= status < 400:
            error = BackendRejectedError(f"{self.place} sends on to another address{said}; give that one.")
        else:
            too_long = says_too_long(words)
            advice = "shorten what is asked, or raise the context" if too_long else "try another model"
            error = RefusedError(f"{self.place} refused the request for {subject}{said}; {advice}.", complaint)
            error.too_long = too_long
        return error


def checked_key(key: str | None, advice: str) -> str | None:
    """An API key without the white space that copying adds, None for an empty one. Raises BackendRejectedError."""
    key = (key or "").strip()
    if not all("!" <= c <= "~" for c in key):
        raise BackendRejectedError(f"The API key has characters no key has; {advice}.")
    return key or None


def as_count(value: object) -> int:
    """A number of tokens or bytes, 0 where there is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _worth_retrying(error: BaseException) -> bool:
    if isinstance(error, BusyError):
        return error.retry_after <= LONGEST_WAIT_S
    return isinstance(error, BackendUnreachableError)


_backoff = tenacity.wait_exponential(multiplier=0.5, max=8.0) + tenacity.wait_random(0.0, 0.5)


def _wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return max(_backoff(state), error.retry_after if isinstance(error, BusyError) else 0.0)


def _seconds(header: str | None) -> float:
    """Seconds of a Retry-After header (a number or a date), 0 where it says nothing."""
    if not header:
        return 0.0
    with suppress(ValueError):
        seconds = float(header)
        return seconds if 0 <= seconds < 1e9 else 0.0
    with suppress(ValueError, TypeError):
        date = parsedate_to_datetime(header)
        return max(0.0, (date - datetime.now(date.tzinfo or UTC)).total_seconds()) if date.tzinfo else 0.0
    return 0.0
