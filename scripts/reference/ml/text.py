"""Operators on strings."""

import numpy as np
from onnx import TensorProto, helper

from .cases import model_of

WORDS = np.array(["the", "The", "cat", "CAT", "sat", "on", "Größe", "ΣΊΣΥΦΟΣ", "été", "日本", "a", "", "x1"],
                 dtype=object)


def sentence(random) -> str:
    # onnxruntime takes no white space for it but blanks
    return str(random.choice([" ", "  ", ", ", "-"])).join(random.choice(WORDS, int(random.integers(0, 6))))


def sentences(random, *shape) -> np.ndarray:
    return np.array([sentence(random) for _ in range(int(np.prod(shape)))], dtype=object).reshape(shape)


def string_normalizer(random):
    count = int(random.integers(1, 7))
    x = random.choice(WORDS, count)
    x = x.reshape(1, -1) if random.random() < 0.5 else x
    attributes = {"case_change_action": str(random.choice(["LOWER", "UPPER", "NONE"])),
                  "is_case_sensitive": int(random.integers(2)), "locale": "C.UTF-8"}
    if random.random() < 0.6:
        attributes["stopwords"] = list(random.choice(["the", "cat", "on", "GRÖSSE", "été"], 2, replace=False))
    node = helper.make_node("StringNormalizer", ["x"], ["y"], **attributes)
    return model_of([node], {"x": x}, {"y": (TensorProto.STRING, x.ndim)}, 1, fixed=True), {"x": x}


def string_concat(random):
    shapes = [((2, 3), (2, 3)), ((2, 3), (3,)), ((2, 1), (1, 3)), ((), (2,)), ((4,), (1,))]
    a, b = shapes[int(random.integers(len(shapes)))]
    inputs = {"a": random.choice(WORDS, a), "b": random.choice(WORDS, b)}
    inputs = {name: np.array(value, dtype=object) for name, value in inputs.items()}
    rank = max(len(a), len(b))
    node = helper.make_node("StringConcat", ["a", "b"], ["y"])
    return model_of([node], inputs, {"y": (TensorProto.STRING, rank)}, 1), inputs


def string_split(random):
    x = sentences(random, *[(3,), (2, 2), (1,)][int(random.integers(3))])
    attributes = {}
    if random.random() < 0.7:
        attributes["delimiter"] = str(random.choice([" ", ",", ", ", "-", "", "at"]))
    if attributes.get("delimiter"):
        # an empty string has one part by ONNX's reference implementation, as in Python, but none in onnxruntime
        x = np.where(x == "", "-", x)
    if random.random() < 0.5:
        attributes["maxsplit"] = int(random.integers(0, 4))
    node = helper.make_node("StringSplit", ["x"], ["y", "n"], **attributes)
    outputs = {"y": (TensorProto.STRING, x.ndim + 1), "n": (TensorProto.INT64, x.ndim)}
    return model_of([node], {"x": x}, outputs, 1), {"x": x}


def regex_full_match(random):
    patterns = [r"[a-z]+", r"(?i)the.*", r".*\bcat\b.*", r"\w+", r"[^ ]*", r"a|b|", r"\p{Lu}\w*", r"(\w+)( \w+)*"]
    x = np.concatenate([random.choice(WORDS, 3), sentences(random, 3)])
    node = helper.make_node("RegexFullMatch", ["x"], ["y"], pattern=patterns[int(random.integers(len(patterns)))])
    return model_of([node], {"x": x}, {"y": (TensorProto.BOOL, 1)}, 1), {"x": x}


def tf_idf_vectorizer(random):
    longest = int(random.integers(1, 4))
    shortest = int(random.integers(1, longest + 1))
    strings = random.random() < 0.5
    alphabet = WORDS[:5] if strings else np.arange(4)
    pool, counts, grams = [], [], 0
    for length in range(1, longest + 1):
        counts.append(len(pool))
        chosen = set()
        for _ in range(int(random.integers(1, 5))):
            chosen.add(tuple(random.choice(alphabet, length).tolist()))
        grams += len(chosen)
        for gram in sorted(chosen):
            pool += gram
    attributes = {
        "mode": str(random.choice(["TF", "IDF", "TFIDF"])),
        "min_gram_length": shortest,
        "max_gram_length": longest,
        "max_skip_count": int(random.integers(0, 4)),
        "ngram_counts": counts,
        "ngram_indexes": [int(v) for v in random.permutation(grams)],
        "pool_strings" if strings else "pool_int64s": pool,
    }
    if random.random() < 0.6:
        attributes["weights"] = [float(v) for v in random.integers(1, 9, grams) / 4]
    x = random.choice(alphabet, [(7,), (3, 6), (1, 2)][int(random.integers(3))])
    if not strings:
        x = x.astype([np.int32, np.int64][int(random.integers(2))])
    node = helper.make_node("TfIdfVectorizer", ["x"], ["y"], **attributes)
    return model_of([node], {"x": x}, {"y": (TensorProto.FLOAT, x.ndim)}, 1), {"x": x}


def tokenizer(random):
    x = sentences(random, *[(3,), (2, 2)][int(random.integers(2))])
    attributes = {"mark": int(random.integers(2)), "pad_value": "#", "mincharnum": int(random.choice([1, 1, 2, 3]))}
    style = random.random()
    if style < 0.4:
        attributes["tokenexp"] = str(random.choice([r"[a-zA-Z]+", r"\w+", r"[^ ,]+", r"."]))
    elif style < 0.8:
        attributes["separators"] = list(random.choice([" ", ",", ", ", "-", "at"], 2, replace=False))
    else:
        attributes |= {"separators": [""], "mincharnum": 1}
    node = helper.make_node("Tokenizer", ["x"], ["y"], domain="com.microsoft", **attributes)
    return model_of([node], {"x": x}, {"y": (TensorProto.STRING, x.ndim + 1)}, 1), {"x": x}


OPERATORS = {
    "StringNormalizer": string_normalizer,
    "StringConcat": string_concat,
    "StringSplit": string_split,
    "RegexFullMatch": regex_full_match,
    "TfIdfVectorizer": tf_idf_vectorizer,
    "Tokenizer": tokenizer,
}
