"""One run: its folder, files and logs, and the stages that are put together in it."""
