"""Encoder-decoder and classifier: learning, padding, causality and beam search."""

import itertools

import numpy as np
import pytest

import minigen as mg
from minigen.models import Seq2SeqTransformer, TransformerClassifier

PAD, BEGIN, END = 0, 1, 2
SMALL = {"width": 16, "heads": 2, "layers": 1, "hidden": 32}


def trained(model, steps, *batch):
    optimizer = mg.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(steps):
        loss = model.loss(*batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


def reversals(n, length, seed=0):
    """Sources of ids 3..8 and the reversed targets; the second half of them is shorter by one."""
    source = mg.Generator(seed).integers(3, 9, (n, length))
    source[n // 2 :, -1] = PAD
    target = np.full((n, length + 2), PAD)
    for row, out in zip(source, target):
        tokens = row[row != PAD]
        out[: len(tokens) + 2] = [BEGIN, *tokens[::-1], END]
    return source, target


def test_an_encoder_decoder_learns_to_reverse_sequences():
    source, target = reversals(8, 4)
    model = Seq2SeqTransformer(9, 9, **SMALL, dropout=0.0, rng=mg.Generator(0))
    assert trained(model, 120, source, target) < 0.05
    found = model.greedy(source, 6)
    assert np.array_equal(found, target[:, : found.shape[1]])
    best, scores = model.beam(source, 6, 3)
    assert np.array_equal(best, target[:, : best.shape[1]])
    assert (scores > -0.5).all()


def test_a_wide_beam_finds_the_likeliest_of_all_sequences():
    model = Seq2SeqTransformer(9, 5, **SMALL, rng=mg.Generator(3), dtype=np.float64)
    for p in model.head.parameters():
        p.data[...] *= 8  # so that sequences differ in likelihood
    source = reversals(2, 3)[0]
    best, scores = model.beam(source, 3, 5**3)
    model.eval()
    memory, padding = model.encode(source)
    for i in range(2):
        likeliest = -np.inf
        for tokens in itertools.product(range(5), repeat=3):
            kept = next((t + 1 for t, token in enumerate(tokens) if token in (END, PAD)), 3)
            ids = np.array([[BEGIN, *tokens[:kept]]])
            logits = model.decode(ids[:, :-1], memory[i : i + 1], padding[i : i + 1])
            log_p = mg.log_softmax(logits).data[0, np.arange(kept), ids[0, 1:]].sum()
            likeliest = max(likeliest, log_p)
        assert abs(likeliest - scores[i]) < 1e-12
    assert best.shape[0] == 2 and (best[:, 0] == BEGIN).all()
    assert (model.beam(source, 3, 1)[1] <= scores + 1e-12).all()


def test_padding_of_a_source_changes_nothing():
    model = Seq2SeqTransformer(9, 9, **SMALL, rng=mg.Generator(0), dtype=np.float64).eval()
    source, target = reversals(4, 4)
    longer = np.concatenate([source, np.full((4, 3), PAD)], 1)
    assert np.abs(model(source, target).data - model(longer, target).data).max() < 1e-12


def test_logits_do_not_depend_on_later_target_tokens():
    model = Seq2SeqTransformer(9, 9, **SMALL, rng=mg.Generator(0)).eval()
    source, target = reversals(4, 4)
    other = target.copy()
    other[:, 3:] = 5
    one, two = model(source, target).data, model(source, other).data
    assert one[:, :3].tobytes() == two[:, :3].tobytes()
    assert not np.array_equal(one[:, 3:], two[:, 3:])


def test_gradients_of_logits_by_later_target_tokens_are_zero():
    model = Seq2SeqTransformer(9, 9, **SMALL, dropout=0.0, rng=mg.Generator(0), dtype=np.float64)
    target = np.array([[BEGIN, 5, 3, 8, 4, END]])  # distinct: a row of the table is one position
    logits, table = model(reversals(1, 4)[0], target), model.decoder.token.weight
    for t in range(6):
        g = mg.Generator(t).normal(9, dtype=np.float64)
        rows = mg.grad((logits[0, t] * g).sum(), table, retain_graph=True).data[target[0]]
        assert (rows[t + 1 :] == 0.0).all() and (rows[: t + 1] != 0.0).any(axis=1).all()


def test_a_classifier_learns_and_ignores_padding():
    ids = mg.Generator(1).integers(1, 9, (16, 6))
    ids[8:, 4:] = PAD
    labels = (ids == 3).any(1).astype(np.int64)
    model = TransformerClassifier(9, 2, **SMALL, dropout=0.0, rng=mg.Generator(0))
    assert trained(model, 80, ids, labels) < 0.05
    longer = np.concatenate([ids, np.full((16, 2), PAD)], 1)
    assert np.abs(model(ids).data - model(longer).data).max() < 1e-4
    assert np.isfinite(model(np.full((1, 3), PAD)).data).all()  # nothing to read


def test_search_restores_the_training_mode_and_refuses_invalid_arguments():
    model = Seq2SeqTransformer(9, 9, **SMALL, dropout=0.5, rng=mg.Generator(0))
    source = reversals(2, 3)[0]
    assert np.array_equal(model.greedy(source, 4), model.greedy(source, 4))
    assert model.training and model.encoder.training
    with pytest.raises(ValueError, match="beam: width"):
        model.beam(source, 4, 0)
    with pytest.raises(mg.errors.ShapeError, match="ids must be"):
        model.encode(source[0])
