"""A proxy before a server, as companies have them: TLS of an own authority, and a path below the root."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.real.home import eventually
from tests.remote.servers import free_port

_NGINX = shutil.which("nginx", path="/usr/local/sbin:/usr/sbin:/usr/bin")
_CONFIG = """daemon off; master_process off; pid {folder}/pid; error_log {folder}/errors;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {certificate}; ssl_certificate_key {key};
    location /of/the/company/ {{
      proxy_pass http://127.0.0.1:{to};
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection "upgrade";
      proxy_read_timeout {timeout};
    }}
  }}
  server {{
    listen 127.0.0.1:{deaf};
    location / {{ proxy_pass http://127.0.0.1:{to}; }}
  }}
  server {{
    listen 127.0.0.1:{elsewhere};
    location / {{ return 301 https://127.0.0.1:{port}$request_uri; }}
  }}
}}
"""
PATH = "/of/the/company"


@dataclass(frozen=True)
class Proxy:
    """One, with three doors."""

    port: int  # TLS
    without_upgrade: str  # an address where it does not pass websockets
    redirecting: str  # one that leads to TLS
    certificate: Path


@contextmanager
def nginx(folder: Path, to: int, timeout: str = "60s") -> Iterator[Proxy]:
    """Before the server at that port, whose base address ends in PATH. Skipped where there is none."""
    if _NGINX is None or shutil.which("openssl") is None:
        pytest.skip("no nginx: apt-get install nginx-light openssl")
    folder.mkdir()
    certificate = own_certificate(folder)
    port, deaf, elsewhere = free_port(), free_port(), free_port()
    config = folder / "nginx.conf"
    config.write_text(
        _CONFIG.format(
            folder=folder,
            port=port,
            deaf=deaf,
            elsewhere=elsewhere,
            to=to,
            certificate=certificate,
            key=certificate.with_suffix(".key"),
            timeout=timeout,
        )
    )
    server = subprocess.Popen([_NGINX, "-p", folder, "-c", config, "-e", folder / "errors"])
    try:
        eventually((folder / "pid").exists)
        yield Proxy(
            port, f"http://127.0.0.1:{deaf}{PATH}", f"http://127.0.0.1:{elsewhere}{PATH}", certificate
        )
    finally:
        server.terminate()
        server.wait(20)


def own_certificate(folder: Path) -> Path:
    """Of an authority that nobody knows; its key is beside it as `.key`."""
    certificate = folder / "own.pem"
    key = certificate.with_suffix(".key")
    own = ("-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=own")
    names = ("-addext", "subjectAltName=IP:127.0.0.1")
    subprocess.run(
        ["openssl", "req", *own, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True
    )
    return certificate
