"""Scaler, Normalizer, Imputer, Binarizer, FeatureVectorizer, encoders, and what selects or renames columns."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from .cases import element_type, model_of
from .linear import matrix

NAN = float("nan")
WORDS = np.array(["a", "b", "", "Straße", "日本", "a b", "A"], dtype=object)


def simple(operator: str, x, output: tuple, version: int = 1, **attributes):
    node = helper.make_node(operator, ["x"], ["y"], domain="ai.onnx.ml", **attributes)
    return model_of([node], {"x": x}, {"y": output}, version), {"x": x}


def vector_or_matrix(random, features: int, **kinds) -> np.ndarray:
    x = matrix(random, features, **kinds)
    return x[0] if random.random() < 0.2 else x


def with_missing(random, x: np.ndarray, chance: float = 0.3) -> np.ndarray:
    if x.dtype.kind == "f":
        x[random.random(x.shape) < chance] = np.nan
    return x


def scaler(random):
    features = int(random.integers(1, 6))
    x = vector_or_matrix(random, features)
    length = int(random.choice([1, features]))
    scale, offset = (list(map(float, random.standard_normal(length).astype(np.float32))) for _ in range(2))
    return simple("Scaler", x, (TensorProto.FLOAT, x.ndim), scale=scale, offset=offset)


def normalizer(random):
    x = vector_or_matrix(random, int(random.integers(1, 6)))
    if random.random() < 0.2:
        x[...] = 0
    elif random.random() < 0.2:
        x = -np.abs(x)
    norm = str(random.choice(["MAX", "L1", "L2"]))
    return simple("Normalizer", x, (TensorProto.FLOAT, x.ndim), norm=norm)


def imputer(random):
    features = int(random.integers(1, 6))
    length = int(random.choice([1, features]))
    if random.random() < 0.3:
        x = np.asarray(vector_or_matrix(random, features, kinds=(np.int64,)))
        attributes = {"imputed_value_int64s": [int(v) for v in random.integers(-9, 9, length)],
                      "replaced_value_int64": int(random.choice([0, 1]))}
    else:
        x = with_missing(random, vector_or_matrix(random, features, kinds=(np.float32,)))
        x = np.where(random.random(x.shape) < 0.2, np.float32(-1), x)
        attributes = {"imputed_value_floats": [float(v) for v in random.integers(-9, 9, length)],
                      "replaced_value_float": float(random.choice([NAN, -1.0]))}
    return simple("Imputer", x, (element_type(x), x.ndim), **attributes)


def binarizer(random):
    x = vector_or_matrix(random, 4, kinds=(np.float32,)).round(1)
    attributes = {"threshold": float(random.choice([0.5, -0.5]))} if random.random() < 0.7 else {}
    return simple("Binarizer", x, (TensorProto.FLOAT, x.ndim), **attributes)


def feature_vectorizer(random):
    count = int(random.integers(1, 4))
    rows = int(random.choice([1, 3]))
    inputs, dimensions = {}, []
    kind = [np.float32, np.float64, np.int32, np.int64][int(random.integers(4))]
    for index in range(count):
        width = int(random.integers(1, 4))
        inputs[f"x{index}_"] = random.integers(-5, 5, (rows, width)).astype(kind)
        dimensions.append(max(1, width + int(random.integers(-1, 2))))
    node = helper.make_node("FeatureVectorizer", list(inputs), ["y"], domain="ai.onnx.ml", inputdimensions=dimensions)
    return model_of([node], inputs, {"y": (TensorProto.FLOAT, 2)}, 1), inputs


def keys_and_values(random):
    """Keys and values of a mapping, of each of the types there are: (numpy values, suffix of the attribute)."""
    count = int(random.integers(1, 6))
    ints = random.choice(np.arange(-4, 9), count, replace=False).astype(np.int64)
    reals = random.choice(np.array([-1.5, -0.0, 0.5, 1, 2.25, NAN, 7]), count, replace=False)
    return {
        "strings": random.choice(WORDS, count, replace=False),
        "int64s": ints,
        "floats": reals.astype(np.float32),
        "tensor": reals.astype(np.float64),
        "int16": ints.astype(np.int16),
    }


def label_encoder(random):
    version = int(random.choice([1, 2, 4]))
    if version == 1:
        classes = list(random.choice(WORDS, 4, replace=False))
        attributes = {"classes_strings": classes}
        if random.random() < 0.5:
            attributes |= {"default_string": "none", "default_int64": -7}
        if random.random() < 0.5:
            return simple("LabelEncoder", random.choice(WORDS, (3, 2)), (TensorProto.INT64, 2), 1, **attributes)
        x = random.integers(-1, 6, (3, 2))
        return simple("LabelEncoder", x, (TensorProto.STRING, 2), 1, **attributes)
    keys, values = keys_and_values(random), {}
    for name, value in keys_and_values(random).items():
        values[name] = np.resize(value, len(keys["int64s"]))
    kinds = ["strings", "int64s", "floats"] if version == 2 else list(keys)
    key, value = str(random.choice(kinds)), str(random.choice(kinds))
    attributes = {}
    for prefix, kind, array in [("keys", key, keys[key]), ("values", value, values[value])]:
        if kind in ("tensor", "int16"):
            attributes[f"{prefix}_tensor"] = numpy_helper.from_array(array)
        else:
            attributes[f"{prefix}_{kind}"] = array.tolist()
    if random.random() < 0.5:
        default = {"strings": ("default_string", "none"), "int64s": ("default_int64", 77),
                   "floats": ("default_float", 0.25)}.get(value)
        if default:
            attributes[default[0]] = default[1]
    if version == 4 and value in ("tensor", "int16"):
        attributes["default_tensor"] = numpy_helper.from_array(np.array([9], dtype=values[value].dtype))
    x = random.choice(np.concatenate([keys[key], keys_and_values(random)[key]]), (3, 2))
    return simple("LabelEncoder", x, (element_type(values[value]), 2), version, **attributes)


def category_mapper(random):
    names = list(random.choice(WORDS, 4, replace=False))
    attributes = {"cats_strings": names, "cats_int64s": [int(v) for v in random.choice(9, 4, replace=False)],
                  "default_string": "none", "default_int64": -3}
    if random.random() < 0.5:
        return simple("CategoryMapper", random.choice(WORDS, (2, 3)), (TensorProto.INT64, 2), **attributes)
    return simple("CategoryMapper", random.integers(0, 9, (2, 3)), (TensorProto.STRING, 2), **attributes)


def one_hot_encoder(random):
    attributes = {"zeros": int(random.random() < 0.8)}
    if random.random() < 0.4:
        x, attributes["cats_strings"] = random.choice(WORDS, (3, 2)), list(random.choice(WORDS, 5, replace=False))
    else:
        kind = [np.float32, np.float64, np.int64][int(random.integers(3))]
        x = (random.integers(-2, 4, (3, 2)) + random.choice([0, 0.5])).astype(kind)
        attributes["cats_int64s"] = [int(v) for v in random.choice(np.arange(-2, 4), 4, replace=False)]
    if random.random() < 0.3:
        x = x[0]
    return simple("OneHotEncoder", x, (TensorProto.FLOAT, x.ndim + 1), **attributes)


def array_feature_extractor(random):
    x = random.choice(WORDS, (2, 4)) if random.random() < 0.3 else matrix(random, 4)
    if random.random() < 0.3:
        x = x[0]
    elif random.random() < 0.3:
        x = np.stack([x, x])
    y = random.integers(0, 4, (1, int(random.integers(1, 6))))
    node = helper.make_node("ArrayFeatureExtractor", ["x", "i"], ["y"], domain="ai.onnx.ml")
    inputs = {"x": x, "i": y}
    return model_of([node], inputs, {"y": (element_type(x), max(x.ndim, 2))}, 1), inputs


OPERATORS = {
    "Scaler": scaler,
    "Normalizer": normalizer,
    "Imputer": imputer,
    "Binarizer": binarizer,
    "FeatureVectorizer": feature_vectorizer,
    "LabelEncoder": label_encoder,
    "CategoryMapper": category_mapper,
    "OneHotEncoder": one_hot_encoder,
    "ArrayFeatureExtractor": array_feature_extractor,
}
