"""Weights of a trained method: saved to a folder, and loaded from one."""

from sklearn.utils.validation import check_is_fitted

from temdenoise.denoisers._trained.bins import Bins


class StoredWeights:
    """Mixin of the methods that save and load their weights."""

    # Names of the parameters without which the weights cannot be used.
    _stored: tuple = ()
    # Weights that `from_pretrained` loads unless told of others.
    _default_weights = None

    def _stored_bins(self, binning, size):
        """Bins of stored weights: their side in pixels (None: not stored) and in pm."""
        return Bins(binning or 1, size)

    def save_pretrained(self, path, *, overwrite=False, info=None, dtype="float32"):
        """Write weights and settings into a folder: model.safetensors and config.json.

        Parameters
        ----------
        path : str or path-like
            The folder.
        overwrite : bool, default=False
            Replace weights that are there.
        info : dict, optional
            Further information to store: training set, measured figures, licence ... It must be
            valid JSON. By default the information that was loaded with the weights, if any.
        dtype : {"float32", "float16", "bfloat16"}, default="float32"
            Precision of the stored weights. Half precision halves the file and rounds every weight
            by at most 0.05 % ("float16") or 0.4 % ("bfloat16"). This hardly changes the images.
            Loaded weights are float32 again.

        Raises
        ------
        NotFittedError
            If the denoiser is not fitted.
        ValueError
            If `dtype` is none of these, or too narrow for the weights.
        FileExistsError
            If the folder holds weights and `overwrite` is False, or is a file.
        TypeError
            If `info` holds what JSON cannot.
        """
        from temdenoise.denoisers._trained.weights import save

        check_is_fitted(self)
        save(self, path, overwrite=overwrite, info=info, dtype=dtype)

    def _stored_params(self):
        """Parameters as JSON holds them."""
        from temdenoise.denoisers._trained.weights import stored_value

        return {name: stored_value(getattr(self, name)) for name in self._stored}

    @classmethod
    def _from_stored(cls, params, device):
        """Return an estimator with stored parameters."""
        return cls(**params, device=device)

    @classmethod
    def from_pretrained(cls, name_or_path=None, *, network=None, device="auto"):
        """Load trained weights; nothing in them is executed.

        Parameters
        ----------
        name_or_path : str or path-like, default=None
            A name of weights in the package, or a folder written by `save_pretrained`. A name of
            the package has priority: write "./general" for a folder of that name.
            ``"hf://owner/name"`` is a Hugging Face repository with the files of `save_pretrained`.
            ``"hf://owner/name@revision"`` is a certain branch, tag or commit of it. The two files
            are downloaded once and kept in the user's cache. By default the weights of this method
            in the package, if there are any.
        network : callable or torch.nn.Module, optional
            The ``network`` of the training, if it is not one of the package.
        device : str, default="auto"
            As the parameter of the class.

        Returns
        -------
        denoiser : object of this class
            Fitted. How it denoises, `orientations` and `precision`, is not stored with the weights:
            both have their defaults, and ``set_params`` changes them.

        Raises
        ------
        FileNotFoundError
            If there is no such name, folder or repository.
        ValueError
            If the files are damaged, do not belong together, or are of another class or network.
        ConnectionError
            If the repository cannot be reached and is not in the cache.
        ImportError
            If a repository is named and huggingface_hub is missing: ``pip install
            'temdenoise[hub]'``.
        """
        from temdenoise.denoisers._trained.weights import load

        if name_or_path is None:
            if cls._default_weights is None:
                raise ValueError(
                    f"There are no weights of {cls.__name__} in the package: give the folder of "
                    "yours."
                )
            name_or_path = cls._default_weights
        return load(cls, name_or_path, network=network, device=device)
