"""Layers, losses and optimizers of PyTorch that do not exist here, for `left_out.py`."""

_SCREEN = "it is left out, for it would take more code than it teaches"

NN = {
    **dict.fromkeys(("Conv3d", "MaxPool3d", "AvgPool3d", "BatchNorm3d", "Dropout3d"), _SCREEN),
    **dict.fromkeys(("Bilinear", "CTCLoss", "MultiLabelMarginLoss", "Fold", "Unfold"), _SCREEN),
    **dict.fromkeys(("AdaptiveLogSoftmaxWithLoss", "FractionalMaxPool2d", "LPPool2d"), _SCREEN),
    **dict.fromkeys(("LazyLinear", "LazyConv2d"), "give the number of inputs"),
    **dict.fromkeys(("DataParallel", "SyncBatchNorm"), "it is left out: one device trains"),
    "CELU": "alpha * mg.elu(x / alpha) in forward",
    "Softmin": "mg.softmax(-x, axis) in forward",
    "Threshold": "mg.where(x > threshold, x, value) in forward",
    "AlphaDropout": "nn.Dropout",
    "PixelShuffle": "reshape to (N, C, r, r, H, W), permute(0, 1, 4, 2, 5, 3), and reshape",
    "ChannelShuffle": "reshape, swapaxes and reshape",
    "ZeroPad2d": "nn.functional.pad(x, (left, right, top, bottom)) in forward",
    "ReflectionPad2d": "nn.functional.pad(x, pad, mode='reflect') in forward",
    "ReplicationPad2d": "nn.functional.pad(x, pad, mode='replicate') in forward",
    "ConstantPad2d": "nn.functional.pad(x, pad, value=value) in forward",
    "UpsamplingNearest2d": "nn.Upsample(scale_factor=2)",
    "UpsamplingBilinear2d": "nn.Upsample(scale_factor=2, mode='bilinear', align_corners=True)",
    "LocalResponseNorm": "nn.BatchNorm2d or nn.GroupNorm",
    "EmbeddingBag": "nn.Embedding, then .mean(1)",
    "ConvTranspose1d": "nn.ConvTranspose2d with an axis of length 1",
    "Transformer": "nn.TransformerEncoder and nn.TransformerDecoder; is_causal=True for the mask",
    "CosineSimilarity": "nn.functional.cosine_similarity in forward",
    "PairwiseDistance": "(a - b).norm(axis=-1) in forward",
    "TripletMarginLoss": "mg.relu((a - p).norm(axis=1) - (a - n).norm(axis=1) + margin).mean()",
    "MarginRankingLoss": "mg.relu(-y * (a - b) + margin).mean()",
    "HingeEmbeddingLoss": "mg.where(y > 0, x, mg.relu(margin - x)).mean()",
    "CosineEmbeddingLoss": "1 - nn.functional.cosine_similarity(a, b); its relu for pairs apart",
    "MultiMarginLoss": "nn.CrossEntropyLoss",
    "MultiLabelSoftMarginLoss": "nn.BCEWithLogitsLoss",
    "SoftMarginLoss": "mg.softplus(-y * x).mean()",
    "PoissonNLLLoss": "(mg.exp(x) - t * x).mean()",
    "GaussianNLLLoss": "0.5 * (mg.log(var) + (x - t) ** 2 / var).mean()",
    "Buffer": "self.register_buffer(name, value)",
    "quantized": "it is left out",
}

FUNCTIONAL = {
    **dict.fromkeys(("grid_sample", "affine_grid", "unfold", "fold", "ctc_loss"), _SCREEN),
    **dict.fromkeys(("conv3d", "max_pool3d", "bilinear", "max_unpool2d"), _SCREEN),
    "celu": "alpha * mg.elu(x / alpha)",
    "gumbel_softmax": "mg.softmax((x - mg.log(-mg.log(mg.rand(*x.shape)))) / tau, -1)",
    "pairwise_distance": "(a - b).norm(axis=-1)",
    "pixel_shuffle": NN["PixelShuffle"],
    "triplet_margin_loss": NN["TripletMarginLoss"],
    "margin_ranking_loss": NN["MarginRankingLoss"],
    "cosine_embedding_loss": NN["CosineEmbeddingLoss"],
    "hinge_embedding_loss": NN["HingeEmbeddingLoss"],
    "poisson_nll_loss": NN["PoissonNLLLoss"],
    "gaussian_nll_loss": NN["GaussianNLLLoss"],
    "dropout2d": "nn.Dropout2d",
    "upsample": "nn.functional.interpolate",
    "embedding_bag": NN["EmbeddingBag"],
    "multi_head_attention_forward": "nn.MultiheadAttention",
    "local_response_norm": NN["LocalResponseNorm"],
}

_OPTIMIZER = "it is left out: Adam has replaced it; optim.Optimizer is the base for one of your own"
OPTIM = {
    **dict.fromkeys(("Adagrad", "Adadelta", "Adamax", "Rprop", "ASGD"), _OPTIMIZER),
    **dict.fromkeys(("NAdam", "RAdam", "Adafactor", "Muon"), "it is left out: optim.AdamW"),
    "SparseAdam": "optim.Adam; sparse tensors are left out",
    "LBFGS": "it is left out, as it is not for batches; SciPy has it, for "
    "nn.utils.parameters_to_vector",
    "swa_utils": "keep a moving average of model.state_dict() in a loop",
}
LR_SCHEDULER = {
    "ConstantLR": "LambdaLR(optimizer, lambda epoch: factor if epoch < total_iters else 1)",
    "PolynomialLR": "LambdaLR(optimizer, lambda epoch: max(0, 1 - epoch / total_iters) ** power)",
    "MultiplicativeLR": "LambdaLR, with the product of the factors so far",
    "ChainedScheduler": "step() of each schedule: those of one optimizer multiply",
    "CyclicLR": "LambdaLR, or OneCycleLR",
    "CosineAnnealingWarmRestarts": "LambdaLR(optimizer, lambda epoch: 0.5 + 0.5 * "
    "math.cos(math.pi * (epoch % T_0) / T_0))",
}
MODULE = {
    "half": "float16 is left out: floats are mg.float32 and mg.float64",
    "bfloat16": "it is left out: floats are mg.float32 and mg.float64",
    "type": "module.to(dtype)",
    "compile": "minigen runs ops as they are called",
    "share_memory": "it is left out: processes share no tensors",
    "get_parameter": "dict(module.named_parameters())[path]",
    "get_buffer": "dict(module.named_buffers())[path]",
    "register_full_backward_hook": "mg.grad(loss, x) gives the gradient of any tensor",
    "register_backward_hook": "mg.grad(loss, x) gives the gradient of any tensor",
    "to_empty": "module.to(device)",
    "get_extra_state": "state_dict()",
}
