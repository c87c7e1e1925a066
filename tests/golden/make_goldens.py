#!/usr/bin/env python3
"""make_goldens.py [--check] - golden values from PyTorch 2.13 into data/, or compares with those that are there

The only maker of those files. Operators: forward values and gradients computed in float64 from float32 numbers. Optimisers,
schedules, clipping: PyTorch's own classes, in float32. Nets and precisions: see nets.py.
"""

import json
import pathlib
import sys

try:
    import numpy as np
    import torch
    import torch.nn.functional as F
except ImportError:
    print("1..0 # SKIP PyTorch is not installed; ./dev test --torch installs it")
    sys.exit(0)

import nets
from golden import Writer, differences, read

DATA = pathlib.Path(__file__).parent / "data"


class Ops:
    """One case per call: op, attributes as text, inputs ("g": a gradient is wanted), and what PyTorch makes of them."""

    def __init__(self):
        self.w = Writer()
        self.rng = np.random.default_rng(1)
        self.names = {}

    def normal(self, *shape, scale=1.5):
        return torch.tensor((self.rng.standard_normal(shape) * scale).astype(np.float32))

    def positive(self, *shape):
        return torch.tensor(self.rng.uniform(0.5, 2.5, shape).astype(np.float32))

    def labels(self, n, classes):
        return torch.tensor(self.rng.integers(0, classes, n).astype(np.int64))

    def case(self, op, attrs, inputs, fn, grads=None):
        """grads: indices of inputs with a gradient (all floating ones without it). fn gives one output or a list; None: not compared."""
        count = self.names[op] = self.names.get(op, -1) + 1
        wide = [x.double() if x.is_floating_point() else x for x in inputs]
        grads = [i for i, x in enumerate(wide) if x.is_floating_point()] if grads is None else grads
        for i in grads:
            wide[i].requires_grad_()
        outs = fn(*wide)
        outs = outs if isinstance(outs, (list, tuple)) else [outs]
        self.w.case(f"{op}_{count}")
        self.w.text("op", op)
        self.w.text("attrs", attrs)
        for i, x in enumerate(inputs):
            self.w.tensor(f"in{i}", x.numpy())
        total = 0
        for o, y in enumerate(outs):
            if y is None:
                continue
            if grads and y.requires_grad:
                dout = self.normal(*y.shape)
                self.w.tensor(f"dout{o}", dout.numpy())
                total = total + (dout.double() * y).sum()
            y = y.detach()
            self.w.tensor(f"out{o}", (y.float() if y.is_floating_point() else y).numpy())
        if grads:
            for i, d in zip(grads, torch.autograd.grad(total, [wide[i] for i in grads])):
                self.w.tensor(f"din{i}", d.float().numpy())


def pointwise(o):
    x = o.normal(2, 3, 4)
    for op, fn in (("relu", F.relu), ("tanh", torch.tanh), ("sigmoid", torch.sigmoid), ("exp", torch.exp), ("neg", torch.neg)):
        o.case(op, "", [x], fn)
    o.case("gelu", "", [2 * x], F.gelu)
    o.case("gelu", "approximate=tanh", [2 * x], lambda x: F.gelu(x, approximate="tanh"))
    o.case("log", "", [o.positive(3, 4)], torch.log)
    o.case("sqrt", "", [o.positive(3, 4)], torch.sqrt)
    for op, fn in (("add", torch.add), ("sub", torch.sub), ("mul", torch.mul), ("div", torch.div)):
        o.case(op, "", [o.normal(3, 4), o.positive(3, 4)], fn)
        o.case(op, "", [o.normal(3, 4), o.positive(4)], fn)
        o.case(op, "", [o.normal(3, 1), o.positive(2, 1, 4)], fn)
        o.case(op, "", [o.normal(2, 3), o.positive()], fn)
    o.case("cast", "dtype=int64", [o.normal(9, scale=4)], lambda x: x.long(), [])
    for name, dtype in (("bfloat16", torch.bfloat16), ("float16", torch.float16)):
        x = torch.cat([o.normal(40), o.normal(10, scale=1e-5), o.normal(10, scale=1e4)])
        # back in float32: the golden format knows no short floats
        o.case("cast", f"dtype={name}", [x], lambda x, dtype=dtype: x.float().to(dtype).float(), [])


