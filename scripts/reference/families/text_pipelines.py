"""Text to numbers: scikit-learn's vectorizers as skl2onnx writes them."""

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import StringTensorType
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from reference import Case, Reference

from .inputs import generator
from .tabular import batches

WORDS = "the a train plane late early arrives leaves never always Oslo Porto crowded empty on time again today".split()
OPSETS = {"": 17, "ai.onnx.ml": 3}


def models(size):
    pairs = TfidfVectorizer(lowercase=False, ngram_range=(1, 2), max_features=60)
    vectorizers = [
        ("count_words", "CountVectorizer: words", CountVectorizer(lowercase=False)),
        ("tfidf_pairs", "TfidfVectorizer: words and pairs of words", pairs),
    ]
    for name, about, vectorizer in vectorizers:
        lines, late = sentences(f"{name} training", 120)
        pipeline = make_pipeline(vectorizer, LogisticRegression()).fit(lines, late)
        types = [("input", StringTensorType([None, 1]))]
        model = to_onnx(pipeline, initial_types=types, options={"zipmap": False}, target_opset=OPSETS)
        cases = [
            Case(batch, {"input": np.array(sentences(f"{name} {batch}", batch)[0], dtype=object)[:, np.newaxis]})
            for batch in batches(size)
        ]
        yield Reference(name, about + ", LogisticRegression", model, cases)


def sentences(purpose, count):
    random = generator(f"sentences for {purpose}")
    lines = [" ".join(random.choice(WORDS, random.integers(3, 12))) for _ in range(count)]
    return lines, np.array(["late" in line or "never" in line for line in lines]).astype(np.int64)
