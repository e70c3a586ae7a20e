"""Help that shows the defaults of the classes, which are imported only when help is shown."""

import argparse


class DefaultsHelpFormatter(argparse.HelpFormatter):
    """Append the default of each argument marked by `say_default`; keep line breaks in help."""

    def _split_lines(self, text, width):
        split = super()._split_lines
        return [line for part in text.split("\n") for line in split(part, width)]

    def _get_help_string(self, action):
        default = getattr(action, "find_default", lambda: None)()
        return action.help if default in (None, "") else f"{action.help} (default: {default})"


def say_default(action, find_default):
    """Let help show a default.

    Parameters
    ----------
    action : argparse.Action
        What ``add_argument`` returned. Its parser has the formatter of this module.
    find_default : callable
        Returns the default, or None or "" if there is none. Called only when help is shown.
    """
    action.find_default = find_default
