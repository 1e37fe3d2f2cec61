"""Pipelines over tables with columns of numbers and of strings: one input of the model for each column."""

import numpy as np
import pandas
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from reference import Case, Reference

from .inputs import generator
from .tabular import ROWS, batches

CITIES = np.array(["Oslo", "Zürich", "Łódź", "Porto", "São Paulo"], dtype=object)
PLANS = np.array(["free", "basic", "pro"], dtype=object)
TYPES = [
    ("age", FloatTensorType([None, 1])),
    ("income", FloatTensorType([None, 1])),
    ("visits", Int64TensorType([None, 1])),
    ("city", StringTensorType([None, 1])),
    ("plan", StringTensorType([None, 1])),
]


def models(size):
    tiny = size == "tiny"
    trees = 4 if tiny else 40
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    encoder = ColumnTransformer([
        ("numbers", numbers, ["age", "income"]),
        ("visits", StandardScaler(), ["visits"]),
        ("words", OneHotEncoder(handle_unknown="ignore"), ["city", "plan"]),
    ])
    boosting = GradientBoostingClassifier(n_estimators=trees, random_state=0)
    about = "imputed and scaled numbers, one-hot strings (unknown ones too), gradient boosting, string labels"
    yield reference("mixed_one_hot", about, make_pipeline(encoder, boosting), size, unknown=True)

    encoder = ColumnTransformer([
        ("numbers", SimpleImputer(strategy="mean"), ["age", "income"]),
        ("visits", "passthrough", ["visits"]),
        ("words", OrdinalEncoder(), ["city", "plan"]),
    ])
    forest = RandomForestClassifier(trees + 1, max_depth=4, random_state=0)
    about = "strings to numbers by OrdinalEncoder (LabelEncoder in ONNX), random forest"
    yield reference("mixed_ordinal", about, make_pipeline(encoder, forest), size, unknown=False)


def reference(name, about, pipeline, size, unknown):
    table = columns(generator(f"{name} training"), ROWS)
    noise = generator(f"{name} noise").standard_normal(ROWS)
    value = (table["income"].fillna(0) > 0.3) + (table["city"] == "Oslo") + (table["plan"] == "pro") + 0.3 * noise
    pipeline.fit(table, np.where(value > 0.8, "leaves", "stays"))
    options = {id(pipeline[-1]): {"zipmap": False}}
    model = to_onnx(pipeline, initial_types=TYPES, options=options, target_opset={"": 17, "ai.onnx.ml": 3})
    cases = [Case(batch, request(name, batch, unknown)) for batch in batches(size)]
    return Reference(name, about, model, cases)


def columns(random, count):
    table = pandas.DataFrame({
        "age": random.uniform(18, 80, count).astype(np.float32),
        "income": random.standard_normal(count).astype(np.float32),
        "visits": random.integers(0, 30, count),
        "city": random.choice(CITIES, count),
        "plan": random.choice(PLANS, count),
    })
    table.loc[random.random(count) < 0.1, "income"] = np.nan
    return table


def request(name, batch, unknown):
    table = columns(generator(f"{name} batch {batch}"), batch)
    if unknown and batch > 1:
        table.loc[1, "city"] = "Atlantis"
    return {column: np.asarray(table[column])[:, np.newaxis] for column in table}
