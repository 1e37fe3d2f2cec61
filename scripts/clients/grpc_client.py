"""Triton's gRPC client against the model server: `grpc_client.py ADDRESS DESCRIPTORS`."""

import asyncio
import queue
import sys

import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.grpc import model_config_pb2, service_pb2
from tritonclient.utils import InferenceServerException

import arrays
import descriptors


def main(address, descriptor_set):
    descriptors.compare(descriptor_set, service_pb2.DESCRIPTOR, model_config_pb2.DESCRIPTOR, complete=True)
    with triton.InferenceServerClient(address) as client:
        describes(client)
        echoes_every_type(client)
        adds(client)
        answers_callbacks(client)
        streams(client)
        refuses(client)
    asyncio.run(adds_asynchronously(address))


def describes(client):
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("simple") and not client.is_model_ready("missing")
    assert client.get_server_metadata().name == "mlops"
    metadata = client.get_model_metadata("simple", as_json=True)
    assert [tensor["name"] for tensor in metadata["inputs"]] == ["INPUT0", "INPUT1"], metadata
    assert metadata["inputs"][0]["shape"] == ["-1", "16"], metadata
    config = client.get_model_config("echo").config
    types = {tensor.name: model_config_pb2.DataType.Name(tensor.data_type) for tensor in config.input}
    assert types["BF16"] == "TYPE_BF16" and types["BYTES"] == "TYPE_STRING", types
    index = client.get_model_repository_index().models
    assert {(model.name, model.state) for model in index} == {("echo", "READY"), ("simple", "READY")}, index


def tensor(name, array, datatype=None):
    tensor = triton.InferInput(name, array.shape, datatype or name)
    tensor.set_data_from_numpy(array)
    return tensor


def operands():
    first, second = arrays.operands()
    return [tensor("INPUT0", first, "INT32"), tensor("INPUT1", second, "INT32")]


def check_sums(result):
    first, second = arrays.operands()
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), first + second)
    np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), first - second)


def echoes_every_type(client):
    every = arrays.all_types()
    result = client.infer("echo", [tensor(name, array) for name, array in every.items()])
    for name, array in every.items():
        returned = result.as_numpy(name)
        assert returned.dtype == array.dtype, (name, returned.dtype)
        np.testing.assert_array_equal(returned, array, err_msg=name)


def adds(client):
    result = client.infer("simple", operands(), request_id="r-1", timeout=30_000_000, priority=1)
    check_sums(result)
    assert result.get_response().id == "r-1"
    parameters = {"routing_key": "user-7", "attribute.country": "NO", "timeout_ms": 30_000.0}
    only = [triton.InferRequestedOutput("OUTPUT1")]
    result = client.infer("simple", operands(), outputs=only, parameters=parameters, client_timeout=30)
    assert [output.name for output in result.get_response().outputs] == ["OUTPUT1"]
    assert result.as_numpy("OUTPUT0") is None
    counted = client.get_inference_statistics("simple").model_stats[0]
    assert counted.execution_count == 2 and counted.inference_stats.success.count == 2, counted


def answers_callbacks(client):
    answers = queue.Queue()
    for _ in range(50):
        client.async_infer("simple", operands(), lambda result, error: answers.put((result, error)))
    for _ in range(50):
        result, error = answers.get(timeout=30)
        assert error is None, error
        check_sums(result)


def streams(client):
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    models = ["simple", "missing"] * 20
    for number, model in enumerate(models):
        client.async_stream_infer(model, operands(), request_id=str(number))
    for number, model in enumerate(models):
        result, error = answers.get(timeout=30)
        if model == "missing":
            assert "there is no model `missing`" in error.message(), error
        else:
            assert error is None, error
            assert result.get_response().id == str(number), "in the order of the requests"
            check_sums(result)
    client.stop_stream()


def refuses(client):
    def fails(code, message, call, *arguments, **options):
        try:
            call(*arguments, **options)
        except InferenceServerException as error:
            assert error.status() == f"StatusCode.{code}" and message in error.message(), error
        else:
            raise AssertionError(f"expected {code}")

    fails("NOT_FOUND", "there is no model", client.infer, "missing", operands())
    fails("INVALID_ARGUMENT", "`INPUT1` is missing", client.infer, "simple", operands()[:1])
    unknown = [triton.InferRequestedOutput("OUTPUT9")]
    fails("INVALID_ARGUMENT", "there is no output", client.infer, "simple", operands(), outputs=unknown)
    classes = [triton.InferRequestedOutput("OUTPUT0", class_count=3)]
    fails("UNIMPLEMENTED", "classes", client.infer, "simple", operands(), outputs=classes)
    shared = triton.InferInput("INPUT0", [2, 16], "INT32")
    shared.set_shared_memory("region", 128)
    fails("UNIMPLEMENTED", "shared memory", client.infer, "simple", [shared, operands()[1]])
    fails("PERMISSION_DENIED", "", client.load_model, "simple")
    fails("PERMISSION_DENIED", "", client.unload_model, "simple")
    fails("UNIMPLEMENTED", "", client.get_system_shared_memory_status)


async def adds_asynchronously(address):
    async with triton_aio.InferenceServerClient(address) as client:
        assert await client.is_model_ready("simple")
        for result in await asyncio.gather(*(client.infer("simple", operands()) for _ in range(100))):
            check_sums(result)

        async def requests():
            for number in range(10):
                yield {"model_name": "simple", "inputs": operands(), "request_id": str(number)}

        numbers = []
        async for result, error in client.stream_infer(requests()):
            assert error is None, error
            check_sums(result)
            numbers.append(int(result.get_response().id))
        assert numbers == list(range(10)), numbers


if __name__ == "__main__":
    main(*sys.argv[1:])
