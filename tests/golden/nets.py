"""nets.py - a training plan's model, loss, optimiser and schedule in PyTorch, trained as the engine does

Everything is said by the plan (a dict); the initial weights come from PyTorch's own initialisers. A net is trained twice: in float64,
which gives the values, and in float32, whose distance from them says what float32's rounding does to this net. Ours must be as near.
"""

import fnmatch
import json

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from golden import Writer


# A rank may have one sample left, which PyTorch's batch norm over [n, c] refuses.
F._verify_batch_size = lambda size: None


class Residual(nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)


def pair(v):
    return tuple(v) if isinstance(v, list) and len(v) == 2 else v[0] if isinstance(v, list) else v


def pool_args(a):
    return {"stride": pair(a["stride"]) if "stride" in a else None, "padding": pair(a.get("padding", 0)),
            "ceil_mode": a.get("ceil_mode", False)}


def conv(a, x):
    return nn.Conv2d(x[1], a["out_channels"], pair(a["kernel_size"]), pair(a.get("stride", 1)), pair(a.get("padding", 0)),
                     pair(a.get("dilation", 1)), a.get("groups", 1), a.get("bias", True))


def batch_norm(a, x):
    kind = nn.BatchNorm1d if len(x) == 2 else nn.BatchNorm2d
    return kind(x[1], a.get("eps", 1e-5), a.get("momentum", 0.1), a.get("affine", True), a.get("track_running_stats", True))


def repeat(a, x):
    rounds = []
    for _ in range(a["times"]):
        rounds.append(sequential(a["layers"], x)[0])
        x = shape_after(rounds[-1], x)
    return nn.Sequential(*rounds)


# How each layer is made of its arguments and the input's shape.
LAYERS = {
    "flatten": lambda a, x: nn.Flatten(a.get("start_dim", 1), a.get("end_dim", -1)),
    "unflatten": lambda a, x: nn.Unflatten(a.get("dim", 1), a["sizes"]),
    "linear": lambda a, x: nn.Linear(x[-1], a["out_features"], a.get("bias", True)),
    "relu": lambda a, x: nn.ReLU(),
    "dropout": lambda a, x: nn.Dropout(a.get("p", 0.5)),
    "gelu": lambda a, x: nn.GELU(a.get("approximate", "none")),
    "tanh": lambda a, x: nn.Tanh(),
    "sigmoid": lambda a, x: nn.Sigmoid(),
    "conv2d": conv,
    "max_pool2d": lambda a, x: nn.MaxPool2d(pair(a["kernel_size"]), dilation=pair(a.get("dilation", 1)), **pool_args(a)),
    "avg_pool2d": lambda a, x: nn.AvgPool2d(pair(a["kernel_size"]), count_include_pad=a.get("count_include_pad", True), **pool_args(a)),
    "global_avg_pool2d": lambda a, x: nn.AdaptiveAvgPool2d(1),
    "batch_norm": batch_norm,
    "layer_norm": lambda a, x: nn.LayerNorm(a.get("normalized_shape", x[-1]), a.get("eps", 1e-5), a.get("elementwise_affine", True),
                                            a.get("bias", True)),
    "softmax": lambda a, x: nn.Softmax(a.get("dim", -1)),
    "log_softmax": lambda a, x: nn.LogSoftmax(a.get("dim", -1)),
    "sequential": lambda a, x: sequential(a["layers"], x)[0],
    "residual": lambda a, x: Residual(*sequential(a["layers"], x)[0]),
    "repeat": repeat,
}


def split(layer):
    """"relu" or {"linear": {…}} → name, arguments."""
    if isinstance(layer, str):
        return layer, {}
    (name, args), = layer.items()
    return name, args


def shape_after(module, x):
    with torch.no_grad():
        training = module.training
        out = list(module.eval()(torch.zeros(x)).shape)
        module.train(training)
        return out


def sequential(layers, x):
    """Layers as nn.Sequential, so that parameters have the engine's names; and the shape behind them."""
    made = []
    for layer in layers:
        name, args = split(layer)
        made.append(LAYERS[name](args, x))
        x = shape_after(made[-1], x)
    return nn.Sequential(*made), x


def optimizer(plan, params):
    name, args = split(plan["optimizer"])
    made = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
    args = {k: tuple(v) if k == "betas" else v for k, v in args.items()}
    return made(params, foreach=False, **args)


def scheduler(plan, opt):
    if "lr_scheduler" not in plan:
        return None
    name, args = split(plan["lr_scheduler"])
    args = {k: v for k, v in args.items() if k not in ("interval", "frequency")}
    lrs = torch.optim.lr_scheduler
    return {"constant": lrs.ConstantLR, "step": lrs.StepLR, "cosine_annealing": lrs.CosineAnnealingLR}[name](opt, **args)


