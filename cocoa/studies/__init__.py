"""Studies: many runs, launched by one command that knows which are done.

For other packages: `plan.read_plan(study)` returns the planned runs of the study in a folder, and
`PlannedRun.state(study)` how far one of them is (`states.State`: planned, running, cut, failed or finished).
"""
