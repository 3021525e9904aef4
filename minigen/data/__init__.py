"""Data sets and batches: raw arrays, no autodiff."""

from minigen.data.datasets import (
    ConcatDataset,
    Dataset,
    Subset,
    TensorDataset,
    default_collate,
    random_split,
)
from minigen.data.glyph_images import GLYPH_CLASSES, glyphs
from minigen.data.idx_files import read_idx
from minigen.data.loading import DataLoader
from minigen.data.mnist_files import FASHION_CLASSES, fashion_mnist, mnist
from minigen.data.picture_files import image_folder
from minigen.data.tables import Standardizer, Table, parse_table, read_table
from minigen.data.text_files import Vocabulary, text, text_pairs
from minigen.data.thrown_balls import throws
from minigen.data.written_dates import dates

__all__ = [
    "FASHION_CLASSES",
    "GLYPH_CLASSES",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "Standardizer",
    "Subset",
    "Table",
    "TensorDataset",
    "Vocabulary",
    "dates",
    "default_collate",
    "fashion_mnist",
    "glyphs",
    "image_folder",
    "mnist",
    "parse_table",
    "random_split",
    "read_idx",
    "read_table",
    "text",
    "text_pairs",
    "throws",
]
