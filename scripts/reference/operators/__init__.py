"""Random small models of operators of ai.onnx, family by family."""
