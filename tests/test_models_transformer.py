"""GPT: learning, causality, and generation from its logits."""

import numpy as np
import pytest

import minigen as mg
from minigen.models import GPT

VOCAB, CONTEXT = 11, 12


def model(**settings):
    settings = {"layers": 2, "heads": 2, "width": 16, "rng": mg.Generator(0)} | settings
    gpt = GPT(VOCAB, CONTEXT, **settings)
    for p in gpt.parameters():  # initial weights would give nearly equal logits
        p.data[...] += mg.Generator(p.size).normal(p.shape, std=0.3, dtype=p.dtype)
    return gpt


def tokens(*shape, seed=1):
    return mg.Generator(seed).integers(0, VOCAB, shape)


def test_gpt_overfits_one_batch():
    gpt = GPT(VOCAB, CONTEXT, 2, 2, 32, rng=mg.Generator(0))
    ids = tokens(4, CONTEXT + 1)
    optimizer = mg.optim.AdamW(gpt.parameters(), lr=1e-2)
    losses = []
    for _ in range(100):
        loss = gpt.loss(ids[:, :-1], ids[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert abs(losses[0] - np.log(VOCAB)) < 0.1  # the initial prediction is about uniform
    assert losses[-1] < 0.05
    assert np.array_equal(gpt.generate(ids[:1, :3], 6, top_k=1), ids[:1, :9])


@pytest.mark.parametrize(("dtype", "limit"), [(np.float32, 1e-5), (np.float64, 1e-13)])
def test_cached_decoding_equals_the_full_forward(dtype, limit):
    gpt, ids = model(dtype=dtype), tokens(3, CONTEXT)
    with mg.no_grad():
        full = gpt(ids).data
        caches = [[] for _ in gpt.blocks]
        parts = [gpt(ids[:, :4], caches).data]
        parts += [gpt(ids[:, t : t + 1], caches).data for t in range(4, CONTEXT)]
    cached = np.concatenate(parts, 1)
    assert cached.dtype == dtype
    assert np.abs(cached - full).max() / max(1, np.abs(full).max()) < limit


@pytest.mark.parametrize("how", [{}, {"top_k": 3}, {"temperature": 0.5}])
def test_generation_is_the_same_without_the_cache_also_beyond_the_context(how):
    gpt, ids = model(dtype=np.float64), tokens(2, 3)
    with_cache, without = (
        gpt.generate(ids, CONTEXT + 5, rng=mg.Generator(5), use_cache=use, **how)
        for use in (True, False)
    )
    assert with_cache.shape == (2, CONTEXT + 8)
    assert np.array_equal(with_cache, without)
    assert np.array_equal(with_cache[:, :3], ids)


def test_top_k_1_and_temperature_0_are_greedy():
    gpt, ids = model(dropout=0.5), tokens(2, 3)  # generation runs without dropout
    first = gpt.generate(ids, 6, top_k=1)
    assert gpt.training
    assert np.array_equal(first, gpt.generate(ids, 6, top_k=1, rng=mg.Generator(9)))
    assert np.array_equal(first, gpt.generate(ids, 6, temperature=0))
    gpt.eval()
    for t in range(3, 9):
        assert np.array_equal(gpt(first[:, :t]).data[:, -1].argmax(-1), first[:, t])


def test_samples_follow_the_softmax():
    gpt, ids = model(), np.zeros((20_000, 1), np.int64)
    drawn = gpt.generate(ids, 1, temperature=2.0, top_k=4, rng=mg.Generator(3))[:, 1]
    logits = gpt(ids[:1]).data[0, -1] / 2
    top = np.argsort(-logits)[:4]
    p = np.exp(logits[top]) / np.exp(logits[top]).sum()
    assert set(drawn) <= set(top)
    assert np.abs([(drawn == i).mean() for i in top] - p).max() < 0.015


def test_logits_do_not_depend_on_later_tokens():
    gpt, ids = model(), tokens(2, CONTEXT)
    logits = gpt(ids).data
    other = ids.copy()
    other[:, 7:] = tokens(2, CONTEXT - 7, seed=2)
    assert logits[:, :7].tobytes() == gpt(other).data[:, :7].tobytes()
    assert not np.array_equal(logits[:, 7:], gpt(other).data[:, 7:])


def test_gradients_of_logits_by_later_positions_are_zero():
    gpt, ids = model(dtype=np.float64), tokens(2, CONTEXT)
    logits, position = gpt(ids), gpt.position.weight  # row s is used at position s only
    for t in range(CONTEXT):
        g = mg.Generator(t).normal((2, VOCAB), dtype=np.float64)
        g_position = mg.grad((logits[:, t] * g).sum(), position, retain_graph=True).data
        assert (g_position[t + 1 :] == 0.0).all() and (g_position[: t + 1] != 0.0).all()


def test_attention_maps_are_causal_and_sum_to_one():
    gpt = model()
    maps = mg.nn.attention_maps(gpt, tokens(3, CONTEXT))
    assert list(maps) == ["blocks.0", "blocks.1"]
    for weights in maps.values():
        assert weights.shape == (3, 2, CONTEXT, CONTEXT)
        assert np.abs(weights.sum(-1) - 1).max() < 1e-6
        assert (np.triu(weights, 1) == 0).all() and (weights[..., 0, 0] == 1).all()


def test_initial_weights_have_the_deviations_of_gpt2():
    gpt = GPT(50, 16, 8, 4, 64, rng=mg.Generator(0))
    block = gpt.blocks[3]
    for weight, std in (
        (gpt.token.weight, 0.02),
        (block.up.weight, 0.02),
        (block.down.weight, 0.02 / 4),
        (block.out_proj.weight, 0.02 / 4),
    ):
        assert abs(weight.data.std() / std - 1) < 0.05
    assert not block.qkv.bias.data.any()
    assert len(gpt.parameters()) == 2 + 8 * 12 + 2
    assert len(GPT(50, tied=False).parameters()) == 2 + 4 * 12 + 2 + 1


def test_bad_input_is_refused():
    gpt = model()
    with pytest.raises(ValueError, match=r"GPT: .*heads=3 width=16"):
        GPT(VOCAB, heads=3, width=16)
    with pytest.raises(mg.errors.ShapeError, match=r"GPT: ids \(1, 13\) .* the context, 12"):
        gpt(tokens(1, CONTEXT + 1))
    with pytest.raises(mg.errors.ShapeError, match="GPT: ids"):
        gpt(tokens(3))
    with pytest.raises(mg.errors.ShapeError, match=r"GPT.generate: ids \(2, 0\)"):
        gpt.generate(tokens(2, 0), 3)
    with pytest.raises(IndexError, match="11"):
        gpt(np.full((1, 2), VOCAB))
    for how in ({"temperature": -1}, {"top_k": 0}, {"length": -1}):
        with pytest.raises(ValueError, match=next(iter(how))):
            gpt.generate(tokens(1, 1), **({"length": 1} | how))


def test_several_tokens_after_a_cache_are_masked_causally():
    gpt, ids = model(), tokens(2, 6)
    whole = gpt(ids).data
    caches = [[] for _ in gpt.blocks]
    parts = [gpt(ids[:, a:b], caches).data for a, b in ((0, 2), (2, 5), (5, 6))]
    assert np.abs(np.concatenate(parts, 1) - whole).max() < 1e-5
