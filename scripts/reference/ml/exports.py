"""Models that scikit-learn, XGBoost and LightGBM trained, as their converters write them."""

import warnings

import numpy as np
from lightgbm import LGBMClassifier, LGBMRegressor
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType as MlFloat
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (GradientBoostingClassifier, GradientBoostingRegressor, IsolationForest,
                              RandomForestClassifier, RandomForestRegressor, VotingClassifier)
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (Binarizer, LabelEncoder, MinMaxScaler, Normalizer, OneHotEncoder, OrdinalEncoder,
                                   PolynomialFeatures, RobustScaler, StandardScaler)
from sklearn.svm import SVC, SVR, LinearSVC, NuSVC, OneClassSVM
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from xgboost import XGBClassifier, XGBRegressor

from .cases import Skip, run

BATCHES = [1, 3, 64]


def table(random, classes: int, missing: float = 0.0):
    x = random.standard_normal((400, 6)).astype(np.float32)
    scores = x @ random.standard_normal((6, max(classes, 2))) + random.standard_normal((400, max(classes, 2)))
    y = scores.argmax(1) if classes else scores[:, 0].astype(np.float32)
    return np.where(random.random(x.shape) < missing, np.float32(np.nan), x), y


def plain(estimator, classes: int, **options):
    def make(random):
        x, y = table(random, classes)
        return to_onnx(estimator.fit(x, y), x[:1], target_opset={"": 21, "ai.onnx.ml": 3}, options=options or None), x

    return make


def without_map(estimator, classes: int, names=None):
    def make(random):
        x, y = table(random, classes)
        y = np.array(names)[y] if names else y
        estimator.fit(x, y)
        options = {id(estimator): {"zipmap": False}}
        return to_onnx(estimator, x[:1], target_opset={"": 21, "ai.onnx.ml": 3}, options=options), x

    return make


def doubles(estimator, classes: int):
    def make(random):
        x, y = table(random, classes)
        x = x.astype(np.float64)
        return to_onnx(estimator.fit(x, y), x[:1], target_opset={"": 21, "ai.onnx.ml": 3}), x

    return make


def xgboost(estimator, classes: int):
    def make(random):
        x, y = table(random, classes, missing=0.2)
        estimator.fit(x, y)
        return convert_xgboost(estimator, initial_types=[("x", MlFloat([None, 6]))], target_opset=15), x

    return make


def lightgbm(estimator, classes: int, categorical: bool = False):
    def make(random):
        x, y = table(random, classes, missing=0.0 if categorical else 0.2)
        if categorical:
            x[:, 0] = random.integers(0, 12, len(x))
            estimator.fit(x, y, categorical_feature=[0])
        else:
            estimator.fit(x, y)
        options = {"zipmap": False} if classes else {}
        types = [("x", MlFloat([None, 6]))]
        return convert_lightgbm(estimator, initial_types=types, target_opset=15, **options), x

    return make


def mixed_columns(random):
    """A string, an integer-like and two numeric columns with missing values."""
    import pandas

    count = 300
    frame = pandas.DataFrame({
        "colour": random.choice(["red", "green", "blue"], count),
        "size": random.standard_normal(count).astype(np.float32),
        "weight": random.standard_normal(count).astype(np.float32),
    })
    y = ((frame["colour"] == "red") ^ (frame["size"] > 0)).astype(int)
    frame.loc[random.random(count) < 0.2, "weight"] = np.nan
    return frame, y


def column_transformer(random):
    frame, y = mixed_columns(random)
    numeric = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    columns = ColumnTransformer([("number", numeric, ["size", "weight"]),
                                 ("word", OneHotEncoder(handle_unknown="ignore"), ["colour"])])
    model = make_pipeline(columns, GradientBoostingClassifier(n_estimators=20)).fit(frame, y)
    types = [("colour", StringTensorType([None, 1])), ("size", FloatTensorType([None, 1])),
             ("weight", FloatTensorType([None, 1]))]
    inputs = {name: frame[[name]].to_numpy(dtype=object if name == "colour" else np.float32) for name in frame}
    return to_onnx(model, initial_types=types, target_opset={"": 21, "ai.onnx.ml": 3}), inputs


def words(vectorizer):
    def make(random):
        vocabulary = ["good", "bad", "very", "not", "film", "the", "a", "plot", "actor"]
        texts = np.array([" ".join(random.choice(vocabulary, 6)) for _ in range(64)], dtype=object).reshape(-1, 1)
        model = make_pipeline(vectorizer, LogisticRegression())
        model.fit(texts[:, 0], random.integers(0, 2, len(texts)))
        types = [("text", StringTensorType([None, 1]))]
        # the locale is one that every system has
        options = {id(vectorizer): {"locale": "C.UTF-8"}}
        converted = to_onnx(model, initial_types=types, target_opset={"": 18, "ai.onnx.ml": 3}, options=options)
        return converted, {"text": texts}

    return make


