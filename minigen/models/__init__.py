"""The five models of the field: definitions, each with its paper and objective at the top."""

from minigen.models.transformer import GPT
from minigen.models.vae import VAE
