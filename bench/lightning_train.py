"""train.py as one would write it for examples/fashion-mlp.yaml: PyTorch Lightning, the same model, data and callbacks.

  lightning_train.py FOLDER   prints the monotonic clock in ns when the first optimiser step is done, then ends

The pictures are read from plain idx files that bench/daemon.py unpacks beforehand into FOLDER: what is compared is a
cached start with a cached start.
"""
import os
import sys
import time
import warnings

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

warnings.filterwarnings("ignore")


class FirstStep(L.Callback):
    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == 1:
            print(time.monotonic_ns(), flush=True)
            os._exit(0)


class Classifier(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
        self.loss = nn.CrossEntropyLoss()

    def step(self, batch, name):
        x, y = batch
        out = self.net((x.float() / 255 - 0.2860) / 0.3530)
        loss = self.loss(out, y)
        self.log_dict({f"{name}_loss": loss, f"{name}_acc": (out.argmax(1) == y).float().mean()})
        return loss

    def training_step(self, batch, _):
        return self.step(batch, "train")

    def validation_step(self, batch, _):
        self.step(batch, "val")

    def configure_optimizers(self):
        adam = torch.optim.Adam(self.parameters(), lr=1e-3)
        return [adam], [torch.optim.lr_scheduler.CosineAnnealingLR(adam, T_max=10, eta_min=1e-5)]


def main():
    folder = sys.argv[1]
    pictures = np.memmap(os.path.join(folder, "images"), np.uint8, "c", 16, (60000, 28, 28))
    labels = np.memmap(os.path.join(folder, "labels"), np.uint8, "c", 8, (60000,))
    x, y = torch.from_numpy(pictures), torch.from_numpy(labels).long()
    out = os.path.join(folder, "out")

    L.seed_everything(42, verbose=False)
    trainer = L.Trainer(
        max_epochs=10, accelerator="cpu", devices=1, accumulate_grad_batches=2, gradient_clip_val=1.0,
        logger=[TensorBoardLogger(out), CSVLogger(out)], enable_progress_bar=False, enable_model_summary=False,
        callbacks=[ModelCheckpoint(monitor="val_loss", mode="min", save_top_k=3),
                   EarlyStopping("val_loss", patience=5), LearningRateMonitor("epoch"), FirstStep()])
    trainer.fit(Classifier(), DataLoader(TensorDataset(x[:55000], y[:55000]), 32, shuffle=True),
                DataLoader(TensorDataset(x[55000:], y[55000:]), 32))


if __name__ == "__main__":
    main()
