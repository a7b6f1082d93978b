"""Where a run logs to beside its folder: Weights & Biases, TensorBoard, loggers of a user's own."""
