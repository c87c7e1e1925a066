"""An independent client: Python's gRPC over the socket, with stubs made from proto/ by protoc as anybody would make them."""
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from common import FASHION, check, equal, make, read, run, run_dir, wait_for  # noqa: E402
from harness import SOURCE  # noqa: E402

try:
    import grpc
    import grpc_tools  # noqa: F401
    from google.protobuf import descriptor_pb2
except ImportError as missing:
    print(f"1..0 # SKIP {missing}")
    sys.exit(0)


def make_stubs():
    """proto/ as a folder of Python modules; in sys.path until the modules are imported."""
    folder = tempfile.mkdtemp(prefix="ltd-stubs-")
    proto = os.path.join(SOURCE, "proto")
    files = [f"lt/v1/{n}" for n in sorted(os.listdir(os.path.join(proto, "lt/v1"))) if n.endswith(".proto")]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", "-I", proto, "--python_out", folder, "--grpc_python_out", folder,
                    *files], check=True)
    sys.path.insert(0, folder)
    return folder


stubs = make_stubs()
try:
    from lt.v1 import blobs_pb2, events_pb2 as ev, health_pb2, jobs_pb2 as pb, nodes_pb2, plan_pb2, reflection_pb2, status_pb2
    from lt.v1 import blobs_pb2_grpc, health_pb2_grpc, jobs_pb2_grpc, nodes_pb2_grpc
finally:
    shutil.rmtree(stubs)


class Token(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor, grpc.StreamUnaryClientInterceptor,
            grpc.StreamStreamClientInterceptor):
    """Shows a token with each call."""

    def __init__(self, token):
        self.metadata = [("authorization", "Bearer " + token)]

    def shown(self, go_on, details, request):
        return go_on(details._replace(metadata=(details.metadata or []) + self.metadata), request)

    intercept_unary_unary = intercept_unary_stream = intercept_stream_unary = intercept_stream_stream = shown


class Client:
    """All services on one channel."""

    def __init__(self, w, target=None, token=None):
        self.channel = grpc.insecure_channel(target or "unix:" + w.socket)
        if token:
            self.channel = grpc.intercept_channel(self.channel, Token(token))
        self.jobs = jobs_pb2_grpc.JobsStub(self.channel)
        self.nodes = nodes_pb2_grpc.NodesStub(self.channel)
        self.blobs = blobs_pb2_grpc.BlobsStub(self.channel)
        self.health = health_pb2_grpc.HealthStub(self.channel)

    def submit(self, spec, request_id=None):
        return self.jobs.Submit(pb.SubmitRequest(request_id=request_id or str(uuid.uuid4()), spec=spec)).job_id

    def get(self, job):
        return self.jobs.Get(pb.JobRequest(job_id=job))

    def wait(self, job):
        """The status at the end."""
        last = [r for r in self.jobs.Watch(pb.WatchRequest(job_id=job))][-1]
        check(last.end, "the last message of Watch says so")
        return last.status

    def raw(self, method, data, reply):
        """A unary call whose request is these bytes."""
        return self.channel.unary_unary(method, request_serializer=bytes, response_deserializer=reply.FromString)(data)


def client(w):
    """A client of a daemon that has a node."""
    w.ltd()
    c = Client(w)
    wait_for(lambda: c.nodes.List(nodes_pb2.NodesListRequest()).nodes, "a node")
    return c


def refusal(code, call, *args, **kwargs):
    """The error of a call that must fail with this code, and the problems in its details."""
    try:
        call(*args, **kwargs)
    except grpc.RpcError as e:
        equal(e.code(), getattr(grpc.StatusCode, code), e.details())
        details = dict(e.trailing_metadata() or ()).get("grpc-status-details-bin")
        status = status_pb2.RpcStatus.FromString(details) if details else status_pb2.RpcStatus()
        if details:
            equal((status.code, status.message), (e.code().value[0], e.details()), "google.rpc.Status")
        for d in status.details:
            equal(d.type_url, "type.googleapis.com/lt.v1.Problem")
        return e.details(), [ev.Problem.FromString(d.value) for d in status.details]
    check(False, "the call worked")


