"""Training steps to time: in minigen (`ours`), in PyTorch (`theirs`), and their matrix products
alone in NumPy (`products`).

Each module has one function per net, in the same order and with the same sizes as arguments.
`ours` and `theirs` also run on a GPU. `profiling` measures a step of `ours` op by op.
"""

# name in the tables: (function in each module, its arguments)
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
HUGE = {  # measured on a GPU only, unless --only names them
    "vae-1024x2000": ("vae", {"batch": 1024, "hidden": 2000}),
    "cnn-512": ("cnn", {"batch": 512, "channels": 1, "side": 28, "widths": (32, 64)}),
    "gpt-12x768": ("gpt", {"batch": 16, "block": 512, "layers": 12, "width": 768, "heads": 12}),
}
BATCHES, DEPTHS = (16, 64, 256, 1024), (2, 4, 8, 16)
SCALING = [  # (workload, the argument that varies, its values)
    ("vae", "batch", BATCHES),
    ("cnn", "batch", BATCHES),
    ("lstm-128", "batch", BATCHES),
    ("gpt-12x64", "layers", DEPTHS),
]
CROSSOVER = [  # the same, for the CPU beside the GPU
    ("vae", "batch", (16, 64, 256, 1024, 4096)),
    ("cnn", "batch", BATCHES),
    ("gpt-12x64", "width", (32, 64, 128, 256, 512)),
]
