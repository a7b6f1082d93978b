"""Every hyperparameter of a run: type, default, where its value comes from, and whether it has an effect."""
