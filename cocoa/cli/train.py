"""`cocoa train` and `cocoa resume`: train, go on with a run, print a configuration or the help."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from omegaconf import OmegaConf

from cocoa.cli.arguments import check_surroundings, import_from_here, split
from cocoa.cli.study_file import spelled_out, study_files
from cocoa.cli.verbs import rows
from cocoa.config.compose import compose, parse, replaced
from cocoa.config.effect import idle_settings
from cocoa.config.presets import preset_notes
from cocoa.config.schema import to_dict
from cocoa.errors import ConfigError
from cocoa.runs.terminal import print_result

_RESUME = """\
Go on where a run stopped, or train a finished one longer.

Usage: {program} <run> [updates=...] [online.steps=...] [dataset=...] [devices=...] [distributed.<field>=...]
       [--trust]

  {program} runs/hopper-demo/iql/2026-11-24_12-00-00
  {program} runs/hopper-demo/iql/2026-11-24_12-00-00 updates=2000000

updates= and online.steps= are new totals, and dataset= says where a moved file is. The rest of the
configuration stays. --trust imports the modules that it names, which runs their code."""
_AT_RESUME = ("devices=", "distributed.", "dataset=", "updates=", "online.")
"""The fields that may accompany `resume`: where the run goes on, finds its data, and ends."""


def train(arguments: Sequence[str], program: str) -> int:
    """Do what the arguments after `train`, which may be left out, ask for and return the exit status.

    Raises a UserError for a mistake of the user.
    """
    flags, words = split(arguments)
    check_surroundings(words)
    import_from_here(words, flags.trust)
    resuming = words[:1] == ["resume"] or any(word.startswith("resume=") for word in words)
    if flags.version:
        from cocoa.runs.provenance import versions

        print_result("\n".join(f"{name} {number or 'is missing'}" for name, number in versions().items()))
    elif flags.help:
        from cocoa.config.help import help_text

        print_result(help_text([] if resuming else words, rows()))
    elif resuming:
        if flags.multirun or flags.cfg:
            raise ConfigError("resume goes on with one run: leave out -m and --cfg.")
        _resume(words, flags.trust)
    elif flags.trust:
        raise ConfigError("--trust has no effect without resume: it is about what a run's folder names.")
    elif flags.multirun:
        from cocoa.cli import multirun

        words = spelled_out(words)
        if not flags.cfg:
            return multirun.run(words)
        print_result("\n".join(_description(job) for job, _ in multirun.jobs_of(words)))
    elif files := study_files(words):
        raise ConfigError(f"{files[0]} is the file of a study, which is launched with -m: -m {files[0]}")
    elif flags.cfg:
        print_result(_description(_without_hydra(words)))
    else:
        _train(_without_hydra(words))
    return 0


def resume(arguments: Sequence[str], program: str) -> int:
    """Go on with the run that the arguments after `resume` name and return the exit status."""
    if {"-h", "--help"} & {*arguments}:
        print_result(_RESUME.format(program=program))
        return 0
    return train(["resume", *arguments], program)


def _without_hydra(words: Sequence[str]) -> Sequence[str]:
    """Return the overrides of a single run. Raises ConfigError for a launcher's or one of Hydra's own."""
    for override in parse(words):
        if override.is_hydra_override():
            raise ConfigError(
                f"{override.input_line} has no effect. A run's folder is below runs_dir= and is named by "
                "name=; several runs are launched with -m."
            )
        if override.key_or_group.split(".")[0] == "launcher":
            raise ConfigError(f"{override.input_line} is for several runs: add -m, and study=<name>.")
    return words


def _train(words: Sequence[str]) -> None:
    config, presets = compose(words)
    from cocoa.runs import launch  # slow to import, and not needed to tell that the configuration is wrong

    launch.run(config, notes=[*replaced(words), *preset_notes(config, presets)])


def _resume(words: Sequence[str], trust: bool) -> None:
    """Resume a run, whose folder is taken as it stands, whatever characters are in it."""
    folder, fields = _split_resume(words)
    others = [field for field in fields if not field.startswith(_AT_RESUME)]
    if others:
        raise ConfigError(
            f"A run is resumed with its own configuration: leave out {shlex.join(others)}. To change a field "
            "of it, start a new run, which uses the models and anchors of the old one. Only devices=, "
            "distributed.*, updates=, online.* and a dataset= that has moved may be set."
        )
    online = {
        override.key_or_group.partition(".")[2]: override.value()
        for override in parse([field for field in fields if field.startswith("online.")])
    }
    config, _ = compose([field for field in fields if not field.startswith("online.")])
    dataset = config.dataset if any(field.startswith("dataset=") for field in fields) else None
    updates = config.updates if any(field.startswith("updates=") for field in fields) else None
    from cocoa.runs import launch

    launch.resume(folder, dataset, config.devices, config.distributed, updates, trust, online)


def _split_resume(words: Sequence[str]) -> tuple[str, list[str]]:
    """Return the folder of `resume <folder> ...` or `resume=<folder> ...`, and the fields beside it."""
    if words[0] == "resume":
        folders, fields = list(words[1:2]), list(words[2:])
    else:
        folders = [word.removeprefix("resume=") for word in words if word.startswith("resume=")]
        fields = [word for word in words if not word.startswith("resume=")]
    if len(folders) > 1:
        raise ConfigError("resume names more than one run: runs are resumed one by one.")
    if not folders or not folders[0]:
        raise ConfigError("resume needs the folder of a run, as in resume runs/hopper-demo/iql/...")
    return folders[0], fields


def _description(words: Sequence[str]) -> str:
    """Return the whole configuration as a YAML document."""
    config, presets = compose(words)
    notes = [*replaced(words), *preset_notes(config, presets), *idle_settings(config)]
    comments = [f"# {line}" for line in notes]
    return "\n".join(["---", *comments, OmegaConf.to_yaml(OmegaConf.create(to_dict(config))).rstrip("\n")])
