"""new: a plugin package with one translator, its example and its tests."""

from __future__ import annotations

import argparse
import errno
import os
import re
from pathlib import Path
from typing import Any

from .specs import Usage, add_command

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
NAME_MAX = 60

PYPROJECT = """\
[build-system]
requires = ["setuptools>=61"]
build-backend = "setuptools.build_meta"

[project]
name = "volgraph-{name}"
version = "0.1"
description = "A volgraph translator: features/{name}"
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["volgraph"]

[project.optional-dependencies]
test = ["pytest>=8"]

# How volgraph finds it: the type that a spec names, and the class behind it.
[project.entry-points."volgraph.translators"]
"features/{name}" = "{module}:{cls}"

[tool.setuptools]
py-modules = ["{module}"]
"""

MODULE = '''\
"""features/{name}, a translator: it keeps files below a size. Make of it what you need."""

import errno

import attrs
from volgraph import Translator, fail, option
from volgraph.graph import Buffer, Call, Fd, Written
from volgraph.graph.options import size


@attrs.define(eq=False)
class {cls}(Translator):
    """Refuses to let a file grow beyond a size.

    volume {name}
      type features/{name}
      option largest 1GB
      subvolumes brick
    end-volume
    """

    largest: int = option(size(), default=0, help="where a file must end; 0: anywhere")

    # What is not overridden goes to the child, at no cost: volgraph.graph.fops has every fop.
    async def writev(
        self, call: Call, fd: Fd, data: Buffer, offset: int, flags: int = 0
    ) -> Written:
        if self.largest and offset + len(data) > self.largest:
            raise fail(errno.EFBIG, self.name)
        return await self.child.writev(call, fd, data, offset, flags)
'''

TEST = '''\
"""The contracts that every translator keeps, and what this one adds."""

import errno
from pathlib import Path

import pytest
import volgraph
from volgraph import testing
from volgraph.translators import Memory

from {module} import {cls}


def test_it_keeps_every_contract_of_a_translator() -> None:
    testing.check(lambda child: {cls}("{name}", [child]))


def test_a_file_stays_below_the_size_that_is_set() -> None:
    top = {cls}("{name}", [Memory("brick")], largest=1024)
    with volgraph.open_sync(top) as vol:
        vol.write_bytes("/small", bytes(1024))
        with pytest.raises(OSError) as caught:
            vol.write_bytes("/large", bytes(1025))

    assert caught.value.errno == errno.EFBIG


def test_a_spec_finds_it_once_the_package_is_installed() -> None:
    with volgraph.open_sync(Path(__file__).with_name("example.vol")) as vol:
        assert isinstance(vol.graph.top, {cls})
'''

SPEC = """\
volume brick
  type storage/memory
end-volume

volume {name}
  type features/{name}
  option largest 1GB
  subvolumes brick
end-volume
"""

README = """\
# volgraph-{name}

A translator for volgraph: `features/{name}`.

```sh
pip install -e '.[test]'
pytest
volgraph explain features/{name}
volgraph check example.vol
```

| file | holds |
|---|---|
| `{module}.py` | the translator |
| `test_{module}.py` | the contracts that every translator keeps, in one line, and its own tests |
| `example.vol` | a volume that uses it |
| `pyproject.toml` | the entry point by which specs find it |
"""


def register(commands: Any) -> None:
    parser = add_command(
        commands,
        "new",
        "start a translator of your own: a package with its tests",
        "It is made in the directory volgraph-NAME.",
    )
    parser.add_argument("name", metavar="NAME", help="what comes behind features/, in small letters: `my-cipher`")
    parser.set_defaults(run=new)


def new(args: argparse.Namespace) -> None:
    """Make the directory `volgraph-NAME`."""
    name: str = args.name
    if not NAME.fullmatch(name) or len(name) > NAME_MAX:
        raise Usage(f"{name}: write a name in small letters, digits and single hyphens, such as my-cipher")
    folder = Path(f"volgraph-{name}")
    try:
        folder.mkdir()
    except FileExistsError as error:
        raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), str(folder)) from error
    for path, text in files_of(name).items():
        (folder / path).write_text(text)
    print(f"{folder}: a translator of the type features/{name}; see its README.md")


def files_of(name: str) -> dict[str, str]:
    """The package's files, by their names."""
    module = "volgraph_" + name.replace("-", "_")
    words = {"name": name, "module": module, "cls": "".join(part.capitalize() for part in name.split("-"))}
    texts = {
        "pyproject.toml": PYPROJECT,
        f"{module}.py": MODULE,
        f"test_{module}.py": TEST,
        "example.vol": SPEC,
        "README.md": README,
    }
    return {path: text.format(**words) for path, text in texts.items()}