def shapes(o):
    x = o.normal(2, 3, 4)
    o.case("sum_to", "", [x, torch.zeros(3, 1)], lambda x, like: x.sum(dim=(0, 2)).reshape(3, 1), [0])
    o.case("expand", "", [o.normal(3, 1), torch.zeros(2, 3, 4)], lambda x, like: x.expand(2, 3, 4), [0])
    o.case("reshape", "shape=0,-1", [x], lambda x: x.reshape(2, 12))
    o.case("reshape", "shape=4,6", [x], lambda x: x.reshape(4, 6))
    o.case("transpose", "perm=2,0,1", [x], lambda x: x.permute(2, 0, 1))
    o.case("transpose", "perm=1,0", [o.normal(3, 5)], lambda x: x.t())


def reductions(o):
    x = o.normal(2, 3, 4)
    same = torch.tensor([[1.0, 3, 3, 2], [5, 5, 5, 1]])
    for op, fn in (("reduce_sum", torch.sum), ("reduce_mean", torch.mean), ("reduce_max", torch.amax), ("reduce_min", torch.amin)):
        o.case(op, "", [x], lambda x, fn=fn: fn(x, dim=(0, 1, 2)))
        o.case(op, "axes=1", [x], lambda x, fn=fn: fn(x, dim=1))
        o.case(op, "axes=0,-1 keepdims=1", [x], lambda x, fn=fn: fn(x, dim=(0, -1), keepdim=True))
        o.case(op, "axes=1", [same], lambda x, fn=fn: fn(x, dim=1))  # ties
    o.case("argmax", "", [same], lambda x: x.argmax(-1), [])
    o.case("argmax", "axis=1 keepdims=1", [x], lambda x: x.argmax(1, keepdim=True), [])
    o.case("sum_squares", "", [x, same], lambda a, b: (a * a).sum() + (b * b).sum(), [])


def contractions(o):
    for ta in (0, 1):
        for tb in (0, 1):
            a, b = (o.normal(5, 3) if ta else o.normal(3, 5)), (o.normal(4, 5) if tb else o.normal(5, 4))
            fn = lambda a, b, ta=ta, tb=tb: torch.matmul(a.mT if ta else a, b.mT if tb else b)
            o.case("matmul", f"transpose_a={ta} transpose_b={tb}", [a, b], fn)
            a, b = (o.normal(2, 5, 3) if ta else o.normal(2, 3, 5)), (o.normal(2, 4, 5) if tb else o.normal(2, 5, 4))
            o.case("matmul", f"transpose_a={ta} transpose_b={tb}", [a, b], fn)
            o.case("matmul", f"transpose_a={ta} transpose_b={tb}", [a, b[0]], fn)
    o.case("linear", "", [o.normal(4, 5), o.normal(3, 5), o.normal(3)], F.linear)
    o.case("linear", "", [o.normal(4, 5), o.normal(3, 5)], F.linear)
    o.case("linear", "", [o.normal(2, 3, 5), o.normal(3, 5), o.normal(3)], F.linear)
    o.case("linear", "", [o.normal(5), o.normal(3, 5), o.normal(3)], F.linear)
    o.case("linear", "act=relu", [o.normal(4, 5), o.normal(3, 5), o.normal(3)], lambda x, w, b: F.relu(F.linear(x, w, b)))
    convs = [  # x, w, bias, attributes
        ((2, 3, 5, 6), (4, 3, 3, 3), True, {}),
        ((1, 3, 5, 6), (4, 3, 3, 3), False, {"padding": (1, 1)}),
        ((2, 2, 7, 6), (3, 2, 3, 2), True, {"stride": (2, 1), "padding": (1, 2)}),
        ((1, 2, 8, 7), (3, 2, 2, 3), True, {"dilation": (3, 2), "padding": (2, 1)}),
        ((2, 4, 5, 5), (6, 2, 3, 3), True, {"groups": 2, "padding": (1, 1)}),
        ((1, 4, 5, 5), (8, 1, 3, 3), False, {"groups": 4, "stride": (2, 2)}),
        ((2, 3, 4, 4), (5, 3, 1, 1), True, {}),
        ((1, 1, 5, 4), (2, 1, 5, 4), True, {}),
        ((1, 4, 9, 9), (2, 2, 3, 3), True, {"groups": 2, "stride": (3, 2), "dilation": (2, 1), "padding": (2, 0)}),
    ]
    for x, w, bias, args in convs:
        attrs = " ".join(f"{k}={','.join(map(str, v)) if isinstance(v, tuple) else v}" for k, v in args.items())
        inputs = [o.normal(*x), o.normal(*w)] + ([o.normal(w[0])] if bias else [])
        o.case("conv2d", attrs, inputs, lambda x, w, b=None, args=args: F.conv2d(x, w, b, **args))
    o.case("conv2d", "padding=1,1 act=relu", [o.normal(2, 2, 4, 4), o.normal(3, 2, 3, 3), o.normal(3)],
           lambda x, w, b: F.relu(F.conv2d(x, w, b, padding=1)))