def losses(plan, out, y):
    """(loss, its weight) of a batch: as PyTorch's `mean` would divide them."""
    name, args = split(plan["step"]["loss"])
    if name == "mse":
        return F.mse_loss(out, y, reduction="sum") / out[0].numel(), float(len(out))
    weight = torch.tensor(args["weight"], dtype=out.dtype) if "weight" in args else None
    ignore = args.get("ignore_index", -100)
    counted = y[y != ignore]
    if not len(counted):
        return out.sum() * 0, 0.0
    total = weight[counted].sum() if weight is not None else torch.tensor(float(len(counted)))
    # `mean` is PyTorch's own division; times the weight it is the sum again.
    mean = F.cross_entropy(out, y, weight, ignore_index=ignore, label_smoothing=args.get("label_smoothing", 0.0))
    return mean * total, float(total)


def freeze(plan, model):
    for name, param in model.named_parameters():
        param.requires_grad_(not any(fnmatch.fnmatchcase(name, f) for f in plan["model"].get("freeze", [])))


def ranks_losses(plan, model, x, y, batch, world):
    """losses() of a global batch. Batch norms that aren't synchronised see each rank's samples alone, and rank 0's running statistics stay."""
    a, n = batch
    parts, sums = 1 if plan.get("trainer", {}).get("sync_batchnorm") else world, []
    for r in range(min(parts, n)):
        kept = {k: v.clone() for k, v in model.named_buffers()}
        sums.append(losses(plan, model(x[a + r:a + n:parts]), y[a + r:a + n:parts]))
        for k, v in model.named_buffers() if r else []:
            v.data = kept[k]
    return sum(s[0] for s in sums), sum(s[1] for s in sums)


def train(plan, model, x, y, batches, micro, world=1, mixed=False):
    """Losses of each update, of an evaluation of the first batch after them, and the final tensors."""
    freeze(plan, model)
    opt = optimizer(plan, model.parameters())
    sched = scheduler(plan, opt)
    trainer = plan.get("trainer", {})
    clip, by = trainer.get("gradient_clip_val", 0), trainer.get("gradient_clip_algorithm", "norm")
    out = []
    for start in range(0, len(batches), micro):
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            parts = [ranks_losses(plan, model, x, y, batch, world) for batch in batches[start:start + micro]]
        loss = sum(p[0] for p in parts) / sum(p[1] for p in parts)
        opt.zero_grad()
        loss.backward()
        if clip and by == "norm":
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        elif clip:
            nn.utils.clip_grad_value_(model.parameters(), clip)
        opt.step()
        if sched:
            sched.step()
        out.append(loss.item())
    model.eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        a, n = batches[0]
        loss, weight = losses(plan, model(x[a:a + n]), y[a:a + n])
    return np.array(out), np.array([loss.item() / weight]), {k: v.numpy().copy() for k, v in model.state_dict().items()}


def data_for(plan, shape, rows, rng):
    """Inputs and targets that a net can learn."""
    x = rng.standard_normal((rows, *shape)).astype(np.float32)
    name, args = split(plan["step"]["loss"])
    model, out = sequential(plan["model"]["layers"], [2, *shape])
    if name == "mse":
        mix = rng.standard_normal((int(np.prod(shape)), int(np.prod(out[1:]))))
        y = np.tanh(x.reshape(rows, -1) @ mix).reshape(rows, *out[1:]).astype(np.float32)
    else:
        mix = rng.standard_normal((int(np.prod(shape)), out[1]))
        y = (x.reshape(rows, -1) @ mix).argmax(1).astype(np.int64)
        if "ignore_index" in args:
            y[y == args["ignore_index"]] = (args["ignore_index"] + 1) % out[1]  # no batch without a sample that counts
            y[::5] = args["ignore_index"]
    return x, y, out


# The run that shows what rounding does to a net: its type, under autocast or not; the least distance allowed, and the share of that
# run's distance from the exact values. Float64 rounds 2^29 times finer than the float32 it is measured with.
ROUNDED = {"32-true": (torch.float32, False, 2e-6, 10), "bf16-mixed": (torch.float32, True, 2e-3, 10), "64-true": (torch.float32, False, 1e-12, 1e-7)}


