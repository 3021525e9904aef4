"""A training step of the model of each example, in a small setting."""

import numpy as np

import minigen as mg
from minigen import models

SEED = 3


def images(*shape):
    return mg.tensor(np.random.default_rng(0).random(shape).astype(np.float32))


def integers(high, *shape):
    return mg.tensor(np.random.default_rng(1).integers(0, high, shape))


def trained(make, loss_of):
    """A function that makes a model, takes two steps with Adam, and returns all that it made."""

    def run():
        mg.manual_seed(SEED)
        model = make(mg.Generator(SEED))
        adam = mg.optim.Adam(model.parameters(), lr=0.01)
        losses = []
        for _ in range(2):
            adam.zero_grad()
            losses.append(loss_of(model))
            losses[-1].backward()
            mg.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            adam.step()
        return {"model": model}, losses, [p.grad for p in model.parameters()]

    return run


def adversarial(make, method, shape, **options):
    """As `trained`, for a generator and its critic, as the examples train them, by mg.grad."""

    def run():
        mg.manual_seed(SEED)
        rng = mg.Generator(SEED)
        generator, critic = make(rng)
        adams = [mg.optim.Adam(model.parameters()) for model in (critic, generator)]
        losses, gradients = [], []
        extra = {"rng": rng, **options} if options else {}
        for _ in range(2):
            fake = generator(mg.randn(4, generator.latent, rng=rng))
            losses.append(method.critic(critic, images(*shape), fake, **extra))
            gradients += mg.grad(losses[-1], adams[0].params)
            adams[0].step(gradients[-len(adams[0].params) :])
            losses.append(method.generator(critic, fake))
            gradients += mg.grad(losses[-1], adams[1].params)
            adams[1].step(gradients[-len(adams[1].params) :])
        return {"generator": generator, "critic": critic}, losses, gradients

    return run


def cross_entropy(x, classes=10):
    return lambda model: mg.cross_entropy(model(x), integers(classes, len(x)))


FLAT, SQUARE = images(4, 784), images(2, 1, 28, 28)
STEPS = {
    "vae": trained(lambda rng: models.VAE(2, 16, rng=rng), lambda m: m.loss(FLAT)[0]),
    "conv vae": trained(
        lambda rng: models.ConvVAE(2, 8, widths=(2, 3), rng=rng), lambda m: m.loss(SQUARE)[0]
    ),
    "cnn": trained(lambda rng: models.CNN(widths=(2, 3), hidden=8, rng=rng), cross_entropy(SQUARE)),
    "rnn": trained(
        lambda rng: models.LSTMClassifier(28, 8, rng=rng), cross_entropy(images(2, 5, 28))
    ),
    "char lstm": trained(
        lambda rng: models.CharLSTM(7, 4, 8, dropout=0.1, layers=2, rng=rng),
        lambda m: m.loss(integers(7, 3, 5), integers(7, 3, 5)),
    ),
    "gpt": trained(
        lambda rng: models.GPT(7, 6, 2, 2, 8, dropout=0.1, rng=rng),
        lambda m: m.loss(integers(7, 3, 6), integers(7, 3, 6)),
    ),
    "seq2seq": trained(
        lambda rng: models.Seq2SeqTransformer(9, 9, width=8, heads=2, layers=1, rng=rng),
        lambda m: m.loss(integers(9, 2, 5), integers(9, 2, 4)),
    ),
    "table": trained(
        lambda rng: models.MLP((6, 8, 3), rng=rng), cross_entropy(images(5, 6), classes=3)
    ),
    "gan": adversarial(
        lambda rng: (
            models.Generator(3, (8,), rng=rng),
            models.Discriminator(hidden=(8,), rng=rng),
        ),
        models.non_saturating,
        (4, 784),
    ),
    "dc gan": adversarial(
        lambda rng: (models.DCGenerator(3, 2, rng=rng), models.DCDiscriminator(2, rng=rng)),
        models.non_saturating,
        (4, 1, 28, 28),
    ),
    "wgan-gp": adversarial(
        lambda rng: (
            models.Generator(3, (8,), rng=rng),
            models.Discriminator(hidden=(8,), rng=rng),
        ),
        models.wasserstein_gp,
        (4, 784),
        weight=10.0,
    ),
}