def pools(o):
    for x, args in (((2, 2, 5, 6), {"kernel": 2}), ((1, 2, 7, 6), {"kernel": (3, 2), "stride": (2, 1), "padding": (1, 1)}),
                    ((1, 2, 7, 7), {"kernel": 2, "stride": 1, "dilation": (3, 2)}), ((2, 1, 6, 5), {"kernel": 3, "stride": 2, "ceil_mode": 1}),
                    ((1, 1, 5, 5), {"kernel": 3, "stride": 3, "padding": 1, "ceil_mode": 1}), ((1, 1, 2, 7), {"kernel": 3, "stride": 2, "ceil_mode": 1})):
        attrs = " ".join(f"{k}={','.join(map(str, v)) if isinstance(v, tuple) else v}" for k, v in args.items())
        t = {("kernel_size" if k == "kernel" else k): v for k, v in args.items()}
        t["ceil_mode"] = bool(t.get("ceil_mode", 0))
        o.case("max_pool2d", attrs, [o.normal(*x)], lambda x, t=t: [(r := F.max_pool2d(x, return_indices=True, **t))[0], r[1].int()])
    o.case("max_pool2d", "kernel=2 stride=1", [torch.tensor([[[[1.0, 2, 2], [2, 2, 1], [0, 1, 2]]]])],  # ties
           lambda x: [(r := F.max_pool2d(x, 2, 1, return_indices=True))[0], r[1].int()])
    for x, args in (((2, 2, 5, 6), {"kernel": 2}), ((1, 2, 7, 6), {"kernel": (3, 2), "stride": (2, 1), "padding": (1, 1)}),
                    ((1, 2, 7, 6), {"kernel": (3, 2), "stride": (2, 1), "padding": (1, 1), "count_include_pad": 0}),
                    ((2, 1, 6, 5), {"kernel": 3, "stride": 2, "ceil_mode": 1}),
                    ((1, 1, 6, 5), {"kernel": 3, "stride": 2, "padding": 1, "ceil_mode": 1}),
                    ((1, 1, 6, 5), {"kernel": 3, "stride": 2, "padding": 1, "ceil_mode": 1, "count_include_pad": 0}),
                    ((1, 1, 2, 7), {"kernel": 3, "stride": 2, "ceil_mode": 1})):
        attrs = " ".join(f"{k}={','.join(map(str, v)) if isinstance(v, tuple) else v}" for k, v in args.items())
        t = {("kernel_size" if k == "kernel" else k): v for k, v in args.items()}
        t["ceil_mode"], t["count_include_pad"] = bool(t.get("ceil_mode", 0)), bool(t.get("count_include_pad", 1))
        o.case("avg_pool2d", attrs, [o.normal(*x)], lambda x, t=t: F.avg_pool2d(x, **t))
    o.case("reduce_mean", "axes=2,3 keepdims=1", [o.normal(2, 3, 4, 5)], lambda x: F.adaptive_avg_pool2d(x, 1))


