"""Parameters that all trained methods share, flat in the signature and documentation of each."""

import inspect
import re

# Sections of a class's docstring that come after its parameters.
_AFTER = ("Attributes", "See Also", "Notes", "References", "Examples")


def merge_signature(cls, base):
    """Show the parameters of `base` in the signature of a subclass's ``__init__``.

    ``__init__(self, *, own, **training)`` passes `training` to `base`. scikit-learn reads the
    parameters of an estimator from the signature, so the signature must list each of them. The
    subclass's own parameters come first, with their own defaults.
    """
    init = cls.__dict__.get("__init__")
    if init is None:
        return
    own = inspect.signature(init).parameters
    if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in own.values()):
        return
    shown = [p for p in own.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    shared = inspect.signature(base.__init__).parameters
    shown += [p for name, p in shared.items() if name not in own]
    init.__signature__ = inspect.Signature(shown)


def merge_doc(cls, base):
    """Put the documentation of shared parameters into a subclass's own, as "Other Parameters"."""
    doc, shared = cls.__doc__, parameter_docs(base.__doc__)
    if not doc or "Other Parameters\n" in doc:
        return
    own = parameter_docs(inspect.cleandoc(doc))
    lines = [text for name, text in shared.items() if name not in own]
    doc = inspect.cleandoc(doc)
    section = "Other Parameters\n----------------\n" + "\n".join(lines) + "\n\n"
    places = [m.start() for a in _AFTER if (m := re.search(rf"^{a}\n-+$", doc, re.MULTILINE))]
    at = min(places, default=len(doc))
    head = doc[:at].rstrip() + "\n\n"
    cls.__doc__ = head + section + doc[at:]


def parameter_docs(doc):
    """Return what a docstring says of each parameter, by name."""
    found = {}
    for title in ("Parameters", "Other Parameters"):
        section = rf"^{title}\n-+\n(.*?)(?=^\S[^\n]*\n-{{3,}}$|\Z)"
        match = re.search(section, inspect.cleandoc(doc or ""), re.MULTILINE | re.DOTALL)
        if match is not None:
            entries = re.split(r"^(?=\w+ : )", match[1].rstrip(), flags=re.MULTILINE)
            found |= {e.split(" :", 1)[0]: e.rstrip() for e in entries if e.strip()}
    return found
