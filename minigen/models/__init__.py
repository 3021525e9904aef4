"""The five models of the field: definitions, each with its paper and objective at the top."""

from minigen.models.cnn import CNN
from minigen.models.gan import (
    DCDiscriminator,
    DCGenerator,
    Discriminator,
    Generator,
    non_saturating,
    wasserstein_gp,
)
from minigen.models.rnn import CharLSTM, LSTMClassifier
from minigen.models.seq2seq import Seq2SeqTransformer, TransformerClassifier
from minigen.models.transformer import GPT
from minigen.models.vae import VAE, ConvVAE