def strings_encoder(estimator, columns: int):
    def make(random):
        x = random.choice(["a", "b", "c"], (60, columns)).astype(object)
        estimator.fit(x if columns > 1 else x.ravel())
        shape = [None, columns] if columns > 1 else [None]
        x = x if columns > 1 else x.ravel()
        return to_onnx(estimator, initial_types=[("x", StringTensorType(shape))],
                       target_opset={"": 21, "ai.onnx.ml": 3}), {"x": x}

    return make


EXPORTS = {
    "logistic": plain(make_pipeline(StandardScaler(), LogisticRegression()), 2),
    "logistic several": plain(make_pipeline(StandardScaler(), LogisticRegression()), 4),
    "logistic strings": without_map(LogisticRegression(), 3, ["ant", "bee", "cow"]),
    "sgd": plain(SGDClassifier(loss="log_loss"), 3),
    "linear": plain(make_pipeline(MinMaxScaler(), LinearRegression()), 0),
    "ridge": plain(make_pipeline(RobustScaler(), PolynomialFeatures(2), Ridge()), 0),
    "svc": plain(make_pipeline(Normalizer(), SVC(probability=True)), 3),
    "svc two": plain(make_pipeline(Normalizer("l1"), SVC(kernel="poly", probability=True)), 2),
    "svc decision": without_map(SVC(kernel="sigmoid"), 3),
    "svc decision two": without_map(SVC(kernel="linear"), 2),
    "nu svc": plain(NuSVC(probability=True, nu=0.2), 4),
    "linear svc": plain(LinearSVC(), 2),
    "linear svc several": plain(LinearSVC(), 3),
    "svr": plain(make_pipeline(Normalizer("max"), SVR()), 0),
    "one class": plain(OneClassSVM(), 0),
    "random forest": plain(RandomForestClassifier(20, max_depth=6), 3),
    "random forest two": plain(RandomForestClassifier(20, max_depth=6), 2),
    "random forest strings": without_map(RandomForestClassifier(10, max_depth=4), 2, ["no", "yes"]),
    "random forest doubles": doubles(RandomForestClassifier(10, max_depth=6), 3),
    "random forest regression": plain(RandomForestRegressor(20, max_depth=6), 0),
    "tree": plain(DecisionTreeClassifier(max_depth=5), 3),
    "tree regression": plain(DecisionTreeRegressor(max_depth=5), 0),
    "boosting": plain(GradientBoostingClassifier(n_estimators=20), 2),
    "boosting several": plain(GradientBoostingClassifier(n_estimators=10), 3),
    "boosting regression": plain(GradientBoostingRegressor(n_estimators=20), 0),
    "voting": plain(VotingClassifier([("a", LogisticRegression()), ("b", DecisionTreeClassifier(max_depth=3))],
                                     voting="soft", flatten_transform=False), 2),
    "isolation forest": plain(IsolationForest(n_estimators=10), 0),
    "neighbours": plain(KNeighborsClassifier(3), 3),
    "neighbours regression": plain(KNeighborsRegressor(3), 0),
    "naive bayes": plain(GaussianNB(), 3),
    "perceptron": plain(make_pipeline(Binarizer(), MLPClassifier((8,), max_iter=50)), 3),
    "xgboost": xgboost(XGBClassifier(n_estimators=15, max_depth=4), 2),
    "xgboost several": xgboost(XGBClassifier(n_estimators=10, max_depth=4), 4),
    "xgboost regression": xgboost(XGBRegressor(n_estimators=15, max_depth=4), 0),
    "lightgbm": lightgbm(LGBMClassifier(n_estimators=15, verbose=-1), 2),
    "lightgbm several": lightgbm(LGBMClassifier(n_estimators=10, verbose=-1), 3),
    "lightgbm regression": lightgbm(LGBMRegressor(n_estimators=15, verbose=-1), 0),
    "lightgbm categorical": lightgbm(LGBMClassifier(n_estimators=8, verbose=-1, min_data_per_group=5), 2, True),
    "lightgbm categorical regression": lightgbm(LGBMRegressor(n_estimators=8, verbose=-1, min_data_per_group=5), 0, True),
    "column transformer": column_transformer,
    "count words": words(CountVectorizer(ngram_range=(1, 2))),
    "tf-idf": words(TfidfVectorizer()),
    "ordinal strings": strings_encoder(OrdinalEncoder(), 2),
    "one hot strings": strings_encoder(OneHotEncoder(), 2),
    "label strings": strings_encoder(LabelEncoder(), 1),
}


def cases(only: str) -> list:
    warnings.simplefilter("ignore")
    made = []
    for name, make in EXPORTS.items():
        if only not in name:
            continue
        try:
            model, inputs = make(np.random.default_rng(7))
            inputs = inputs if isinstance(inputs, dict) else {model.graph.input[0].name: inputs}
            for batch in BATCHES:
                made.append(run(f"{name}, {batch}", model, {key: x[:batch] for key, x in inputs.items()}))
        except (Skip, Exception) as cause:
            print(f"  {name}: {type(cause).__name__} {str(cause)[:200]}")
    print(f"exports: {len(made)} cases")
    return made
