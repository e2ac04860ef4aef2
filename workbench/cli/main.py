"""The command line: parse, run a group's handler, turn errors into exit codes.

Each command group is a module with `add_to(commands)`, which registers parsers and names a handler
`(options, console) -> None`. Handlers import rooms when they run, so that parsing stays light.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any, NoReturn

from workbench.cli import (
    adapter,
    audit,
    chat,
    dataset,
    demo,
    doctor,
    evaluate,
    export,
    guide,
    model,
    plan,
    train,
    vault,
)
from workbench.cli import run as run_group
from workbench.cli.console import Console
from workbench.cli.words import told_plainly
from workbench.errors import (
    InternalError,
    UsageError,
    WorkbenchError,
    told_by_system,
)

Handler = Callable[[argparse.Namespace, Console], int | None]

_GROUPS = (
    demo,
    doctor,
    vault,
    dataset,
    model,
    plan,
    train,
    run_group,
    adapter,
    evaluate,
    chat,
    export,
    audit,
    guide,
)
_INTERRUPTED = 130
_UNREAD = 1


class Parser(argparse.ArgumentParser):
    """Raises instead of exiting, so that a usage mistake can be told as JSON too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Abbreviated, `--json` would be taken without an error being told as JSON, and a script's
        # short form would change its meaning with the next option.
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})

    def error(self, message: str) -> NoReturn:
        """Turn a parsing mistake into the contract's usage error."""
        raise UsageError(told_plainly(message), hint=f"See `{self.prog} --help`.")


@dataclass(frozen=True)
class Command:
    """One parsed command line, or the reason why it could not be parsed."""

    options: argparse.Namespace
    console: Console
    failed: UsageError | None = None

    @property
    def opens_screens(self) -> bool:
        """Whether no command was named: on a terminal, the screens open."""
        bare = getattr(self.options, "handler", None) is guide.show_start
        return bare and not self.console.as_json


def parse(argv: Sequence[str]) -> Command:
    """Parse `argv`; --help and --version print and exit from here."""
    console = Console(as_json="--json" in argv)
    try:
        try:
            options = _parser().parse_args(argv)
        except SystemExit:  # --help and --version have printed
            sys.stdout.flush()
            raise
    except UsageError as error:
        return Command(argparse.Namespace(), console, error)
    except BrokenPipeError:
        _forget_output()
        raise SystemExit(_UNREAD) from None
    return Command(options, console)


def run(command: Command) -> int:
    """Run a parsed command; return the exit code of its error class, 0 when it is done."""
    try:
        with _Interrupts() as interrupts:
            return _run(command, interrupts)
    except BrokenPipeError:
        _forget_output()
        return _UNREAD
    except OSError as error:  # not even what went wrong could be printed
        _forget_output()
        refusal = told_by_system(error) or _own_fault(error)
        Console(as_json=False).error(refusal)
        return refusal.exit_code


def _run(command: Command, interrupts: _Interrupts) -> int:
    console = command.console
    try:
        if command.failed is not None:
            raise command.failed
        handler: Handler = command.options.handler
        return handler(command.options, console) or 0
    except WorkbenchError as error:
        console.error(error)
        return error.exit_code
    except KeyboardInterrupt:
        return tell_interrupted(as_json=console.as_json)
    except BrokenPipeError:
        raise
    except OSError as error:
        refusal = told_by_system(error) or _own_fault(error)
        console.error(refusal)
        return refusal.exit_code
    except Exception as error:  # the last resort: an exception's text may hold record text
        if interrupts.came:
            return tell_interrupted(as_json=console.as_json)
        console.error(_own_fault(error))
        return InternalError.exit_code


class _Interrupts:
    """Remembers that Ctrl+C came: some libraries make an import error of it while they load."""

    def __init__(self) -> None:
        self.came = False

    def __enter__(self) -> _Interrupts:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._before)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.came = True
        signal.default_int_handler(number, frame)


def tell_interrupted(*, as_json: bool) -> int:
    """Say that the command was stopped by Ctrl+C; return its exit code."""
    error = WorkbenchError("Stopped; nothing half-done was kept.", code="interrupted")
    Console(as_json=as_json).error(error)
    return _INTERRUPTED


def _forget_output() -> None:
    """Let stdout go nowhere: who read it has gone, and the interpreter's last flush is quiet."""
    sys.stdout = open("/dev/null", "w")  # noqa: SIM115  open to the end


def _own_fault(error: Exception) -> InternalError:
    return InternalError(
        f"Something in the workbench itself failed ({type(error).__name__} at {_place(error)}).",
        hint="Your vault is as it was. Run `workbench doctor`, and report this line.",
    )


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "unknown"
    return f"{trace.tb_frame.f_globals.get('__name__', 'unknown')}:{trace.tb_lineno}"


class _Version(argparse.Action):
    """Prints the version; reading it loads a good deal, so only who asks for it waits."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import version

        print(f"workbench {version('qlora-workbench')}")
        parser.exit()


def _parser() -> Parser:
    everywhere = _common_options(argparse.SUPPRESS)
    parser = Parser(
        prog="workbench",
        description="Fine-tune language models on private data, without a network.",
        epilog="Start with `workbench demo`. Documentation: `workbench help`.",
        parents=[_common_options(None)],
    )
    parser.add_argument(
        "--version", action=_Version, nargs=0, help="show program's version number and exit"
    )
    parser.set_defaults(handler=guide.show_start)
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=Parser)
    for group in _GROUPS:
        group.add_to(commands, everywhere)
    return parser


def _common_options(default: object) -> argparse.ArgumentParser:
    """The options every command takes, before or after its name."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--home",
        metavar="DIR",
        default=default,
        help="the vault's folder (or WORKBENCH_HOME; default: the user data folder)",
    )
    common.add_argument(
        "--passphrase-fd",
        metavar="N",
        type=int,
        default=default,
        help="read the passphrase from this open file descriptor",
    )
    common.add_argument(
        "--json",
        action="store_true",
        default=default if default is argparse.SUPPRESS else False,
        help="print one JSON document",
    )
    return common
