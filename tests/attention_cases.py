"""What make_fixtures_attention.py runs in PyTorch and test_transformer.py here: one table."""

B, T, S, E, H = 2, 4, 5, 6, 3

# name: (class, constructor, shapes of the inputs, masks by name, options of the call)
CAUSAL, PADDING, PER_HEAD = "causal", "padding", "per head"
SMALL = {"dim_feedforward": 7, "dropout": 0.0}
X, MEMORY, TBE = (B, T, E), (B, S, E), (T, B, E)
ATTENTION, ENCODER, DECODER = (
    "MultiheadAttention",
    "TransformerEncoderLayer",
    "TransformerDecoderLayer",
)
MASK = "attn_mask"
PAD = "key_padding_mask"
FIRST = {"batch_first": True}
CASES = {
    "self": (ATTENTION, (E, H), {}, [TBE], {}, {}),
    "self_causal": (ATTENTION, (E, H), FIRST, [X], {MASK: CAUSAL}, {"need_weights": False}),
    "per_head": (
        ATTENTION,
        (E, H),
        FIRST,
        [X],
        {MASK: PER_HEAD},
        {"average_attn_weights": False},
    ),
    "cross": (ATTENTION, (E, H), FIRST, [X, MEMORY], {PAD: PADDING}, {}),
    "three": (
        ATTENTION,
        (E, H),
        FIRST | {"bias": False},
        [X, MEMORY, MEMORY],
        {PAD: PADDING, MASK: PER_HEAD},
        {"need_weights": False},
    ),
    "kdim": (
        ATTENTION,
        (E, H),
        FIRST | {"kdim": 4, "vdim": 3},
        [X, (B, S, 4), (B, S, 3)],
        {},
        {},
    ),
    "unbatched": (ATTENTION, (E, H), {}, [(T, E), (S, E)], {}, {}),
    "encoder_post_relu": (ENCODER, (E, H), SMALL, [TBE], {}, {}),
    "encoder_pre_gelu": (
        ENCODER,
        (E, H),
        SMALL | FIRST | {"norm_first": True, "activation": "gelu"},
        [X],
        {"src_mask": CAUSAL, "src_key_padding_mask": PADDING},
        {},
    ),
    "decoder_post_gelu": (
        DECODER,
        (E, H),
        SMALL | FIRST | {"activation": "gelu"},
        [X, MEMORY],
        {"tgt_mask": CAUSAL, "memory_key_padding_mask": PADDING},
        {},
    ),
    "decoder_pre_relu": (
        DECODER,
        (E, H),
        SMALL | FIRST | {"norm_first": True, "bias": False},
        [X, MEMORY],
        {"tgt_key_padding_mask": PADDING, "tgt_mask": CAUSAL},
        {},
    ),
}


def arguments(kind, inputs):
    """The inputs of the call: attention takes its query for key, and its key for value."""
    return [*inputs, *[inputs[-1]] * (3 - len(inputs))] if kind == ATTENTION else inputs
