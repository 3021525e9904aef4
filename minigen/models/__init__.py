"""MLP, VAE, GAN, diffusion, PixelCNN, CNN, LSTM, Transformer: papers and objectives on top."""

from minigen.models.cnn import CNN
from minigen.models.diffusion import Diffusion
from minigen.models.gan import (
    DCDiscriminator,
    DCGenerator,
    Discriminator,
    Generator,
    non_saturating,
    wasserstein_gp,
)
from minigen.models.mlp import MLP
from minigen.models.pixel_cnn import MaskedConv2d, PixelCNN
from minigen.models.rnn import CharLSTM, LSTMClassifier
from minigen.models.seq2seq import Seq2SeqTransformer, TransformerClassifier
from minigen.models.speech import SpeechCNN
from minigen.models.transformer import GPT
from minigen.models.unet import UNet
from minigen.models.vae import VAE, CategoricalVAE, ConvVAE

__all__ = [
    "CNN",
    "GPT",
    "MLP",
    "VAE",
    "CategoricalVAE",
    "CharLSTM",
    "ConvVAE",
    "DCDiscriminator",
    "DCGenerator",
    "Diffusion",
    "Discriminator",
    "Generator",
    "LSTMClassifier",
    "MaskedConv2d",
    "PixelCNN",
    "Seq2SeqTransformer",
    "SpeechCNN",
    "TransformerClassifier",
    "UNet",
    "non_saturating",
    "wasserstein_gp",
]
