#!/usr/bin/env python3
"""live.py RUN_PLAN [--seed N] [--count N] [--first N] - nets drawn from a seed, trained beside PyTorch

Each net (layers, loss, optimiser, schedule, clipping, accumulation, batch size, short last batches, frozen parameters, precision, ranks,
slices) trains for 20 updates in PyTorch and in the engine (RUN_PLAN is lt-run-plan, on the back end in LT_BACKEND; cpu). Ours must be as
near to PyTorch's float64 run as ten times its float32 run is (nets.py). Ranks are threads here; in PyTorch they are parts of a batch.
Prints TAP and the seed; the same seed repeats the nets, --first N those from the N-th on.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

STEPS = 20
FAR = 0.3  # from the exact values, where there is no other run to measure with


def pick(rng, choices):
    return choices[int(rng.integers(len(choices)))]


def activation(rng):
    return pick(rng, ["relu", "tanh", "sigmoid", {"gelu": {}}, {"gelu": {"approximate": "tanh"}}])


def chance(rng, p):
    return bool(rng.random() < p)


def dense_part(rng, width):
    """A few layers on [n, width]; returns them and the new width."""
    layers = []
    for _ in range(int(rng.integers(1, 4))):
        kind = pick(rng, ["plain", "plain", "norm", "batch", "residual", "repeat", "nested"])
        if kind == "nested":
            layers.append({"sequential": {"layers": [{"linear": {"out_features": width}}, {"dropout": {"p": 0.0}},
                                                     pick(rng, ["softmax", "log_softmax", "tanh"])]}})
            continue
        if kind in ("residual", "repeat"):
            inner = [{"linear": {"out_features": width}}, activation(rng)]
            layers.append({"residual": {"layers": inner}} if kind == "residual" else {"repeat": {"times": 2, "layers": inner}})
            continue
        width = int(rng.integers(4, 33))
        # a bias before batch norm has no gradient but rounding errors, which Adam would blow up
        layers.append({"linear": {"out_features": width, "bias": kind != "batch" and chance(rng, 0.8)}})
        if kind == "norm":
            layers.append({"layer_norm": {"elementwise_affine": chance(rng, 0.7)}})
        if kind == "batch":
            layers.append({"batch_norm": {"momentum": pick(rng, [0.1, 0.3])}})
        layers.append(activation(rng))
    return layers, width


def conv_part(rng, shape):
    """A few layers on [n, c, h, w]; returns them and the new [c, h, w]."""
    import nets
    layers, x = [], [2, *shape]
    for _ in range(int(rng.integers(1, 4))):
        groups = pick(rng, [1, 1, 2]) if x[1] % 2 == 0 else 1
        batch = chance(rng, 0.4)
        layers.append({"conv2d": {"out_channels": int(rng.integers(1, 5)) * 2, "kernel_size": [pick(rng, [1, 2, 3]), 3],
                                  "stride": [1, pick(rng, [1, 1, 2])], "padding": [1, 1], "dilation": [pick(rng, [1, 1, 2]) if x[2] > 2 else 1, 1],
                                  "groups": groups, "bias": not batch}})
        if batch:
            layers.append({"batch_norm": {}})
        layers.append(activation(rng))
        x = nets.sequential(layers, [2, *shape])[1]
        if min(x[2:]) >= 4 and chance(rng, 0.6):
            layers.append(pick(rng, [{"max_pool2d": {"kernel_size": [2]}}, {"max_pool2d": {"kernel_size": [3], "stride": [2], "padding": [1]}},
                                     {"avg_pool2d": {"kernel_size": [2], "ceil_mode": True}},
                                     {"avg_pool2d": {"kernel_size": [3], "stride": [2], "padding": [1], "count_include_pad": False}}]))
        x = nets.sequential(layers, [2, *shape])[1]
    layers += pick(rng, [["flatten"], ["global_avg_pool2d", "flatten"]])
    return layers, nets.sequential(layers, [2, *shape])[1][1]


def draw_optimizer(rng):
    lr = 10 ** rng.uniform(-3, -1.5)
    if chance(rng, 0.5):
        momentum = pick(rng, [0.0, 0.9])
        nesterov = momentum > 0 and chance(rng, 0.5)
        return {"sgd": {"lr": 3 * lr, "momentum": momentum, "nesterov": nesterov, "weight_decay": pick(rng, [0.0, 1e-2]),
                        "dampening": 0.0 if nesterov else pick(rng, [0.0, 0.0, 0.2])}}
    # eps of 1e-5: where a gradient is nearly 0 its rounding errors must not decide the direction of a whole step
    args = {"lr": lr, "eps": 1e-5, "amsgrad": chance(rng, 0.3), "betas": pick(rng, [[0.9, 0.999], [0.8, 0.95]])}
    return {pick(rng, ["adam", "adamw"]): {**args, "weight_decay": pick(rng, [0.0, 1e-2])}}


def draw_ranks(rng, trainer):
    """(ranks, slices): how many train as one; trainer says it."""
    world = pick(rng, [1, 1, 2, 3, 4])
    slices = world * pick(rng, [1, 2, 3]) if chance(rng, 0.25) else 0
    if slices > 1:
        trainer |= {"reproducible": "elastic", "logical_shards": slices, "sync_batchnorm": True}
    elif world > 1 and chance(rng, 0.5):
        trainer["sync_batchnorm"] = True
    if world > 1 and chance(rng, 0.2):
        trainer["ddp"] = {"bucket_cap_mb": 1}
    return world, slices if slices > 1 else 0


def draw(rng):
    """(plan, shape of a sample, batches, ranks)"""
    if chance(rng, 0.5):
        shape = [int(rng.integers(1, 4)), int(rng.integers(6, 11)), int(rng.integers(6, 11))]
        layers, width = conv_part(rng, shape)
    else:
        shape, layers, width = [int(rng.integers(3, 20))], [], 0
        width = shape[0]
    more, width = dense_part(rng, width)
    classes = int(rng.integers(2, 7))
    layers += more + [{"linear": {"out_features": classes}}]
    loss = pick(rng, [{"cross_entropy": {}}, {"cross_entropy": {"label_smoothing": 0.1}}, {"mse": {}},
                      {"cross_entropy": {"weight": [round(float(w), 2) for w in rng.uniform(0.5, 2, classes)], "ignore_index": 0}}])
    trainer = {}
    if chance(rng, 0.4):
        trainer = pick(rng, [{"gradient_clip_val": 0.3}, {"gradient_clip_val": 0.02, "gradient_clip_algorithm": "value"}])
    if chance(rng, 0.3):
        trainer["accumulate_grad_batches"] = int(rng.integers(2, 4))
    trainer["precision"] = pick(rng, ["32-true", "32-true", "64-true", "bf16-mixed"])
    world, slices = draw_ranks(rng, trainer)
    parts = slices or world
    size = -(-int(rng.integers(6, 25)) // parts) * parts
    model = {"layers": layers}
    if chance(rng, 0.2):
        model["freeze"] = pick(rng, [["0.*"], ["*.bias"], ["*weight"]])
    plan = {"model": model, "data": {"source": {"idx": {"dir": "x"}}, "global_batch_size": size}, "step": {"loss": loss},
            "optimizer": draw_optimizer(rng), "trainer": trainer}
    if chance(rng, 0.5):
        plan["lr_scheduler"] = pick(rng, [{"constant": {"total_iters": 6, "interval": "step"}}, {"cosine_annealing": {"T_max": 15, "interval": "step"}},
                                          {"step": {"step_size": 5, "gamma": 0.5, "interval": "step"}}])
    # The last batch may leave a rank without a sample; but rank 0 needs two where its batch norm may see one value of each.
    least = world + 1 if "batch_norm" in str(layers) else 2
    micro, short = trainer.get("accumulate_grad_batches", 1), int(rng.integers(least, size + 1) if chance(rng, 0.7) else least)
    batches = [(i % 5 * size, short if i % 5 == 4 else size) for i in range(STEPS * micro)]
    return plan, shape, batches, world


def compare(torchs, ours):
    """Sentences about what is farther off than rounding explains."""
    import numpy as np
    tolerance, found = float(torchs["tolerance"]), []
    if not np.isfinite(tolerance):
        tolerance = FAR
        print("# PyTorch's own run over bfloat16 isn't finite: its weight gradients of convolutions read scratch memory")
    for key, should in torchs.items():
        if key not in ("loss", "eval") and not key.startswith("final/"):
            continue
        if key not in ours or ours[key].shape != should.shape:
            found.append(f"{key}: not there, or of another shape")
            continue
        off = np.abs(ours[key].astype(np.float64) - should) / (1 + np.abs(should))
        if not (off <= tolerance).all():
            found.append(f"{key}: off by {off.max(initial=0):.2e}, allowed {tolerance:.2e}")
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("run_plan")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("LT_SEED") or time.time_ns() % 1_000_000_007))
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--first", type=int, default=0)
    args = parser.parse_args()
    try:
        import numpy as np
        import torch
    except ImportError:
        print("1..0 # SKIP PyTorch is not installed; ./dev test --torch installs it")
        return 0
    import nets
    from golden import Writer, read
    torch.set_num_threads(1)
    print(f"1..{args.count}")
    print(f"# PyTorch {torch.__version__}; nets of seed {args.seed} (repeat: live.py RUN_PLAN --seed {args.seed})")
    failed = 0
    for i in range(args.first, args.first + args.count):
        rng = np.random.default_rng([args.seed, i])
        plan, shape, batches, world = draw(rng)
        writer = Writer()
        nets.run(plan, shape, STEPS, int(rng.integers(1 << 31)), writer, f"net_{i}", batches, world)
        with tempfile.NamedTemporaryFile(suffix=".txt") as f:
            f.write(writer.bytes())
            f.flush()
            ran = subprocess.run([args.run_plan, f.name], capture_output=True, text=True)
        torchs = read(writer.bytes().decode())[f"net_{i}"]
        found = [ran.stderr.strip()] if ran.returncode else compare(torchs, read(ran.stdout)[f"net_{i}"])
        names = " ".join(nets.split(layer)[0] for layer in plan["model"]["layers"])
        for sentence in found:
            print(f"# {sentence}")
        if found:
            print(f"# ranks: {world}; batches: {batches[:5]}; plan: {plan}")
        print(f"{'not ok' if found else 'ok'} {i + 1} - {names}; loss {torchs['loss'][0]:.3f} to {torchs['loss'][-1]:.3f}")
        failed += bool(found)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
