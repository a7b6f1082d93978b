"""Settings of compositional conservatism."""

from __future__ import annotations

from dataclasses import dataclass, field

from cocoa.dynamics.settings import Settings

ANCHOR_VARIANTS = ("seek", "settle", "denoise", "nearest", "random", "self-noise", "zero")


@dataclass(frozen=True)
class SeekerConfig(Settings):
    """Training of the anchor seeker (COCOA, section 4.2)."""

    hidden: tuple[int, ...] = (100, 100)
    """Widths of the hidden layers, each with LayerNorm and ReLU."""
    learning_rate: float = 1e-3
    """Adam's step size."""
    batch_size: int = 256
    """Recorded (state, action) pairs per update."""
    max_epochs: int = 50
    """Upper bound of passes over all reverse rollouts."""
    patience: int = 5
    """Stop after this many epochs in a row without an improvement of `min_improvement`."""
    min_improvement: float = 0.005
    """Relative change of the loss that counts as an improvement."""


@dataclass(frozen=True)
class CocoaConfig(Settings):
    """Compositional conservatism: where anchors come from and how networks see (anchor, difference)."""

    variant: str = "seek"
    """Where anchors come from: seek (COCOA); settle, denoise (nearer to the data); controls: nearest, random,
    self-noise, zero."""
    horizon: int = 1
    """Steps k of the mean forward dynamics under the seeker from a state to its anchor; settle: at most."""
    rollout_length: int = 5
    """Steps H of each reverse rollout."""
    rollout_scale: float = 0.8
    """Factor on the rollout's direction, the action of a random transition."""
    rollout_noise: float = 0.1
    """Standard deviation of the noise added to each reverse action."""
    seeker: SeekerConfig = field(default_factory=SeekerConfig)
    """The anchor seeker's training."""
    encoder_hidden: tuple[int, ...] = (64, 64)
    """Hidden widths of f(difference) and g(anchor); the last is also the width of the feature."""
    embedding: int = 4
    """Inner dimension e of the bilinear form, feature_i = sum_e f_ie g_ie."""
    hidden: tuple[int, ...] = (100, 100)
    """Widths of the backbone behind the encoder; replaces `algo.hidden`."""
    amortised: bool = False
    """Replace the map to anchors by one network distilled from it: cheaper wherever anchors are found while
    training goes on (MOPO, MOBILE, evaluation), and not exact; the run reports the error."""
    per_seed: bool = False
    """Train dynamics and seeker once per seed, instead of once for all seeds of the run."""
    candidates: int = 256
    """nearest: how many data states, and how many differences, the search compares."""
    noise: float = 0.1
    """self-noise: standard deviation of the noise, in standard deviations of the data."""
