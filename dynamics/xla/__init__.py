"""Everything that is about XLA and the threads of a CPU, and nothing about reinforcement learning."""
