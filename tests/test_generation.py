"""Models that write: ids of any integer dtype and lists, settings of sampling, modes of parts."""

import numpy as np
import pytest

import minigen as mg
from minigen import models, nn
from minigen.errors import DTypeError, ShapeError
from minigen.models.sampling import sampled

INTEGERS = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
TEXTS = {
    "GPT": lambda: models.GPT(300, 8, 1, 2, 8, 0.5, rng=mg.Generator(0)),
    "CharLSTM": lambda: models.CharLSTM(300, 4, 8, 2, dropout=0.5, rng=mg.Generator(0)),
}
each_text = pytest.mark.parametrize("name", TEXTS)


def spread(model):
    """The model with weights so large that its samples are not uniform, and above 256 at times."""
    for p in model.parameters():
        p.data *= 3
    return model


@each_text
@pytest.mark.parametrize("dtype", INTEGERS)
def test_ids_of_any_integer_dtype_give_the_same_text(name, dtype):
    model, start = spread(TEXTS[name]()), np.array([[1, 2, 3], [100, 5, 7]])
    want = model.generate(start, 20, rng=mg.Generator(1))
    assert want.dtype == np.int64 and want.max() > 255
    for ids in (
        start.astype(dtype),
        mg.tensor(start.astype(dtype)),
        start.astype(dtype).T.copy().T,
    ):
        got = model.generate(ids, 20, rng=mg.Generator(1))
        assert got.dtype == np.int64 and np.array_equal(got, want)
    assert [*model.stream(start[0].astype(dtype), 5, temperature=0)] == [
        *model.generate(start[:1], 5, temperature=0)[0, 3:]
    ]


@each_text
def test_lists_give_lists_of_arrays_also_of_different_lengths(name):
    model = spread(TEXTS[name]())
    both = model.generate([[1, 2, 3], [100, 5, 7]], 9, rng=mg.Generator(1))
    want = model.generate(np.array([[1, 2, 3], [100, 5, 7]]), 9, rng=mg.Generator(1))
    assert isinstance(both, list) and np.array_equal(both, want)
    uneven = model.generate([[1, 2, 3], (7,)], 4, temperature=0)
    assert [len(row) for row in uneven] == [7, 5]
    assert np.array_equal(uneven[1], model.generate(np.array([[7]]), 4, temperature=0)[0])
    flat = model.generate([1, 2, 3], 4, temperature=0)
    assert np.array_equal(flat, uneven[0])


@each_text
def test_a_row_ends_with_an_id_of_stop(name):
    model = spread(TEXTS[name]())
    start = np.array([[1, 2], [3, 4]])
    free = model.generate(start, 12, temperature=0)
    stop = int(free[0, 5])
    first = [2 + list(row[2:]).index(stop) if stop in row[2:] else 14 for row in free]
    got = model.generate(start, 12, temperature=0, stop=[stop, 299])
    for row, whole, end in zip(got, free, first):
        assert np.array_equal(row[: end + 1], whole[: min(end + 1, got.shape[1])])
        assert (row[end:] == stop).all()
    cut = model.generate(start.tolist(), 12, temperature=0, stop=stop)
    assert len(cut[0]) == first[0] + 1 and cut[0][-1] == stop
    assert [*model.stream(start[:1], 12, temperature=0, stop=stop)] == cut[0][2:].tolist()


@each_text
@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"temperature": -1.0}, ValueError, "temperature must not be negative"),
        ({"temperature": np.nan}, ValueError, "temperature"),
        ({"top_k": 0}, ValueError, "top_k must be at least 1"),
        ({"top_k": 2.5}, TypeError, "integer"),
        ({"top_p": 0.0}, ValueError, "top_p must be above 0"),
        ({"top_p": 1.5}, ValueError, "top_p must be"),
        ({"top_p": np.nan}, ValueError, "top_p must be"),
        ({"length": -1}, ValueError, "length must not be negative"),
        ({"length": 1.5}, TypeError, "integer"),
        ({"stop": [1.5]}, TypeError, "integer"),
        ({"ids": np.zeros((1, 2))}, DTypeError, "must be integers, got float64"),
        ({"ids": np.ones((1, 2), bool)}, DTypeError, "must be integers"),
        ({"ids": np.zeros(2, int)}, ShapeError, r"see ids\[None\]"),
        ({"ids": [[]]}, ShapeError, "T at least 1"),
        ({"ids": []}, ShapeError, "T at least 1"),
        ({"ids": [[300]]}, IndexError, "300"),
        ({"ids": [[-1]]}, IndexError, "-1"),
    ],
)
def test_settings_out_of_range_are_refused(name, settings, error, says):
    model = TEXTS[name]()
    with pytest.raises(error, match=says):
        model.generate(**({"ids": np.zeros((1, 2), int), "length": 2} | settings))
    assert all(part.training for _, part in model.named_modules())


