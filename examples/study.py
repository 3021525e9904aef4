"""See a training step of a small net: a lesson on minigen.study, in seconds and without data.

The net says which points of a square are in a ring: 2-16-1, with h * sigmoid(h) between its layers
(Elfwing et al. 2018). h is used twice, so two cotangents meet there. Read the parts of `main`
beside what they print. Expect 12 steps, a program of about 30 lines with the gradients of the
engine, a second backward pass through the first, and a learning rate of 30 that kills units of a
relu. --out gets step.html (open it first), step.py, second.html and three figures.
"""

import argparse
from pathlib import Path

import numpy as np

import minigen as mg
from minigen import distributed, nn, study
from minigen.training import run_example


class Net(nn.Module):
    def __init__(self, rng):
        self.inner = nn.Linear(2, 16, rng=rng)
        self.outer = nn.Linear(16, 1, rng=rng)

    def forward(self, x):
        h = self.inner(x)
        gate = mg.sigmoid(h)
        return self.outer(h * gate)


def main():
    args = flags()
    if distributed.start().rank > 0:
        return  # a step is studied in one process
    args.out.mkdir(parents=True, exist_ok=True)
    rng = mg.Generator(args.seed)
    (x, y), net = ring(200, rng), Net(rng)
    mg.binary_cross_entropy_with_logits(net(x), y).backward()  # loads kernels, which takes time
    net.zero_grad()

    print("1. A step: each op forward, then each call of derivative rules backward\n")
    with study.record() as run:
        loss = mg.binary_cross_entropy_with_logits(net(x), y)
        loss.backward()
    print(run)
    run.page(args.out / "step.html")

    print("\n2. Values: what an op got and returned, and the gradient of each parameter\n")
    show_values(run)

    print("\n3. The sum where cotangents meet\n")
    show_sum(run)

    print("\n4. The gradient as a NumPy program\n")
    run_program(run, net, args.out / "step.py")

    print("\n5. Memory: what is alive at the peak, and why\n")
    print(run.memory())
    run.memory().figure(args.out / "memory.png")

    print("\n6. Time: which op takes it, and what this machine needs at least\n")
    print(run.times())
    run.times().figure(args.out / "roofline.png")

    print("\n7. Second order: the first backward pass consists of ops, and has a gradient\n")
    second_order(net, x, y).page(args.out / "second.html")

    print("\n8. The layers of a net while it is trained\n")
    for learning_rate in (1.0, 30.0):
        train(x, y, learning_rate, args.seed).figure(args.out / "watch.png")
    print(f"\nOpen {args.out / 'step.html'} and press the right arrow key.")


def flags():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/study"), help="folder for results")
    parser.add_argument("--seed", type=int, default=0, help="of points and weights")
    return parser.parse_args()


def ring(n, rng):
    """n points of a square, float32 (n, 2), and 1 for those in the ring, else 0, (n, 1)."""
    x = rng.uniform((n, 2), -1, 1)
    radius = np.hypot(x[:, :1], x[:, 1:])
    return mg.tensor(x), mg.tensor((abs(radius - 0.6) < 0.2).astype(np.float32))


def show_values(run):
    """A step names its arrays by number; a pass has the gradient of each parameter."""
    print(repr(run.steps[1]))
    for number in (*run.steps[1].inputs, *run.steps[1].outputs):
        value = run.values[number]
        print(f"    {value!r}, from {value.array.min():.2f} to {value.array.max():.2f}")
    for number, gradient in run.passes[0].gradients.items():
        path, g = run.values[number].path, run.values[gradient].array
        print(f"    the gradient of {path:<12} has the norm {np.linalg.norm(g):.4f}")


def show_sum(run):
    """h goes to sigmoid and to the product: the cotangent of h is the sum of two."""
    total = next(value for value in run.values if len(value.terms) == 2)
    for number in total.terms:
        step, g = run.steps[run.values[number].step], run.values[number].array
        print(f"    from step {step.number}, {step.op + ':':<9} {g[0, 0]:+.6f}")
    print(f"    the sum of the two:     {total.array[0, 0]:+.6f}")
    print("    the rule of sigmoid is ", run.steps[-2].rule)


def run_program(run, net, path):
    """The program imports NumPy alone; on the recorded arrays it gives the recorded gradients."""
    text = run.source()
    path.write_text(text)
    print(text)
    exec(text, program := {})
    arguments = {value.name: value.array for value in run.values if value.name}
    _, gradients = program["step"](**arguments)
    for name, parameter in net.named_parameters():
        error = np.abs(gradients[name.replace(".", "_")] - parameter.grad.numpy()).max()
        print(f"    {name:<12} differs from the gradient of the engine by at most {error:.0e}")


def second_order(net, x, y):
    """The gradient of the squared norm of the gradient."""
    with study.record() as run:
        loss = mg.binary_cross_entropy_with_logits(net(x), y)
        gradients = mg.grad(loss, net.parameters(), create_graph=True)
        mg.grad(sum(mg.square(g).sum() for g in gradients), net.parameters())
    inside = [step for step in run.steps if step.inside is not None]
    print(f"    {len(run.steps)} steps, of which {len(inside)} are calls that the rules made")
    return run


def train(x, y, learning_rate, seed):
    """Train a net with relu. If steps are too large, its units die: they are 0 for each point."""
    rng = mg.Generator(seed)
    net = nn.Sequential(nn.Linear(2, 16, rng=rng), nn.ReLU(), nn.Linear(16, 1, rng=rng))
    optimizer = mg.optim.SGD(net.parameters(), lr=learning_rate)
    with study.watch(net, optimizer, every=10) as watch:
        for _ in range(100):
            loss = mg.binary_cross_entropy_with_logits(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    *_, dead = (row["dead"] for row in watch.rows if row["dead"] is not None)
    print(f"    rate {learning_rate}: loss {loss.item():.3f}, {dead:.0%} of units dead")
    return watch


if __name__ == "__main__":
    run_example(main)
