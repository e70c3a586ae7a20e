"""The command line: ``temdenoise demo | info | denoise | simulate | train | evaluate``.

Each command imports the large packages that it needs, so that ``temdenoise --help`` is fast.
"""

import argparse
import sys
import warnings

from temdenoise.cli import _demo, _denoise, _evaluate, _info, _simulate, _train


def main(argv=None):
    """Run the command line.

    Parameters
    ----------
    argv : list of str, optional
        Arguments without the program's name. By default those of the process.

    Returns
    -------
    code : int
        0 without errors, 2 for wrong arguments or input (with one line on stderr), 130 if
        interrupted.

    Examples
    --------
    >>> from temdenoise.cli import main
    >>> main(["--version"])  # doctest: +ELLIPSIS
    temdenoise ...
    0
    """
    try:
        arguments = _parser().parse_args(argv)
        with warnings.catch_warnings():
            warnings.showwarning = _print_warning
            arguments.run(arguments)
    except (ValueError, TypeError, OSError, ImportError, RuntimeError, MemoryError) as error:
        # Messages of several lines become one line.
        text = " ".join(str(error).split()) or type(error).__name__
        print(f"temdenoise: error: {text}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("temdenoise: interrupted; unfinished results were not kept", file=sys.stderr)
        return 130
    except SystemExit as stop:  # --help
        return stop.code or 0
    return 0


def _print_warning(message, category, filename, lineno, file=None, line=None):
    print(f"temdenoise: warning: {message}", file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise ValueError(f"{message} (see {self.prog} --help)")


def _parser():
    parser = _Parser(
        prog="temdenoise", description="Denoise atomic-resolution electron micrographs."
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    parser.set_defaults(run=lambda arguments: _version(parser, arguments))
    commands = parser.add_subparsers(title="commands", metavar="")
    for command in (_demo, _info, _denoise, _simulate, _train, _evaluate):
        command.add_parser(commands)
    return parser


def _version(parser, arguments):
    import temdenoise

    if not arguments.version:
        raise ValueError(f"a command is missing (see {parser.prog} --help)")
    print(f"temdenoise {temdenoise.__version__}")
