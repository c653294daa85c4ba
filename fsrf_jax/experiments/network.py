"""The best network of a run, for samples of the user's own: no labels, no splits, no file.

Arrays are padded to a few lengths and numbers of rows, so that a stream of requests compiles a
handful of programs. Axis letters: n sample, t frame, f feature, o class or task.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from fsrf_jax import inference, sharding
from fsrf_jax.config import Config
from fsrf_jax.data import frames, tokens
from fsrf_jax.data.dataset import Masks, Split
from fsrf_jax.data.normalise import Normaliser
from fsrf_jax.errors import DataError
from fsrf_jax.experiments.experiment import make_recipe, restore
from fsrf_jax.experiments.explain import Explanation, explain
from fsrf_jax.options import split
from fsrf_jax.progress import Say, silent
from fsrf_jax.source import Shapes
from fsrf_jax.training import checkpoints
from fsrf_jax.training.loop import member
from fsrf_jax.training.state import Recipe
from fsrf_jax.types import Codes

SHORTEST = 8
"""Frames that every sequence is padded to at least; longer ones to the next power of two."""


class Prediction(NamedTuple):
    """What a network makes of samples; without the axis n for one sample given alone.

    Attributes:
        values: numbers [n], on the scale that was trained on (after `data.label_shift`), or
            probabilities of classes or binary tasks [n, o].
        std: standard deviations [n] of numbers predicted as Gaussians; None for all else.
        observed: share of the valid frames that was there, float32 [n] per modality; 0 for one that
            was not given.
        codes: of the samples, if they were asked for; always with the axis n.
    """

    values: np.ndarray
    std: np.ndarray | None
    observed: dict[str, np.ndarray]
    codes: Codes | None


@dataclass(frozen=True)
class Network:
    """The best network of a run.

    Attributes:
        config: the experiment.
        shapes: of the data that it was trained on.
        recipe: the static part of what it was trained by.
        mesh: all local devices.
        parameters: for inference.
        normaliser: of the training split.
    """

    config: Config
    shapes: Shapes
    recipe: Recipe
    mesh: Mesh
    parameters: Any
    normaliser: Normaliser

    @classmethod
    def open(
        cls,
        folder: Path,
        config: Config,
        shapes: Shapes,
        which: checkpoints.Which = "newest",
        say: Say = silent,
    ) -> "Network":
        """Read it from a checkpoint of a run folder; arguments as of `Experiment.load`.

        Raises:
            RunError: there is none, or it is of another config, or damaged.
        """
        recipe, _ = split(make_recipe(config, shapes))
        mesh = sharding.data_mesh()
        place = folder / "checkpoints"
        with checkpoints.open_manager(place, read_only=True, which=which) as manager:
            states, normaliser = restore(recipe, shapes, mesh, manager)
            checkpoints.say_passed_over(manager, say)
        return cls(config, shapes, recipe, mesh, member(states, 0).best, normaliser)

    def predict(
        self,
        features: Mapping[str, Any],
        lengths: Mapping[str, Any] | None = None,
        *,
        codes: bool = False,
    ) -> Prediction:
        """Predict raw samples; cleaning and normalisation are those of the training data.

        Args:
            features: by modality, [t, f] of one sample or [n, t, f] of several, padded; None, or a
                modality left out, is missing. Token ids are [t] or [n, t].
            lengths: number of frames of each sample [n], by modality; without them a sequence goes
                from its first to its last frame that is not all zero, and one sample given alone
                has all of its frames.
            codes: also give the codes.

        Raises:
            DataError: an unknown modality, another width, other numbers of samples, or no array.
            NoCodesError: the method has no codes.
        """
        given = {m: x for m, x in features.items() if x is not None}
        arrays, alone = self._arrays(given)
        found = self.predict_split(self._split(arrays, lengths or {}, alone), codes=codes)
        if alone:
            std = None if found.std is None else found.std[0]
            observed = {m: share[0] for m, share in found.observed.items()}
            found = found._replace(values=found.values[0], std=std, observed=observed)
        return found

    def predict_split(self, split: Split, *, codes: bool = False) -> Prediction:
        """Predict samples as they were read: raw, with valid frames; labels are not looked at.

        Args:
            split: with all modalities that were trained on.
            codes: also give the codes.

        Raises:
            DataError: a modality has another width than in training.
            NoCodesError: the method has no codes.
        """
        made = self.prepare(split)
        parts = [self._rows(made, start, codes) for start in range(0, len(made), self._most)]
        values = np.concatenate([part[0] for part in parts])
        spread = [part[1] for part in parts if part[1] is not None]
        std = np.concatenate(spread) if spread else None
        found = _joined([part[2] for part in parts]) if codes else None
        return Prediction(values, std, observed_share(made), found)

    def explain(
        self, features: Mapping[str, Any], lengths: Mapping[str, Any] | None = None
    ) -> Explanation:
        """Explain the predictions of raw samples; arguments and errors as of `predict`.

        One sample given alone has no axis n.
        """
        given = {m: x for m, x in features.items() if x is not None}
        arrays, alone = self._arrays(given)
        found = self.explain_split(self._split(arrays, lengths or {}, alone))
        if not alone:
            return found
        return Explanation(
            found.nothing[0],
            {m: x[0] for m, x in found.shapley.items()},
            {m: x[0] for m, x in found.occlusion.items()},
        )

    def explain_split(self, split: Split) -> Explanation:
        """What the predictions of such samples owe to their modalities and frames.

        Raises:
            DataError: as for `predict_split`.
        """
        made = self.prepare(split)

        def values(observed: Masks) -> np.ndarray:
            masked = dataclasses.replace(made, present=observed)
            parts = [self._rows(masked, start, False) for start in range(0, len(made), self._most)]
            return np.concatenate([part[0] for part in parts])

        found = explain(values, made)
        own = {m: x[:, : split.features[m].shape[1]] for m, x in found.occlusion.items()}
        return found._replace(occlusion=own)

    def prepare(self, split: Split) -> Split:
        """Samples as they were read, cleaned, normalised and padded to a length of the few."""
        features, valid, present = {}, {}, {}
        for m in self.shapes.features:
            with np.errstate(over="ignore", invalid="ignore"):
                x, inside = split.features[m].astype(np.float32), split.valid[m]
            finite = np.isfinite(x)
            there = inside & (finite & (x != 0)).any(axis=-1)
            if m in self.shapes.vocabulary or self.config.data.bad_values == "frame":
                there &= finite.all(axis=-1)
            x, t = self._cleaned(m, x, finite), x.shape[1]
            pad = [(0, 0), (0, max(SHORTEST, 1 << (t - 1).bit_length()) - t)]
            features[m] = np.pad(x, [*pad, (0, 0)])
            valid[m], present[m] = np.pad(inside, pad), np.pad(there, pad)
        raw = dataclasses.replace(split, features=features, valid=valid, present=present)
        return self.normaliser.apply(raw)

    @property
    def _most(self) -> int:
        return self.config.evaluation.batch_size

    def _arrays(self, given: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], bool]:
        """[n, t, f] per modality, and whether it is one sample given alone."""
        known = self.shapes.features
        unknown = [m for m in given if m not in known]
        if unknown or not given:
            found = repr(unknown[0]) if unknown else "no array"
            names = ", ".join(known)
            raise DataError(f"found {found}, expected features of some of {names}.")
        arrays = {m: frames.as_numbers(x, f"the features of {m}") for m, x in given.items()}
        axes = {x.ndim + (m in self.shapes.vocabulary) for m, x in arrays.items()}
        if axes not in ({2}, {3}):
            shapes = ", ".join(f"{m} {x.shape}" for m, x in arrays.items())
            raise DataError(
                f"found the shapes {shapes}; expected [t, f] in all modalities for one sample, or "
                "[n, t, f] in all (token ids without f)."
            )
        alone = axes == {2}
        for m in self.shapes.vocabulary.keys() & arrays.keys():
            arrays[m] = arrays[m][..., None]
        arrays = {m: x[None] if alone else x for m, x in arrays.items()}
        for m, x in arrays.items():
            if x.shape[2] != known[m]:
                raise DataError(
                    f"{m} has {x.shape[2]} features, the training data had {known[m]}: give data "
                    "with the same feature extraction."
                )
        counts = {m: len(x) for m, x in arrays.items()}
        if len(set(counts.values())) > 1 or not min(counts.values()):
            found = ", ".join(f"{m} {count}" for m, count in counts.items())
            raise DataError(f"found {found} samples; expected one or more, as many in all.")
        return arrays, alone

    def _split(
        self, arrays: Mapping[str, np.ndarray], lengths: Mapping[str, Any], alone: bool
    ) -> Split:
        """The samples with their valid frames."""
        for m in lengths:
            if m not in self.shapes.features:
                known = ", ".join(self.shapes.features)
                raise DataError(f"lengths: found {m!r}, expected some of {known}.")
        n = len(next(iter(arrays.values())))
        features, valid = {}, {}
        for m, width in self.shapes.features.items():
            x = features[m] = arrays.get(m, np.zeros((n, 1, width)))
            if m in lengths and m in arrays:
                valid[m], _ = frames.within_lengths(x, lengths[m], m)
            elif alone:
                valid[m] = np.full(x.shape[:2], m in arrays)
            else:
                valid[m] = frames.span(frames.filled(x))
        return Split(np.arange(n).astype(str), features, valid, np.zeros(n, np.float32))

    def _cleaned(self, m: str, x: np.ndarray, finite: np.ndarray) -> np.ndarray:
        """Token ids, or numbers of which those that are not finite are the training mean."""
        if m in self.shapes.vocabulary:
            return tokens.as_ids(m, np.where(finite, x, 0))
        mean = self.normaliser.mean[m].astype(np.float32)
        return np.where(finite, x, mean[None, None])

    def _rows(
        self, made: Split, start: int, codes: bool
    ) -> tuple[np.ndarray, np.ndarray | None, Codes | None]:
        """Some samples, filled up with empty rows to one of a few numbers."""
        own = made.take(slice(start, start + self._most))
        n = len(own)
        rows = min(self._most, 1 << (n - 1).bit_length())
        filled = own.take(np.minimum(np.arange(rows), n - 1))
        more = self.mesh, self.parameters, filled, rows
        predictor = inference.make_predictor(self.recipe.method, self.recipe.setting, *more)
        found = predictor(filled.present)
        seen = None
        if codes:
            encoder = inference.make_encoder(self.recipe.method, self.recipe.setting, *more)
            seen = _first(encoder(filled.present), n)
        if isinstance(found, inference.Gaussian):
            return found.mean[:n], np.exp(found.log_variance[:n] / 2), seen
        return np.asarray(found)[:n], None, seen


def observed_share(split: Split) -> dict[str, np.ndarray]:
    """The share of the valid frames of each sample that is there, [n] per modality; 0 of none."""
    return {
        m: (split.present[m].sum(axis=1) / np.maximum(valid.sum(axis=1), 1)).astype(np.float32)
        for m, valid in split.valid.items()
    }


def _first(codes: Any, n: int) -> Codes:
    cut = jax.tree.map(lambda x: x[:, :n], codes.replace(fused=None))
    return cut.replace(fused=None if codes.fused is None else codes.fused[:n])


def _joined(parts: Sequence[Any]) -> Codes:
    given: list[Any] = [part for part in parts if part is not None]
    without = [part.replace(fused=None) for part in given]
    together = jax.tree.map(lambda *x: np.concatenate(x, axis=1), *without)
    if given[0].fused is None:
        return together
    return together.replace(fused=np.concatenate([part.fused for part in given]))
