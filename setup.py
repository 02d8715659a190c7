"""Packaging of Wasl: the flat top-level rooms, listed one by one.

Discovery by setuptools is not used: it refuses several top-level packages and
would count ``systemd/`` among them.
"""

from pathlib import Path
from runpy import run_path

from setuptools import find_packages, setup

ROOMS = ("hub", "nodes", "runtime", "protocols", "crypto", "config")

setup(
    name="wasl",
    version=run_path("runtime/version.py")["VERSION"],
    description="A secure messaging and record-exchange hub for public health institutions",
    long_description=Path("README.md").read_text(encoding="utf-8") if Path("README.md").exists() else "",
    long_description_content_type="text/markdown",
    python_requires=">=3.11",
    packages=find_packages(include=[pattern for room in ROOMS for pattern in (room, f"{room}.*")]),
    include_package_data=False,
    package_data={
        "": [
            "py.typed",
            "*.toml",
            "*.sql",
            "*.mako",
            "*.json",
            "*.xsl",
            "templates/*",
            "static/*",
            "translations/*",
        ]
    },
    install_requires=[
        "twisted>=24.7",
        "pynacl>=1.5",
        "cryptography>=43",
        "sqlalchemy>=2.0.30",
        "alembic>=1.13",
        "psycopg[binary]>=3.2",
        "lxml>=5.2",
        "prometheus-client>=0.20",
        "msgspec>=0.19",
        "click>=8.1",
        "rich>=13.7",
        "fpdf2>=2.8",
        "pillow>=11",
        "pydicom>=3.0",
        "uharfbuzz>=0.50",
        "flask>=3.0",
        "flask-wtf>=1.2",
        "flask-babel>=4.0",
        "argon2-cffi>=23.1",
        "webauthn>=3.0",
        "segno>=1.6",
        "service-identity>=24.1",
    ],
    entry_points={
        "console_scripts": [
            "wasl-hub=hub.cli:main",
            "wasl-node=nodes.cli:main",
            "wasl-desk=nodes.desk.cli:main",
        ]
    },
)
