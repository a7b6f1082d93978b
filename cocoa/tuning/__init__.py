"""Search for hyperparameters: Optuna proposes settings, each of which is a run of a study."""
