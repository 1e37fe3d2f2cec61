"""The models that mlops-serve is timed on: real sizes, random weights, any batch size."""

import lightgbm
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

from reference import Reference

from . import bert, digits, mlp, mobilenet, recurrent, resnet
from .inputs import float_cases, image_cases
from .tabular import Table

BATCHES = [1, 8, 32]
PICTURES = [(1, (224, 224)), (4, (224, 224))]


def models(_size):
    widths = [32, 128, 64, 2]
    yield Reference("mlp", "32, 128, 64, 2", mlp.perceptron("mlp", widths), float_cases("mlp", BATCHES, widths[0]))
    widths = [256, 1024, 1024, 1024, 10]
    model = mlp.perceptron("heavy_mlp", widths)
    yield Reference("heavy_mlp", "256, three times 1024, 10", model, float_cases("heavy_mlp", BATCHES, widths[0]))
    yield from digits.models("full")
    model = resnet.resnet("resnet18", resnet.RESNET18)
    yield Reference("resnet18", "pictures of 224 by 224", model, image_cases("resnet18", PICTURES))
    model = mobilenet.mobilenet_v2("mobilenet_v2", mobilenet.FULL)
    yield Reference("mobilenet_v2", "pictures of 224 by 224", model, image_cases("mobilenet_v2", PICTURES))
    cases = bert.token_cases("bert", bert.FULL.vocabulary, [(1, 128), (8, 128)])
    yield Reference("bert", "4 layers, width 256, 128 tokens", bert.bert("bert", bert.FULL, 14), cases)
    yield gradient_boosting("gbdt", trees=500, depth=6, features=32)
    sizes = recurrent.Shape(inputs=64, hidden=128, classes=6)
    cases = recurrent.sequence_cases("lstm", sizes.inputs, [(1, 50), (8, 50), (32, 50)])
    yield Reference("lstm", "hidden 128, 50 steps", recurrent.classifier("lstm", "LSTM", sizes), cases)


def gradient_boosting(name, trees, depth, features):
    table = Table(name, features, [*BATCHES, 1000])
    rows, targets = table.training(5000)
    model = lightgbm.LGBMRegressor(
        n_estimators=trees, max_depth=depth, num_leaves=2**depth, min_child_samples=5, n_jobs=1, random_state=0,
        deterministic=True, verbose=-1,
    )  # fmt: skip
    model.fit(rows, targets)
    types = [("input", FloatTensorType([None, features]))]
    converted = convert_lightgbm(model, initial_types=types, target_opset=15)
    return Reference(name, f"{trees} trees of depth {depth}, {features} features", converted, table.cases())
