/* plan_words.h - fields that hold a word of a list
 *
 * Included by check_trainer.c, read by proto/reference.py: keep one row a line.
 *
 *   WORD(message, field, "word")                      accepted
 *   REFUSED(message, field, "word", reason, remedy)   known, and refused by name
 */
WORD(Trainer, accelerator, "auto")
WORD(Trainer, accelerator, "cpu")
REFUSED(Trainer, accelerator, "cuda", "this build has no CUDA device support", "write cpu or auto")
REFUSED(Trainer, accelerator, "gpu", "this build has no CUDA device support", "write cpu or auto")
REFUSED(Trainer, accelerator, "mps", "ltd has no MPS device support", "write cpu or auto")
REFUSED(Trainer, accelerator, "tpu", "ltd has no TPU device support", "write cpu or auto")
REFUSED(Trainer, accelerator, "xla", "ltd has no XLA device support", "write cpu or auto")
REFUSED(Trainer, accelerator, "hpu", "ltd has no HPU device support", "write cpu or auto")
WORD(Trainer, strategy, "auto")
WORD(Trainer, strategy, "single_device")
WORD(Trainer, strategy, "ddp")
WORD(Trainer, strategy, "ddp_spawn")
REFUSED(Trainer, strategy, "ddp_fork", "ranks are started by ltd, never forked by a rank", "write ddp or auto")
REFUSED(Trainer, strategy, "ddp_notebook", "ranks are started by ltd, never by a notebook", "write ddp or auto")
REFUSED(Trainer, strategy, "fsdp", "sharded strategies aren't supported yet by this version", "write ddp or auto")
REFUSED(Trainer, strategy, "deepspeed", "sharded strategies aren't supported yet by this version", "write ddp or auto")
WORD(Trainer, precision, "32-true")
WORD(Trainer, precision, "32")
WORD(Trainer, precision, "64-true")
WORD(Trainer, precision, "64")
WORD(Trainer, precision, "bf16-mixed")
WORD(Trainer, precision, "bf16")
REFUSED(Trainer, precision, "16-mixed", "float16 with loss scaling isn't supported yet by this version", "write bf16-mixed")
REFUSED(Trainer, precision, "16", "16 means 16-mixed, float16 with loss scaling, which isn't supported yet by this version", "write bf16-mixed")
REFUSED(Trainer, precision, "16-true", "weights in float16 aren't supported yet by this version", "write bf16-mixed")
REFUSED(Trainer, precision, "bf16-true", "weights in bfloat16 aren't supported yet by this version", "write bf16-mixed")
REFUSED(Trainer, precision, "fp8", "float8 isn't supported yet by this version", "write bf16-mixed")
REFUSED(Trainer, precision, "transformer-engine", "float8 isn't supported yet by this version", "write bf16-mixed")
REFUSED(Trainer, precision, "transformer-engine-float16", "float8 isn't supported yet by this version", "write bf16-mixed")
