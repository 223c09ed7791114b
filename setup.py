"""Packaging of Domogik: what is installed, and the commands it brings."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent
VERSION = re.search(
    r"__version__ = \"(.+?)\"", (HERE / "domogik" / "__init__.py").read_text(encoding="utf-8")
)[1]

#: what the tests that need no tools of development run with
UNIT = [
    "hypothesis>=6.100",
    "openapi-spec-validator>=0.7",
    "pytest>=8.2",
    "pytest-xdist>=3.6",
]

setup(
    name="domogik",
    version=VERSION,
    description="Keeps the plugins of a house, and the services they need, alive",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="Domogik developers",
    license="MIT",
    license_files=["LICENSE"],
    keywords=["home automation", "xPL", "daemon", "supervisor", "plugins", "Twisted"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: No Input/Output (Daemon)",
        "Framework :: Pytest",
        "Framework :: Twisted",
        "Intended Audience :: Developers",
        "Intended Audience :: End Users/Desktop",
        "Intended Audience :: System Administrators",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Home Automation",
        "Topic :: System :: Monitoring",
        "Topic :: System :: Systems Administration",
        "Typing :: Typed",
    ],
    python_requires=">=3.11",
    packages=["twisted.plugins", *find_packages(include=["domogik", "domogik.*"])],
    package_data={
        "domogik": ["py.typed"],
        "domogik.config": ["templates/*"],
        "domogik.packages.publish": ["templates/*"],
    },
    install_requires=[
        "Twisted>=24.7",
        "treq>=24.9",
        "zope.interface>=6",
        "attrs>=23.2",
        "lxml>=5",
        "packaging>=23",
        "psutil>=5.9",
        "jeepney>=0.8",
        # before that a server could ask for a password under a key of its own
        "PyMySQL>=1.2.4",
        "prometheus-client>=0.20",
        "tuf>=6",
        "securesystemslib[crypto]>=1.2",
    ],
    extras_require={
        "tls": ["Twisted[tls]"],
        "postgresql": ["psycopg[binary]>=3.1"],
        # the clients of the servers that the fixtures of pytest start
        "mysql": [],  # PyMySQL is there anyway
        "rabbitmq": ["pika>=1.3"],
        "redis": ["redis>=5"],
        "mosquitto": ["paho-mqtt>=2"],
        "unit": UNIT,
        "test": [
            *UNIT,
            "build>=1.2",
            "check-wheel-contents>=0.6",
            "import-linter>=2.0",
            "mypy>=1.10",
            "mypy-zope>=1.0",
            "pre-commit>=3.8",
            "pytest-cov>=5",
            "ruff>=0.6",
            "setuptools>=77",  # what builds, without asking the network again
            "towncrier>=24.7",
            "tox>=4.15",
            "twine>=6.1",
            "types-psutil",
            # clients of the servers that managed daemons run
            "paho-mqtt>=2",
            "pika>=1.3",
            "psycopg[binary]>=3.1",
            "redis>=5",
            "async-timeout>=4",  # which redis needs on Debian's own Python
            "lxml-stubs",
            # programs that know of REST only what its OpenAPI document says
            "openapi-python-client>=0.28",
            "schemathesis>=4.32",
        ],
        "bench": [
            "supervisor>=4.2",
            "circus>=0.18",
            # the fixtures that people use today, beside ours
            "pytest-postgresql>=6",
            "pytest-redis>=3",
            "testing.postgresql>=1.3",
            "testing.redis>=1.1",
            "async-timeout",  # testing.redis imports a client that needs it on Python 3.11.2
        ],
    },
    entry_points={
        "console_scripts": [
            "dmg_manager = domogik.app.commands.start:manager",
            "dmg_hub = domogik.app.commands.start:hub",
            "dmg_dbmgr = domogik.app.commands.start:dbmgr",
            "dmg_rest = domogik.app.commands.start:rest",
            "dmg_send = domogik.cli.xpl.send:main",
            "dmg_dump = domogik.cli.xpl.dump:main",
            "dmg_ctl = domogik.app.commands.ctl:ctl",
            "dmg_daemon = domogik.app.commands.start:daemon",
            "dmg_pkgmgr = domogik.app.commands.start:pkgmgr",
            "dmgenplug = domogik.cli.plugin_switches:enable",
            "dmgdisplug = domogik.cli.plugin_switches:disable",
        ],
        # by its own name, so that pytest knows it again where a conftest names it too
        "pytest11": ["domogik.daemons.fixtures = domogik.daemons.fixtures"],
    },
    zip_safe=False,
)
