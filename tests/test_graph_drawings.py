"""What a notebook shows of a tensor that an op made: its graph, folded."""

from xml.etree import ElementTree

import numpy as np

import minigen as mg
from minigen.autodiff.outline import outline

SVG = "{http://www.w3.org/2000/svg}"


def drawn(tensor):
    """(caption, texts of the boxes, number of edges) of the drawing; None without one."""
    root = ElementTree.fromstring(tensor._repr_html_().replace("<br>", " "))
    details = root.find("details")
    if details is None:
        return None
    texts = ["".join(text.itertext()) for text in details.iter(f"{SVG}text")]
    edges = sum(1 for path in details.iter(f"{SVG}path"))
    return "".join(details.find("summary").itertext()), texts, edges


def test_a_loss_shows_its_graph():
    x = mg.tensor(np.ones((2, 3)), requires_grad=True)
    loss = mg.sum(mg.tanh(x) * x)
    caption, texts, edges = drawn(loss)
    assert caption == "graph of 4 nodes" and edges == 4
    assert [text for text in texts if text.isalpha()] == ["leaf", "tanh", "multiply", "sum"]
    assert texts.count("(2, 3)") == 3
    loss.backward()  # which frees what the graph had saved
    assert drawn(loss)[0] == caption


def test_a_tensor_that_no_op_made_shows_no_graph():
    assert drawn(mg.tensor(1.0, requires_grad=True)) is None
    assert drawn(mg.tensor(1.0) * 2) is None
    assert outline(None) == ([], [], 0)


def test_an_output_stands_for_its_op():
    x = mg.tensor(np.ones(4), requires_grad=True)
    _, texts, edges = drawn(mg.split(x, 2)[0])
    assert "split" in texts and edges == 1


def test_of_a_large_graph_the_latest_nodes_are_drawn():
    x = y = mg.tensor(1.0, requires_grad=True)
    for _ in range(5000):
        y = y * x
    caption, texts, edges = drawn(y)
    assert caption == "graph of 200 nodes, the last of 5001"
    assert texts.count("multiply") == 200 and edges == 199
    assert len(y._repr_html_()) < 100_000
