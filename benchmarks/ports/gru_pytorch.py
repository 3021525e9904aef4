"""A GRU classifier of padded sequences, written for PyTorch as one writes it."""

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from torch.utils.data import DataLoader, Dataset

VOCAB, CLASSES = 30, 3


class Texts(Dataset):
    def __init__(self, n=48, seed=0):
        rng = np.random.default_rng(seed)
        self.labels = rng.integers(0, CLASSES, n)
        self.texts = [rng.integers(1 + 9 * c, 10 + 9 * c, rng.integers(3, 12)) for c in self.labels]

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return torch.tensor(self.texts[index]), int(self.labels[index])


def collate(batch):
    texts, labels = zip(*batch)
    lengths = torch.tensor([len(t) for t in texts])
    padded = pad_sequence(texts, batch_first=True, padding_value=0)
    return padded, lengths, torch.tensor(labels)


class GRUClassifier(nn.Module):
    def __init__(self, vocab_size, embed_dim, hidden_dim, num_classes):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embed_dim, padding_idx=0)
        self.gru = nn.GRU(embed_dim, hidden_dim, num_layers=2, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(0.0)
        self.fc = nn.Linear(2 * hidden_dim, num_classes)

    def forward(self, x, lengths):
        embedded = self.dropout(self.embedding(x))
        packed = pack_padded_sequence(
            embedded, lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        _, hidden = self.gru(packed)
        hidden = torch.cat((hidden[-2], hidden[-1]), dim=1)
        return self.fc(self.dropout(hidden))


def evaluate(model, loader, device):
    model.eval()
    total_loss, correct, total = 0.0, 0, 0
    per_class = torch.zeros(CLASSES)
    with torch.no_grad():
        for x, lengths, y in loader:
            x, y = x.to(device), y.to(device)
            output = model(x, lengths)
            total_loss += F.cross_entropy(output, y, reduction="sum").item()
            hits = output.argmax(dim=1) == y
            correct += hits.sum().item()
            total += len(y)
            per_class = per_class + (F.one_hot(y, CLASSES).float() * hits[:, None]).sum(dim=0)
    return total_loss / total, correct / total, per_class.tolist()


def predict(model, text):
    model.eval()
    ids = torch.tensor(text).unsqueeze(0)
    with torch.no_grad():
        logits = model(ids, torch.tensor([len(text)]))
    return logits.squeeze(0).softmax(dim=-1)


def make():
    torch.manual_seed(0)
    return GRUClassifier(VOCAB, 12, 16, CLASSES)


def train(model, steps=2):
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = model.to(device)
    loader = DataLoader(Texts(), batch_size=16, shuffle=False, collate_fn=collate)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    losses = []
    for epoch in range(steps):
        model.train()
        correct = total = 0
        for x, lengths, y in loader:
            x, y = x.to(device), y.to(device)
            optimizer.zero_grad()
            output = model(x, lengths)
            loss = F.cross_entropy(output, y)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
            optimizer.step()
            pred = output.argmax(dim=1)
            correct += (pred == y).sum().item()
            total += y.size(0)
            losses.append(loss.item())
        scheduler.step()
        print(f"epoch {epoch}: accuracy {correct / total:.3f}")

    model.eval()
    with torch.no_grad():
        x, lengths, y = next(iter(loader))
        probs = torch.softmax(model(x, lengths), dim=-1)
        conf, pred = torch.max(probs, dim=1)
    assert pred.shape == y.shape and float(conf.min()) > 0
    loss, accuracy, per_class = evaluate(model, loader, device)
    print(f"loss {loss:.3f}, accuracy {accuracy:.3f}, right per class {per_class}")
    assert abs(predict(model, [1, 2, 3]).sum().item() - 1) < 1e-5
    losses.append(loss)
    return losses