def run(plan, shape, steps, seed, writer, name, batches=None, world=1):
    """Trains in float64, and as the plan's precision rounds, and writes the case."""
    kind, mixed, floor, factor = ROUNDED[plan.get("trainer", {}).get("precision", "32-true")]
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    size = plan["data"].get("batch_size") or plan["data"]["global_batch_size"]
    micro = plan.get("trainer", {}).get("accumulate_grad_batches", 1)
    distinct = 4 * micro
    batches = batches or [(i % distinct * size, size) for i in range(steps * micro)]
    x, y, _ = data_for(plan, shape, max(a + n for a, n in batches), rng)
    model, _ = sequential(plan["model"]["layers"], [2, *shape])
    start = {k: v.clone() for k, v in model.state_dict().items()}
    results = []
    for dtype, autocast in ((torch.float64, False), (kind, mixed)):
        model.load_state_dict(start)
        model = model.to(dtype).train()
        tx, ty = torch.tensor(x, dtype=dtype), torch.tensor(y)
        results.append(train(plan, model, tx, ty.to(dtype) if ty.is_floating_point() else ty, batches, micro, world, autocast))
        model = model.float()
    writer.case(name)
    writer.text("plan", json.dumps(plan))
    if world > 1:
        writer.text("world", str(world))
    for k, v in start.items():
        writer.tensor(f"init/{k}", v.numpy())
    writer.tensor("x", x)
    writer.tensor("label", y)
    writer.tensor("batches", np.array(batches, dtype=np.int64))
    write_results(writer, *results, floor, factor)


def noise(exact, rounded):
    return float(np.abs(np.asarray(exact, np.float64) - np.asarray(rounded, np.float64)).max(initial=0))


def write_results(writer, exact, rounded, floor=2e-6, factor=10):
    for key, i in (("loss", 0), ("eval", 1)):
        writer.tensor(key, exact[i].astype(np.float64))
    # So many times PyTorch's own distance from the exact values, and the type's last digits.
    worst = max(noise(exact[0], rounded[0]), noise(exact[1], rounded[1]),
                *(noise(exact[2][k], rounded[2][k]) for k in exact[2]))
    writer.tensor("tolerance", np.array(floor + factor * worst))
    for k, v in exact[2].items():
        writer.tensor(f"final/{k}", v if v.dtype == np.int64 or factor < 1 else v.astype(np.float32))


def start_of(plan, shape, seed):
    """The data, the initial tensors, and the net, as run() has them."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    x, y, _ = data_for(plan, shape, 4 * plan["data"]["batch_size"], rng)
    model, _ = sequential(plan["model"]["layers"], [2, *shape])
    return x, y, {k: v.clone() for k, v in model.state_dict().items()}, model


def write_start(writer, name, plan, start, x, y, batches):
    writer.case(name)
    writer.text("plan", json.dumps(plan))
    for k, v in start.items():
        writer.tensor(f"init/{k}", v.numpy())
    writer.tensor("x", x)
    writer.tensor("label", y)
    writer.tensor("batches", np.array(batches, dtype=np.int64))


def run_double(plan, shape, steps, seed, writer, name):
    """64-true: everything in float64, and written so."""
    x, y, start, model = start_of(plan, shape, seed)
    size = plan["data"]["batch_size"]
    batches = [(i % 4 * size, size) for i in range(steps)]
    ty = torch.tensor(y)
    loss, evaluated, final = train(plan, model.double().train(), torch.tensor(x).double(), ty.double() if ty.is_floating_point() else ty,
                                   batches, 1)
    write_start(writer, name, plan, start, x, y, batches)
    writer.tensor("loss", loss)
    writer.tensor("eval", evaluated)
    for k, v in final.items():
        writer.tensor(f"final/{k}", v)


def gradients(plan, start, model, x, y, dtype, mixed):
    model.load_state_dict(start)
    model = model.to(dtype).train()
    size = plan["data"]["batch_size"]
    ty = torch.tensor(y[:size])
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        loss, weight = losses(plan, model(torch.tensor(x[:size], dtype=dtype)), ty.to(dtype) if ty.is_floating_point() else ty)
    loss = loss / weight
    model.zero_grad()
    loss.backward()
    return loss.item(), {k: v.grad.double().numpy() for k, v in model.named_parameters()}


def run_mixed(plan, shape, seed, writer, name):
    """bf16-mixed: the gradients of one step, exact; and how far torch.autocast's are from them, in the Euclidean norm."""
    x, y, start, model = start_of(plan, shape, seed)
    exact_loss, exact = gradients(plan, start, model, x, y, torch.float64, False)
    loss, mixed = gradients(plan, start, model, x, y, torch.float32, True)
    size = plan["data"]["batch_size"]
    write_start(writer, name, plan, start, x[:size], y[:size], [(0, size)])
    writer.tensor("loss", np.array([exact_loss]))
    writer.tensor("noise_loss", np.array(abs(loss - exact_loss)))
    for k, g in exact.items():
        writer.tensor(f"grad/{k}", g.astype(np.float32))
        writer.tensor(f"noise/{k}", np.array(np.linalg.norm(mixed[k] - g) / np.linalg.norm(g)))
