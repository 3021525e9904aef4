"""A table that is made at once: how far balls fly that are thrown through air and wind.

A ball of mass m and cross-section A at the velocity v relative to the air is slowed by the force
C rho A v^2 / 2, with C = 0.47, the drag coefficient of a sphere, and rho = 1.2 kg/m^3. Its path is
integrated in steps of 1/100 s by the midpoint method.
"""

from numbers import Integral

import numpy as np

from minigen.random import Generator

BALLS = {  # mass in kg, diameter in m
    "baseball": (0.145, 0.074),
    "football": (0.43, 0.22),
    "golf ball": (0.046, 0.043),
    "shot": (7.26, 0.125),
    "table tennis ball": (0.0027, 0.04),
    "tennis ball": (0.058, 0.067),
}
DRAG, GRAVITY, STEP = 0.47 * 1.2 / 2, 9.81, 0.01  # kg/m^3, m/s^2, s
COLUMNS = "ball,speed,angle,height,wind,distance"


def throws(n: int = 3_000, seed: int = 0) -> str:
    """n throws of balls, as the text of a CSV file; `parse_table` makes a Table of it.

    Each row has the ball, its speed (5 to 30 m/s), the angle above the horizontal (5 to 80
    degrees), the height of the hand (1 to 2 m), the tail wind (-8 to 8 m/s), and the distance at
    which it comes to the ground, in m. Raises ValueError if n is not an integer >= 0.
    """
    if isinstance(n, bool) or not isinstance(n, Integral) or n < 0:
        raise ValueError(f"throws: n must be an integer >= 0, got {n!r}")
    rng = Generator(seed)
    ball = rng.permutation(n) % len(BALLS)
    low, high = np.array([[5, 30], [5, 80], [1, 2], [-8, 8]], np.float64).T
    settings = np.round(low + (high - low) * rng.uniform((n, 4), dtype=np.float64), 2)  # (n, 4)
    distance = _distance(np.array(list(BALLS.values()))[ball], settings)
    names = [*BALLS]
    lines = [
        f"{names[i]},{','.join(f'{value:g}' for value in row)},{far:.2f}"
        for i, row, far in zip(ball, settings.tolist(), distance.tolist())
    ]
    return "\n".join([COLUMNS, *lines, ""])


def _distance(ball: np.ndarray, settings: np.ndarray) -> np.ndarray:
    """The distances (n,) of balls (n, 2), mass and diameter, thrown by settings (n, 4)."""
    mass, diameter = ball.T
    speed, angle, height, wind = settings.T
    drag = DRAG * np.pi * diameter**2 / 4 / mass  # 1/m
    position = np.stack([0 * height, height])  # (2, n): to the right, and upwards
    velocity = speed * np.stack([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    air = np.stack([wind, 0 * wind])

    def acceleration(velocity):
        relative = velocity - air
        pull = np.array([[0.0], [-GRAVITY]])
        return pull - drag * np.sqrt((relative**2).sum(0)) * relative

    distance = np.full(len(mass), np.nan)
    while np.isnan(distance).any():
        middle = velocity + STEP / 2 * acceleration(velocity)
        after = position + STEP * middle
        landed = np.isnan(distance) & (after[1] <= 0)
        fall = np.where(landed, position[1] - after[1], 1)
        share = position[1] / fall  # of the step, until it lands
        distance = np.where(landed, position[0] + share * (after[0] - position[0]), distance)
        position, velocity = after, velocity + STEP * acceleration(middle)
    return distance
