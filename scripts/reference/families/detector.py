"""Object detectors in the manner of YOLO: a pyramid of features, a head on each level, boxes from grid cells."""

import numpy as np

from graph import INT64, Graph
from layers import conv, dimension, reshape, shape, silu
from reference import Reference

from .inputs import image_cases

FULL = {"width": 16, "classes": 20, "bins": 16, "picture": 96, "threshold": 0.5}
TINY = {"width": 2, "classes": 3, "bins": 4, "picture": 16, "threshold": 0.3}
SILU_GAIN = 2.2  # SiLU leaves less than half of the variance
LEVELS = [8, 16]  # pixels a cell of each level


def models(size):
    tiny = size == "tiny"
    sizes = TINY if tiny else FULL
    side = sizes["picture"]
    batches = [1, 2] if tiny else [1, 3, 64]
    yield Reference(
        "detector_distributions",
        "box edges as distributions over bins, fixed picture size",
        distribution_detector("detector_distributions", sizes),
        image_cases("detector_distributions", [(batch, (side, side)) for batch in batches]),
    )
    pictures = [(1, (16, 32)), (2, (16, 16))] if tiny else [(1, (224, 224)), (3, (96, 64)), (64, (32, 32))]
    if not tiny:
        name = "detector_anchors"
        about = "anchor boxes, the grid computed from the picture's size"
        yield Reference(name, about, anchor_detector(name, sizes, False), image_cases(name, pictures))
    name = "detector_suppressed"
    about = "anchor boxes and NonMaxSuppression, hence outputs of any length"
    # Few boxes: among thousands, two scores would be so near each other that rounding swaps them.
    pictures = pictures if tiny else [(1, (64, 96)), (3, (48, 32)), (8, (32, 32))]
    yield Reference(name, about, anchor_detector(name, sizes, True), image_cases(name, pictures))


