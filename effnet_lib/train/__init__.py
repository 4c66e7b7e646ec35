"""Training: recipes, data, the engine, and the records of what came out.

    from effnet_lib.train import make_config, train
    record = train(make_config("digits"), "runs/digits")

Names are loaded when they are first used: recipes and records need no torch.
"""

import importlib

_PUBLIC = {
    "config": ("Config", "RECIPES", "change_config", "make_config", "make_variant"),
    "class_weights": ("make_class_weights",),
    "errors": ("ConfigError", "Interrupted", "RunError"),
    "engine": ("Run", "fit", "predict", "train", "training_step"),
    "answers": ("Answers", "run_answers", "watch_epochs"),
    "checking": ("BadImages", "check_images"),
    "folders": ("read_tree",),
    "manifest": ("read_manifest",),
    "data": ("DataSet", "Split", "load_data"),
    "labels": ("read_labels",),
    "sampling": ("balanced_order",),
    "tasks": ("MultiLabel", "SingleLabel", "average_precision"),
    "optim": ("RMSpropTF", "ema_decay", "lr_factor", "make_ema", "parameter_groups"),
    "augment": ("Augment", "rand_augment", "trivial_augment"),
    "progressive": ("code_rule", "make_stages", "paper_rule", "progressive_stages", "training_cost"),
    "progress": ("LivePlot", "plot_history"),
    "record": ("SCHEMA", "check_record", "find_records", "read_record"),
    "checkpoint": ("load_checkpoints", "load_latest", "save_checkpoint"),
    "experiments": ("Experiment", "all_experiments", "plan"),
    "search": ("Candidate", "search_candidate", "search_grid", "search_run"),
}
_HOME = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = list(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted(__all__)
