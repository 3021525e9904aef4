"""A character LSTM trained by minigen and by PyTorch: validation losses and times of both.

    python benchmarks/char_lstm.py [--data FILE] [--steps N] [--seed N] [--threads N]

The settings are those of examples/char_lstm.py. Both start from the same weights, train on the
same windows in the same order, and take turns of one step. Needs PyTorch.
"""

import argparse
import time

import numpy as np
import torch

import minigen as mg
from minigen import schedule
from minigen.models import CharLSTM
from minigen.training.texts import TEXT_DATA, text_data, text_loss, windows

EMBED, HIDDEN, CONTEXT, BATCH, RATE, CLIP = 64, 256, 64, 32, 2e-3, 1.0


class Ours:
    def __init__(self, vocabulary, rng):
        self.model = CharLSTM(vocabulary, EMBED, HIDDEN, rng=rng)
        self.optimizer = mg.optim.Adam(self.model.parameters(), lr=RATE)

    def step(self, ids, targets, rate):
        """Train one step. Returns the loss before it."""
        self.optimizer.param_groups[0]["lr"] = rate
        loss = self.model.loss(ids, targets)
        self.optimizer.zero_grad()
        loss.backward()
        mg.optim.clip_grad_norm(self.model.parameters(), CLIP)
        self.optimizer.step()
        return loss.item()


class TorchCharLSTM(torch.nn.Module):
    def __init__(self, vocabulary):
        super().__init__()
        self.embedding = torch.nn.Embedding(vocabulary, EMBED)
        self.lstm = torch.nn.LSTM(EMBED, HIDDEN, batch_first=True)
        self.head = torch.nn.Linear(HIDDEN, vocabulary)

    def loss(self, ids, targets):
        logits = self.head(self.lstm(self.embedding(torch.from_numpy(ids)))[0])
        rows = logits.flatten(0, 1)
        return torch.nn.functional.cross_entropy(rows, torch.from_numpy(targets).flatten())


class Theirs:
    def __init__(self, vocabulary, state):
        self.model = TorchCharLSTM(vocabulary)
        self.model.load_state_dict({k: torch.from_numpy(v.numpy()) for k, v in state.items()})
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=RATE)

    def step(self, ids, targets, rate):
        self.optimizer.param_groups[0]["lr"] = rate
        loss = self.model.loss(ids, targets)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimizer.step()
        return loss.item()


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", default="reference", help=TEXT_DATA)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="PyTorch's")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    vocabulary, train, test = text_data(args.data, CONTEXT)
    rng = mg.Generator(args.seed)
    ours = Ours(len(vocabulary), rng)
    theirs = Theirs(len(vocabulary), ours.model.state_dict())
    factor, seconds = schedule.cosine(args.steps), {ours: [], theirs: []}
    for step in range(args.steps):
        starts = rng.integers(0, len(train) - CONTEXT, BATCH)
        batch, losses = windows(train, starts, CONTEXT), {}
        for trainer in (ours, theirs):
            start = time.perf_counter()
            losses[trainer] = trainer.step(*batch, RATE * factor(step))
            seconds[trainer].append(time.perf_counter() - start)
        if step % 100 == 0 or step == args.steps - 1:
            print(f"step {step}: {losses[ours]:.4f}, PyTorch {losses[theirs]:.4f}", flush=True)

    ours_test = text_loss(ours.model, test, CONTEXT)
    with torch.no_grad():
        theirs_test = text_loss(theirs.model, test, CONTEXT)
    print(f"validation loss: minigen {ours_test:.4f}, PyTorch {theirs_test:.4f}, ", end="")
    print(f"ratio {ours_test / theirs_test:.4f}")
    ours_ms, theirs_ms = (1e3 * np.median(seconds[trainer]) for trainer in (ours, theirs))
    print(f"a step: minigen {ours_ms:.1f} ms, PyTorch {theirs_ms:.1f} ms (medians), ", end="")
    ratio = np.median(np.divide(seconds[ours], seconds[theirs]))
    print(f"ratio {ratio:.2f} (median of the steps')")


if __name__ == "__main__":
    main()
