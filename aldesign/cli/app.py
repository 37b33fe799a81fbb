"""The command line: which commands there are, and how errors become messages and exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from aldesign.cli import (
    audit,
    campaign,
    data,
    dft,
    evaluate,
    generate,
    listing,
    predict,
    replay,
    reproduce,
    screen,
    structures,
    survey,
    train,
)
from aldesign.errors import AldesignError, InterruptedRunError

DEBUG = "ALDESIGN_DEBUG"


class _Commands(TyperGroup):
    """Commands in the order of registration; Ctrl-C becomes an error with its own exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise InterruptedRunError(
                "interrupted", "give the same command again to go on where that is possible"
            ) from error
        except BrokenPipeError:
            # The reader of our pipe has gone: nobody is left to tell.
            _silence(sys.stdout)
            raise SystemExit(1) from None

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """Return the commands in the order of their registration."""
        return list(self.commands)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"aldesign {version('aldesign')}")
        raise typer.Exit


app = typer.Typer(
    name="aldesign",
    cls=_Commands,
    help="Active-learning generative design of band-gap materials: from a YAML file to ranked crystals.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    pass


campaign.register(app)
for _module in (
    audit,
    replay,
    reproduce,
    predict,
    train,
    evaluate,
    screen,
    survey,
    generate,
    structures,
    dft,
    data,
    listing,
):
    _module.register(app)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code: 0 done, 1 failed, 2 bad input, 130 interrupted.

    An error is told in two lines on standard error, what happened and what to do; with the environment
    variable ``ALDESIGN_DEBUG`` its traceback is shown instead.

    Args:
        arguments: The words after ``aldesign``; those of this process where None.

    """
    if not os.environ.get(DEBUG) and not sys.warnoptions:
        import warnings

        # Libraries warn of their own future; that is not the user's business.
        warnings.simplefilter("ignore")
    try:
        app(args=None if arguments is None else list(arguments), prog_name="aldesign")
    except SystemExit as error:
        return _flushed(error.code if isinstance(error.code, int) else int(error.code is not None))
    except KeyboardInterrupt:
        return _tell("interrupted", "", 130)
    except AldesignError as error:
        if os.environ.get(DEBUG):
            raise
        return _tell(error.message, error.hint, error.exit_code)
    except OSError as error:
        if os.environ.get(DEBUG):
            raise
        named = f" ({error.filename})" if error.filename else ""
        return _tell(f"{error.strerror or error}{named}", _os_hint(error), 1)
    except Exception as error:
        if os.environ.get(DEBUG):
            raise
        return _tell(f"{type(error).__name__}: {error}", f"set {DEBUG}=1 to see where, and report it", 1)
    return _flushed(0)


def _tell(message: str, hint: str, code: int) -> int:
    """Write an error to standard error, at most two lines, and return its exit code."""
    lines = [f"error: {' '.join(message.split())}"] + ([f"hint: {' '.join(hint.split())}"] if hint else [])
    typer.echo("\n".join(lines), err=True)
    return _flushed(code)


def _os_hint(error: OSError) -> str:
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full: nothing half-written was left; free some space and run it again"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "choose a place that may be written"
    return f"set {DEBUG}=1 to see where"


def _flushed(code: int) -> int:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _silence(sys.stdout)
    return code


def _silence(stream: Any) -> None:
    """Let what is left in the stream's buffer go nowhere, so that the interpreter does not complain at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
