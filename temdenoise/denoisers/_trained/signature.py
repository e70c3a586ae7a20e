"""Parameters and attributes that trained methods share, in the signature and docs of each."""

import functools
import inspect
import re

# Sections of a docstring in their order; all others come after them.
_FIRST = ("", "Parameters", "Other Parameters", "Attributes")


def merge_signature(cls, base, defaults):
    """Show the parameters of `base` in the signature of a subclass's ``__init__``.

    ``__init__(self, *, own, **training)`` passes `training` to `base`. scikit-learn reads the
    parameters of an estimator from the signature, so the signature must list each of them. The
    subclass's own parameters come first. `defaults` replace those of `base`.
    """
    init = cls.__init__
    own = inspect.signature(init).parameters
    shown = [p for p in own.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    if "__init__" in vars(cls) and len(shown) == len(own):
        return  # it names all parameters itself
    shared = inspect.signature(base.__init__).parameters
    shown += [p for name, p in shared.items() if name not in own]

    @functools.wraps(init)
    def with_defaults(self, **params):
        init(self, **defaults | params)

    with_defaults.__signature__ = inspect.Signature(
        [p.replace(default=defaults.get(p.name, p.default)) for p in shown]
    )
    cls.__init__ = with_defaults


def merge_doc(cls, base, defaults):
    """Complete a subclass's docstring with the parameters and attributes of `base`.

    Its parameters become "Other Parameters", with `defaults` instead of their own.
    """
    if not cls.__doc__:
        return
    own, shared = sections(cls.__doc__), sections(base.__doc__)
    if "Other Parameters" not in own:
        others = _entries(shared, "Parameters") | _entries(shared, "Other Parameters")
        own["Other Parameters"] = "\n".join(
            _with_default(text, defaults[name]) if name in defaults else text
            for name, text in others.items()
            if name not in _entries(own, "Parameters")
        )
    attributes = _entries(shared, "Attributes") | _entries(own, "Attributes")
    own["Attributes"] = "\n".join(attributes.values())
    titles = [t for t in _FIRST if t in own] + [t for t in own if t not in _FIRST]
    cls.__doc__ = "\n\n".join(
        f"{title}\n{'-' * len(title)}\n{own[title]}" if title else own[title] for title in titles
    )


def sections(doc):
    """Return the text of each section of a docstring by its title; that of its head is ""."""
    head, *rest = re.split(r"^(\S.*)\n-{3,}$", inspect.cleandoc(doc or ""), flags=re.MULTILINE)
    pairs = zip(["", *rest[::2]], [head, *rest[1::2]], strict=True)
    return {title: text.strip("\n") for title, text in pairs}


def _entries(parts, title):
    """Return what a section says of each parameter or attribute, by name."""
    entries = re.split(r"^(?=\w+ : )", parts.get(title, ""), flags=re.MULTILINE)
    return {e.split(" :", 1)[0]: e.rstrip() for e in entries if e.strip()}


def _with_default(text, value):
    """Replace the default that a parameter's documentation names."""
    shown = f'"{value}"' if isinstance(value, str) else repr(value)
    return re.sub(r", (optional|default=.*)$", f", default={shown}", text, count=1, flags=re.M)
