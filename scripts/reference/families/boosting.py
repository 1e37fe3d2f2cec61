"""XGBoost's and LightGBM's ensembles as onnxmltools writes them."""

import lightgbm
import xgboost
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType

from reference import Reference

from .tabular import Table, batches

OPSET = 15


def models(size):
    trees, depth = (4, 3) if size == "tiny" else (60, 6)
    asked = batches(size)
    yield from xgboost_models(trees, depth, asked)
    yield from lightgbm_models(trees, depth, asked)


def xgboost_models(trees, depth, asked):
    settings = {"n_estimators": trees, "max_depth": depth, "n_jobs": 1, "random_state": 0}
    table = Table("xgboost_binary", 8, asked)
    yield reference(table, xgboost.XGBClassifier(**settings).fit(*table.classes(2)))
    table = Table("xgboost_classes", 8, asked)
    yield reference(table, xgboost.XGBClassifier(**settings).fit(*table.classes(4)))
    table = Table("xgboost_regressor", 8, asked, missing=0.15)
    yield reference(table, xgboost.XGBRegressor(**settings).fit(*table.training()))


def lightgbm_models(trees, depth, asked):
    settings = {"n_estimators": trees, "max_depth": depth, "n_jobs": 1, "random_state": 0, "verbose": -1}
    settings["deterministic"] = True
    table = Table("lightgbm_binary", 8, asked)
    yield reference(table, lightgbm.LGBMClassifier(**settings).fit(*table.classes(2)))
    table = Table("lightgbm_classes", 8, asked)
    yield reference(table, lightgbm.LGBMClassifier(**settings).fit(*table.classes(3)), zipmap=True)
    table = Table("lightgbm_regressor", 8, asked, missing=0.15)
    yield reference(table, lightgbm.LGBMRegressor(**settings).fit(*table.training()))
    table = Table("lightgbm_categories", 8, asked, categories=3)
    sorted_splits = lightgbm.LGBMRegressor(**settings, min_data_per_group=5, cat_smooth=1.0)
    yield reference(table, sorted_splits.fit(*table.training(), categorical_feature=[0, 1, 2]))


def reference(table, model, zipmap=False):
    types = [("input", FloatTensorType([None, table.features]))]
    about = type(model).__name__
    about += ", missing values" if table.missing else ""
    about += ", splits by category" if table.categories else ""
    if isinstance(model, lightgbm.LGBMModel):
        converted = convert_lightgbm(model, initial_types=types, target_opset=OPSET, zipmap=zipmap)
    else:
        converted = convert_xgboost(model, initial_types=types, target_opset=OPSET)
    return Reference(table.name, about, converted, table.cases())
