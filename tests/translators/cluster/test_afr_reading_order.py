"""The package says in which order to read it."""

from pathlib import Path

from volgraph.translators.cluster import afr


def test_each_file_of_the_package_stands_in_its_reading_order_once() -> None:
    assert afr.__doc__ is not None
    listed = [line.strip().split("  ")[0] for line in afr.__doc__.splitlines() if line.startswith("    ")]
    files = [path.stem for folder in afr.__path__ for path in Path(folder).glob("[a-z]*.py")]

    assert sorted(name for names in listed for name in names.split(", ")) == sorted(files)
