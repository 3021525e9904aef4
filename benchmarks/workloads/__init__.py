"""Training steps to time: the nets are in `ours` and in `theirs`, their products in `products`.

Each of the three has a function for each kind of net, in the same order and of the same sizes.
The first two also run on a GPU.
"""

SMALL = {
    "vae": ("vae", {"batch": 128, "hidden": 400}),
    "gan": ("gan", {"batch": 128}),
    "cnn": ("cnn", {"batch": 64, "channels": 1, "side": 28, "widths": (32, 64)}),
    "lstm-64": ("lstm", {"batch": 64, "hidden": 64}),
    "lstm-128": ("lstm", {"batch": 64, "hidden": 128}),
    "gpt-12x64": ("gpt", {"batch": 12, "block": 64, "layers": 4, "width": 128}),
    "gpt-32x128": ("gpt", {"batch": 32, "block": 128, "layers": 4, "width": 128}),
    "tanh": ("tanh", {"batch": 32}),
}
LARGE = {
    "vae-2000": ("vae", {"batch": 128, "hidden": 2000}),
    "cnn-3x32x32": ("cnn", {"batch": 32, "channels": 3, "side": 32, "widths": (64, 128)}),
    "lstm-256": ("lstm", {"batch": 64, "hidden": 256}),
    "gpt-6x256": ("gpt", {"batch": 8, "block": 128, "layers": 6, "width": 256}),
}
HUGE = {  # with the others for a GPU
    "vae-1024x2000": ("vae", {"batch": 1024, "hidden": 2000}),
    "cnn-512": ("cnn", {"batch": 512, "channels": 1, "side": 28, "widths": (32, 64)}),
    "gpt-12x768": ("gpt", {"batch": 16, "block": 512, "layers": 12, "width": 768, "heads": 12}),
}
BATCHES, DEPTHS = (16, 64, 256, 1024), (2, 4, 8, 16)
SCALING = [  # a workload, and the size of it that takes these values
    ("vae", "batch", BATCHES),
    ("cnn", "batch", BATCHES),
    ("lstm-128", "batch", BATCHES),
    ("gpt-12x64", "layers", DEPTHS),
]
CROSSOVER = [  # likewise, for the CPU beside the GPU
    ("vae", "batch", (16, 64, 256, 1024, 4096)),
    ("cnn", "batch", BATCHES),
    ("gpt-12x64", "width", (32, 64, 128, 256, 512)),
]
