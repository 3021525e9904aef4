"""Data sets and batches: raw arrays, no autodiff."""

from minigen.data.glyph_images import GLYPH_CLASSES, glyphs
from minigen.data.idx_files import read_idx
from minigen.data.loading import DataLoader
from minigen.data.mnist_files import FASHION_CLASSES, fashion_mnist, mnist
from minigen.data.picture_files import image_folder
from minigen.data.text_files import Vocabulary, text, text_pairs
from minigen.data.written_dates import dates

__all__ = [
    "FASHION_CLASSES",
    "GLYPH_CLASSES",
    "DataLoader",
    "Vocabulary",
    "dates",
    "fashion_mnist",
    "glyphs",
    "image_folder",
    "mnist",
    "read_idx",
    "text",
    "text_pairs",
]
