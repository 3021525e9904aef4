"""A variational autoencoder: the port, with only the lines changed that it needs."""

import numpy as np

import minigen as torch
from minigen import nn, optim
from minigen.data import DataLoader, TensorDataset
from minigen.nn import functional as F

device = torch.device("cuda" if torch.cuda_is_available() else "cpu")
NOISE = np.random.default_rng(1)


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(64, 40)
        self.fc21 = nn.Linear(40, 8)
        self.fc22 = nn.Linear(40, 8)
        self.fc3 = nn.Linear(8, 40)
        self.fc4 = nn.Linear(40, 64)

    def encode(self, x):
        h1 = F.relu(self.fc1(x))
        return self.fc21(h1), self.fc22(h1)

    def reparameterize(self, mu, logvar):
        std = torch.exp(0.5 * logvar)
        eps = torch.from_numpy(NOISE.standard_normal(std.shape).astype(np.float32))
        return mu + eps.to(std.device) * std

    def decode(self, z):
        h3 = F.relu(self.fc3(z))
        return torch.sigmoid(self.fc4(h3))

    def forward(self, x):
        mu, logvar = self.encode(x.view(-1, 64))
        z = self.reparameterize(mu, logvar)
        return self.decode(z), mu, logvar


class ConvEncoder(nn.Module):
    def __init__(self, latent=8):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 4, 3, stride=2, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(inplace=True),
            nn.Conv2d(4, 8, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Flatten(),
        )
        self.mu = nn.Linear(32, latent)
        self.logvar = nn.Linear(32, latent)

    def forward(self, x):
        h = self.net(x)
        return self.mu(h), self.logvar(h).clamp(-10, 10)


def loss_function(recon_x, x, mu, logvar):
    BCE = F.binary_cross_entropy(recon_x, x.view(-1, 64), reduction="sum")
    KLD = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return BCE + KLD


def make():
    torch.manual_seed(1)
    return VAE().to(device)


def train(model, steps=2):
    global NOISE
    NOISE = np.random.default_rng(1)
    rng = np.random.default_rng(0)
    images = torch.tensor(rng.random((40, 1, 8, 8)), dtype=torch.float32)
    labels = torch.zeros(40, dtype=torch.long)
    train_loader = DataLoader(TensorDataset(images, labels), batch_size=16, shuffle=False)
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    losses = []
    for epoch in range(1, steps + 1):
        model.train()
        train_loss = 0
        for batch_idx, (data, _) in enumerate(train_loader):
            data = torch.tensor(data, device=device)
            optimizer.zero_grad()
            recon_batch, mu, logvar = model(data)
            loss = loss_function(recon_batch, data, mu, logvar)
            loss.backward()
            train_loss += loss.item()
            optimizer.step()
            losses.append(loss.item() / len(data))
        average = train_loss / len(train_loader.dataset)
        print(f"====> Epoch: {epoch} Average loss: {average:.4f}")

    model.eval()
    with torch.no_grad():
        recon_batch, mu, logvar = model(images[:8])
        n = min(images.shape[0], 8)
        comparison = torch.cat([images[:n], recon_batch.view(n, 1, 8, 8)[:n]])
        sample = torch.randn(16, 8).to(device)
        sample = model.decode(sample).cpu().view(16, 1, 8, 8)
    assert comparison.shape == (16, 1, 8, 8) and sample.shape == (16, 1, 8, 8)
    mu, logvar = ConvEncoder()(images)
    kl = (0.5 * (logvar.exp() + mu**2 - 1 - logvar)).sum(dim=1).mean()
    assert mu.shape == (40, 8) and kl.item() >= 0
    return losses
