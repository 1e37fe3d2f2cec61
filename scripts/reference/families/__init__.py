"""The families of models: each module's `models(size)` gives its references at size "tiny" or "full"."""

from . import (
    bert,
    boosting,
    detector,
    distilbert,
    efficientnet,
    gpt2,
    mlp,
    mobilenet,
    quantized,
    recommender,
    recurrent,
    resnet,
    scikit,
    text_pipelines,
    tree_ensemble,
)

FAMILIES = {
    "mlp": mlp.models,
    "resnet": resnet.models,
    "mobilenet": mobilenet.models,
    "efficientnet": efficientnet.models,
    "detector": detector.models,
    "bert": bert.models,
    "distilbert": distilbert.models,
    "gpt2": gpt2.models,
    "recurrent": recurrent.models,
    "recommender": recommender.models,
    "scikit": scikit.models,
    "text": text_pipelines.models,
    "boosting": boosting.models,
    "tree_ensemble": tree_ensemble.models,
    "quantized": quantized.models,
}