def batch_norm_case(o, shape, affine, eps, momentum):
    c = shape[1]
    inputs = [o.normal(*shape), o.normal(c), o.positive(c), torch.ones(shape[0])] + ([o.positive(c), o.normal(c)] if affine else [])

    def fn(x, mean, var, weight, gamma=None, beta=None):
        mean, var = mean.clone(), var.clone()
        y = F.batch_norm(x, mean, var, gamma, beta, True, momentum, eps)
        dims = [0, *range(2, x.dim())]
        x = x.detach()
        return [y, x.mean(dims), 1 / torch.sqrt(x.var(dims, unbiased=False) + eps), mean, var]

    o.case("batch_norm", f"eps={eps} momentum={momentum}", inputs, fn, [0, 4, 5] if affine else [0])
    x = inputs[:3] + inputs[4:]
    o.case("batch_norm_eval", f"eps={eps}", x, lambda x, m, v, g=None, b=None: F.batch_norm(x, m, v, g, b, False, 0, eps), [])


def norms(o):
    batch_norm_case(o, (5, 3), True, 1e-5, 0.1)
    batch_norm_case(o, (2, 3, 4, 2), True, 1e-3, 0.3)
    batch_norm_case(o, (4, 2, 3), False, 1e-5, 0.1)
    o.case("layer_norm", "", [o.normal(3, 6), o.normal(6), o.normal(6)], lambda x, g, b: [F.layer_norm(x, (6,), g, b), None, None])
    o.case("layer_norm", "ndim=2 eps=0.01", [o.normal(2, 3, 4), o.normal(3, 4)], lambda x, g: F.layer_norm(x, (3, 4), g, None, 0.01))
    o.case("layer_norm", "", [o.normal(2, 3, 5)], lambda x: F.layer_norm(x, (5,)))
    for op, fn in (("softmax", F.softmax), ("log_softmax", F.log_softmax)):
        o.case(op, "", [o.normal(3, 5)], lambda x, fn=fn: fn(x, -1))
        o.case(op, "axis=1", [o.normal(2, 4, 3)], lambda x, fn=fn: fn(x, 1))
        o.case(op, "axis=0", [o.normal(4, 3, scale=20)], lambda x, fn=fn: fn(x, 0))


def loss_ops(o):
    for args in ({}, {"label_smoothing": 0.1}, {"ignore_index": 2}, {"ignore_index": 2, "label_smoothing": 0.3}):
        for classes_weighted in (False, True):
            n, c = 6, 4
            x, y, w = o.normal(n, c), o.labels(n, c), torch.tensor([1.0, 0.5, 0, 2, 1, 3])
            attrs = " ".join(f"{k}={v}" for k, v in args.items())

            def fn(x, y, w, cw=None, args=args):
                each = F.cross_entropy(x, y, cw, reduction="none", **args)
                part = w * (y != args.get("ignore_index", -100)) * (cw[y] if cw is not None else 1)
                return [(w * each).sum(), part.sum()]

            o.case("cross_entropy", attrs, [x, y, w] + ([o.positive(c)] if classes_weighted else []), fn, [0])
    for shape in ((5, 3), (4, 2, 3), (4,)):
        x, t, w = o.normal(*shape), o.normal(*shape), o.positive(shape[0])
        o.case("mse", "", [x, t, w], lambda x, t, w: [(w * ((x - t) ** 2).reshape(len(x), -1).mean(1)).sum(), w.sum()], [0])
    o.case("mse", "", [o.normal(4, 3), o.normal(4, 3), torch.ones(4)], lambda x, t, w: [F.mse_loss(x, t) * len(x), w.sum()], [0])
    o.case("accuracy", "", [o.normal(6, 3), o.labels(6, 3), o.positive(6)],
           lambda x, y, w: [(w * (x.argmax(1) == y)).sum(), w.sum()], [])


def more_ops(o):
    """Appended, so that the cases before keep their numbers: no running statistics; dropout that depends on no random numbers."""
    for shape, more, eps in (((4, 3), [o.positive(3), o.normal(3)], 1e-5), ((3, 2, 4, 3), [], 1e-2)):
        def fn(x, weight, g=None, b=None, eps=eps):
            return [F.batch_norm(x, None, None, g, b, True, 0, eps), None, None]
        o.case("batch_norm_batch", f"eps={eps}", [o.normal(*shape), torch.ones(shape[0])] + more, fn, [0, 2, 3] if more else [0])
    for p, fn in ((0, lambda x: F.dropout(x, 0.0, True)), (1, lambda x: F.dropout(x, 1.0, True))):
        samples = [torch.tensor(3), torch.arange(4)]
        o.case("dropout", f"p={p}", [o.normal(4, 5)] + samples, lambda x, step, sample, fn=fn: [fn(x), None], [0])


