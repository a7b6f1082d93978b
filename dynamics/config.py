"""Hyperparameters of the learned models."""

from dataclasses import dataclass

from cocoa.dynamics.epochs import EpochSettings


@dataclass(frozen=True)
class EnsembleConfig(EpochSettings):
    """Ensemble of probabilistic networks (PETS, MBPO, MOPO)."""

    members: int = 7
    """Networks in the ensemble."""
    elites: int = 5
    """Members with the lowest holdout error, which are kept."""
    hidden: tuple[int, ...] = (200, 200, 200, 200)
    """Widths of the hidden layers, swish."""
    weight_decay: tuple[float, ...] = (2.5e-5, 5e-5, 7.5e-5, 7.5e-5, 1e-4)
    """L2 penalty of each layer's weights, the output layer last."""
    learning_rate: float = 5e-3
    """Adam's step size."""
    learning_rate_decay: bool = True
    """Let the step size fall linearly to zero over the whole fit, all of whose epochs are then run."""
    batch_size: int = 256
    """Transitions per member and update."""
    holdout_fraction: float = 0.2
    """Share of the transitions kept for validation, at most `max_holdout`."""
    max_holdout: int = 1000
    """Upper bound of the validation transitions."""
    patience: int = 5
    """Stop after this many epochs in which no member improved by `min_improvement`, if the step size is
    constant."""
    min_improvement: float = 0.01
    """Relative fall of a member's holdout error that counts as an improvement."""
    restart_from_best: bool = False
    """Begin each epoch with every member's best parameters so far; Adam's state goes on. False: members train
    on, and go back to their best at the end."""
    max_epochs: int = 100
    """Upper bound of passes over the data: what ends the fit of a small dataset."""
    max_updates: int | None = 10_000
    """The pass in which this number of updates is reached is the last. None: no bound."""
    log_variance_penalty: float = 0.01
    """Weight of (sum of upper - lower bounds of the log-variance) in the loss of each member, which has
    its own bounds. MBPO's and MOPO's members share one pair, on which the same weight acts once in all."""
    standardize_targets: bool = True
    """Fit to targets of unit variance, so that all outputs count equally in the holdout error. MBPO and MOPO
    fit to raw targets: false."""
    variance_exponent: float = 0.5
    """β of the β-NLL: an output whose variance, as fitted, is v weighs v^β, over the batch's mean of that;
    0 is the likelihood."""


ENSEMBLES = {
    "quick": EnsembleConfig(),
    "published": EnsembleConfig(
        learning_rate=1e-3,
        learning_rate_decay=False,
        restart_from_best=True,
        max_epochs=1000,
        max_updates=None,
        standardize_targets=False,
        variance_exponent=0.0,
    ),
}
"""What `dynamics=<name>` stands for.

`quick`, the default, takes about the same number of updates whatever the size of the data, with a step size
that falls to zero and the β-NLL. `published` fits as the code of Song et al. (2024) does, until no member
improves, with three differences: each member has its own bounds of the log-variance, which go back with its
other parameters; initial weights are cut at two deviations; a last batch that is not full is left out.

benchmarks/README.md compares their times and errors.
"""