def spec(name="client", epochs=1, samples=2000, **job):
    """Built field by field, the way a program does it."""
    p = plan_pb2.TrainingPlan(name=name, seed=3)
    p.model.layers.add().flatten.SetInParent()
    p.model.layers.add().linear.out_features = 16
    p.model.layers.add().relu.SetInParent()
    p.model.layers.add().linear.out_features = 10
    p.data.source.idx.dir = FASHION
    p.data.train.CopyFrom(plan_pb2.Split(split="train", range=[0, samples], shuffle=True))
    p.data.val.CopyFrom(plan_pb2.Split(split="train", range=[59000, 60000]))
    p.data.batch_size = 20
    p.data.transforms.add().scale.SetInParent()
    p.step.loss.cross_entropy.SetInParent()
    p.step.metrics.add().accuracy.SetInParent()
    p.optimizer.adam.lr = 1e-3
    p.trainer.max_epochs = epochs
    p.trainer.log_every_n_steps = 10
    p.callbacks.add().model_checkpoint.monitor = "val_loss"
    for name, value in job.items():
        setattr(p.job, name, value)
    return plan_pb2.JobSpec(plan=p)


def check_plan(w):
    c = client(w)
    good = c.jobs.CheckPlan(pb.CheckPlanRequest(spec=spec()))
    equal(list(good.problems), [])
    equal(good.cost.parameters, 784 * 16 + 16 + 16 * 10 + 10, "parameters")
    check(good.cost.memory_bytes > 0 and good.cost.flops_per_step > 0 and good.report_json.startswith("{"), good)

    bad = spec()
    bad.plan.data.batch_size = 0
    bad.plan.data.source.idx.dir = "/nowhere"
    bad.plan.optimizer.adam.lr = -1
    problems = c.jobs.CheckPlan(pb.CheckPlanRequest(spec=bad)).problems
    paths = [p.path for p in problems]
    check("data.batch_size" in paths and "optimizer.adam.lr" in paths, problems)
    check(all(p.reason for p in problems), problems)

    bad = spec()
    bad.plan.data.source.idx.dir = "/nowhere"
    problems = c.jobs.CheckPlan(pb.CheckPlanRequest(spec=bad)).problems
    check(any("/nowhere" in p.reason for p in problems), "missing data is found on the node:", problems)
    equal(len(c.jobs.List(pb.ListRequest(all=True)).jobs), 0, "checking makes no job")


def submit_is_idempotent(w):
    c = client(w)
    job = c.submit(spec(hold=True), "request-1")
    equal(c.submit(spec(hold=True), "request-1"), job, "the same request")
    check(c.submit(spec(hold=True), "request-2") != job, "another request")
    details, _ = refusal("ALREADY_EXISTS", c.submit, spec(name="other", hold=True), "request-1")
    check("request-1" in details, details)
    refusal("INVALID_ARGUMENT", c.jobs.Submit, pb.SubmitRequest(spec=spec()))
    w.kill_daemon()
    w.ltd()
    equal(Client(w).submit(spec(hold=True), "request-1"), job, "the same request after kill -9 of ltd")
    equal(len(Client(w).jobs.List(pb.ListRequest()).jobs), 2)


def watched_to_its_end(w):
    c = client(w)
    job = c.submit(spec(epochs=2))
    seen = [r for r in c.jobs.Watch(pb.WatchRequest(job_id=job[:8]))]
    equal([r.end for r in seen], [False] * (len(seen) - 1) + [True])
    last = seen[-1].status
    equal((last.id, last.name, last.state, last.result), (job, "client", ev.DONE, ev.SUCCEEDED), last.reason)
    equal((last.step, last.total_steps, last.total_epochs, last.kind), (200, 200, 2, "plan"))
    check(last.ranks[0].step_ms > 0 and last.ranks[0].memory_bytes > 1 << 20, "what the rank's page last said:", last.ranks)
    steps = [r.status.step for r in seen]
    equal(steps, sorted(steps), "steps only grow")
    equal(last, c.get(job), "the last message is what Get says")
    equal([j.id for j in c.jobs.List(pb.ListRequest(all=True)).jobs], [job])
    equal(list(c.jobs.List(pb.ListRequest()).jobs), [], "jobs that haven't ended")


