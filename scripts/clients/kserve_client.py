"""KServe's clients against the model server: `kserve_client.py ADDRESS DESCRIPTORS`."""

import asyncio
import sys

import grpc
import httpx
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig
from kserve.protocol.grpc import grpc_predict_v2_pb2

import arrays
import descriptors


async def main(address, descriptor_set):
    # KServe's server has its own numbers for what is an extension of Triton's; its client does not use it.
    differs = ("inference.RepositoryModelLoadRequest.model_name", "inference.RepositoryModelUnloadRequest.model_name")
    descriptors.compare(descriptor_set, grpc_predict_v2_pb2.DESCRIPTOR, differs=differs)
    async with InferenceGRPCClient(address) as client:
        assert await client.is_server_live() and await client.is_server_ready()
        assert await client.is_model_ready("simple")
        for binary in (True, False):
            check_sums(await client.infer(request(binary)))
            check_echo(await client.infer(echo(binary)), binary)
        try:
            await client.infer(request(True, "missing"))
            raise AssertionError("expected NOT_FOUND")
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.NOT_FOUND, error

    url = f"http://{address}"
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        assert await client.is_server_live(url) and await client.is_server_ready(url)
        assert await client.is_model_ready(url, "simple")
        for binary in (True, False):
            check_sums(await client.infer(url, request(binary), model_name="simple"))
            check_echo(await client.infer(url, echo(binary), model_name="echo"), binary)
        try:
            await client.infer(url, request(True), model_name="missing")
            raise AssertionError("expected 404")
        except httpx.HTTPStatusError as error:
            assert error.response.status_code == 404, error


def tensor(name, array, datatype, binary):
    tensor = InferInput(name, list(array.shape), datatype)
    tensor.set_data_from_numpy(array, binary_data=binary)
    return tensor


def request(binary, model="simple"):
    inputs = [
        tensor(name, array, "INT32", binary) for name, array in zip(("INPUT0", "INPUT1"), arrays.operands())
    ]
    return InferRequest(model, inputs, request_id="r-1", parameters={"routing_key": "user-7"})


def check_sums(response):
    first, second = arrays.operands()
    assert response.id == "r-1"
    np.testing.assert_array_equal(response.get_output_by_name("OUTPUT0").as_numpy(), first + second)
    np.testing.assert_array_equal(response.get_output_by_name("OUTPUT1").as_numpy(), first - second)


def types(binary):
    # This client knows no BF16, and has FP16 as bytes only.
    absent = ("BF16",) if binary else ("BF16", "FP16")
    return {name: array for name, array in arrays.all_types().items() if name not in absent}


def echo(binary):
    inputs = [tensor(name, array, name, binary) for name, array in types(binary).items()]
    return InferRequest("echo", inputs)


def check_echo(response, binary):
    for name, array in types(binary).items():
        returned = response.get_output_by_name(name).as_numpy()
        if name == "BYTES":
            encode = np.vectorize(lambda text: text if isinstance(text, bytes) else text.encode(), otypes=[np.object_])
            returned = encode(returned)
        np.testing.assert_array_equal(returned, array, err_msg=f"{name}, binary: {binary}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
