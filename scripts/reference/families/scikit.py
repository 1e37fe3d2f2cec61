"""scikit-learn's estimators and pipelines as skl2onnx writes them."""

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    AdaBoostClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, PolynomialFeatures, StandardScaler
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier

from reference import Reference

from . import mixed_columns
from .tabular import Table, batches

OPSETS = {"": 17, "ai.onnx.ml": 3}
COLOURS = np.array(["red", "green", "blue", "violet"])


def models(size):
    tiny = size == "tiny"
    trees = 5 if tiny else 50
    depth = 3 if tiny else 6
    yield from linear_models(size)
    yield from kernel_models(size)
    yield from tree_models(size, trees, depth)
    if not tiny:
        yield from other_models(size)
    yield from mixed_columns.models(size)


def linear_models(size):
    yield classifier("logistic_regression", size, 2, make_pipeline(StandardScaler(), LogisticRegression()))
    yield classifier("logistic_regression_zipmap", size, 3, LogisticRegression(), zipmap=True, labels=COLOURS)
    yield regressor("linear_regression", size, LinearRegression())
    yield regressor("linear_regression_double", size, LinearRegression(), double=True)
    yield regressor("ridge", size, make_pipeline(PolynomialFeatures(2), StandardScaler(), Ridge()))


def kernel_models(size):
    yield classifier("svc", size, 3, make_pipeline(MinMaxScaler(clip=True), Normalizer(), SVC(C=0.1)), rows=40)
    yield classifier("svc_polynomial", size, 2, make_pipeline(StandardScaler(), SVC(kernel="poly", degree=2)), rows=40)
    yield regressor("svr", size, make_pipeline(StandardScaler(), SVR(C=2.0)), rows=60)


def tree_models(size, trees, depth):
    forest = RandomForestClassifier(trees, max_depth=depth, random_state=0)
    yield classifier("random_forest", size, 3, forest)
    forest = RandomForestClassifier(trees, max_depth=depth, random_state=1)
    yield classifier("random_forest_zipmap", size, 4, forest, zipmap=True, labels=COLOURS)
    boosting = GradientBoostingClassifier(n_estimators=trees, max_depth=3, random_state=0)
    yield classifier("gradient_boosting", size, 2, boosting)
    boosting = GradientBoostingRegressor(n_estimators=trees, learning_rate=0.4, random_state=0)
    yield regressor("gradient_boosting_regressor", size, boosting)
    yield classifier("decision_tree", size, 3, DecisionTreeClassifier(max_depth=depth, random_state=0))


def other_models(size):
    yield regressor("extra_trees", size, ExtraTreesRegressor(30, max_depth=6, random_state=0))
    yield classifier("ada_boost", size, 3, AdaBoostClassifier(n_estimators=20, random_state=0))
    yield classifier("nearest_neighbours", size, 3, make_pipeline(StandardScaler(), KNeighborsClassifier(5)), rows=80)
    yield regressor("nearest_neighbours_regressor", size, KNeighborsRegressor(4, weights="distance"), rows=80)
    yield classifier("naive_bayes", size, 3, GaussianNB())
    network = MLPClassifier((24, 12), max_iter=60, random_state=0)
    yield classifier("mlp_classifier", size, 3, make_pipeline(StandardScaler(), network))
    voters = [("line", LogisticRegression()), ("tree", DecisionTreeClassifier(max_depth=4, random_state=0))]
    yield classifier("voting", size, 3, VotingClassifier(voters, voting="soft", flatten_transform=False))
    yield unsupervised("pca_k_means", size, make_pipeline(StandardScaler(), PCA(3), KMeans(4, random_state=0)))
    yield unsupervised("isolation_forest", size, IsolationForest(n_estimators=30, random_state=0))


def classifier(name, size, classes, estimator, zipmap=False, labels=None, rows=None):
    """`zipmap` is None for estimators that have no such option, because they give scores, not probabilities."""
    table = Table(name, 6, batches(size))
    inputs, classes = table.classes(classes)
    targets = classes if labels is None else labels[classes]
    estimator.fit(inputs[:rows], targets[:rows])
    last = estimator[-1] if hasattr(estimator, "steps") else estimator
    options = None if zipmap is None else {id(last): {"zipmap": zipmap}}
    about = described(estimator) + (", ZipMap" if zipmap else "")
    return reference(table, about, estimator, FloatTensorType, options)


def regressor(name, size, estimator, double=False, rows=None):
    table = Table(name, 6, batches(size))
    inputs, targets = table.training()
    estimator.fit(inputs[:rows], targets[:rows])
    about = described(estimator) + (", in double precision" if double else "")
    return reference(table, about, estimator, DoubleTensorType if double else FloatTensorType, None)


def unsupervised(name, size, estimator):
    table = Table(name, 6, batches(size))
    estimator.fit(table.training()[0])
    return reference(table, described(estimator), estimator, FloatTensorType, None)


def reference(table, about, estimator, input_type, options):
    types = [("input", input_type([None, table.features]))]
    model = to_onnx(estimator, initial_types=types, options=options, target_opset=OPSETS)
    cases = table.cases()
    if input_type is DoubleTensorType:
        for case in cases:
            case.inputs["input"] = case.inputs["input"].astype(np.float64)
    return Reference(table.name, about, model, cases)


def described(estimator):
    steps = [step for _, step in estimator.steps] if hasattr(estimator, "steps") else [estimator]
    return ", ".join(type(step).__name__ for step in steps)
