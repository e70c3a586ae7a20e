"""The parameters of an estimator in groups, in its HTML representation."""

from sklearn.utils._repr_html.params import ParamsDict, _params_html_repr

_GROUP = "<summary>Parameters</summary>"


class GroupedParams(ParamsDict):
    """Parameters in groups, each in a table that folds.

    scikit-learn shows one table of all parameters. A trained denoiser has thirty, which are easier
    to read in three tables.
    """

    groups: dict = {}

    @classmethod
    def of(cls, params, groups):
        """Group parameters. Parameters without a group come first, under "Method"."""
        new = cls(
            params=dict(params),
            non_default=params.non_default,
            estimator_class=params.estimator_class,
            doc_link=params.doc_link,
        )
        known = {name for names in groups.values() for name in names}
        own = tuple(name for name in params if name not in known)
        new.groups = {"Method": own, **groups}
        return new

    def _one(self, names):
        return ParamsDict(
            params={name: self[name] for name in names if name in self},
            non_default=self.non_default,
            estimator_class=self.estimator_class,
            doc_link=self.doc_link,
        )

    def _html_repr(self):
        return "\n".join(
            _params_html_repr(self._one(names)).replace(
                _GROUP, f"<summary>Parameters: {title}</summary>"
            )
            for title, names in self.groups.items()
            if any(name in self for name in names)
        )
