"""The models of checkpoints that earlier releases wrote, which did not describe them.

The example and its flags are in the checkpoint, and the other sizes in the shapes of the weights.
"""

from collections.abc import Mapping
from typing import Any


def description(config: Mapping[str, str], weights: Mapping[str, Any]) -> dict[str, Any] | None:
    """The description (see `results.described`) of the model of an example; None of another."""
    example = EXAMPLES.get(config.get("example", ""))
    return example and example(config, weights)


def _model(name: str, **arguments: Any) -> dict[str, Any]:
    return {"class": name, "arguments": arguments}


def _vae(config, weights):
    hidden, codes = weights["decoder.0.weight"].shape
    latent = len(weights["mean.bias"])
    sizes = {"latent": latent, "hidden": hidden, "classes": codes - latent}
    name = {"dense": "VAE", "conv": "ConvVAE"}[config["arch"]]
    return _model(name, **sizes, beta=float(config["beta"]))


def _cnn(config, weights):
    classes, hidden = weights["head.weight"].shape
    return _model("CNN", classes=classes, hidden=hidden)


def _rnn(config, weights):
    classes, hidden = weights["head.weight"].shape
    return _model("LSTMClassifier", hidden=hidden, classes=classes)


def _char_lstm(config, weights):
    (vocabulary, embed), hidden = weights["embedding.weight"].shape, int(config["hidden"])
    return _model("CharLSTM", vocabulary=vocabulary, embed=embed, hidden=hidden)


def _gpt(config, weights):
    sizes = {name: int(config[name]) for name in ("context", "layers", "heads", "width")}
    return _model("GPT", vocab=len(weights["token.weight"]), **sizes)


def _seq2seq(config, weights):
    width = int(config["width"])
    sizes = {"width": width, "layers": int(config["layers"]), "hidden": 4 * width}
    for side, stack in (("source", "encoder"), ("target", "decoder")):
        sizes[f"{side}_vocab"] = len(weights[f"{stack}.token.weight"])
    return _model(
        "Seq2SeqTransformer", **sizes, dropout=0.0, max_len=len(weights["encoder.position.pe"])
    )


def _gan(config, weights):
    prefix = {"dense": "", "dc": "DC"}[config["arch"]]
    names = {"generator": "Generator", "discriminator": "Discriminator"}
    return {"parts": {part: _model(prefix + name) for part, name in names.items()}}


def _gan_modes(config, weights):
    width = int(config["width"])
    mlp = lambda outputs: _model("MLP", sizes=[2, width, width, width, outputs])
    pair = {"parts": {"generator": mlp(2), "critic": mlp(1)}}
    return {"parts": {"plain": pair, "wgan": pair}}


def _augment(config, weights):
    classes = len(weights["with.head.bias"])
    cnn = _model("CNN", classes=classes, widths=[16, 32], hidden=64)
    vae = _model("VAE", classes=classes, beta=0.1)
    return {"parts": {"generator": vae, "without": cnn, "with": cnn}}


EXAMPLES = {
    "vae": _vae,
    "cnn": _cnn,
    "rnn": _rnn,
    "char_lstm": _char_lstm,
    "gpt": _gpt,
    "seq2seq": _seq2seq,
    "gan": _gan,
    "gan_modes": _gan_modes,
    "augment": _augment,
}
