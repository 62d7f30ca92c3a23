"""Every example spec passes a bare `volgraph check`, and the three faces of one mirror are one graph."""

import importlib.util
import json
from pathlib import Path

import pytest

from volgraph import Graph, Spec, load, parse, volspec
from volgraph.command import main
from volgraph.graph import Translator, render

EXAMPLES = Path(__file__).parents[2] / "examples"
SPECS = sorted(
    path
    for suffix in ("*.vol", "*.yaml")
    for path in EXAMPLES.rglob(suffix)
    if not {"later", "broken"} & set(path.relative_to(EXAMPLES).parts)
)
LATER = sorted((EXAMPLES / "later").glob("*.vol"))


def test_there_are_at_least_ten_examples() -> None:
    assert len(SPECS) >= 10


def test_every_example_stands_in_their_readme() -> None:
    text = (EXAMPLES / "README.md").read_text()

    assert [path.name for path in SPECS if f"`{path.name}`" not in text] == []
    folders = [path.name for path in EXAMPLES.iterdir() if path.is_dir() and not path.name.startswith(("_", "."))]
    assert [name for name in folders if f"`{name}/`" not in text] == []


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.name)
def test_an_example_checks_clean(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["check", str(path)])
    out, err = capsys.readouterr()

    assert (status, out.startswith(f"{path}: ok, ")) == (0, True)
    assert all(": warning: " in line for line in err.splitlines())
    if path.name != "stock-glusterfs-client.vol":  # a stock file has options that mean nothing here
        assert [line for line in err.splitlines() if "copies is enough to go on" not in line] == []


@pytest.mark.parametrize("path", LATER, ids=lambda path: path.name)
def test_an_example_for_later_is_refused_for_its_type_alone(path: Path) -> None:
    with pytest.raises(volspec.SpecError) as caught:
        from volgraph import link

        link(load(path))

    assert ["not supported here" in problem.message for problem in caught.value.problems] == [True]


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.name)
def test_an_example_prints_and_reads_back_equal(path: Path) -> None:
    spec: Spec = load(path)

    assert parse(spec.to_vol()) == spec
    assert volspec.parse_yaml(spec.to_yaml()) == spec


def test_the_three_faces_of_one_mirror_are_one_graph() -> None:
    from volgraph import link

    found = importlib.util.spec_from_file_location("mirror_example", EXAMPLES / "mirror.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)

    def told(top: Translator) -> list[tuple[object, ...]]:
        nodes = json.loads(render.as_json(top))["volumes"]
        return [(node["name"], node["options"], node["children"]) for node in nodes]

    faces = [link(load(EXAMPLES / name)).top for name in ("mirror.vol", "mirror.yaml")]
    faces.append(Graph(module.mirror()).top)

    assert told(faces[0]) == told(faces[1]) == told(faces[2])
    assert len(told(faces[0])) == 3