def logs_resume_at_a_cursor(w):
    c = client(w)
    job = c.submit(spec(epochs=3))
    whole, cursor, cut, frames = b"", b"", b"", 0
    for r in c.jobs.Logs(pb.LogsRequest(job_id=job, follow=True)):
        frames += 1
        if r.WhichOneof("frame") == "chunk":
            equal((r.chunk.attempt, r.chunk.rank, r.chunk.stream), (1, 0, pb.OUT))
            equal(r.chunk.offset, len(whole), "chunks join without gap or overlap")
            whole += r.chunk.data
            if not cursor:
                cursor, cut = r.cursor, whole
    equal((r.WhichOneof("frame"), r.end.result), ("end", ev.SUCCEEDED), "the last frame")
    check(whole == read(run_dir(w, job), "logs", "1", "0.out"), "the stream is the file, byte for byte")
    rest = b"".join(r.chunk.data for r in c.jobs.Logs(pb.LogsRequest(job_id=job, cursor=cursor)))
    check(cut + rest == whole, "what comes after a cursor begins where it was given")
    tail = b"".join(r.chunk.data for r in c.jobs.Logs(pb.LogsRequest(job_id=job, tail=1)))
    equal(tail, whole.splitlines(True)[-1])
    refusal("INVALID_ARGUMENT", list, c.jobs.Logs(pb.LogsRequest(job_id=job, cursor=b"nonsense")))


def events_resume_at_a_cursor(w):
    c = client(w)
    job = c.submit(spec())
    seen, cursors = [], []
    for r in c.jobs.Events(pb.EventsRequest(job_id=job, follow=True)):
        seen += r.events
        cursors.append((r.cursor, len(seen)))
    equal(r.end.result, ev.SUCCEEDED)
    kinds = [e.WhichOneof("type") for e in seen]
    for a, b in zip(["submitted", "checked", "queued", "reserved", "attempt_started", "running", "checkpoint_saved", "done"],
                    ["checked", "queued", "reserved", "attempt_started", "running", "checkpoint_saved", "done", None]):
        check(a in kinds and (b is None or kinds.index(a) < kinds.index(b)), a, "before", b, kinds)
    equal([e.seq for e in seen], sorted({e.seq for e in seen}))
    check(all(e.job == job and e.time_ns > 1e18 for e in seen))
    for cursor, known in cursors[:3]:
        rest = [e for r in c.jobs.Events(pb.EventsRequest(job_id=job, cursor=cursor)) for e in r.events]
        equal(rest, seen[known:], "what follows a cursor")
    everybody = [e for r in c.jobs.Events(pb.EventsRequest()) for e in r.events]
    equal([e for e in everybody if e.job == job], seen, "the job's events among all")


