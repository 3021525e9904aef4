"""CharLSTM: it learns, equals PyTorch's layers, and generates from its logits."""

from pathlib import Path

import numpy as np
import pytest

import minigen as mg
from minigen.errors import ShapeError
from minigen.models import CharLSTM

FIXTURE = Path(__file__).parent / "fixtures" / "char_lstm.safetensors"


def test_outputs_loss_and_gradients_equal_pytorchs():
    theirs = {name: x.numpy() for name, x in mg.load(FIXTURE).items()}
    pick = lambda prefix: {k[len(prefix) :]: v for k, v in theirs.items() if k.startswith(prefix)}
    model = CharLSTM(7, 3, 4, 2, rng=mg.Generator(0), dtype=np.float64)
    model.load_state_dict(pick("state."))
    logits, _ = model(theirs["ids"])
    loss = model.loss(theirs["ids"], theirs["targets"])
    loss.backward()
    assert np.abs(logits.data - theirs["logits"]).max() < 1e-12
    assert abs(loss.item() - theirs["loss"]) < 1e-12
    gradients = pick("grad.")
    for name, p in model.named_parameters():
        assert np.abs(p.grad.data - gradients.pop(name)).max() < 1e-12
    assert not gradients


def test_it_learns_a_cycle_and_generates_it():
    model = CharLSTM(5, 8, 32, layers=2, rng=mg.Generator(0))
    optimizer = mg.optim.Adam(model.parameters(), lr=1e-2)
    ids = (np.arange(12) + np.arange(5)[:, None]) % 5
    for _ in range(60):
        loss = model.loss(ids[:, :-1], ids[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05
    generated = model.generate(np.array([[2, 3], [0, 1]]), 6, temperature=0)
    assert generated.tolist() == [[2, 3, 4, 0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 0, 1, 2]]


def test_the_generator_determines_the_text_and_the_state_is_kept():
    model = CharLSTM(7, 4, 6, layers=2, dropout=0.5, rng=mg.Generator(0))
    prompt = mg.tensor([[1, 2, 3]])
    one, two, other = (model.generate(prompt, 20, 0.8, rng=mg.Generator(s)) for s in (3, 3, 4))
    assert one.dtype == np.int64 and one.shape == (1, 23)
    assert np.array_equal(one, two) and not np.array_equal(one, other)
    assert model.training  # as it was before
    greedy = model.generate(prompt, 8, 0)
    assert np.array_equal(greedy, model.generate(prompt, 8, top_k=1))
    model.eval()
    for n in range(3, 11):  # each is the likeliest after the whole text before it
        assert greedy[0, n] == model(greedy[:, :n])[0].data[0, -1].argmax()
    assert model.generate(prompt, 0).tolist() == [[1, 2, 3]]
    for wrong in ([1, 2], np.zeros((1, 0), np.int64)):
        with pytest.raises(ShapeError, match=r"^CharLSTM.generate: ids .* must be \(B, T\)"):
            model.generate(np.array(wrong), 3)
    with pytest.raises(ValueError, match=r"^CharLSTM.generate: length"):
        model.generate(prompt, -3)
    with pytest.raises(ValueError, match=r"temperature must not be negative"):
        model.generate(prompt, 3, -1.0)


def test_two_parts_with_the_state_give_the_logits_of_the_whole_text():
    model = CharLSTM(7, 4, 6, layers=2, rng=mg.Generator(0), dtype=np.float64)
    ids = mg.Generator(1).integers(0, 7, (3, 9))
    whole, _ = model(ids)
    first, state = model(ids[:, :5])
    second, _ = model(ids[:, 5:], state)
    parts = np.concatenate([first.data, second.data], 1)
    np.testing.assert_allclose(parts, whole.data, rtol=0, atol=1e-14)
