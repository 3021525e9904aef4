"""Layers of images, built alike from minigen and from PyTorch: (class, args, input shape)."""

LAYERS = {
    "conv1d": ("Conv1d", (4, 6, 3, 2, 1, 2, 2), (2, 4, 9)),
    "conv2d": ("Conv2d", (2, 3, 3), (2, 2, 5, 4)),
    "conv2d-settings": ("Conv2d", (4, 6, (3, 2), (2, 1), (1, 2), (1, 2), 2), (2, 4, 6, 5)),
    "conv2d-1x1": ("Conv2d", (3, 2, 1, 1, 0, 1, 1, False), (2, 3, 3, 4)),
    "conv2d-depthwise": ("Conv2d", (4, 4, 3, 1, 1, 1, 4), (2, 4, 4, 5)),
    "conv_transpose2d": ("ConvTranspose2d", (3, 2, 3), (2, 3, 3, 4)),
    "conv_transpose2d-settings": (
        *("ConvTranspose2d", (4, 6, (3, 2), (2, 3), (1, 0), (1, 2), 2, True, (2, 1))),
        (2, 4, 3, 3),
    ),
    "conv_transpose2d-dilated": ("ConvTranspose2d", (1, 1, 2, 1, 0, 2, 1, False, 3), (1, 1, 3, 3)),
    "max_pool1d": ("MaxPool1d", (3, 2, 1), (2, 2, 8)),
    "max_pool2d": ("MaxPool2d", (2,), (2, 2, 5, 4)),
    "max_pool2d-settings": ("MaxPool2d", ((3, 2), (1, 2), (1, 0)), (2, 2, 5, 6)),
    "avg_pool2d": ("AvgPool2d", (2,), (2, 2, 5, 4)),
    "avg_pool2d-settings": ("AvgPool2d", ((3, 2), (1, 2), (1, 1)), (2, 2, 5, 6)),
    "adaptive_avg_pool2d": ("AdaptiveAvgPool2d", ((3, 2),), (2, 2, 5, 6)),
    "adaptive_avg_pool2d-one": ("AdaptiveAvgPool2d", (1,), (2, 2, 5, 6)),
    "batch_norm1d": ("BatchNorm1d", (3,), (4, 3)),
    "batch_norm1d-sequence": ("BatchNorm1d", (3, 1e-3, 0.3), (2, 3, 4)),
    "batch_norm2d": ("BatchNorm2d", (3,), (2, 3, 3, 2)),
    "batch_norm2d-average": ("BatchNorm2d", (2, 1e-5, None, False), (2, 2, 3, 2)),
    "batch_norm2d-untracked": ("BatchNorm2d", (2, 1e-5, 0.1, True, False), (2, 2, 3, 2)),
    "group_norm": ("GroupNorm", (2, 4), (2, 4, 3, 2)),
}
STEPS = 2  # calls in training mode before the one in evaluation mode


def conv_net(nn):
    """A small convolutional net with batch norm."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2),
        nn.GroupNorm(3, 6),
        nn.SiLU(),
        nn.ConvTranspose2d(6, 4, 2, stride=2),
        nn.AvgPool2d(3, 1, 1),
        nn.AdaptiveAvgPool2d(2),
        nn.Upsample(scale_factor=2),
        nn.Flatten(),
        nn.Linear(64, 3),
        nn.BatchNorm1d(3),
    )
