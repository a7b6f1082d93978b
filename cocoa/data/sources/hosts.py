"""HTTP requests that are not waited for forever, and lead nowhere but to HTTP and HTTPS."""

from __future__ import annotations

import functools
import http.client
import socket
import ssl
import threading
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from cocoa.errors import shown


@dataclass(frozen=True)
class Timeouts:
    """How long a host is waited for."""

    connect: float = 10.0
    """Seconds until it is connected."""
    silence: float = 30.0
    """Seconds without a byte, and until the head of a response is whole."""
    slowest: float = 1024.0
    """Bytes per second, over `silence` seconds, below which it is given up."""


PATIENCE = Timeouts()
"""The default."""


class HostError(Exception):
    """Why a host did not deliver a file, as the end of a sentence."""


def open_url(url: str, headers: dict[str, str], timeouts: Timeouts) -> Any:
    """Return the response to a request. Raises HTTPError for one of an error, HostError if there is none."""
    opener = urllib.request.OpenerDirector()  # and not build_opener: that reads files and FTP, too
    context = ssl.create_default_context()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(),
        _Plain(timeouts.connect),
        _Secure(timeouts.connect, context),
    ):
        opener.add_handler(handler)
    try:
        return opener.open(urllib.request.Request(url, headers=headers), timeout=timeouts.silence)
    except urllib.error.HTTPError:
        raise
    except (OSError, ValueError) as error:
        raise HostError(error_text(error)) from error
    except http.client.HTTPException as error:
        raise HostError(f"its answer is not HTTP ({error_text(error)})") from error


def error_text(error: Exception) -> str:
    """Return why a host could not be reached or read, on one line."""
    cause = getattr(error, "reason", None) or error  # of a URLError
    return shown(getattr(cause, "strerror", None) or cause, 200) or type(cause).__name__


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections to HTTP and HTTPS, and none from HTTPS to HTTP."""

    inf_msg = "and redirects in a circle: "

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """Return the next request. Raises HTTPError for a redirection that is not followed."""
        scheme = urlsplit(newurl).scheme
        if scheme != "https" and (scheme != "http" or req.type == "https"):
            raise urllib.error.HTTPError(newurl, code, f"and redirects to {shown(newurl)}", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _ShortConnect:
    """A connection whose making has a time limit of its own."""

    def __init__(self, *arguments: Any, connect: float, **keywords: Any):
        super().__init__(*arguments, **keywords)
        self._connect = connect

    def connect(self) -> None:
        """Connect, and wait as long as before for what follows."""
        connection: Any = self
        silence, connection.timeout = connection.timeout, self._connect
        super().connect()  # type: ignore[misc]
        connection.timeout = silence
        connection.sock.settimeout(silence)

    def getresponse(self) -> Any:
        """Return the response, whose head must be whole in time: it may come byte by byte."""
        connection: Any = self
        late = threading.Event()
        timer = threading.Timer(connection.timeout or 0, _shut, [connection.sock, late])
        timer.start()
        try:
            return super().getresponse()  # type: ignore[misc]
        except (OSError, http.client.HTTPException) as error:
            if late.is_set():
                raise TimeoutError(f"no answer within {connection.timeout:g} seconds") from error
            raise
        finally:
            timer.cancel()


def _shut(connected: socket.socket, late: threading.Event) -> None:
    """End a connection, so that who reads from it finds its end, and sees why in `late`."""
    late.set()
    with suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)


class _PlainConnection(_ShortConnect, http.client.HTTPConnection):
    pass


class _SecureConnection(_ShortConnect, http.client.HTTPSConnection):
    pass


class _Plain(urllib.request.HTTPHandler):
    def __init__(self, connect: float):
        super().__init__()
        self._class: Any = functools.partial(_PlainConnection, connect=connect)

    def http_open(self, req: Any) -> Any:
        return self.do_open(self._class, req)


class _Secure(urllib.request.HTTPSHandler):
    def __init__(self, connect: float, context: ssl.SSLContext):
        super().__init__(context=context)
        self._class: Any = functools.partial(_SecureConnection, connect=connect, context=context)

    def https_open(self, req: Any) -> Any:
        return self.do_open(self._class, req)
