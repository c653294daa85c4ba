"""What predicts from Python, wherever its network is stored: in an export, or in a run folder."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from fsrf_jax.config import Config
from fsrf_jax.experiments.explain import Explanation
from fsrf_jax.experiments.export import check_new, write_export
from fsrf_jax.experiments.exported import open_network, read_config, read_manifest
from fsrf_jax.experiments.network import Network, Prediction


class Model:
    """A network in the folder of an export, made by `Model.export` or `bin/export`, and a `Run`'s.

    Made by `load`.

    Attributes:
        folder: of the export, or of the run.
        config: the experiment that it is of; in an export without the paths of files.

    Example:
        >>> import numpy as np
        >>> model = run.export("one")
        >>> alone = fsrf_jax.load("one").predict(language=np.ones((5, 32)))
        >>> alone.values == run.predict(language=np.ones((5, 32))).values
        np.True_
    """

    def __init__(self, folder: str | Path, config: Config) -> None:
        self.folder = Path(folder).absolute()
        self.config = config

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.folder)!r}, method={self.config.method.name!r})"

    def predict(
        self,
        lengths: Mapping[str, Any] | None = None,
        *,
        codes: bool = False,
        **features: Any,
    ) -> Prediction:
        """Predict samples of your own by the best network: raw features, no labels.

        Args:
            lengths: number of frames of each sample [n], by modality, for padded batches.
            codes: also give the codes.
            features: arrays by modality, such as `language=x`: [t, f] of one sample, or [n, t, f];
                None, or a modality left out, is missing. See `Network.predict`.

        Raises:
            DataError: a modality is unknown, or of another width than in training.
            RunError: a run has no checkpoint yet, or an export is damaged.

        Example:
            >>> import numpy as np
            >>> one = run.predict(language=np.ones((5, 32)), audio=None)  # 32 as in the data
            >>> one.values.shape, sorted(one.observed.items())
            ((), [('audio', 0.0), ('language', 1.0), ('vision', 0.0)])
        """
        return self.network.predict(features, lengths, codes=codes)

    def export(self, folder: str | Path) -> "Model":
        """Write the best network so far into a new folder that lasts; see docs/export.md.

        Args:
            folder: must not exist; it appears whole or not at all.

        Returns:
            What `load` gives for that folder.

        Raises:
            RunError: there is something at `folder`, or a run has no checkpoint yet.
        """
        check_new(Path(folder))
        write_export(self.network, Path(folder), self._fingerprint)
        return Model(folder, read_config(Path(folder)))

    def explain(self, lengths: Mapping[str, Any] | None = None, **features: Any) -> Explanation:
        """What such predictions owe to each modality and each frame; arguments as of `predict`.

        Example:
            >>> import numpy as np
            >>> owed = run.explain(language=np.ones((5, 32)), vision=np.ones((3, 20)))
            >>> bool(np.isclose(owed.nothing + sum(owed.shapley.values()), run.predict(
            ...     language=np.ones((5, 32)), vision=np.ones((3, 20))).values, atol=1e-5))
            True
            >>> owed.occlusion["language"].shape
            (5,)
        """
        return self.network.explain(features, lengths)

    @cached_property
    def network(self) -> Network:
        """The network with all that it needs to predict; errors as for `predict`."""
        return open_network(self.folder)

    @property
    def _fingerprint(self) -> str | None:
        return read_manifest(self.folder).get("data_fingerprint")
