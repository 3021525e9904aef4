"""What a run leaves behind: its model, its history and what its pictures show; in a folder."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minigen import data, models
from minigen.backend.devices import resolve_device
from minigen.communication.world import current
from minigen.errors import CheckpointError
from minigen.nn import Module, ModuleDict
from minigen.random import Generator, default_generator
from minigen.training import checkpoint, earlier_runs

# The classes that `load_run` can build. A checkpoint names one; it never contains code.
MODELS = {
    each.__name__: each
    for each in (
        *(models.VAE, models.ConvVAE, models.CNN, models.LSTMClassifier, models.CharLSTM),
        *(models.Diffusion, models.SpeechCNN),
        *(models.Generator, models.Discriminator, models.DCGenerator, models.DCDiscriminator),
        *(models.PixelCNN, models.CategoricalVAE),
        *(models.MLP, models.GPT, models.Seq2SeqTransformer, models.TransformerClassifier),
    )
}
LARGEST_SETTING = 10_000  # of a number that is no size of a weight, such as max_len
# The texts in `kept` that become attributes of the model, each with the argument that is its size.
VOCABULARIES = {
    "vocabulary": ("vocabulary", "vocab"),
    "source_vocabulary": ("source_vocab",),
    "target_vocabulary": ("target_vocab",),
}
DAMAGED = (  # what a model can raise that is built from a damaged description
    *(ArithmeticError, AttributeError, LookupError, MemoryError),
    *(StopIteration, TypeError, ValueError),
)


class Results:
    """What the `draw` function of an example reads, during training and long after it.

    `kept` holds arrays and texts that were saved with the run, such as the images to show.
    """

    model: Module
    history: list[dict[str, float]]  # a row for each completed epoch
    kept: dict[str, Any]
    config: dict[str, str]  # the flags
    out: Path
    device: str
    new_seed: int | None = None  # that of --sample --seed, which asks for other samples

    @property
    def leads(self) -> bool:
        """Whether this process is rank 0, which alone prints, draws and saves."""
        return current().rank == 0

    def path(self, name: str) -> Path:
        """The file of that name in the run's folder; of other samples, with the seed appended."""
        if self.new_seed is None:
            return self.out / name
        return self.out / f"{Path(name).stem}-{self.new_seed}{Path(name).suffix}"

    def generator(self, seed: int) -> Generator:
        """The generator of what is drawn: of this seed, or of that of --sample --seed."""
        return Generator(seed if self.new_seed is None else self.new_seed)

    def series(self, name: str) -> list[float]:
        """The values of one name in all epochs so far."""
        return [line[name] for line in self.history]


class SavedRun(Results):
    """The results of a run that was saved, read from its folder or checkpoint."""

    def __init__(self, path: Any, device: str | None = None, new_seed: int | None = None):
        file = checkpoint.in_folder(path)
        state = checkpoint.load_state(file)
        self.out, self.device, self.new_seed = file.parent, device or "cpu", new_seed
        try:
            self.config, weights = dict(state["config"]), dict(state["model"])
            self.history, self.kept = list(state["history"]), dict(state.get("kept") or {})
            self.is_complete = "kept" in state  # it is not of an earlier release
            description = state.get("description") or earlier_runs.description(self.config, weights)
            _check_sizes(description, sum(x.size for x in weights.values()))
            self.model = built(description, _dtype(weights), device)
            self.model.load_state_dict(weights)
            for name, sizes in VOCABULARIES.items():
                if name in self.kept:
                    arguments = description["arguments"]
                    size = next(arguments[key] for key in sizes if key in arguments)
                    setattr(self.model, name, _vocabulary(self.kept[name], size))
        except CheckpointError as error:
            raise CheckpointError(f"{file}: {error}") from None
        except DAMAGED as error:
            reason = f"it lacks {error}" if isinstance(error, KeyError) else error
            raise CheckpointError(
                f"{file} is no checkpoint of a run: {type(error).__name__}: {reason}"
            ) from None
        self.model.eval()


def saved_run(args: argparse.Namespace) -> SavedRun | None:
    """The run in --out, for --sample; None without that flag.

    Also None for a run of an earlier release, which has not kept what its pictures show: then go on
    as in training. `Run` loads the checkpoint and trains no step.
    """
    if not args.sample:
        return None
    saved = SavedRun(args.out, resolve_device(args.device), args.new_seed)
    return saved if saved.is_complete else None


def load_run(path: Any, device: str | None = None) -> Module:
    """The trained model of a run, in evaluation mode, from its folder or its checkpoint.

    A model of text has its `vocabulary`, a translator `source_vocabulary` and `target_vocabulary`;
    several networks are a ModuleDict. CheckpointError if the file is missing, damaged, or of a
    model that is not in `minigen.models`.
    """
    return SavedRun(path, device).model


def described(model: Module, settings: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A model as text: {"class": its name, "arguments": settings}, from which `built` makes it.

    A module of several models has {"parts": a description of each}, and its settings are a dict of
    theirs. None without settings.
    """
    if settings is None:
        return None
    name = type(model).__name__
    if MODELS.get(name) is type(model):
        return {"class": name, "arguments": dict(settings)}
    return {"parts": {k: described(part, settings[k]) for k, part in model.named_children()}}


def built(description: Mapping[str, Any] | None, dtype: Any, device: str | None) -> Module:
    """The model of a description, with initial weights; CheckpointError if there is none."""
    if description is None:
        raise CheckpointError(
            "it does not say of which model of minigen.models it is; make your model and load "
            "minigen.training.checkpoint.load_state(path)['model'] into it"
        )
    if "parts" in description:
        parts = description["parts"].items()
        return ModuleDict({k: built(part, dtype, device) for k, part in parts})
    name = description["class"]
    if name not in MODELS:
        raise CheckpointError(f"it is of a model {name!r}, which minigen.models lacks: update it")
    default = default_generator()
    before = default.state
    try:  # without rng, so that the model will draw from the default generator
        return MODELS[name](**description["arguments"], dtype=dtype, device=device)
    finally:
        default.state = before


def _check_sizes(description: Any, values: int) -> None:
    """CheckpointError for a size that no model with this number of values in its weights has."""
    if isinstance(description, Mapping):
        description = list(description.values())
    if isinstance(description, list):
        for part in description:
            _check_sizes(part, values)
    elif isinstance(description, int) and description > max(values, LARGEST_SETTING):
        raise CheckpointError(f"it describes a model with a size of {description}; it is damaged")


def _dtype(weights: Mapping[str, np.ndarray]) -> Any:
    return next(x.dtype for x in weights.values() if x.dtype.kind == "f")


def _vocabulary(characters: str, size: int) -> data.Vocabulary:
    vocabulary = data.Vocabulary(characters)
    if vocabulary.characters != characters or len(vocabulary) != size:
        raise CheckpointError(
            f"its vocabulary of {len(vocabulary)} is not that of its model, {size}"
        )
    return vocabulary
