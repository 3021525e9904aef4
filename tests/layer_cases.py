"""Layers and functions, as text that PyTorch reads too, and the shapes of their inputs.

make_fixtures_layers.py runs them with PyTorch, and test_layers.py with minigen.
"""

IMAGES, SEQUENCES, ROWS = (1, 4, 6, 5), (2, 4, 7), (5, 4)
PADDINGS = ("0", "1", "'same'", "'valid'")
MODES = ("zeros", "reflect", "replicate", "circular")
POINTWISE = [
    *("ReLU", "ReLU6", "SiLU", "Mish", "SELU", "Hardswish", "Tanh", "Sigmoid", "LogSigmoid"),
    *("Softsign", "GELU", "LeakyReLU", "ELU", "Hardtanh", "Softplus", "PReLU"),
]
ENCODER = "TransformerEncoderLayer(4, 2, 6, dropout=0.0"
DECODER = "TransformerDecoderLayer(4, 2, 6, dropout=0.0"

LAYERS = {
    **{f"{name}()": ROWS for name in POINTWISE},
    **{
        f"Conv2d(4, 2, {k}, padding={p}, padding_mode='{mode}', dilation={d})": IMAGES
        for p, k, d, mode in zip(
            PADDINGS * 2, (3, 2, 3, 2, 2, 3, 2, 3), (1, 1, 2, 1) * 2, MODES * 2
        )
    },
    "Conv2d(4, 2, (3, 2), (2, 1), (1, 2), padding_mode='reflect')": IMAGES,
    "Conv2d(4, 2, (2, 3), padding='same', groups=2)": IMAGES,
    "Conv1d(4, 2, 2, padding='same')": SEQUENCES,
    "Conv1d(4, 2, 3, padding=2, padding_mode='circular')": SEQUENCES,
    "MaxPool1d(2, ceil_mode=True)": SEQUENCES,
    "AvgPool1d(3, 2, 1, ceil_mode=True)": SEQUENCES,
    "MaxPool2d(3, 2, 1, ceil_mode=True)": IMAGES,
    "AvgPool2d(3, 2, 1, ceil_mode=True)": IMAGES,
    "AvgPool2d(2, padding=1, count_include_pad=False)": IMAGES,
    "AdaptiveMaxPool2d((4, None))": IMAGES,
    "AdaptiveMaxPool2d(1)": IMAGES,
    "AdaptiveAvgPool1d(3)": SEQUENCES,
    "Upsample(scale_factor=2.0)": IMAGES,
    "Upsample(scale_factor=1.5, mode='bilinear')": IMAGES,
    "Upsample(size=(3, 7))": IMAGES,
    "Upsample(size=9, mode='bilinear', align_corners=True)": IMAGES,
    "Softmax(dim=1)": IMAGES,
    "LogSoftmax(1)": SEQUENCES,
    "GLU(1)": IMAGES,
    "PReLU(4)": IMAGES,
    "RMSNorm(7)": SEQUENCES,
    "RMSNorm((6, 5), eps=0.1, elementwise_affine=False)": IMAGES,
    "InstanceNorm1d(4)": SEQUENCES,
    "InstanceNorm2d(4, affine=True, eps=0.1)": IMAGES,
    f"TransformerEncoder({ENCODER}), 2)": (3, 2, 4),
    f"TransformerEncoder({ENCODER}, norm_first=True, batch_first=True), 2, norm=LayerNorm(4))": (
        *(2, 3, 4),
    ),
    f"TransformerDecoder({DECODER}, activation='gelu'), 2, LayerNorm(4))": (3, 2, 4),
}
# F is nn.functional, x the input, w a weight that is drawn too.
FUNCTIONS = {
    "F.pad(x, (1, 2))": IMAGES,
    "F.pad(x, (-1, 2, 1, -2), value=3.0)": IMAGES,
    "F.pad(x, (1, 2, 0, 1), mode='reflect')": IMAGES,
    "F.pad(x, (2, 0), mode='replicate')": SEQUENCES,
    "F.pad(x, (1, 2, 3, 1), 'circular')": IMAGES,
    "F.interpolate(x, (3, 8))": IMAGES,
    "F.interpolate(x, scale_factor=(2, 3))": IMAGES,
    "F.interpolate(x, scale_factor=0.5, mode='bilinear', align_corners=False)": IMAGES,
    "F.normalize(x)": SEQUENCES,
    "F.normalize(x, 1, dim=2)": SEQUENCES,
    "F.cosine_similarity(x, x * x + 1, dim=1)": SEQUENCES,
    "F.instance_norm(x)": IMAGES,
    "F.group_norm(x, 2)": IMAGES,
    "F.layer_norm(x, (6, 5))": IMAGES,
    "F.rms_norm(x, (5,))": IMAGES,
    "F.batch_norm(x, None, None, training=True)": IMAGES,
    "F.max_pool2d(x, 2, ceil_mode=True)": IMAGES,
    "F.avg_pool2d(x, 3, 1, 1, False, False)": IMAGES,
    "F.adaptive_max_pool2d(x, 2)": IMAGES,
    "F.softmin(x, 1)": ROWS,
    "F.softmax(x, -1)": ROWS,
    "F.glu(x, 1)": ROWS,
    "F.hardtanh(x, -0.5, 2.0)": ROWS,
    "F.hardswish(3 * x)": ROWS,
    "F.mish(x)": ROWS,
    "F.selu(x)": ROWS,
    "F.softsign(x)": ROWS,
    "F.kl_div(F.log_softmax(x, 1), F.softmax(x * x, 1), reduction='batchmean')": ROWS,
    "F.smooth_l1_loss(x, x * x, beta=0.5)": ROWS,
    "F.binary_cross_entropy_with_logits(x, F.sigmoid(x), reduction='sum')": ROWS,
    "F.scaled_dot_product_attention(x, x, x, attn_mask=x * x)": (*(2, 4, 4),),
    "F.linear(x, F.normalize(x))": ROWS,
}