def ops():
    o = Ops()
    for part in (pointwise, shapes, reductions, contractions, pools, norms, loss_ops, more_ops):
        part(o)
    return o.w


# ---------------------------------------------------------------- optimisers

OPTIMIZERS = [  # operator, torch's class, arguments
    ("sgd", torch.optim.SGD, {}),
    ("sgd", torch.optim.SGD, {"weight_decay": 0.1, "maximize": True}),
    ("sgd_momentum", torch.optim.SGD, {"momentum": 0.9}),
    ("sgd_momentum", torch.optim.SGD, {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.05}),
    ("sgd_momentum", torch.optim.SGD, {"momentum": 0.8, "nesterov": True, "weight_decay": 0.05}),
    ("sgd_momentum", torch.optim.SGD, {"momentum": 0.8, "maximize": True}),
    ("adam", torch.optim.Adam, {}),
    ("adam", torch.optim.Adam, {"betas": (0.7, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    ("adam", torch.optim.Adam, {"maximize": True, "weight_decay": 0.1}),
    ("adam", torch.optim.AdamW, {}),
    ("adam", torch.optim.AdamW, {"betas": (0.7, 0.9), "eps": 1e-3, "weight_decay": 0.3, "maximize": True}),
    ("adam_amsgrad", torch.optim.Adam, {"amsgrad": True}),
    ("adam_amsgrad", torch.optim.Adam, {"amsgrad": True, "weight_decay": 0.1, "betas": (0.5, 0.6)}),
    ("adam_amsgrad", torch.optim.AdamW, {"amsgrad": True, "maximize": True}),
]
STATES = {"sgd": [], "sgd_momentum": ["momentum_buffer"], "adam": ["exp_avg", "exp_avg_sq"],
          "adam_amsgrad": ["exp_avg", "exp_avg_sq", "max_exp_avg_sq"]}


def operator_attrs(cls, args):
    words = []
    if cls is torch.optim.AdamW:
        args = {"weight_decay": 0.01, **args}
        words.append("decoupled=1")
    for k, v in args.items():
        if k == "betas":
            words += [f"beta1={v[0]}", f"beta2={v[1]}"]
        elif k != "amsgrad":
            words.append(f"{k}={int(v) if isinstance(v, bool) else v}")
    return " ".join(words)


def optimizers():
    w, rng = Writer(), np.random.default_rng(2)
    for i, (op, cls, args) in enumerate(OPTIMIZERS):
        p = torch.nn.Parameter(torch.tensor(rng.standard_normal(9).astype(np.float32)))
        grads = (rng.standard_normal((5, 9)) * [[1], [0.1], [3], [1], [1e-3]]).astype(np.float32)
        rates = [0.1, 0.1, 0.05, 0.05, 0.01]
        opt = cls([p], lr=rates[0], foreach=False, **args)
        w.case(f"{op}_{i}")
        w.text("op", op)
        w.text("attrs", operator_attrs(cls, args))
        w.tensor("p", p.detach().numpy().copy())
        w.tensor("grads", grads)
        w.tensor("lr", np.array(rates))
        after = []
        for g, lr in zip(grads, rates):
            opt.param_groups[0]["lr"] = lr
            p.grad = torch.tensor(g)
            opt.step()
            after.append(p.detach().numpy().copy())
        w.tensor("after", np.array(after))
        for s, name in enumerate(STATES[op]):
            w.tensor(f"state{s}", opt.state[p][name].numpy())
    return w


def clipping():
    w, rng = Writer(), np.random.default_rng(3)
    for i, (bound, size) in enumerate(((0.5, 1), (5.0, 1), (1000.0, 1), (2e-6, 1e-6))):  # the last: where clip_grad_norm_'s 1e-6 counts
        grads = [torch.tensor((size * rng.standard_normal(s)).astype(np.float32)) for s in ((4, 5), (7,), (2, 3))]
        params = [torch.nn.Parameter(torch.zeros_like(g)) for g in grads]
        for algorithm in ("norm", "value"):
            for p, g in zip(params, grads):
                p.grad = g.clone()
            w.case(f"{algorithm}_{i}")
            w.tensor("bound", np.array(bound))
            for k, g in enumerate(grads):
                w.tensor(f"grad{k}", g.numpy())
            if algorithm == "norm":
                w.tensor("norm", torch.nn.utils.clip_grad_norm_(params, bound).numpy())
            else:
                torch.nn.utils.clip_grad_value_(params, bound)
            for k, p in enumerate(params):
                w.tensor(f"clipped{k}", p.grad.numpy())
    return w


# ---------------------------------------------------------------- schedules

SCHEDULES = [
    {"constant": {}}, {"constant": {"factor": 0.2, "total_iters": 7}}, {"step": {"step_size": 4}}, {"step": {"step_size": 3, "gamma": 0.7}},
    {"cosine_annealing": {"T_max": 10}}, {"cosine_annealing": {"T_max": 7, "eta_min": 0.01}}, {"cosine_annealing": {"T_max": 40, "eta_min": 0.3}},
]


def schedules():
    w = Writer()
    for i, s in enumerate(SCHEDULES):
        plan = {"optimizer": {"sgd": {"lr": 0.1}}, "lr_scheduler": s}
        opt = nets.optimizer(plan, [torch.nn.Parameter(torch.zeros(1))])
        sched, rates = nets.scheduler(plan, opt), []
        for _ in range(30):
            rates.append(opt.param_groups[0]["lr"])
            opt.step()
            sched.step()
        w.case(f"schedule_{i}")
        w.text("plan", json.dumps(plan))
        w.tensor("lr", np.array(rates))
    return w


# ---------------------------------------------------------------- nets


def plan(layers, loss, optimizer, size, **more):
    return {"model": {"layers": layers}, "data": {"source": {"idx": {"dir": "x"}}, "batch_size": size}, "step": {"loss": loss},
            "optimizer": optimizer, **more}


MLP = [{"linear": {"out_features": 10}}, "relu", {"linear": {"out_features": 4}}]
CNN = [{"conv2d": {"out_channels": 4, "kernel_size": [3], "padding": [1], "bias": False}}, {"batch_norm": {}}, "relu",
       {"max_pool2d": {"kernel_size": [2]}}, {"conv2d": {"out_channels": 6, "kernel_size": [3]}}, {"gelu": {}}, "global_avg_pool2d", "flatten",
       {"layer_norm": {}}, {"linear": {"out_features": 3}}]


def whole_nets():
    w = Writer()
    ce = {"cross_entropy": {}}
    step = {"interval": "step"}
    nets.run(plan(MLP, ce, {"sgd": {"lr": 0.1, "momentum": 0.9}}, 8), [6], 20, 10, w, "mlp_sgd")
    nets.run(plan(MLP, {"cross_entropy": {"weight": [1, 2, 0.5, 1], "ignore_index": 1, "label_smoothing": 0.1}}, {"adam": {"lr": 0.01}}, 8,
                  trainer={"gradient_clip_val": 0.5}), [6], 20, 11, w, "mlp_adam_clip_norm")
    nets.run(plan(["tanh" if x == "relu" else x for x in MLP], "mse", {"adamw": {"lr": 0.02, "amsgrad": True}}, 8,
                  lr_scheduler={"cosine_annealing": {"T_max": 15, **step}}, trainer={"gradient_clip_val": 0.05, "gradient_clip_algorithm": "value"}),
             [6], 20, 12, w, "mlp_mse_clip_value")
    short = [(i % 3 * 8, 8 if i % 3 < 2 else 5) for i in range(40)]
    nets.run(plan(MLP, ce, {"sgd": {"lr": 0.2}}, 8, trainer={"accumulate_grad_batches": 2}, lr_scheduler={"step": {"step_size": 6, **step}}), [6], 20,
             13, w, "mlp_accumulate", short)
    nets.run(plan(CNN, ce, {"sgd": {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3}}, 6,
                  lr_scheduler={"constant": {"total_iters": 4, **step}}), [1, 8, 8], 20, 14, w, "cnn_sgd")
    nets.run(plan(CNN, ce, {"adamw": {"lr": 0.005, "eps": 1e-6}}, 6), [1, 8, 8], 20, 15, w, "cnn_adamw")
    untracked = [{"batch_norm": {"track_running_stats": False}} if x == {"batch_norm": {}} else x for x in CNN]
    nets.run(plan(untracked, ce, {"sgd": {"lr": 0.05}}, 6), [1, 8, 8], 20, 16, w, "cnn_untracked")
    return w


WIDE = [{"linear": {"out_features": 48}}, "relu", {"linear": {"out_features": 32}}, "relu", {"linear": {"out_features": 5}}]
POOLED = [{"conv2d": {"out_channels": 16, "kernel_size": [3], "padding": [1]}}, "relu", {"max_pool2d": {"kernel_size": [2]}},
          {"conv2d": {"out_channels": 20, "kernel_size": [3], "padding": [1]}}, "relu", {"max_pool2d": {"kernel_size": [2]}}, "flatten",
          {"linear": {"out_features": 4}}]
RESIDUAL = [{"conv2d": {"out_channels": 16, "kernel_size": [3], "padding": [1], "bias": False}}, {"batch_norm": {}}, "relu",
            {"residual": {"layers": [{"conv2d": {"out_channels": 16, "kernel_size": [3], "padding": [1], "groups": 2}}, {"gelu": {}}]}},
            "global_avg_pool2d", "flatten", {"layer_norm": {}}, {"linear": {"out_features": 3}}]


def precisions():
    w = Writer()
    ce = {"cross_entropy": {}}
    double, mixed = {"trainer": {"precision": "64-true"}}, {"trainer": {"precision": "bf16-mixed"}}
    nets.run_double(plan(MLP, ce, {"adam": {"lr": 0.01}}, 8, **double), [6], 20, 30, w, "double_mlp_adam")
    nets.run_double(plan(["tanh" if x == "relu" else x for x in MLP], "mse", {"sgd": {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-3}}, 8,
                         trainer={"precision": "64-true", "gradient_clip_val": 0.5}), [6], 20, 31, w, "double_mlp_mse")
    nets.run_double(plan(CNN, {"cross_entropy": {"label_smoothing": 0.1}}, {"adamw": {"lr": 0.005, "eps": 1e-6}}, 6, **double), [1, 8, 8], 20, 32,
                    w, "double_cnn_adamw")
    sgd = {"sgd": {"lr": 1.0}}
    nets.run_mixed(plan(WIDE, ce, sgd, 32, **mixed), [24], 33, w, "mixed_mlp")
    nets.run_mixed(plan(POOLED, ce, sgd, 16, **mixed), [2, 8, 8], 34, w, "mixed_cnn")
    nets.run_mixed(plan(RESIDUAL, ce, sgd, 16, **mixed), [2, 8, 8], 35, w, "mixed_residual")
    return w


FILES = {"ops": ops, "optimizers": optimizers, "clipping": clipping, "schedules": schedules, "nets": whole_nets,
         "precisions": precisions}


def main():
    torch.set_num_threads(1)
    if not torch.__version__.startswith("2.13."):
        print(f"# PyTorch is {torch.__version__}; the golden values are of 2.13", file=sys.stderr)
    check = sys.argv[1:] == ["--check"]
    if check:
        print(f"1..{len(FILES)}")
    bad = False
    for i, (name, make) in enumerate(FILES.items()):
        made, path = make().bytes(), DATA / f"{name}.txt"
        if not check:
            path.write_bytes(made)
            print(f"{path}: {len(made)} bytes")
            continue
        found = differences(read(path.read_text()), read(made.decode())) if path.exists() else ["not there"]
        bad |= bool(found)
        for sentence in found[:20]:
            print(f"# {sentence}")
        print(f"{'not ok' if found else 'ok'} {i + 1} - {name}.txt is what PyTorch {torch.__version__} gives")
    return bad


if __name__ == "__main__":
    sys.exit(main())
