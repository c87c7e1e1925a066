"""The plans of examples/ as they stand: they check, they print to themselves, they learn what they promise."""
import glob
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from common import check, equal, run, run_dir  # noqa: E402
from harness import SOURCE  # noqa: E402

EXAMPLES = sorted(glob.glob(os.path.join(SOURCE, "examples", "*.yaml")))
MLP, CNN = (os.path.join(SOURCE, "examples", f"fashion-{kind}.yaml") for kind in ("mlp", "cnn"))


def trained(w, plan, *args):
    """`ltctl run` of a plan: its job."""
    p = w.ctl("run", plan, *args)
    check("done after" in p.stdout, p.stdout)
    job, = w.out("ps", "-a", "-q").split()
    equal(w.status(job)["result"], "succeeded")
    return job


def accuracy(w, job):
    value = w.json("test", job, "--checkpoint", "best")["test_acc"]
    print(f"# test accuracy {value}", flush=True)
    return value


def all_are_checked_and_shown(w):
    check(len(EXAMPLES) >= 2, EXAMPLES)
    for plan in EXAMPLES:
        w.ctl("plan", "check", plan)
        shown = w.file("shown.yaml", w.ctl("plan", "show", plan).stdout)
        equal(w.out("plan", "show", "--hash", shown), w.out("plan", "show", "--hash", plan), plan)


def mlp_reaches_88_percent(w):
    job = trained(w, MLP)
    check(accuracy(w, job) >= 0.88)
    status = w.status(job)
    equal((status["epoch"], status["step"]), (10, 8600))
    equal(len(w.out("checkpoints", "-q", job).split()), 3, "save_top_k")


def cnn_reaches_91_percent(w):
    check(accuracy(w, trained(w, CNN)) >= 0.91)


def any_field_can_be_set(w):
    job = trained(w, MLP, "--set", "trainer.max_epochs=3", "--set", "callbacks[0].model_checkpoint.save_top_k=1",
                  "--set", "data.train.range=[0, 3200]", "--set", "optimizer={sgd: {lr: 0.05, momentum: 0.9}}",
                  "--set", "model.layers[1].linear.out_features=32", "--set", "loggers=[csv]", "--set", "name=changed")
    status = w.status(job)
    equal((status["name"], status["epoch"], status["step"]), ("changed", 3, 150))
    equal(len(w.out("checkpoints", "-q", job).split()), 1, "save_top_k")
    left = os.listdir(run_dir(w, job))
    check("metrics.csv" in left and "tensorboard" not in left, left)
    with open(os.path.join(run_dir(w, job), "metrics.csv")) as f:
        check("lr-SGD" in f.readline(), "the learning rate's name follows the optimiser")


def what_cannot_be_set_is_said(w):
    for change, word in [("trainer.max_epoch=3", "max_epochs"), ("callbacks[7].model_checkpoint.save_top_k=1", "callbacks"),
                         ("trainer.max_epochs=many", "max_epochs"), ("optimizer.adam.lr=-1", "lr"),
                         ("model.layers[1].linear.out_featurs=3", "out_features")]:
        p = w.ctl("run", MLP, "--set", change, code=3)
        check(word in p.stderr, change, p.stderr)
    equal(w.ctl("run", MLP, "--set", "nonsense", code=None).returncode in (2, 3), True)


run([all_are_checked_and_shown, mlp_reaches_88_percent, cnn_reaches_91_percent, any_field_can_be_set, what_cannot_be_set_is_said])
