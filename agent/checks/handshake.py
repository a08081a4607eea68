"""TLS with a PostgreSQL server, as clients have it: whether it is spoken, and what a client that verifies makes of the certificate.

A session begins with SSLRequest, answered by one byte, before pg_hba.conf is looked at: a sealed server answers too (PostgreSQL
documentation, "SSL Session Encryption").
"""

from __future__ import annotations

import socket
import ssl
import struct
from dataclasses import dataclass
from typing import List, Optional

SECONDS = 1.0  # within one network
SSL_REQUEST = struct.pack("!II", 8, 80877103)
# OpenSSL's X509_V_FLAG_PARTIAL_CHAIN: a certificate that is itself trusted needs no root. Python names it from 3.10 on.
PARTIAL_CHAIN = 0x80000
HOSTNAME_MISMATCH = 62  # OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH


@dataclass(frozen=True)
class Peer:
    """A PostgreSQL server that listens at `address` and `port`. Every look raises OSError if it cannot be reached."""

    address: str
    port: int

    def certificate(self) -> Optional[bytes]:
        """Its certificate, DER; None if it speaks no TLS."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with self._connected(context) as wrapped:
            return wrapped.getpeercert(binary_form=True) if isinstance(wrapped, ssl.SSLSocket) else None

    def refusal(self, name: str, held: bytes = b"", file: str = "") -> Optional[str]:
        """None if a client with sslmode=verify-full takes it for `name`, else why not. The client trusts the certificate `held` (DER), or
        those in a `file` (PEM)."""
        context = self._trusting(held, file)
        try:
            with self._connected(context, name) as wrapped:
                return None if isinstance(wrapped, ssl.SSLSocket) else "it speaks no TLS"
        except ssl.SSLCertVerificationError as wrong:
            if wrong.verify_code != HOSTNAME_MISMATCH:
                return f"its certificate is refused ({wrong.verify_message})"
            return f"its certificate is for {' and '.join(self._names(context)) or 'another name'}"

    def _names(self, context: ssl.SSLContext) -> List[str]:
        """The names that its certificate is made out to: the alternative ones, else the subject's."""
        context.check_hostname = False
        with self._connected(context) as wrapped:
            told = wrapped.getpeercert() if isinstance(wrapped, ssl.SSLSocket) else None
        other = [str(pair[1]) for pair in (told or {}).get("subjectAltName", ())]
        subject = [pair for part in (told or {}).get("subject", ()) for pair in part]
        return other or [str(pair[1]) for pair in subject if pair[0] == "commonName"]

    def _trusting(self, held: bytes, file: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if file:
            context.load_verify_locations(cafile=file)
        else:
            context.load_verify_locations(cadata=held)
        context.verify_flags = ssl.VerifyFlags(context.verify_flags | PARTIAL_CHAIN)
        return context

    def _connected(self, context: ssl.SSLContext, name: Optional[str] = None) -> socket.socket:
        """A connection with TLS begun, or a plain one if the server speaks none."""
        plain = socket.create_connection((self.address, self.port), SECONDS)
        try:
            plain.sendall(SSL_REQUEST)
            return context.wrap_socket(plain, server_hostname=name) if plain.recv(1) == b"S" else plain
        except BaseException:
            plain.close()
            raise
