"""Triton's HTTP client against the model server: `http_client.py ADDRESS`."""

import sys

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

import arrays


def main(address):
    with triton.InferenceServerClient(address, concurrency=8) as client:
        describes(client)
        echoes_every_type(client)
        for binary_input in (True, False):
            for binary_output in (True, False):
                adds(client, binary_input, binary_output)
        answers_many_at_once(client)
        refuses(client)


def describes(client):
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("simple") and not client.is_model_ready("missing")
    metadata = client.get_server_metadata()
    assert metadata["name"] == "mlops" and "binary_tensor_data" in metadata["extensions"], metadata
    metadata = client.get_model_metadata("simple")
    assert [tensor["shape"] for tensor in metadata["inputs"]] == [[-1, 16], [-1, 16]], metadata
    types = {tensor["name"]: tensor["data_type"] for tensor in client.get_model_config("echo")["input"]}
    assert types["BF16"] == "TYPE_BF16" and types["BYTES"] == "TYPE_STRING", types
    index = client.get_model_repository_index()
    assert {(model["name"], model["state"]) for model in index} == {("echo", "READY"), ("simple", "READY")}, index


def tensor(name, array, datatype=None, binary=True):
    tensor = triton.InferInput(name, array.shape, datatype or name)
    tensor.set_data_from_numpy(array, binary_data=binary)
    return tensor


def operands(binary=True):
    first, second = arrays.operands()
    return [tensor("INPUT0", first, "INT32", binary), tensor("INPUT1", second, "INT32", binary)]


def check_sums(result):
    first, second = arrays.operands()
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), first + second)
    np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), first - second)


def echoes_every_type(client):
    every = arrays.all_types()
    # JSON has no half-width floats in this client.
    as_json = {name: array for name, array in every.items() if name not in ("FP16", "BF16")}
    for binary, chosen in ((True, every), (False, as_json)):
        inputs = [tensor(name, array, binary=binary) for name, array in chosen.items()]
        outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in chosen]
        result = client.infer("echo", inputs, outputs=outputs)
        for name, array in chosen.items():
            returned = result.as_numpy(name)
            if name == "BYTES" and not binary:
                array = np.vectorize(bytes.decode, otypes=[np.object_])(array)
            np.testing.assert_array_equal(returned, array, err_msg=f"{name}, binary: {binary}")


def adds(client, binary_input, binary_output):
    outputs = [triton.InferRequestedOutput(name, binary_data=binary_output) for name in ("OUTPUT0", "OUTPUT1")]
    result = client.infer(
        "simple", operands(binary_input), outputs=outputs, request_id="r-1", timeout=30_000_000, priority=1
    )
    check_sums(result)
    assert result.get_response()["id"] == "r-1"
    # Named by none, all outputs come, as bytes.
    check_sums(client.infer("simple", operands(binary_input)))


def answers_many_at_once(client):
    for answer in [client.async_infer("simple", operands()) for _ in range(50)]:
        check_sums(answer.get_result())
    counted = client.get_inference_statistics("simple")["model_stats"][0]
    assert counted["execution_count"] == 58, counted


def refuses(client):
    def fails(code, message, call, *arguments, **options):
        try:
            call(*arguments, **options)
        except InferenceServerException as error:
            assert error.status() == code and message in error.message(), error
        else:
            raise AssertionError(f"expected {code}")

    fails("404", "there is no model", client.infer, "missing", operands())
    fails("400", "`INPUT1` is missing", client.infer, "simple", operands()[:1])
    unknown = [triton.InferRequestedOutput("OUTPUT9")]
    fails("400", "there is no output", client.infer, "simple", operands(), outputs=unknown)
    fails("403", "", client.load_model, "simple")
    fails("403", "", client.unload_model, "simple")


if __name__ == "__main__":
    main(sys.argv[1])
