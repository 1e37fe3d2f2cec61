"""MLServer's codecs and stubs against the model server: `mlserver_client.py ADDRESS DESCRIPTORS`."""

import importlib.util
import sys
import types

import grpc
import httpx
import numpy as np

import arrays
import descriptors

# The packages themselves import the server, whose dependencies are not installed; the client's half needs none of it.
for package in ("mlserver", "mlserver.grpc"):
    module = types.ModuleType(package)
    module.__path__ = list(importlib.util.find_spec(package).submodule_search_locations)
    sys.modules[package] = module

from mlserver.codecs import NumpyCodec, NumpyRequestCodec, StringCodec  # noqa: E402
from mlserver.grpc import dataplane_pb2  # noqa: E402
from mlserver.grpc.converters import ModelInferRequestConverter, ModelInferResponseConverter  # noqa: E402
from mlserver.grpc.dataplane_pb2_grpc import GRPCInferenceServiceStub  # noqa: E402
from mlserver.types import InferenceRequest, InferenceResponse  # noqa: E402


def main(address, descriptor_set):
    # Streams are an extension of Triton's, and their answers say there whether they are errors.
    differs = ("inference.GRPCInferenceService.ModelStreamInfer",)
    descriptors.compare(descriptor_set, dataplane_pb2.DESCRIPTOR, differs=differs)
    with grpc.insecure_channel(address) as channel:
        stub = GRPCInferenceServiceStub(channel)
        assert stub.ServerReady(dataplane_pb2.ServerReadyRequest()).ready
        for use_raw in (False, True):

            def infer(model, request):
                message = ModelInferRequestConverter.from_types(request, model_name=model, use_raw=use_raw)
                return ModelInferResponseConverter.to_types(stub.ModelInfer(message))

            check(infer)

    def infer(model, request):
        # The `content_type` that its codecs set is MLServer's own, and passed over.
        answer = httpx.post(f"http://{address}/v2/models/{model}/infer", content=request.model_dump_json())
        answer.raise_for_status()
        return InferenceResponse.model_validate_json(answer.content)

    check(infer)


def check(infer):
    first, second = arrays.operands()
    inputs = [NumpyCodec.encode_input("INPUT0", first), NumpyCodec.encode_input("INPUT1", second)]
    response = infer("simple", InferenceRequest(id="r-1", inputs=inputs))
    assert response.id == "r-1"
    outputs = {output.name: NumpyCodec.decode_output(output) for output in response.outputs}
    np.testing.assert_array_equal(outputs["OUTPUT0"], first + second)
    np.testing.assert_array_equal(outputs["OUTPUT1"], first - second)

    for name, array in arrays.all_types().items():
        if name in ("BF16", "FP16", "BYTES"):
            continue  # there is no BF16 here, FP16 is typed otherwise than the protocol says; for texts see below
        response = infer("echo", InferenceRequest(inputs=[NumpyCodec.encode_input(name, array)]))
        returned = NumpyRequestCodec.decode_response(response)
        assert returned.dtype == array.dtype, (name, returned.dtype)
        np.testing.assert_array_equal(returned, array, err_msg=name)

    texts = StringCodec.encode_input("BYTES", ["", "text", "æøå"])
    response = infer("echo", InferenceRequest(inputs=[texts]))
    assert StringCodec.decode_output(response.outputs[0]) == ["", "text", "æøå"]


if __name__ == "__main__":
    main(*sys.argv[1:])