def test_settings_at_the_ends_of_their_ranges():
    model = TEXTS["GPT"]()
    start = np.array([[5]])
    assert model.generate(start, 30, top_k=1000, rng=mg.Generator(0)).shape == (1, 31)
    greedy = model.generate(start, 30, temperature=0)
    assert np.array_equal(greedy, model.generate(start, 30, top_p=1e-12))
    assert np.array_equal(
        model.generate(start, 30, top_p=1.0, rng=mg.Generator(0)),
        model.generate(start, 30, rng=mg.Generator(0)),
    )
    assert model.generate(start, np.int64(2)).shape == (1, 3)
    assert [*model.stream(start, 0)] == []


def test_top_p_keeps_the_likeliest_that_add_up_to_it():
    p = np.array([0.15, 0.5, 0.05, 0.3])
    logits = np.log(np.tile(p, (20_000, 1))).astype(np.float32)
    drawn = sampled(logits, top_p=0.7, rng=mg.Generator(0))
    counts = np.bincount(drawn, minlength=4) / len(drawn)
    assert np.allclose(counts, [0, 0.625, 0, 0.375], atol=0.02)  # 0.5 and 0.3, over 0.8
    assert set(sampled(logits, top_p=0.81, rng=mg.Generator(0))) == {0, 1, 3}
    assert set(sampled(logits, top_k=3, top_p=0.5, rng=mg.Generator(0))) == {1}


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
@pytest.mark.parametrize("settings", [{}, {"temperature": 0}, {"top_k": 1}, {"top_p": 0.5}])
def test_logits_that_are_not_finite_are_refused_but_minus_infinity_is_a_mask(wrong, settings):
    logits = np.zeros((2, 3), np.float32)
    logits[1, 1] = wrong
    with pytest.raises(FloatingPointError, match="logits of NaN or infinity"):
        sampled(logits, **settings)
    logits[1] = [-np.inf, 0, -np.inf]
    assert sampled(logits, **settings)[1] == 1
    logits[1] = -np.inf
    with pytest.raises(FloatingPointError):
        sampled(logits, **settings)


def modes(model):
    return [part.training for _, part in model.named_modules()]


def trained_in_part(model):
    """The model with every other part in evaluation mode, as when a part is frozen."""
    for i, (_, part) in enumerate(model.named_modules()):
        part.training = i % 2 == 0
    return model


def seq2seq():
    return models.Seq2SeqTransformer(6, 7, 8, 2, 1, 8, rng=mg.Generator(0))


USES = {
    "GPT.generate": (TEXTS["GPT"], lambda m: m.generate([1, 2], 3)),
    "GPT.stream": (TEXTS["GPT"], lambda m: list(m.stream([1, 2], 3))),
    "CharLSTM.generate": (TEXTS["CharLSTM"], lambda m: m.generate([1, 2], 3)),
    "beam": (seq2seq, lambda m: m.beam(np.array([[1, 2]]), 3)),
    "greedy": (seq2seq, lambda m: m.greedy(np.array([[1, 2]]), 3)),
    "attention_maps": (TEXTS["GPT"], lambda m: nn.attention_maps(m, np.array([[1, 2]]))),
}


@pytest.mark.parametrize("use", USES)
def test_the_modes_of_all_parts_are_left_as_they_were(use):
    make, call = USES[use]
    model = trained_in_part(make())
    before = modes(model)
    call(model)
    assert modes(model) == before

    def fail(*args, **kwargs):
        raise KeyboardInterrupt

    model.__class__ = type("Failing", (type(model),), {"forward": fail, "decode": fail})
    with pytest.raises(KeyboardInterrupt):
        call(model)
    assert modes(model) == before


