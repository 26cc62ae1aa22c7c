"""Google's front door for one simulator: TLS under Google's names, and the proxy that leads to it.

The SDK runs as it is, with its own URLs. Where it honours the environment (`HTTPS_PROXY` and the certificates of the run),
the proxy takes it here; its asynchronous client honours no proxy, and runs on a `Loop` that knows where the names lead.
"""

import asyncio
import concurrent.futures
import datetime
import pathlib
import socket
import ssl
import tempfile
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NAMES = ["fcm.googleapis.com", "oauth2.googleapis.com"]
LOOPBACK = "127.0.0.1"


class Front:
    """Both servers, in a thread of their own. Connections end with the simulator, which has to stop first."""

    def __init__(self, simulator_url):
        self._simulator = simulator_url.removeprefix("http://").split(":")
        self._folder = tempfile.TemporaryDirectory(prefix="fleet-sdk-tls-")
        self.authority, chain = certificates(pathlib.Path(self._folder.name))
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(chain)
        self._tls.set_alpn_protocols(["h2", "http/1.1"])
        # What the SDK's connections have agreed on so far.
        self.protocols = set()
        serving = concurrent.futures.Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(serving)), daemon=True)
        self._thread.start()
        self._loop, self._stop, self.port, proxy_port = serving.result(timeout=10)
        self.proxy = f"http://{LOOPBACK}:{proxy_port}"

    async def _serve(self, serving):
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        servers = [
            await asyncio.start_server(self._enter, LOOPBACK, 0, ssl=self._tls),
            await asyncio.start_server(self._connect, LOOPBACK, 0),
        ]
        serving.set_result((loop, stop, *(server.sockets[0].getsockname()[1] for server in servers)))
        await stop.wait()
        for server in servers:
            server.close()
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)

    def stop(self):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=10)
        self._folder.cleanup()

    async def _enter(self, reader, writer):
        """TLS has ended here: the rest is the simulator's, HTTP/1.1 or HTTP/2 as was agreed."""
        self.protocols.add(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        await join(reader, writer, *self._simulator)

    async def _connect(self, reader, writer):
        """The proxy: leads to Google's names and nowhere else."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        if head.split()[:2] not in [["CONNECT", f"{name}:443"] for name in NAMES]:
            writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            writer.close()
            return
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await join(reader, writer, LOOPBACK, self.port)


async def join(reader, writer, host, port):
    """Carries bytes both ways until both sides have nothing more to say."""
    other_reader, other_writer = await asyncio.open_connection(host, port)
    await asyncio.gather(pump(reader, other_writer), pump(other_reader, writer))


async def pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass  # The other direction ends by the same.
    finally:
        writer.close()


class Loop(asyncio.SelectorEventLoop):
    """An event loop on which Google's names lead to the front."""

    def __init__(self, front):
        super().__init__()
        self._front = front

    async def getaddrinfo(self, host, port, **more):
        name = host.decode() if isinstance(host, bytes) else host
        if name not in NAMES:
            raise socket.gaierror(f"{name} is not a name of this test")
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (LOOPBACK, port))]

    async def create_connection(self, factory, host=None, port=None, **more):
        if (host, port) == (LOOPBACK, 443):
            port = self._front.port
        return await super().create_connection(factory, host, port, **more)


def certificates(folder):
    """An authority and a chain for Google's names, for one day: paths of PEM files."""
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority of one test run")])
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAMES[0])])
    names = x509.SubjectAlternativeName([x509.DNSName(name) for name in NAMES])
    authority = certificate(issuer, issuer, authority_key.public_key(), authority_key, x509.BasicConstraints(True, 0))
    leaf = certificate(subject, issuer, key.public_key(), authority_key, names)
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "authority.pem").write_bytes(authority.public_bytes(pem))
    (folder / "chain.pem").write_bytes(private + leaf.public_bytes(pem))
    return str(folder / "authority.pem"), str(folder / "chain.pem")


def certificate(subject, issuer, public_key, issuer_key, extension):
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder(
        subject_name=subject,
        issuer_name=issuer,
        public_key=public_key,
        serial_number=x509.random_serial_number(),
        not_valid_before=now - datetime.timedelta(hours=1),
        not_valid_after=now + datetime.timedelta(days=1),
    )
    builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    return builder.add_extension(identifier, critical=False).sign(issuer_key, hashes.SHA256())
