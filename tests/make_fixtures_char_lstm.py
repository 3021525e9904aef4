"""Writes tests/fixtures/char_lstm.safetensors with PyTorch; run by hand, as make_fixtures.py."""

from pathlib import Path

import torch
from safetensors.torch import save_file

FILE = Path(__file__).parent / "fixtures" / "char_lstm.safetensors"
VOCABULARY, EMBED, HIDDEN, LAYERS = 7, 3, 4, 2


class CharLSTM(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(VOCABULARY, EMBED)
        self.lstm = torch.nn.LSTM(EMBED, HIDDEN, LAYERS, batch_first=True)
        self.head = torch.nn.Linear(HIDDEN, VOCABULARY)

    def forward(self, ids):
        return self.head(self.lstm(self.embedding(ids))[0])


if __name__ == "__main__":
    torch.manual_seed(0)
    model = CharLSTM().double()
    rows = torch.randint(VOCABULARY, (3, 6))
    ids, targets = rows[:, :-1].contiguous(), rows[:, 1:].contiguous()
    logits = model(ids)
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    loss.backward()
    parts = {f"state.{key}": p for key, p in model.state_dict().items()}
    parts |= {f"grad.{key}": p.grad for key, p in model.named_parameters()}
    parts |= {"ids": ids, "targets": targets, "logits": logits, "loss": loss}
    save_file({key: x.detach().clone() for key, x in parts.items()}, FILE)