def distribution_detector(name, sizes, opset=17):
    """As YOLOv8 is exported: each edge's distance from the cell's centre is the mean of a softmax over bins."""
    classes, bins, side = sizes["classes"], sizes["bins"], sizes["picture"]
    g = Graph(name, opset)
    x = g.input("input", ["batch", 3, side, side])
    levels = []
    for features, width in pyramid(g, x, sizes["width"], upsample_by_scale):
        with g.scope("head"):
            narrow = width // 4
            box = conv(g, act_conv(g, features, width, narrow, 3), narrow, 4 * bins, 1, bias=True, gain=1.0)
            kind = conv(g, act_conv(g, features, width, narrow, 3), narrow, classes, 1, bias=True, gain=1.0)
            both = g.op("Concat", box, kind, axis=1)
            levels.append(reshape(g, both, dimension(g, x, 0), 4 * bins + classes, -1))
    cells = sum((side // stride) ** 2 for stride in LEVELS)
    boxes, kinds = g.op("Split", g.op("Concat", *levels, axis=2), g.constant([4 * bins, classes]), outputs=2, axis=1)

    # Mean over the bins, as a convolution whose weights are the bins' numbers.
    bins_last = g.op("Transpose", reshape(g, boxes, dimension(g, boxes, 0), 4, bins, cells), perm=[0, 2, 1, 3])
    bin_numbers = g.weight("bins", np.arange(bins, dtype=np.float32).reshape(1, bins, 1, 1))
    edges = g.op("Conv", g.op("Softmax", bins_last, axis=1), bin_numbers, kernel_shape=[1, 1])
    edges = reshape(g, edges, dimension(g, boxes, 0), 4, cells)

    near = g.op("Slice", edges, g.constant([0]), g.constant([2]), g.constant([1]))
    far = g.op("Slice", edges, g.constant([2]), g.constant([4]), g.constant([1]))
    centres = g.constant(cell_centres(side)[np.newaxis], np.float32)
    low, high = g.op("Sub", centres, near), g.op("Add", centres, far)
    middle = g.op("Div", g.op("Add", low, high), g.scalar(2.0))
    extent = g.op("Sub", high, low)
    strides = np.concatenate([np.full((side // stride) ** 2, stride) for stride in LEVELS])
    boxes = g.op("Mul", g.op("Concat", middle, extent, axis=1), g.constant(strides[np.newaxis], np.float32))
    scores = g.op("Sigmoid", kinds)
    g.output(g.op("Concat", boxes, scores, axis=1), "output", ["batch", 4 + classes, cells])
    # Again by themselves: beside boxes, which are hundreds of pixels, a mistake in them would look small.
    g.output(scores, "scores", ["batch", classes, cells])
    return g.model()


def cell_centres(side):
    """x and y of every cell's centre, in cells of its level: [2, cells]."""
    levels = []
    for stride in LEVELS:
        y, x = np.mgrid[: side // stride, : side // stride]
        levels.append(np.stack([x.ravel(), y.ravel()]) + 0.5)
    return np.concatenate(levels, axis=1)


def anchor_detector(name, sizes, suppress, opset=13):
    """As YOLOv5 is exported with dynamic axes: offsets from the cells of a grid, times the sizes of anchor boxes."""
    values = 5 + sizes["classes"]  # a box, whether there is anything in it, and what
    g = Graph(name, opset)
    x = g.input("input", ["batch", 3, "height", "width"])
    levels = []
    for level, (features, width) in enumerate(pyramid(g, x, sizes["width"], upsample_by_size)):
        with g.scope("detect"):
            y = conv(g, features, width, 3 * values, 1, bias=True, gain=1.0)
            batch, rows, columns = (dimension(g, y, axis) for axis in (0, 2, 3))
            y = reshape(g, y, batch, 3, values, rows, columns)
            y = g.op("Sigmoid", g.op("Transpose", y, perm=[0, 1, 3, 4, 2]))
            offset, extent, rest = g.op("Split", y, g.constant([2, 2, values - 4]), outputs=3, axis=-1)
            middle = g.op("Add", g.op("Mul", offset, g.scalar(2.0)), grid(g, rows, columns))
            middle = g.op("Mul", middle, g.scalar(LEVELS[level]))
            anchors = g.weight("anchors", LEVELS[level] * g.random.uniform(1, 4, (1, 3, 1, 1, 2)).astype(np.float32))
            extent = g.op("Mul", g.op("Pow", g.op("Mul", extent, g.scalar(2.0)), g.scalar(2.0)), anchors)
            y = g.op("Concat", middle, extent, rest, axis=-1)
            levels.append(reshape(g, y, batch, -1, values))
    output = g.op("Concat", *levels, axis=1)
    if suppress:
        suppression(g, output, sizes["threshold"])
    else:
        g.output(output, "output", ["batch", "boxes", values])
        scores = g.op("Slice", output, g.constant([4]), g.constant([values]), g.constant([2]))
        g.output(scores, "scores", ["batch", "boxes", values - 4])
    return g.model()


def grid(g, rows, columns):
    """[1, 1, rows, columns, 2]: the column and row of each cell, less a half."""
    numbers = []
    for size, axis in [(columns, 0), (rows, 1)]:
        line = g.op("Cast", g.op("Range", g.constant(0), size, g.constant(1)), to=1)
        plane = g.op("Expand", g.op("Unsqueeze", line, g.constant([axis])), shape(g, rows, columns))
        numbers.append(g.op("Unsqueeze", plane, g.constant([-1])))
    pair = g.op("Sub", g.op("Concat", *numbers, axis=-1), g.scalar(0.5))
    return g.op("Unsqueeze", pair, g.constant([0, 1]))


def suppression(g, found, threshold):
    """Of boxes that overlap, keeps the best of each class."""
    far = np.iinfo(np.int64).max
    part = lambda low, high: g.op("Slice", found, g.constant([low]), g.constant([high]), g.constant([2]))
    middle, half = part(0, 2), g.op("Mul", part(2, 4), g.scalar(0.5))
    corners = g.op("Concat", g.op("Sub", middle, half), g.op("Add", middle, half), axis=2)
    scores = g.op("Transpose", g.op("Mul", part(4, 5), part(5, far)), perm=[0, 2, 1])
    limits = [g.constant([12]), g.constant([0.45], np.float32), g.constant([threshold], np.float32)]
    selected = g.op("NonMaxSuppression", corners, scores, *limits)
    g.output(selected, "selected", ["selected", 3], INT64)
    picture_and_box = g.op("Gather", selected, g.constant([0, 2]), axis=1)
    g.output(g.op("GatherND", corners, picture_and_box), "boxes", ["selected", 4])
    g.output(g.op("GatherND", scores, selected), "scores", ["selected"])


def pyramid(g, x, width, upsample):
    """Features at 1/8 and 1/16 of the picture's size, each with its number of channels."""
    with g.scope("backbone"):
        x = act_conv(g, x, 3, width, 3, stride=2)
        x = act_conv(g, x, width, 2 * width, 3, stride=2)
        x = act_conv(g, split_block(g, x, 2 * width), 2 * width, 4 * width, 3, stride=2)
        fine = split_block(g, x, 4 * width)
        coarse = act_conv(g, fine, 4 * width, 6 * width, 3, stride=2)
        coarse = pooled_block(g, coarse, 6 * width)
    with g.scope("neck"):
        fine = g.op("Concat", upsample(g, coarse, fine), fine, axis=1)
        fine = act_conv(g, fine, 10 * width, 4 * width, 1)
    return [(fine, 4 * width), (coarse, 6 * width)]


def act_conv(g, x, inputs, outputs, kernel, stride=1):
    return silu(g, conv(g, x, inputs, outputs, kernel, stride=stride, bias=True, gain=SILU_GAIN))


def split_block(g, x, width):
    """Half of the channels goes through a residual pair of convolutions; all halves are joined again."""
    half = width // 2
    left, right = g.op("Split", act_conv(g, x, width, width, 1), g.constant([half, half]), outputs=2, axis=1)
    inner = act_conv(g, act_conv(g, right, half, half, 3), half, half, 3)
    joined = g.op("Concat", left, right, g.op("Add", right, inner), axis=1)
    return act_conv(g, joined, 3 * half, width, 1)


def pooled_block(g, x, width):
    """Spatial pyramid pooling: three poolings in a row see ever larger neighbourhoods."""
    half = width // 2
    parts = [act_conv(g, x, width, half, 1)]
    for _ in range(3):
        parts.append(g.op("MaxPool", parts[-1], kernel_shape=[5, 5], pads=[2, 2, 2, 2], strides=[1, 1]))
    return act_conv(g, g.op("Concat", *parts, axis=1), 4 * half, width, 1)


RESIZE = {
    "coordinate_transformation_mode": "asymmetric",
    "cubic_coeff_a": -0.75,
    "mode": "nearest",
    "nearest_mode": "floor",
}


def upsample_by_scale(g, x, _like):
    return g.op("Resize", x, None, g.constant([1, 1, 2, 2], np.float32), **RESIZE)


def upsample_by_size(g, x, like):
    """To the height and width of `like`."""
    head = g.op("Slice", g.op("Shape", x), g.constant([0]), g.constant([2]), g.constant([0]))
    tail = g.op("Slice", g.op("Shape", like), g.constant([2]), g.constant([4]), g.constant([0]))
    return g.op("Resize", x, None, None, g.op("Concat", head, tail, axis=0), **RESIZE)
