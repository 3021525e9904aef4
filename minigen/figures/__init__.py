"""Figures: images, curves and attention weights as PNG files, and heat maps for notebooks."""

from minigen.figures.attention_weights import attention_maps
from minigen.figures.charts import curves, paired_points, point_clouds
from minigen.figures.images import captioned_images, image_sheet
from minigen.figures.predictions import confusion_matrix, predicted_against_true

__all__ = [
    "attention_maps",
    "captioned_images",
    "confusion_matrix",
    "curves",
    "image_sheet",
    "paired_points",
    "point_clouds",
    "predicted_against_true",
]
