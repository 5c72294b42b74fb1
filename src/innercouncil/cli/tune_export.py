"""`innercouncil tune export`: an adapter as llama.cpp, or a server without adapters, takes it."""

from __future__ import annotations

from pathlib import Path

import click

from innercouncil.cli.options import WORKSPACE, with_options
from innercouncil.cli.progress import StageProgress
from innercouncil.model.errors import UsageError
from innercouncil.store.workspace import Workspace

_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, exists=True, path_type=Path)


@click.command(
    epilog="Example: innercouncil tune export --persona software-builder --merge qwen2.5-3b-q4_k_m.gguf --modelfile"
)
@with_options(
    WORKSPACE,
    click.option("--persona", metavar="SLUG", help="Whose adapter."),
    click.option("--adapter", type=_FOLDER, help="Or the folder of any PEFT adapter."),
    click.option("--base-model", "--base_model", metavar="NAME|DIR", help="Its base, where the folder has no card of ours."),
    click.option("--output", type=_FILE, help="The file to write (default: in that folder)."),
    click.option("--outtype", type=click.Choice(["f16", "f32", "q8_0"]), help="Width of the numbers (default: f16; q8_0 with --merge)."),
    click.option("--merge", type=click.Path(dir_okay=False, exists=True, path_type=Path), metavar="GGUF", help="Work it into this base, for servers that load no adapters."),
    click.option("--modelfile", is_flag=True, help="Also a Modelfile for Ollama, with the persona's prompt."),
)  # fmt: skip
def export(
    workspace: Path, persona: str | None, adapter: Path | None, base_model: str | None, output: Path | None,
    outtype: str | None, merge: Path | None, modelfile: bool,
) -> None:  # fmt: skip
    """Write an adapter as GGUF for llama.cpp. For PEFT and vLLM the folder itself is the export."""
    from innercouncil.app import tune_export
    from innercouncil.app.tune_train import export_gguf
    from innercouncil.app.tune_watch import adapter_folder

    if (persona is None) == (adapter is None):
        raise UsageError("Say whose adapter with --persona, or which folder with --adapter.")
    if modelfile and persona is None:
        raise UsageError("--modelfile needs --persona: it holds the persona's prompt.")
    if outtype == ("q8_0" if merge is None else "f32"):
        raise UsageError(f"--outtype {outtype} is {'only for --merge' if merge is None else 'not for --merge'}.")
    ws = Workspace(workspace)
    folder = adapter or adapter_folder(ws, str(persona))
    if merge is None:
        file, modules = export_gguf(folder, base_model, output, "f32" if outtype == "f32" else "f16")
    else:
        with StageProgress() as watcher:
            told = watcher.stage("Working the adapter into its base", done=False)
            file, modules = tune_export.merge(folder, merge, output, "f16" if outtype == "f16" else "q8_0", told)
    click.echo(f"{file}: {modules} modules, {file.stat().st_size / 1e6:.1f} MB.")
    if modelfile and persona is not None:
        path, version = tune_export.modelfile(ws, persona, folder, file if merge else None)
        seen = f" (Ollama {version} is running)" if version else ""
        click.echo(f"{path}: ollama create {persona} -f {path}{seen}")
