"""TLS of the service: certificate and key for BentoML's server, and how its parent asks it.

Python's own server context is the least that is taken: TLS 1.2, no compression, no renegotiation by the client.
"""

import ssl
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from serving.errors import ServerStartError


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files: the certificate with those that it rests upon below it, and its key without a passphrase."""

    certificate: Path
    key: Path

    def check(self) -> None:
        """Raise ServerStartError where a server could not use them; better told now than by each worker."""
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.certificate, self.key, password=_no_passphrase)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
            raise ServerStartError(
                f"The certificate {self.certificate} and the key {self.key} cannot be used: {reason}. Expected two PEM "
                "files that belong together, the key without a passphrase, both readable by who serves."
            ) from error

    def arguments(self) -> list[str]:
        """Return what `bentoml serve` is told."""
        return ["--ssl-certfile", str(self.certificate.resolve()), "--ssl-keyfile", str(self.key.resolve())]


def opener(tls: Tls | None) -> urllib.request.OpenerDirector:
    """Return what asks one's own server, past every proxy: with TLS, that it has this very certificate."""
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False  # it is asked by address
        context.load_verify_locations(tls.certificate)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the file holds no root
        handlers.append(urllib.request.HTTPSHandler(context=context))
    return urllib.request.build_opener(*handlers)


def _no_passphrase() -> str:
    raise ValueError("it has a passphrase")