def test_between_two_ids_of_a_stream_the_model_can_be_trained():
    model = trained_in_part(TEXTS["GPT"]())
    before, stream = modes(model), model.stream([1, 2], 5)
    for _ in range(3):
        next(stream)
        assert modes(model) == before
        assert mg.is_grad_enabled()
    stream.close()
    assert modes(model) == before


@pytest.mark.parametrize("dtype", INTEGERS)
def test_every_model_takes_ids_and_labels_of_any_integer_dtype(dtype):
    rng, x = mg.Generator(0), np.array([[1, 2, 3], [4, 5, 0]])
    gpt, lstm, pair = TEXTS["GPT"](), TEXTS["CharLSTM"](), seq2seq()
    classifier = models.TransformerClassifier(6, 3, 8, 2, 1, 8, rng=rng)
    vae = models.VAE(2, 3, classes=3, pixels=4, rng=rng)
    images, labels = mg.tensor(np.full((2, 4), 0.5, np.float32)), np.array([2, 0])
    rows, cnn = models.LSTMClassifier(3, 4, 3), models.CNN(3, side=4, widths=(1, 1), hidden=2)
    calls = [
        lambda ids, y: gpt.eval().loss(ids, ids),
        lambda ids, y: lstm.eval().loss(ids, ids),
        lambda ids, y: pair.eval().loss(ids, ids),
        lambda ids, y: pair.beam(ids, 3)[1],
        lambda ids, y: classifier.eval().loss(ids, y),
        lambda ids, y: vae.encode(images, y)[0],
        lambda ids, y: vae.decode(mg.zeros((2, 2)), y),
        lambda ids, y: rows.loss(mg.ones((2, 3, 3)), y),
        lambda ids, y: cnn.loss(mg.ones((2, 1, 4, 4)), y),
    ]
    for call in calls:
        want = call(x, labels)
        for ids, y in (
            (x.astype(dtype), labels.astype(dtype)),
            (mg.tensor(x.astype(dtype)), mg.tensor(labels.astype(dtype))),
            (x.tolist(), labels.tolist()),
        ):
            got = call(ids, y)
            assert np.array_equal(*(getattr(each, "data", each) for each in (got, want)))


def test_a_temperature_so_small_that_logits_overflow_still_draws_among_equal_ones():
    rng = mg.Generator(0)
    for logits in ([[5.0, 5.0, 3.0]], [[5e30, 5e30, -5e30]], [[-5.0, -5.0, -9.0]]):
        drawn = {int(sampled(np.array(logits), 1e-320, rng=rng)[0]) for _ in range(50)}
        assert drawn == {0, 1}


def test_an_infinite_temperature_draws_uniformly_and_never_what_is_masked():
    rng, logits = mg.Generator(0), np.array([[0.0, -np.inf, 9.0]])
    drawn = [int(sampled(logits, np.inf, rng=rng)[0]) for _ in range(200)]
    assert set(drawn) == {0, 2} and 70 < drawn.count(0) < 130


@each_text
@pytest.mark.parametrize(
    "settings",
    [{"length": 2.5}, {"length": None}, {"top_k": 5.0}, {"stop": "\n"}, {"stop": [[1, 2]]}],
)
def test_settings_that_are_no_integers_are_named(name, settings):
    with pytest.raises(TypeError, match=f"{next(iter(settings))} must be a whole number"):
        TEXTS[name]().generate([[1]], **{"length": 2, **settings})


@each_text
def test_a_tensor_is_a_temperature_and_none_is_no_stop(name):
    model = spread(TEXTS[name]())
    want = model.generate([[1]], 5, temperature=0.5, rng=mg.Generator(1))
    settings = {"temperature": mg.tensor(0.5), "stop": None, "rng": mg.Generator(1)}
    assert np.array_equal(model.generate([[1]], 5, **settings), want)


@each_text
@pytest.mark.parametrize("text", ["hello", ["a", "b"], np.array([["a"]])], ids=str)
def test_a_text_in_place_of_ids_is_told_to_map_it_to_integers(name, text):
    with pytest.raises(DTypeError, match="map texts to integers first"):
        TEXTS[name]().generate(text, 3)
