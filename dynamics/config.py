"""Hyperparameters of the learned models."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EnsembleConfig:
    """Ensemble of probabilistic networks (PETS, MBPO, MOPO)."""

    members: int = 7
    """Networks in the ensemble."""
    elites: int = 5
    """Members with the lowest holdout error, which are kept."""
    hidden: tuple[int, ...] = (200, 200, 200, 200)
    """Widths of the hidden layers, swish."""
    weight_decay: tuple[float, ...] = (2.5e-5, 5e-5, 7.5e-5, 7.5e-5, 1e-4)
    """L2 penalty of each layer's weights, the output layer last."""
    learning_rate: float = 1e-3
    """Adam's step size."""
    learning_rate_decay: bool = False
    """Let the step size fall linearly to zero over `max_epochs`."""
    batch_size: int = 256
    """Transitions per member and update."""
    holdout_fraction: float = 0.2
    """Share of the transitions kept for validation, at most `max_holdout`."""
    max_holdout: int = 1000
    """Upper bound of the validation transitions."""
    patience: int = 5
    """Stop after this many epochs in which no member improved by `min_improvement`."""
    min_improvement: float = 0.01
    """Relative fall of a member's holdout error that counts as an improvement."""
    max_epochs: int = 1000
    """Upper bound of passes over the data."""
    log_variance_penalty: float = 0.01
    """Weight of (sum of upper - lower bounds of the log-variance) in the loss."""


ENSEMBLES = {
    "default": EnsembleConfig(),
    "quick": EnsembleConfig(learning_rate=7e-3, learning_rate_decay=True, max_epochs=24),
}
"""What `dynamics=<name>` stands for: the published settings, and a fit of a third of the time or less.

Measured with one member on Hopper, one run each (holdout error, epochs). 60,000 transitions: 0.0068 after 106
of the published settings, where they stopped; 0.0061 after 32 of a decay from 6e-3. 200,000 transitions:
0.0031 after 76 and not at their end; 0.0036 after 24 of `quick`, 0.0043 of a decay from 5e-3; from 1e-2 the
error jumped to ten times its value in epoch 12 and the fit stopped.
"""
