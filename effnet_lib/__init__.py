"""effnet_lib: EfficientNet V1, V2 and Lite, and every network between them.

    >>> from effnet_lib import scale_variant, count_cost
    >>> count_cost(scale_variant(2.5)).parameters
    14337078

One value walks through the whole library: a name or a φ becomes a :class:`Variant`, and
:func:`count_cost`, :func:`build_model` and the explorers all take it. Public names are
loaded when they are first used, so that the arithmetic works at once and without torch.
"""

import importlib

__version__ = "0.1.0"

_PUBLIC = {
    "scaling": (
        "Scaling",
        "accepted_phi",
        "compound_scaling",
        "round_channels",
        "round_repeats",
        "round_resolution",
    ),
    "variants": (
        "Published",
        "Stage",
        "Variant",
        "get_variant",
        "list_variants",
        "scale_by",
        "scale_variant",
    ),
    "features": ("FeatureInfo", "feature_info", "select_features"),
    "cost": ("BlockCost", "Cost", "LayerCost", "StageCost", "block_cost", "conv_cost", "count_cost"),
    "budget": ("TrainingBudget", "training_budget"),
    "memory": ("TrainingMemory", "largest_batch", "training_memory"),
    "bounds": ("LayerBound", "Roofline", "roofline"),
    "layers": ("ConvNormAct", "SqueezeExcite", "StochasticDepth"),
    "blocks": ("FusedMBConv", "MBConv"),
    "model": ("EfficientNet", "build_model"),
    "images": ("Preprocessing",),
    "releases": ("DownloadError", "Weights", "WeightsError", "WeightsWarning", "get_weights", "list_weights"),
    "weights": ("LoadedWeights", "Prediction", "classify", "load_weights", "open_weights", "save_weights"),
    "receptive": ("ReceptiveField", "receptive_field"),
    "published": ("Accuracy", "Edition", "accuracy_editions", "list_accuracies", "published_table"),
    "records": ("list_recorded", "recorded"),
    "studies": (
        "PhoneNetwork", "ScaledNetwork", "ScratchRun", "cifar_study", "dimension_study", "phone_study", "published_study",
    ),  # fmt: skip
    "studies_v2": ("FusedNetwork", "progressive_study", "published_fused_study", "published_size_study"),
    "deploy": ("ConvAct", "InferenceNet", "fold_batch_norm", "optimize_for_inference"),
    "backbone": ("FeatureBackbone", "build_backbone"),
    "export": ("ExportError", "Exported", "export_model"),
    "quantize": ("Quantized", "load_images", "quantize_model"),
    "bench": ("benchmark", "compare_inference", "take_turns"),
    "inside": ("activation_map", "feature_maps", "se_blocks", "se_gates"),
    "samples": ("TrainedNetwork", "cifar_small", "cifar_small_gates", "open_photograph", "sample_photographs"),
    "explore": (
        "augmentation_explorer",
        "block_explorer",
        "budget_explorer",
        "dimensions_explorer",
        "family_explorer",
        "gates_explorer",
        "inside_explorer",
        "live_explorer",
        "network_explorer",
        "phi_explorer",
        "phi_lab",
        "progressive_explorer",
        "recipe_explorer",
        "roofline_explorer",
        "se_explorer",
        "speed_lab",
        "stochastic_depth_explorer",
        "training_explorer",
        "training_lab",
    ),
    "exercises": ("check",),
}
_HOME = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = [*_HOME, "__version__"]


def __getattr__(name: str):
    if name in _PUBLIC:
        return importlib.import_module(f".{name}", __name__)
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted(__all__)