def metrics_as_they_come(w):
    c = client(w)
    job = c.submit(spec(epochs=2))
    points, cursors = [], []
    for r in c.jobs.Metrics(pb.MetricsRequest(job_id=job, follow=True)):
        points += r.points
        cursors.append((r.cursor, len(points)))
    equal(r.end.result, ev.SUCCEEDED)
    equal([p.step for p in points if p.name == "train_loss"], list(range(9, 200, 10)), "log_every_n_steps")
    acc = [p for p in points if p.name == "val_acc"]
    equal([(p.step, p.epoch, p.attempt) for p in acc], [(99, 0, 1), (199, 1, 1)])
    check(all(0.3 < p.value <= 1 for p in acc), acc)
    only = [p for r in c.jobs.Metrics(pb.MetricsRequest(job_id=job, names=["val_acc"])) for p in r.points]
    equal(only, acc, "by name")
    for cursor, known in (cursors[len(cursors) // 2], cursors[-1]):
        rest = [p for r in c.jobs.Metrics(pb.MetricsRequest(job_id=job, cursor=cursor)) for p in r.points]
        equal(rest, points[known:], "what follows a cursor")


def cancelled(w):
    c = client(w)
    job = c.submit(spec(epochs=100000))
    wait_for(lambda: c.get(job).state == ev.RUNNING, "the job to run")
    c.jobs.Cancel(pb.JobRequest(job_id=job))
    last = c.wait(job)
    equal((last.state, last.result), (ev.DONE, ev.CANCELLED), last.reason)
    refusal("FAILED_PRECONDITION", c.jobs.Release, pb.JobRequest(job_id=job))
    c.jobs.Remove(pb.JobRequest(job_id=job))
    refusal("NOT_FOUND", c.get, job)


def stopped_downloaded_resumed(w):
    c = client(w)
    job = c.submit(spec(epochs=100000, samples=1000))
    wait_for(lambda: c.get(job).epoch >= 2, "two epochs")
    c.jobs.Stop(pb.JobRequest(job_id=job))
    equal(c.wait(job).result, ev.STOPPED)
    known = c.jobs.ListCheckpoints(pb.JobRequest(job_id=job)).checkpoints
    last = [k for k in known if k.last]
    equal(len(last), 1, "one checkpoint is the last")
    for name in ("last", "best", last[0].saved.name):
        files, current = {}, None
        for r in c.jobs.Download(pb.DownloadRequest(job_id=job, checkpoint=name)):
            if r.HasField("file"):
                current, sizes = r.file, files.setdefault(r.file, [r.size, b""])
            if r.data:
                files[current][1] += r.data
        check(r.end, "the last message says so")
        check({"MANIFEST", "model.safetensors", "optimizer.safetensors", "trainer.json"} <= set(files), name, list(files))
        for f, (size, data) in files.items():
            equal(len(data), size, f)
    name = last[0].saved.name  # the system's own when the stop fell on one
    folder = os.path.join(run_dir(w, job), name if name.startswith("recovery/") else "checkpoints/" + name)
    check(files["model.safetensors"][1] == read(folder, "model.safetensors"), "the file's bytes")
    for name, code in ("nonsense", "NOT_FOUND"), ("../x", "INVALID_ARGUMENT"), ("/etc/passwd", "INVALID_ARGUMENT"):
        refusal(code, list, c.jobs.Download(pb.DownloadRequest(job_id=job, file=name)))
    refusal("NOT_FOUND", list, c.jobs.Download(pb.DownloadRequest(job_id=job, checkpoint="nonsense")))

    more = plan_pb2.TrainingPlan()
    more.CopyFrom(spec(epochs=int(last[0].saved.epoch) + 2, samples=1000).plan)
    child = c.jobs.Resume(pb.ResumeRequest(request_id="resume", job_id=job, plan=more)).job_id
    done = c.wait(child)
    equal((done.result, done.parent), (ev.SUCCEEDED, job), done.reason)
    started = [e.attempt_started for r in c.jobs.Events(pb.EventsRequest(job_id=child)) for e in r.events
               if e.HasField("attempt_started")]
    check(started[0].from_step > 0, "it went on from the checkpoint:", started)

    again = plan_pb2.JobSpec(plan=more)  # the same, said in the plan itself
    again.plan.resume.CopyFrom(plan_pb2.Resume(job=job[:6], path="/nowhere", step=77))
    other = c.submit(again)
    equal(c.wait(other).result, ev.SUCCEEDED)
    equal((c.get(other).parent, c.get(other).step), (job, done.step))
    again.plan.resume.job = "nonsense"
    refusal("NOT_FOUND", c.submit, again)


def held_released_explained(w):
    c = client(w)
    job = c.submit(spec(hold=True))
    wait_for(lambda: c.get(job).state == ev.HELD_USER, "the job to be held")
    text = c.jobs.Explain(pb.JobRequest(job_id=job)).text
    check("release" in text, text)
    c.jobs.Release(pb.JobRequest(job_id=job))
    equal(c.wait(job).result, ev.SUCCEEDED)


def refused_on_the_node(w):
    """What only the node can see ends as REFUSED, with the list in status and events."""
    c = client(w)
    s = spec()
    s.plan.data.source.idx.dir = "/nowhere"
    job = c.submit(s)
    last = c.wait(job)
    equal((last.state, last.result), (ev.DONE, ev.REFUSED))
    check(any("/nowhere" in p.reason for p in last.problems), last.problems)
    events = [e for r in c.jobs.Events(pb.EventsRequest(job_id=job)) for e in r.events]
    equal([e.refused.problems for e in events if e.HasField("refused")], [last.problems])
    equal(list(c.jobs.List(pb.ListRequest()).jobs), [])


def nodes(w):
    c = client(w)
    n, = c.nodes.List(nodes_pb2.NodesListRequest()).nodes
    equal(n.state, "ready")
    check(n.inventory.cpus >= 1 and n.inventory.memory_bytes > 1 << 20 and n.inventory.build, n)
    n = wait_for(lambda: (lambda n: n.inventory.mpich and n)(c.nodes.Get(nodes_pb2.NodeRequest(node=n.name))), "MPICH's version")
    check(n.inventory.ucx and n.inventory.cpus >= 1, n)
    equal(c.nodes.Drain(nodes_pb2.NodeRequest(node=n.name)).state, "drained")
    job = c.submit(spec())
    wait_for(lambda: c.get(job).state == ev.QUEUED, "the job to wait")
    text = c.jobs.Explain(pb.JobRequest(job_id=job)).text
    check("drain" in text, text)
    equal(c.nodes.Undrain(nodes_pb2.NodeRequest(node=n.name)).state, "ready")
    equal(c.wait(job).result, ev.SUCCEEDED)
    refusal("NOT_FOUND", c.nodes.Get, nodes_pb2.NodeRequest(node="nowhere"))


def blobs(w):
    c = client(w)
    data = bytes(range(256)) * 5000
    parts = [data[i:i + 30000] for i in range(0, len(data), 30000)]
    put = c.blobs.Put(blobs_pb2.PutRequest(data=p) for p in parts)
    equal(put.size, len(data))
    stat = c.blobs.Stat(blobs_pb2.StatRequest(hash=put.hash))
    equal((stat.exists, stat.size), (True, len(data)))
    check(b"".join(r.data for r in c.blobs.Get(blobs_pb2.GetRequest(hash=put.hash))) == data, "the same bytes")
    check(not c.blobs.Stat(blobs_pb2.StatRequest(hash="0" * 64)).exists)
    refusal("NOT_FOUND", list, c.blobs.Get(blobs_pb2.GetRequest(hash="0" * 64)))


def health(w):
    c = client(w)
    serving = health_pb2.HealthCheckResponse.SERVING
    for service in ("", "lt.v1.Jobs", "lt.v1.Nodes"):
        equal(c.health.Check(health_pb2.HealthCheckRequest(service=service)).status, serving, service)
    refusal("NOT_FOUND", c.health.Check, health_pb2.HealthCheckRequest(service="nonsense"))
    stream = c.health.Watch(health_pb2.HealthCheckRequest(service="lt.v1.Jobs"))
    equal(next(stream).status, serving)
    stream.cancel()


def reflection(w):
    """Both versions list the services, and their descriptors are those of proto/."""
    c = client(w)
    ask = reflection_pb2.ServerReflectionRequest
    for version in ("v1", "v1alpha"):
        method = c.channel.stream_stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
                                         request_serializer=ask.SerializeToString,
                                         response_deserializer=reflection_pb2.ServerReflectionResponse.FromString)
        questions = [ask(list_services=""), ask(file_containing_symbol="lt.v1.Jobs"), ask(file_by_filename="lt/v1/plan.proto"),
                     ask(file_containing_symbol="lt.v1.Nonsense")]
        services, jobs, plans, nonsense = method(iter(questions))
        names = {s.name for s in services.list_services_response.service}
        check({"lt.v1.Jobs", "lt.v1.Nodes", "lt.v1.Blobs", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"}
              <= names, names)
        for reply, module in ((jobs, pb), (plans, plan_pb2)):
            files = [descriptor_pb2.FileDescriptorProto.FromString(f)
                     for f in reply.file_descriptor_response.file_descriptor_proto]
            ours = descriptor_pb2.FileDescriptorProto()
            module.DESCRIPTOR.CopyToProto(ours)
            theirs, = [f for f in files if f.name == ours.name]
            for f in (theirs, ours):
                f.ClearField("source_code_info")
            equal([m.name for m in theirs.message_type], [m.name for m in ours.message_type])
            equal(theirs.service, ours.service)
        equal(nonsense.error_response.error_code, grpc.StatusCode.NOT_FOUND.value[0])


def errors_carry_details(w):
    """All problems at once, as google.rpc.Status."""
    c = client(w)
    s = spec()
    s.plan.data.batch_size = 0
    s.plan.trainer.max_epochs = -7
    s.plan.callbacks[0].model_checkpoint.monitor = "val_lost"
    details, problems = refusal("INVALID_ARGUMENT", c.submit, s)
    by_path = {p.path: p for p in problems}
    check({"data.batch_size", "trainer.max_epochs", "callbacks[0].model_checkpoint.monitor"} <= set(by_path), problems)
    check("val_loss" in by_path["callbacks[0].model_checkpoint.monitor"].remedy, problems)
    equal(list(c.jobs.List(pb.ListRequest(all=True)).jobs), [], "nothing was submitted")
    details, _ = refusal("NOT_FOUND", c.get, "nonsense")
    check("nonsense" in details, details)
    refusal("UNIMPLEMENTED", c.raw, "/lt.v1.Jobs/Nonsense", b"", pb.SubmitResponse)


def varint(n):
    return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)


def field(number, value):
    """A field with bytes or a number."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def hostile_bytes(w):
    """What no stub would send: every one is refused, nothing is submitted, and the next call works."""
    c = client(w)
    good = spec().SerializeToString()

    def submit(spec_bytes):
        return c.raw("/lt.v1.Jobs/Submit", field(1, b"hostile") + field(2, spec_bytes), pb.SubmitResponse)

    plan_bytes = spec().plan.SerializeToString()
    _, problems = refusal("INVALID_ARGUMENT", submit, field(1, plan_bytes + field(125, b"x")))
    check(any("125" in p.reason + p.path for p in problems), "an unknown field is named:", problems)
    _, problems = refusal("INVALID_ARGUMENT", submit, field(1, plan_bytes + field(9, field(17, 9))))
    check(any("gradient_clip_algorithm" in p.path for p in problems), "an unknown enum value is named:", problems)
    layer = field(2, b"")
    for _ in range(5000):  # a sequential in a sequential in ...
        layer = field(16, field(1, layer))
    details, _ = refusal("INVALID_ARGUMENT", submit, field(1, field(3, field(1, layer))))
    check("deep" in details or "nest" in details, details)
    for data in (good[:-1], b"\xff" * 100, field(1, field(1, b"\xff\xfe")), field(1, field(1, b"a\0b"))):
        refusal("INVALID_ARGUMENT", submit, data)
    many = field(1, field(3, field(1, b"") * 1500000))
    code = None
    try:
        submit(many)
    except grpc.RpcError as e:
        code = e.code()
    check(code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED), "a million layers:", code)
    try:
        c.raw("/lt.v1.Jobs/Get", field(1, b"x" * (5 << 20)), pb.JobStatus)
    except grpc.RpcError as e:
        equal(e.code(), grpc.StatusCode.RESOURCE_EXHAUSTED, "a message above the limit")
    equal(list(c.jobs.List(pb.ListRequest(all=True)).jobs), [])


def a_reader_that_stops_disturbs_nobody(w):
    c = client(w)
    job = c.submit(spec(epochs=20, samples=5000))
    stuck = c.jobs.Logs(pb.LogsRequest(job_id=job, follow=True))
    next(stuck)  # and no further
    done = threading.Event()
    other = Client(w)
    thread = threading.Thread(target=lambda: (other.wait(job), done.set()))
    thread.start()
    for _ in range(50):
        equal(len(c.jobs.List(pb.ListRequest(all=True)).jobs), 1)
    check(done.wait(120), "the other client saw the end")
    thread.join()
    stuck.cancel()


def over_tcp_with_a_token(w):
    """Submit, follow, download and health by TCP; without the token not even health."""
    token = "a-token-of-this-test"
    path = w.file("tokens", token + "\n")
    os.chmod(path, 0o600)
    w.ltd("--listen", "127.0.0.1:0", "--token-file", path)
    with open(os.path.join(w.state, "listen")) as f:
        target = f.read().strip()
    c = Client(w, target, token)
    equal(c.health.Check(health_pb2.HealthCheckRequest()).status, health_pb2.HealthCheckResponse.SERVING)
    wait_for(lambda: c.nodes.List(nodes_pb2.NodesListRequest()).nodes, "a node")
    job = c.submit(spec())
    equal(c.wait(job).result, ev.SUCCEEDED)
    log = b"".join(r.chunk.data for r in c.jobs.Logs(pb.LogsRequest(job_id=job, follow=True)) if r.WhichOneof("frame") == "chunk")
    check(log, "a log")
    check(list(c.jobs.Download(pb.DownloadRequest(job_id=job, checkpoint="last")))[-1].end)
    put = c.blobs.Put(iter([blobs_pb2.PutRequest(data=b"abc")]))
    equal(put.size, 3)
    for stranger in (Client(w, target), Client(w, target, "wrong"), Client(w, target, token + " ")):
        refusal("UNAUTHENTICATED", stranger.get, job)
        refusal("UNAUTHENTICATED", stranger.health.Check, health_pb2.HealthCheckRequest())
        refusal("UNAUTHENTICATED", list, stranger.jobs.Watch(pb.WatchRequest(job_id=job)))
        stranger.channel.close()
    session = c.channel.stream_stream("/lt.v1.Agent/Session", request_serializer=bytes, response_deserializer=bytes)
    refusal("PERMISSION_DENIED", list, session(iter([b""])))
    c.channel.close()


run([check_plan, submit_is_idempotent, watched_to_its_end, logs_resume_at_a_cursor, events_resume_at_a_cursor,
     metrics_as_they_come, cancelled, stopped_downloaded_resumed, held_released_explained, refused_on_the_node, nodes, blobs,
     health, reflection, errors_carry_details, hostile_bytes, a_reader_that_stops_disturbs_nobody,
     over_tcp_with_a_token], make)
