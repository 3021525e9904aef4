"""The plan of the package: its rooms from the ground up, and the order of reading in each.

test_layering.py holds the imports to it. `python tests/house.py` prints the map that is in
minigen/README.md, with the first sentence of each room's docstring.
"""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "minigen"

# A room imports only rooms above it: a file, or a folder with a slash.
ROOMS = (
    *("errors", "console", "variables", "parallel/", "backend/", "figures/"),
    *("communication/", "kernels/", "variates", "random", "autodiff/"),
    *("ops/", "operators", "synonyms", "tensors", "gradients", "creation", "draws"),
    *(
        "tensor_files",
        "nn/",
        "optim/",
        "data/",
        "models/",
        "distributed/",
        "study/",
        "training/",
        "testing/",
        "doctor/",
    ),
    "__main__",
)
# The files of a folder, in the order of reading: a file imports only those before it.
FILES = {
    "parallel": "bell pool pieces deferred blas",
    "backend": "arrays devices precision dtypes",
    "figures": "canvas images charts predictions attention_weights heat_maps graph_drawings "
    "rooflines",
    "communication": "rows board processes watchdog waiting windows handing_out world agreement "
    "nccl shared_memory faults mpi launch",
    "kernels": "reference cpu gpu",
    "kernels.reference": "sums functions activations products rows channels windows convolution "
    "recurrent sequences attention random_bits",
    "kernels.cpu": "notice caching compiling memory loops vector_math functions activations sums "
    "rows softmax channels windows random_bits updates tiles packing gemm atomics task_queue "
    "scheduler products packed_weights recurrent sequences lstm correlation few_filters "
    "convolution attention_scores attention",
    "kernels.gpu": "launching activations rows softmax channels windows indexing "
    "random_bits updates blas products convolution recurrent sequences attention",
    "autodiff": "grad_modes graph outline cotangents reducers walk fast_walk names "
    "left_out_layers left_out signatures explain checks primitives fused trace",
    "ops": "shape joining elementwise powers further comparing indexing activations reduce "
    "counting contractions linalg ranks normalization windows conv pooling interpolation sequences "
    "recurrent attention losses class_losses densities synonyms parts",
    "nn": "hooks contents module options modes init functional utils linear activations containers "
    "conv pooling norm dropout embedding recurrent recurrent_cells attention transformer losses "
    "flops summaries",
    "nn.functional": "activations losses windows products normalization",
    "nn.utils": "clipping vectors rnn",
    "optim": "hooks groups states observing optimizer sgd rmsprop adam average schedules scheduler "
    "one_cycle lr_scheduler",
    "data": "transfer datasets loading idx_files download mnist_files splitting picture_files "
    "glyph_images text_files csv_files table_columns tables thrown_balls written_dates "
    "spectrograms wav_files recordings played_tones sound",
    "models": "mlp vae gan unet diffusion cnn speech sampling pixel_cnn generation rnn "
    "transformer seq2seq",
    "distributed": "wrapping buckets synchronous gathering local_states local_steps shared_weights "
    "asynchronous",
    "study": "steps blocks objects vertices modules identities sites rule_texts listing deferrals "
    "calls recorder machine times programs temporaries lifetimes recomputing "
    "memory_figure memory pictures page_memory page_notes page_steps page_data page recording "
    "watching scripts command",
    "study.programs": "operands expressions plain_functions inlining line_parts array_lines "
    "window_lines number_lines numpy_lines "
    "tape replay simplify constants factors naming arguments writing outlining",
    "study.watching": "statistics observer updates rows alarms figure watcher",
    "training": "checkpoint flags image_sets sound_sets metrics earlier_runs results texts pairs "
    "progress "
    "interrupts nonfinite ranks saving watched_steps run classification judging listening "
    "replay_inputs cuda_graphs",
    "testing": "closeness numerical slopes pullback aliasing causes diagnosis functional "
    "checking choices case cases_elementwise cases_comparing cases_shape cases_indexing "
    "cases_reduce cases_linalg cases_neural cases_losses cases_conv cases_pooling "
    "cases_recurrent cases_attention cases memory ownership properties table graphs graph_draws "
    "graph_properties strategies source_programs faults",
    "testing.faults": "planting memory_misuse any_rule elementwise shapes layers ties listing",
    "doctor": "environment self_test",
}
FILES = {folder: names.split() for folder, names in FILES.items()}
WIDTH, LEFT = 98, 16  # columns of the map, and of the names in it


def first_sentence(path: Path) -> str:
    """Of the docstring of a module or package, without the full stop."""
    doc = ast.get_docstring(ast.parse(path.read_text())) or ""
    return " ".join(doc.split("\n\n")[0].split()).partition(". ")[0].rstrip(".")


def wrapped(words: list[str], separator: str) -> list[str]:
    """Lines of words that fit right of the names."""
    lines = [""]
    for word in words:
        longer = f"{lines[-1]}{separator}{word}" if lines[-1] else word
        if len(longer) >= WIDTH - LEFT:
            lines[-1] += separator.rstrip()
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def drawn_map() -> str:
    """A line or two for each room: what it holds, and its files in the order of reading."""
    drawn = []
    for room in ROOMS:
        name = room.rstrip("/")
        is_folder = room.endswith("/")
        path = PACKAGE / name / "__init__.py" if is_folder else PACKAGE / f"{name}.py"
        entries = [
            (room if is_folder else f"{name}.py", wrapped(first_sentence(path).split(), " "))
        ]
        if name == "kernels":
            for variant in FILES[name]:
                entries.append((f"  {variant}/", wrapped(FILES[f"kernels.{variant}"], ", ")))
        elif name in FILES:
            entries[0][1].extend(wrapped(FILES[name], ", "))
        for left, lines in entries:
            for i, line in enumerate(lines):
                drawn.append(f"{left if i == 0 else '':<{LEFT}}{line}".rstrip())
    return "\n".join(drawn)


if __name__ == "__main__":
    print(drawn_map())
