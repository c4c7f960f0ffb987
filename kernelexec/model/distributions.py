"""Which package a module is in, where their names differ. Pure.

A table of ours: the libraries that have such a mapping (pipreqs, pigar, deptry) are whole programs that bring
it along. Only what is often imported stands here; a module is else looked for under its own name.
"""

from __future__ import annotations

_DISTRIBUTIONS = {
    "Bio": "biopython",
    "Crypto": "pycryptodome",
    "Cryptodome": "pycryptodomex",
    "MySQLdb": "mysqlclient",
    "OpenGL": "PyOpenGL",
    "OpenSSL": "pyOpenSSL",
    "PIL": "pillow",
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "cairo": "pycairo",
    "cv2": "opencv-python-headless",  # a kernel shows no windows, and servers lack what they need
    "dateutil": "python-dateutil",
    "discord": "discord.py",
    "dns": "dnspython",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "faiss": "faiss-cpu",
    "fitz": "pymupdf",
    "flask_cors": "Flask-Cors",
    "flask_sqlalchemy": "Flask-SQLAlchemy",
    "gi": "PyGObject",
    "git": "GitPython",
    "github": "PyGithub",
    "googleapiclient": "google-api-python-client",
    "grpc": "grpcio",
    "imblearn": "imbalanced-learn",
    "jose": "python-jose",
    "jwt": "PyJWT",
    "kafka": "kafka-python",
    "ldap": "python-ldap",
    "magic": "python-magic",
    "markdown_it": "markdown-it-py",
    "mpl_toolkits": "matplotlib",
    "multipart": "python-multipart",
    "nacl": "PyNaCl",
    "osgeo": "GDAL",
    "pkg_resources": "setuptools<81",
    "pptx": "python-pptx",
    "psycopg2": "psycopg2-binary",
    "pydantic_core": "pydantic",
    "pylab": "matplotlib",
    "pythoncom": "pywin32",
    "pytorch_lightning": "pytorch-lightning",
    "rest_framework": "djangorestframework",
    "ruamel": "ruamel.yaml",
    "sentence_transformers": "sentence-transformers",
    "serial": "pyserial",
    "shapefile": "pyshp",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "skopt": "scikit-optimize",
    "slugify": "python-slugify",
    "snappy": "python-snappy",
    "socks": "PySocks",
    "telegram": "python-telegram-bot",
    "tlz": "toolz",
    "umap": "umap-learn",
    "usb": "pyusb",
    "websocket": "websocket-client",
    "win32api": "pywin32",
    "win32com": "pywin32",
    "win32con": "pywin32",
    "win32gui": "pywin32",
    "wx": "wxPython",
    "yaml": "PyYAML",
    "zmq": "pyzmq",
}
# Packages that share a first name: each brings a module below it.
_SHARED = {
    "google.auth": "google-auth",
    "google.generativeai": "google-generativeai",
    "google.genai": "google-genai",
    "google.oauth2": "google-auth",
    "google.protobuf": "protobuf",
    "google.colab": "",  # is there in Colab only
    "mpl_toolkits.basemap": "basemap",
}
_NAMESPACES = ("google.cloud", "azure", "zope", "sphinxcontrib")
# What Python itself had once.
_REMOVED = {
    "asynchat": "3.12",
    "asyncore": "3.12",
    "cgi": "3.13",
    "crypt": "3.13",
    "distutils": "3.12",
    "imghdr": "3.13",
    "imp": "3.12",
    "lib2to3": "3.13",
    "pipes": "3.13",
    "smtpd": "3.12",
    "sndhdr": "3.13",
    "telnetlib": "3.13",
}
_REPLACED_BY = {"distutils": "setuptools"}


def distribution_of(module: str) -> str | None:
    """The package that brings a module, e.g. "pillow" for PIL; None where its name is not known to differ."""
    for name in _prefixes(module):
        if name in _SHARED:
            return _SHARED[name] or None
    for namespace in _NAMESPACES:
        if module.startswith(f"{namespace}."):
            return "-".join(module.split(".")[: namespace.count(".") + 2])
    return _DISTRIBUTIONS.get(module.partition(".")[0])


def is_shared(module: str) -> bool:
    """Whether several packages bring a part of what is below this name, and none is called so."""
    return any(name.startswith(f"{module}.") for name in (*_SHARED, *_NAMESPACES)) or module in _NAMESPACES


def removed_in(module: str) -> tuple[str, str | None] | None:
    """Since which version Python has no more of this module, and the package that brings it instead."""
    top = module.partition(".")[0]
    return (_REMOVED[top], _REPLACED_BY.get(top)) if top in _REMOVED else None


def _prefixes(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
