"""Pictures of linked nodes."""

import json

from volgraph import Graph
from volgraph.graph import Translator, render
from volgraph.translators import Afr, Memory, PassThrough


def two_tops_over_one() -> Translator:
    shared = PassThrough("shared", (Memory("leaf"),))
    return Afr("top", (PassThrough("left", (shared,)), PassThrough("right", (shared,)), Memory("m", size_limit=65536)))


def linked(top: Translator) -> Translator:
    return Graph(top).top


def test_a_tree_has_one_line_a_node_and_draws_a_shared_one_once() -> None:
    assert render.tree(linked(two_tops_over_one())) == "\n".join(
        (
            "top (Afr)",
            "├── left (PassThrough)",
            "│   └── shared (PassThrough)",
            "│       └── leaf (Memory)",
            "├── right (PassThrough)",
            "│   └── shared (PassThrough) (shown above)",
            "└── m (Memory)",
        )
    )


def test_a_tree_can_be_drawn_in_ascii_with_words_of_the_caller() -> None:
    assert render.tree(linked(Afr("a", (Memory("x"), Memory("y")))), lambda node: node.name.upper(), render.ASCII) == (
        "A\n|-- X\n`-- Y"
    )


def test_a_graph_of_twenty_thousand_levels_is_drawn_without_recursion() -> None:
    top: Translator = Memory("leaf")
    for number in range(20_000):
        top = PassThrough(f"p{number}", (top,))

    for picture in (render.mermaid(top), render.dot(top), render.as_json(top)):
        assert "p19999" in picture


def test_mermaid_and_dot_number_the_nodes_and_quote_their_names() -> None:
    top = linked(Afr('say "hi"', (Memory("a\\b"), Memory("<c>"))))

    assert render.mermaid(top) == "\n".join(
        (
            "graph TD",
            '  n0["say #34;hi#34;<br/>Afr"]',
            '  n1["#60;c#62;<br/>Memory"]',
            '  n2["a#92;b<br/>Memory"]',
            "  n0 --> n2",
            "  n0 --> n1",
        )
    )
    assert render.dot(top) == "\n".join(
        (
            "digraph volume {",
            "  node [shape=box];",
            '  n0 [label="say \\"hi\\"\\nAfr"];',
            '  n1 [label="<c>\\nMemory"];',
            '  n2 [label="a\\\\b\\nMemory"];',
            "  n0 -> n2;",
            "  n0 -> n1;",
            "}",
        )
    )


def test_json_tells_what_is_not_at_its_default_children_first() -> None:
    told = json.loads(render.as_json(linked(two_tops_over_one())))

    assert told["top"] == "top"
    assert [node["name"] for node in told["volumes"]][-1] == "top"
    assert next(node for node in told["volumes"] if node["name"] == "m") == {
        "name": "m",
        "type": "Memory",
        "options": {"size-limit": 65536},
        "children": [],
    }
